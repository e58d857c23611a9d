"""Clients that send too much, too slowly, or too often; and the socket that only its user can reach."""

from __future__ import annotations

import contextlib
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ringone.api.errors import DriverError
from ringone_control_api import limits, protocol
from ringone_control_api.unix_socket import UnixSocket

from .conftest import ServedGuest

PROBLEM = "application/problem+json"


@pytest.fixture
def connect(guest: ServedGuest) -> Iterator[Callable[[], socket.socket]]:
    """A raw connection, closed after the test."""
    with contextlib.ExitStack() as stack:

        def connected() -> socket.socket:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(20)
            client.connect(str(guest.socket))
            return client

        yield connected


def said(client: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(1 << 16):
            heard += piece
    return heard


def connections(guest: ServedGuest) -> int:
    return len(guest.api._server.server_state.connections)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- bodies


def test_a_body_that_is_too_large_is_refused(guest: ServedGuest) -> None:
    answer = guest.http.post("/serial/0", content=bytes(limits.MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, PROBLEM)
    assert answer.json()["detail"] == f"the request's body has more than {limits.MAX_BODY_BYTES} bytes"


def test_a_body_that_does_not_come_is_given_up(guest: ServedGuest, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_S", 0.1)
    client = connect()
    client.sendall(b"POST /serial/0 HTTP/1.1\r\nHost: machine\r\nContent-Length: 10\r\n\r\n12345")
    answer = said(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the request's body was not complete after 0.1 s" in answer


def test_a_client_that_goes_in_the_middle_of_a_body_has_said_nothing(guest: ServedGuest, connect: Callable[[], socket.socket]) -> None:
    client = connect()
    client.sendall(b"POST /serial/0 HTTP/1.1\r\nHost: machine\r\nContent-Length: 10\r\n\r\nabc")
    client.close()
    guest.http.post("/serial/0", content=b"xyz")
    assert guest.wait(serial="xyz").json()["start"] == guest.since


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 422, id="not-json"),
        pytest.param(b"\xff\xfe", 422, id="not-utf-8"),
        pytest.param(b"[" * 100_000, 400, id="deep"),
        pytest.param(b'{"codes": [1], "code": 1}', 422, id="unknown-field"),
        pytest.param(b'{"codes": "1"}', 422, id="wrong-type"),
        pytest.param(b'{"codes": []}', 422, id="empty"),
        pytest.param(b'{"codes": [' + b"1," * (1 << 16) + b"1]}", 422, id="many"),
        pytest.param(b'{"codes": [' + b"9" * 5000 + b"]}", 400, id="huge-number"),
        pytest.param(b"", 422, id="nothing"),
    ],
)
def test_bodies_that_are_not_understood_are_problems(guest: ServedGuest, body: bytes, status: int) -> None:
    answer = guest.http.post("/keyboard/scancodes", content=body, headers={"Content-Type": "application/json"})
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.status_code == status, answer.text
    assert guest.http.get("/keyboard").json()["pending"] == 0


# --- connections


def test_a_request_that_does_not_come_is_given_up(guest: ServedGuest, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.1)
    silent, slow = connect(), connect()
    slow.sendall(b"GET /machine HTTP/1.1\r\nHost: ")
    assert (said(silent), said(slow)) == (b"", b"")


def test_a_second_request_has_its_own_time(guest: ServedGuest, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect()
    client.sendall(b"GET /keyboard HTTP/1.1\r\nHost: machine\r\n\r\n")
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    monkeypatch.setattr(protocol, "REQUEST_S", 0.1)
    client.sendall(b"GET /keyboard HTTP/1.1\r\n")
    assert b"HTTP/1.1" not in said(client)


def test_an_answer_that_nobody_reads_is_given_up(guest: ServedGuest, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STALL_S", 0.2)
    eventually(lambda: guest.http.get("/machine").is_success and connections(guest) == 1)
    client = connect()
    client.sendall(b"GET /memory?address=0&size=16777216 HTTP/1.1\r\nHost: machine\r\n\r\n")
    eventually(lambda: connections(guest) == 2)
    eventually(lambda: connections(guest) == 1)
    assert len(said(client)) < 16 << 20


def test_one_connection_too_many_is_closed(guest: ServedGuest, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    guest.http.get("/machine")
    first = connect()
    first.sendall(b"GET /keyboard HTTP/1.1\r\nHost: machine\r\n\r\n")
    assert first.recv(1 << 16)
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 2)
    assert said(connect()) == b""
    assert guest.http.get("/machine").status_code == 200


def test_what_is_not_http_is_refused(connect: Callable[[], socket.socket]) -> None:
    client = connect()
    client.sendall(b"hello\r\n\r\n")
    assert said(client).startswith(b"HTTP/1.1 400 ")


# --- the socket


@pytest.fixture
def place(run_folder: Path) -> Path:
    return run_folder / "made" / "m.sock"


def test_the_socket_and_its_folder_are_the_users_alone(place: Path) -> None:
    with contextlib.closing(UnixSocket(place)):
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert list(place.parent.iterdir()) == []


def test_a_folder_that_others_can_reach_is_refused(place: Path) -> None:
    place.parent.mkdir()
    place.parent.chmod(0o755)
    with pytest.raises(DriverError, match=r"the folder of the socket is drwxr-xr-x, owned by user \d+; accepted is one that belongs to user \d+ alone"):
        UnixSocket(place)


def test_a_link_to_a_folder_is_refused(place: Path, run_folder: Path) -> None:
    (run_folder / "elsewhere").mkdir(mode=0o700)
    place.parent.symlink_to(run_folder / "elsewhere")
    with pytest.raises(DriverError, match="the folder of the socket is lrwxrwxrwx"):
        UnixSocket(place)


def test_what_a_killed_process_left_is_replaced(place: Path) -> None:
    UnixSocket(place).socket.close()
    assert place.exists()
    with contextlib.closing(UnixSocket(place)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place))


def test_a_socket_on_which_somebody_answers_is_left_alone(place: Path) -> None:
    with contextlib.closing(UnixSocket(place)):
        with pytest.raises(DriverError, match="somebody answers there already"):
            UnixSocket(place)
        assert place.exists()


def test_closing_leaves_what_another_has_put_there(place: Path) -> None:
    first = UnixSocket(place)
    first.socket.close()
    with contextlib.closing(UnixSocket(place)):
        first.close()
        assert place.exists()


def test_a_path_that_is_too_long_is_a_clear_error(run_folder: Path) -> None:
    with pytest.raises(DriverError, match="nobody could connect there: AF_UNIX path too long"):
        UnixSocket(run_folder / "made" / ("x" * 120))
