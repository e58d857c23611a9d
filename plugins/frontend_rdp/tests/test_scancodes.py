"""Keys of RDP clients as a guest's keyboard controller gets them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_rdp.input import KeyEvent, parse_fast_path, parse_slow_path
from ringone_frontend_rdp.scancodes import NO_KEYS, PAUSE, Keys
from ringone_frontend_rdp.wire import Reader

A, TAB, LEFT_CTRL, NUM_LOCK, CAPS_LOCK, ARROW_UP = 0x1E, 0x0F, 0x1D, 0x45, 0x3A, 0x48
EVENTS = st.builds(KeyEvent, st.integers(0, 255), st.booleans(), st.booleans(), st.booleans())


def down(code: int, *, extended: bool = False, extended1: bool = False) -> KeyEvent:
    return KeyEvent(code, extended, extended1, False)


def up(code: int, *, extended: bool = False, extended1: bool = False) -> KeyEvent:
    return KeyEvent(code, extended, extended1, True)


def typed(*events: KeyEvent) -> bytes:
    keys = Keys()
    return b"".join(map(keys.codes, events))


@pytest.mark.parametrize("code", [code for code in range(0x80) if code not in NO_KEYS], ids=hex)
def test_every_key_goes_down_and_comes_up(code: int) -> None:
    assert typed(down(code), up(code)) == bytes((code, code | 0x80))
    assert typed(down(code, extended=True), up(code, extended=True)) == bytes((0xE0, code, 0xE0, code | 0x80))


@pytest.mark.parametrize("code", [*sorted(NO_KEYS), 0x80, 0xAA, 0xE0, 0xFF], ids=hex)
def test_what_is_no_key_is_passed_over(code: int) -> None:
    assert typed(down(code), up(code), down(code, extended=True), up(code, extended=True)) == b""


def test_a_key_that_is_held_repeats() -> None:
    assert typed(down(A), down(A), down(A), up(A)) == bytes((A, A, A, A | 0x80))


def test_pause_is_one_key_and_not_num_lock() -> None:
    assert typed(down(LEFT_CTRL, extended1=True), down(NUM_LOCK), up(LEFT_CTRL, extended1=True), up(NUM_LOCK)) == PAUSE


def test_num_lock_works_after_pause() -> None:
    pause = (down(LEFT_CTRL, extended1=True), down(NUM_LOCK), up(LEFT_CTRL, extended1=True), up(NUM_LOCK))
    assert typed(*pause, down(NUM_LOCK), up(NUM_LOCK)) == PAUSE + bytes((0x45, 0xC5))


def test_a_pause_without_its_second_half_hides_no_other_key() -> None:
    assert typed(down(LEFT_CTRL, extended1=True), down(A), up(A), down(NUM_LOCK)) == PAUSE + bytes((A, A | 0x80, NUM_LOCK))


def test_the_release_of_a_key_that_is_not_down_is_no_keystroke() -> None:
    assert typed(up(TAB)) == b""
    assert typed(down(ARROW_UP), up(ARROW_UP, extended=True)) == bytes((ARROW_UP,))


def test_keys_that_are_down_come_up_in_reverse() -> None:
    keys = Keys()
    keys.codes(down(LEFT_CTRL))
    keys.codes(down(ARROW_UP, extended=True))
    assert keys.release_all() == bytes((0xE0, ARROW_UP | 0x80, LEFT_CTRL | 0x80))
    assert keys.release_all() == b""


def test_a_press_that_is_lost_is_lost_with_its_release() -> None:
    keys = Keys()
    keys.lose(down(A))
    assert keys.codes(up(A)) == b""
    assert keys.release_all() == b""


def test_a_key_that_is_down_comes_up_even_if_its_repeats_are_lost() -> None:
    keys = Keys()
    keys.codes(down(A))
    keys.lose(down(A))
    assert keys.codes(up(A)) == bytes((A | 0x80,))


def test_a_pause_that_is_lost_is_no_num_lock() -> None:
    keys = Keys()
    keys.lose(down(LEFT_CTRL, extended1=True))
    assert keys.codes(down(NUM_LOCK)) == b""


@pytest.mark.parametrize(
    ("locks", "leds", "codes"), [(0, 0, []), (7, 7, []), (1, 0, [0x46]), (2, 0, [0x45]), (4, 0, [0x3A]), (0, 4, [0x3A]), (5, 3, [0x45, 0x3A])], ids=str
)
def test_lock_keys_are_struck_where_they_differ(locks: int, leds: int, codes: list[int]) -> None:
    keys = Keys()
    keys.see(leds)
    assert keys.locks_to_strike(locks) == codes


@pytest.mark.parametrize("guest_is_slow", [True, False], ids=["slow", "quick"])
def test_a_lock_that_the_client_tells_after_its_stroke_is_not_struck_again(guest_is_slow: bool) -> None:
    keys = Keys()
    for locks in (4, 0, 4, 0):
        keys.see(before := locks ^ 4)
        keys.codes(down(CAPS_LOCK))
        keys.codes(up(CAPS_LOCK))
        keys.see(before if guest_is_slow else locks)
        assert keys.locks_to_strike(locks) == []


def test_a_guest_without_leds_is_not_struck_again_and_again() -> None:
    keys = Keys()
    assert [keys.locks_to_strike(4) for _ in range(3)] == [[0x3A], [], []]


def test_a_lock_key_that_repeats_or_is_lost_turns_its_lock_once_or_not() -> None:
    keys = Keys()
    keys.lose(down(CAPS_LOCK))
    assert keys.locks_to_strike(0) == []
    for _ in range(4):
        keys.codes(down(CAPS_LOCK))
    assert keys.locks_to_strike(4) == []


@given(st.lists(EVENTS))
def test_whatever_a_client_sends_all_keys_are_up_in_the_end(events: list[KeyEvent]) -> None:
    keys = Keys()
    held: set[bytes] = set()
    sent = b"".join(map(keys.codes, events)) + keys.release_all()
    prefix = b""
    for code in sent.replace(PAUSE, b""):
        if code == 0xE0:
            prefix = b"\xe0"
            continue
        key = prefix + bytes((code & 0x7F,))
        assert code < 0x80 or key in held
        held = held | {key} if code < 0x80 else held - {key}
        prefix = b""
    assert not held


@pytest.mark.parametrize("extended", [False, True], ids=["plain", "extended"])
def test_both_forms_of_input_are_the_same_keys(extended: bool) -> None:
    flag = 0x0100 if extended else 0
    slow = b"\x02\x00\x00\x00" + b"".join(
        bytes(4) + b"\x04\x00" + (flag | release).to_bytes(2, "little") + bytes((ARROW_UP, 0, 0, 0)) for release in (0, 0x8000)
    )
    fast_flag = 2 if extended else 0
    fast = bytes((2 << 2, 6, fast_flag, ARROW_UP, fast_flag | 1, ARROW_UP))
    slow_events, fast_events = parse_slow_path(Reader(slow, "test")), parse_fast_path(fast)
    assert slow_events == fast_events == [KeyEvent(ARROW_UP, extended, False, False), KeyEvent(ARROW_UP, extended, False, True)]
