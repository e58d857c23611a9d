"""Serial ports over HTTP: what was said is there to be read again, and what comes is streamed."""

from __future__ import annotations

import httpx
import pytest
from ringone.machine.lines import SEND_LIMIT_BYTES

from .conftest import ServedGuest

ENOUGH = 5


def read(guest: ServedGuest, **query: int | str) -> httpx.Response:
    return guest.http.get("/serial/0", params=query)


def test_what_the_guest_said_is_there_to_be_read(guest: ServedGuest) -> None:
    whole = read(guest)
    assert whole.headers["Serial-Position"] == "0"
    assert whole.content.startswith(b"ECHO READY\r\n")
    assert read(guest, since=5).content == whole.content[5:]


def test_what_is_written_reaches_the_guest_and_its_answer_can_be_read_from_there(guest: ServedGuest) -> None:
    assert guest.http.post("/serial/0", content=b"over the line").json()["pending"] <= 13
    guest.wait(serial="the line")
    answer = read(guest, since=guest.since)
    assert (answer.headers["Serial-Position"], answer.content) == (str(guest.since), b"over the line")


def test_a_follower_gets_what_was_said_and_what_comes(guest: ServedGuest) -> None:
    with guest.http.stream("GET", "/serial/0", params={"since": guest.since, "follow": "true"}) as stream:
        assert stream.headers["Content-Type"] == "application/octet-stream"
        pieces = stream.iter_raw()
        for said in (b"first", b"second"):
            guest.http.post("/serial/0", content=said)
            heard = b""
            while len(heard) < len(said):
                heard += next(pieces)
            assert heard == said


def test_a_followers_stream_ends_with_the_server(off: ServedGuest) -> None:
    with off.http.stream("GET", "/serial/0", params={"follow": "true"}) as stream:
        off.api.stop()
        assert stream.read() == b""


def test_more_than_the_guest_can_take_is_refused(guest: ServedGuest) -> None:
    guest.post("/machine/pause")
    assert guest.http.post("/serial/0", content=bytes(SEND_LIMIT_BYTES - 10)).status_code == 200
    answer = guest.http.post("/serial/0", content=bytes(20))
    assert (answer.status_code, answer.json()["type"]) == (409, "StateError")
    guest.session.serial_lines[0].read(SEND_LIMIT_BYTES)  # type: ignore[attr-defined]


def test_nobody_listens_in_a_machine_that_is_off(off: ServedGuest) -> None:
    answer = off.http.post("/serial/0", content=b"x")
    assert (answer.status_code, answer.json()["detail"]) == (409, "the machine is poweroff; nobody reads its serial ports")


@pytest.mark.parametrize("slot", ["1", "4", "x"])
def test_other_ports_are_refused(guest: ServedGuest, slot: str) -> None:
    for method in ("GET", "POST"):
        assert guest.http.request(method, f"/serial/{slot}").status_code == (404 if slot == "1" else 422)
