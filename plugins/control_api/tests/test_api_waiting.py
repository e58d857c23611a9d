"""Waiting for a real guest over HTTP."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from .conftest import ServedGuest


@pytest.mark.parametrize(
    "condition",
    [
        {"text": "hello"},
        {"regex": "h(.)llo"},
        {"serial": "hello"},
        {"serial_regex": "h(.)llo"},
    ],
    ids=lambda condition: next(iter(condition)),
)
def test_a_wait_ends_with_what_was_waited_for(guest: ServedGuest, condition: dict[str, str]) -> None:
    guest.post("/keyboard/text", text="hello")
    match = guest.wait(**condition).json()
    assert match["text"] == "hello"
    assert match["groups"] == (["e"] if "(" in str(condition) else [])
    assert (match["start"] is not None) is ("serial" in str(condition))


def test_a_wait_that_comes_first_sees_what_comes_later(guest: ServedGuest) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(guest.wait, serial="later")
        guest.http.post("/serial/0", content=b"now and later")
        assert waiting.result().json()["start"] >= guest.since


def test_a_state_is_waited_for(guest: ServedGuest) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(guest.wait, state="paused")
        guest.post("/machine/pause")
        assert waiting.result().json()["text"] == "paused"


def test_an_idle_screen_is_waited_for(guest: ServedGuest) -> None:
    assert guest.wait(idle_screen=50).status_code == 200


def test_a_wait_that_takes_too_long_is_a_problem_with_the_screen(guest: ServedGuest) -> None:
    answer = guest.wait(text="login:", timeout_s=0.05)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (408, "WaitTimeoutError")
    assert "ECHO READY" in problem["screen"]
    assert "'login:' was not on the screen within 0.05 s of wall time" in problem["detail"].replace("\\", "")


def test_waiting_for_a_machine_that_has_ended_is_a_conflict(guest: ServedGuest) -> None:
    guest.post("/machine/power-off")
    assert guest.wait(text="login:").json()["type"] == "StateError"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param({}, "Exactly one of these is waited for: text, regex, serial, serial_regex, state, idle_screen", id="nothing"),
        pytest.param({"text": "a", "regex": "b"}, "Exactly one of these is waited for", id="two"),
        pytest.param({"text": ""}, "at least 1 character", id="empty"),
        pytest.param({"regex": "("}, "regular expression '(': missing ), unterminated subpattern", id="pattern"),
        pytest.param({"state": "happy"}, "Input should be 'poweroff', 'running'", id="state"),
        pytest.param({"text": "a", "since": 1}, "since: Extra inputs are not permitted", id="field"),
        pytest.param({"text": "a", "timeout_s": -1}, "greater than or equal to 0", id="timeout"),
        pytest.param({"text": "a", "clock": "sun"}, "Input should be 'guest' or 'wall'", id="clock"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(off: ServedGuest, body: dict[str, object], detail: str) -> None:
    answer = off.post("/wait", **body)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


def test_a_port_that_the_machine_does_not_have_is_named(guest: ServedGuest) -> None:
    answer = guest.wait(serial="a", slot=3)
    assert (answer.status_code, answer.json()["detail"]) == (422, "unknown serial port '3'; known: 0")


def test_a_wait_whose_client_has_gone_is_given_up(guest: ServedGuest) -> None:
    def waits() -> int:
        return guest.http.get("/machine").status_code and len(guest.session.request(lambda: observers(guest)).result())

    before = waits()
    with pytest.raises(httpx.ReadTimeout):
        guest.http.post("/wait", json={"text": "never", "timeout_s": 600}, timeout=0.3)
    deadline = time.monotonic() + 10
    while waits() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert waits() == before


def observers(guest: ServedGuest) -> list[object]:
    return list(guest.session._machine.events._observers)  # type: ignore[attr-defined]
