from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable

import pytest
from ringone.api.errors import ConfigError, StateError, WaitTimeoutError
from ringone.api.events import MachineState
from ringone_control_api import waiting
from ringone_control_api.serial_history import SerialHistory
from ringone_control_api.waiting import Clock, Condition, IdleScreen, InState, Match, ScreenText, SerialText, compile_pattern, wait_for

from plugins.control_api.tests.fake_session import FakeSession, as_session, text_screen


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MIN_POLL_S", 0)
    monkeypatch.setattr(waiting, "LATE_PART", float("inf"))


def wait(session: FakeSession, condition: Condition, timeout_s: float = 5, clock: Clock = Clock.WALL) -> Match:
    return asyncio.run(wait_for(as_session(session), condition, timeout_s=timeout_s, clock=clock))


def showing_after(calls: int, text: str) -> FakeSession:
    def tick(session: FakeSession) -> None:
        if session.calls == calls:
            session.show(text_screen(text))

    return FakeSession(tick=tick)


def test_text_that_is_on_the_screen_is_found_at_once() -> None:
    session = showing_after(1, "Debian GNU/Linux\n\nlogin: ")
    match = wait(session, ScreenText.string("login:"))
    assert (match.text, match.groups, match.start, match.virtual_ns) == ("login:", (), None, 2_000_000)


def test_text_that_comes_later_is_found() -> None:
    assert wait(showing_after(20, "ok> _"), ScreenText.string("ok>")).text == "ok>"


def test_a_string_is_no_regular_expression() -> None:
    with pytest.raises(WaitTimeoutError):
        wait(showing_after(1, "abc"), ScreenText.string("a.c"), timeout_s=0)


def test_a_regular_expression_gives_its_groups() -> None:
    match = wait(showing_after(3, "answer: 42\nnext line"), ScreenText(compile_pattern(r"answer: (\d+)(x)?\nnext")))
    assert match.groups == ("42", None)


def test_a_timeout_tells_what_the_screen_shows() -> None:
    with pytest.raises(WaitTimeoutError, match=r"^'/ #' was not on the screen within 0 s of wall time; the machine is running$") as caught:
        wait(showing_after(1, "kernel panic"), ScreenText.string("/ #"), timeout_s=0)
    assert caught.value.screen == "kernel panic"


def test_a_timeout_in_graphics_mode_says_why_no_text_is_seen() -> None:
    session = FakeSession()
    session.show(None)
    with pytest.raises(WaitTimeoutError, match="it is in a graphics mode") as caught:
        wait(session, ScreenText.string("login:"), timeout_s=0)
    assert caught.value.screen == ""


def test_a_timeout_may_count_the_guests_time() -> None:
    session = FakeSession(step_ns=1_000_000_000)
    with pytest.raises(WaitTimeoutError, match="within 30 s of guest time"):
        wait(session, ScreenText.string("login:"), timeout_s=30, clock=Clock.GUEST)
    assert session.now_ns >= 30_000_000_000


def test_a_machine_that_ends_ends_the_waiting() -> None:
    session = FakeSession(tick=lambda session: session.enter(MachineState.POWERED_OFF) if session.calls == 5 else None)
    with pytest.raises(StateError, match="'login:' was not on the screen, and the machine is poweroff"):
        wait(session, ScreenText.string("login:"))
    assert session.observers == []


def test_waiting_for_a_state_outlives_the_machines_end() -> None:
    session = FakeSession(tick=lambda session: session.enter(MachineState.POWERED_OFF) if session.calls == 5 else None)
    assert wait(session, InState(MachineState.POWERED_OFF)).text == "poweroff"


def test_a_screen_is_idle_when_nothing_changed_for_so_long() -> None:
    def tick(session: FakeSession) -> None:
        if session.now_ns < 50_000_000:
            session.show(session.screen)

    assert wait(FakeSession(tick=tick), IdleScreen(30_000_000)).virtual_ns == 79_000_000


def test_a_screen_that_never_rests_is_not_idle() -> None:
    with pytest.raises(WaitTimeoutError, match=r"the screen was never the same for 0.03 s within 1 s"):
        wait(FakeSession(tick=lambda session: session.show(session.screen)), IdleScreen(30_000_000), timeout_s=1, clock=Clock.GUEST)


# --- serial ports


def history_of(*said: bytes) -> SerialHistory:
    history = SerialHistory()
    for part in said:
        history.append(part)
    return history


def test_what_was_said_before_counts() -> None:
    match = wait(FakeSession(), SerialText.string(history_of(b"boot\r\nlogin: "), "login:"))
    assert (match.text, match.start, match.end) == ("login:", 6, 12)


def test_waiting_on_from_the_end_of_a_match_does_not_see_it_again() -> None:
    history = history_of(b"ok 1\nok 2\n")
    first = wait(FakeSession(), SerialText.string(history, "ok"))
    assert first.end is not None
    second = wait(FakeSession(), SerialText.string(history, "ok", since=first.end))
    assert (first.start, second.start) == (0, 5)


def speaking(history: SerialHistory, *parts: bytes) -> FakeSession:
    """Says one part at each step."""
    left = list(parts)

    def tick(session: FakeSession) -> None:
        if left:
            history.append(left.pop(0))

    return FakeSession(tick=tick)


def test_text_that_comes_in_pieces_is_found() -> None:
    history = SerialHistory()
    match = wait(speaking(history, *(bytes((byte,)) for byte in b"one two three")), SerialText.string(history, "two"))
    assert (match.start, match.end) == (4, 7)


def test_text_from_another_thread_wakes_the_waiter() -> None:
    history = SerialHistory()
    condition = SerialText.string(history, "now")
    timer = threading.Timer(0.05, lambda: history.append(b"now"))
    timer.start()
    try:
        assert wait(FakeSession(), condition).text == "now"
    finally:
        timer.join()


def test_an_anchor_holds_at_the_position_and_not_where_searching_went_on() -> None:
    history = SerialHistory()
    condition = SerialText(history, re.compile(rb"^b"), span_bytes=1)
    with pytest.raises(WaitTimeoutError):
        wait(speaking(history, b"aaaa", b"bbbb", b"bbbb"), condition, timeout_s=0.05)


def test_a_serial_regex_gives_groups_as_text() -> None:
    match = wait(FakeSession(), SerialText.regex(history_of("größe=7 \udcff".encode("utf-8", "surrogateescape")), "größe=([0-9])(.*)"))
    assert match.groups == ("7", " \ufffd")


def test_a_timeout_tells_how_the_serial_output_ends() -> None:
    with pytest.raises(WaitTimeoutError, match=r"'/ #' did not come on the serial port from position 3 on; it ends with 'abc'"):
        wait(FakeSession(), SerialText.string(history_of(b"abc"), "/ #", since=3), timeout_s=0)


# --- bad input

BAD: dict[str, Callable[[], Condition]] = {
    "empty text": lambda: ScreenText.string(""),
    "empty serial text": lambda: SerialText.string(SerialHistory(), ""),
    "long pattern": lambda: ScreenText(compile_pattern("a" * 5000)),
    "broken pattern": lambda: ScreenText(compile_pattern("(")),
    "broken serial pattern": lambda: SerialText.regex(SerialHistory(), "[z-a]"),
    "huge repetition": lambda: ScreenText(compile_pattern("a{99999999999999999999}")),
    "no quiet time": lambda: IdleScreen(0),
}


@pytest.mark.parametrize("make", BAD.values(), ids=[*BAD])
def test_what_makes_no_sense_is_refused(make: Callable[[], Condition]) -> None:
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf"), 1e12])
def test_a_timeout_has_bounds(timeout_s: float) -> None:
    with pytest.raises(ConfigError, match="accepted: 0 to"):
        wait(FakeSession(), InState(MachineState.PAUSED), timeout_s=timeout_s)
