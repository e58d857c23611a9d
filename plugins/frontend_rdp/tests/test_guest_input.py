"""What the guest gets of a client's keys and mouse."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from ringone.api.errors import StateError
from ringone.keyboard import LAYOUTS
from ringone_frontend_rdp.characters import MOST_LOGGED
from ringone_frontend_rdp.guest_input import MOST_PENDING, GuestInput
from ringone_frontend_rdp.input import CharacterEvent, KeyEvent, MouseEvent, SideButtonEvent, SynchronizeEvent, parse_fast_path, parse_slow_path
from ringone_frontend_rdp.scancodes import BREAK, LOCKS, LONGEST_WAITS_S
from ringone_frontend_rdp.wire import Reader


class Guest:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.codes = b""
        self.moves: list[tuple[int, int, int, int]] = []
        self.leds = 0
        self.reads = True
        self.runs = True
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def put_scancodes(self, codes: bytes) -> None:
        if not self.runs:
            raise StateError("off")
        self.codes += codes

    def keyboard_pending(self) -> int:
        return 0 if self.reads else len(self.codes)

    def keyboard_leds(self) -> int:
        return self.leds

    def move_mouse(self, dx: int, dy: int, dz: int = 0, buttons: int = 0) -> None:
        self.moves.append((dx, dy, dz, buttons))


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def given(guest: Guest) -> GuestInput:
    return GuestInput(guest, now=guest.clock)  # type: ignore[arg-type]


def key(code: int, *, released: bool = False, extended: bool = False, extended1: bool = False) -> KeyEvent:
    return KeyEvent(code, extended, extended1, released)


def test_key_goes_down_and_up(guest: Guest, given: GuestInput) -> None:
    given.handle([key(0x1E), key(0x1E, released=True)])
    assert guest.codes == b"\x1e\x9e"


def test_extended_key_has_its_prefix(guest: Guest, given: GuestInput) -> None:
    given.handle([key(0x4B, extended=True), key(0x4B, extended=True, released=True)])
    assert guest.codes == b"\xe0\x4b\xe0\xcb"


def test_pause_is_one_long_code(guest: Guest, given: GuestInput) -> None:
    given.handle([key(0x1D, extended1=True), key(0x45), key(0x1D, extended1=True, released=True), key(0x45, released=True)])
    assert guest.codes == b"\xe1\x1d\x45\xe1\x9d\xc5"


def test_release_of_a_key_that_never_went_down_is_no_keystroke(guest: Guest, given: GuestInput) -> None:
    given.handle([key(0x0F, released=True)])
    assert guest.codes == b""


def test_everything_comes_up_when_the_client_goes(guest: Guest, given: GuestInput) -> None:
    given.handle([key(0x1D), key(0x38, extended=True), MouseEvent(0x9000, 5, 5)])
    guest.codes = b""
    given.release_all()
    assert guest.codes == b"\xe0\xb8\x9d"
    assert guest.moves[-1] == (0, 0, 0, 0)


def go_on(given: GuestInput, guest: Guest) -> None:
    """Some time passes."""
    guest.now += 0.05
    given.go_on()


def test_focus_releases_keys_and_brings_locks_in_step(guest: Guest, given: GuestInput) -> None:
    """One after the other, each up when the guest has set its lights; what follows waits."""
    guest.leds = 0b010
    given.handle([key(0x2A), SynchronizeEvent(0b100), key(0x1E)])
    assert (guest.codes, given.waits) == (b"\x2a\xaa\x45", True)
    go_on(given, guest)
    assert guest.codes == b"\x2a\xaa\x45"
    guest.leds = 0b000
    go_on(given, guest)
    assert guest.codes == b"\x2a\xaa\x45\xc5\x3a"
    guest.leds = 0b100
    go_on(given, guest)
    assert (guest.codes, given.waits) == (b"\x2a\xaa\x45\xc5\x3a\xba\x1e", False)


def until_nothing_waits(given: GuestInput, guest: Guest) -> float:
    start = guest.now
    while given.waits:
        go_on(given, guest)
    return guest.now - start


class Linux(Guest):
    """Loses what comes between a lock key and the lights that it sets for it, `delay_s` later."""

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self._delay_s = delay_s
        self._sets: tuple[int, float] | None = None

    def put_scancodes(self, codes: bytes) -> None:
        for code in codes:
            if self._sets is None:
                super().put_scancodes(bytes((code,)))
                if code in LOCKS:
                    self._sets = LOCKS[code], self.now + self._delay_s

    def keyboard_leds(self) -> int:
        if self._sets is not None and self.now >= self._sets[1]:
            self.leds ^= self._sets[0]
            self._sets = None
        return self.leds


@given_any(locks=st.lists(st.integers(0, 7), max_size=6), delay_s=st.floats(0.01, 0.24))
def test_guest_that_loses_what_comes_too_early_has_the_clients_locks_all_the_same(locks: list[int], delay_s: float) -> None:
    guest = Linux(delay_s)
    inputs = GuestInput(guest, now=guest.clock)  # type: ignore[arg-type]
    for each in locks:
        inputs.handle([SynchronizeEvent(each)])
        until_nothing_waits(inputs, guest)
        assert guest.leds == each
        assert sum(code in LOCKS for code in guest.codes) == sum(code & ~BREAK in LOCKS and bool(code & BREAK) for code in guest.codes)


def test_guest_without_lights_is_not_waited_for_without_end(guest: Guest, given: GuestInput) -> None:
    given.handle([SynchronizeEvent(0b111), key(0x1E)])
    assert until_nothing_waits(given, guest) <= LONGEST_WAITS_S + 0.1
    assert guest.codes == b"\x46\xc6\x45\xc5\x3a\xba\x1e"
    given.handle([SynchronizeEvent(0b111 * (number % 2)) for number in range(50)])
    assert until_nothing_waits(given, guest) <= LONGEST_WAITS_S + 0.1


def test_client_that_goes_in_mid_stroke_leaves_no_lock_key_down(guest: Guest, given: GuestInput) -> None:
    given.handle([SynchronizeEvent(0b101), key(0x1E)])
    given.release_all()
    assert (guest.codes, given.waits) == (b"\x46\xc6", False)
    given.go_on()
    assert guest.codes == b"\x46\xc6"


def test_no_text_is_typed_while_lock_keys_are_struck(guest: Guest, given: GuestInput) -> None:
    given.handle([SynchronizeEvent(0b100)])
    assert given.type_some("a") == 0
    until_nothing_waits(given, guest)
    assert given.type_some("a") == 1


def test_machine_that_stops_in_mid_stroke_gets_nothing_later(guest: Guest, given: GuestInput) -> None:
    given.handle([SynchronizeEvent(0b101), key(0x1E)])
    guest.runs = False
    until_nothing_waits(given, guest)
    guest.runs = True
    given.go_on()
    assert guest.codes == b"\x46"


def test_guest_that_reads_no_keys_gets_no_endless_queue_and_no_stuck_key(guest: Guest, given: GuestInput) -> None:
    guest.reads = False
    for _ in range(1000):
        given.handle([key(0x1E), key(0x1E, released=True), key(0x30)])
    assert len(guest.codes) < MOST_PENDING + 8
    given.release_all()
    assert guest.codes.endswith(b"\xb0")


def test_locks_that_change_without_end_fill_no_queue(guest: Guest, given: GuestInput) -> None:
    guest.reads = False
    given.handle([SynchronizeEvent(number % 8) for number in range(1000)])
    until_nothing_waits(given, guest)
    assert len(guest.codes) < MOST_PENDING + 16


def test_lock_key_that_its_client_also_tells_is_struck_once(guest: Guest, given: GuestInput) -> None:
    given.handle([key(0x3A), key(0x3A, released=True), SynchronizeEvent(0b100)])
    assert guest.codes == b"\x3a\xba"


def test_machine_that_is_off_takes_nothing(guest: Guest, given: GuestInput) -> None:
    guest.runs = False
    given.handle([key(0x1E)])
    given.release_all()
    assert guest.codes == b""


def test_places_become_movements(guest: Guest, given: GuestInput) -> None:
    given.handle([MouseEvent(0x0800, 100, 50), MouseEvent(0x0800, 110, 45)])
    assert guest.moves == [(0, 0, 0, 0), (10, -5, 0, 0)]


def test_buttons_stay_down_while_the_mouse_moves(guest: Guest, given: GuestInput) -> None:
    given.handle([MouseEvent(0x9000, 1, 1), MouseEvent(0xA000, 1, 1), MouseEvent(0x0800, 2, 1), MouseEvent(0x1000, 2, 1), MouseEvent(0x2000, 2, 1)])
    assert [buttons for *_, buttons in guest.moves] == [1, 3, 3, 2, 0]


@pytest.mark.parametrize(("flags", "notches"), [(0x0278, -1), (0x0388, 1), (0x02F0, -2)], ids=["up", "down", "up-twice"])
def test_wheel_turns_without_moving_the_pointer(guest: Guest, given: GuestInput, flags: int, notches: int) -> None:
    given.handle([MouseEvent(0x0800, 300, 300), MouseEvent(flags, 0, 0), MouseEvent(0x0800, 301, 300)])
    assert guest.moves == [(0, 0, 0, 0), (0, 0, notches, 0), (1, 0, 0, 0)]


@pytest.mark.parametrize(
    ("layout", "unit", "codes"),
    [
        ("us", "a", "1e 9e"),
        ("us", "A", "2a 1e 9e aa"),
        ("de", "z", "15 95"),
        ("de", "@", "e0 38 10 90 e0 b8"),
        ("de", "é", "0d 8d 12 92"),
        ("us", "\r", "1c 9c"),
    ],
    ids=["small", "capital", "moved", "altgr", "dead-key", "enter"],
)
def test_characters_become_the_layouts_keys(guest: Guest, layout: str, unit: str, codes: str) -> None:
    given = GuestInput(guest, LAYOUTS[layout])  # type: ignore[arg-type]
    given.handle([CharacterEvent(ord(unit), released=False), CharacterEvent(ord(unit), released=True)])
    assert guest.codes.hex(" ") == codes


def test_character_that_the_layout_lacks_is_logged_once_and_not_typed(guest: Guest, given: GuestInput, caplog: pytest.LogCaptureFixture) -> None:
    given.handle([CharacterEvent(unit, released=False) for unit in (0x20AC, 0x20AC, 0xD800, 0)])
    assert guest.codes == b""
    assert caplog.messages == [f"keyboard layout us cannot type U+{unit}" for unit in ("20AC", "D800", "0000")]


def test_endless_characters_that_the_layout_lacks_fill_no_log(given: GuestInput, caplog: pytest.LogCaptureFixture) -> None:
    given.handle([CharacterEvent(unit, released=False) for unit in range(0x4E00, 0x4F00)])
    assert len(caplog.messages) == MOST_LOGGED


def test_held_shift_makes_no_other_character_of_one(guest: Guest, given: GuestInput) -> None:
    given.handle([key(0x2A), CharacterEvent(ord("a"), released=False), key(0x2A, released=True)])
    assert guest.codes.hex(" ") == "2a aa 1e 9e 2a aa"


def test_caps_lock_makes_no_other_character_of_one(guest: Guest, given: GuestInput) -> None:
    guest.leds = 0b100
    given.handle([CharacterEvent(ord("a"), released=False), CharacterEvent(ord("1"), released=False)])
    assert guest.codes.hex(" ") == "2a 1e 9e aa 02 82"


def test_characters_too_fill_no_queue(guest: Guest, given: GuestInput) -> None:
    guest.reads = False
    given.handle([CharacterEvent(ord("A"), released=False)] * 1000)
    assert len(guest.codes) < MOST_PENDING + 8


def test_side_buttons_are_buttons_4_and_5(guest: Guest, given: GuestInput) -> None:
    given.handle([SideButtonEvent(0x8001, 5, 5), SideButtonEvent(0x8002, 6, 5), SideButtonEvent(0x0001, 6, 5)])
    assert guest.moves == [(0, 0, 0, 8), (1, 0, 0, 24), (0, 0, 0, 16)]


@pytest.mark.parametrize("way", ["slow path", "fast path"])
def test_characters_and_side_buttons_come_either_way(way: str) -> None:
    if way == "slow path":
        events = struct.pack("<IHHHH", 0, 5, 0x8000, 0xE9, 0) + struct.pack("<IHHHH", 0, 0x8002, 0x8001, 7, 9)
        found = parse_slow_path(Reader(struct.pack("<HH", 2, 0) + events, "input"))
    else:
        found = parse_fast_path(bytes((2 << 2, 12)) + struct.pack("<BH", 4 << 5 | 1, 0xE9) + struct.pack("<BHHH", 2 << 5, 0x8001, 7, 9))
    assert found == [CharacterEvent(0xE9, released=True), SideButtonEvent(0x8001, 7, 9)]
