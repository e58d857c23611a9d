"""What reaches a guest of a client's keyboard and mouse."""

from __future__ import annotations

from typing import cast

import attrs
import pytest
from ringone.api.errors import StateError
from ringone.api.frontends import VmSession
from ringone_frontend_rdp.guest_input import MOST_PENDING, GuestInput
from ringone_frontend_rdp.input import KeyEvent, MouseEvent, SynchronizeEvent

CAPS_LOCK = 4
MOVE, DOWN, LEFT, RIGHT, MIDDLE = 0x0800, 0x8000, 0x1000, 0x2000, 0x4000
WHEEL_UP, WHEEL_DOWN = 0x0278, 0x0388
A, B = KeyEvent(0x1E, False, False, False), KeyEvent(0x30, False, False, False)


def up(key: KeyEvent) -> KeyEvent:
    return attrs.evolve(key, released=True)


@attrs.define
class Guest:
    """Takes no keys by itself."""

    keys: bytearray = attrs.field(factory=bytearray)
    mouse: list[tuple[int, int, int, int]] = attrs.field(factory=list)
    leds: int = 0
    runs: bool = True

    def put_scancodes(self, codes: bytes) -> None:
        self._must_run()
        self.keys += codes

    def keyboard_pending(self) -> int:
        self._must_run()
        return len(self.keys)

    def keyboard_leds(self) -> int:
        return self.leds

    def move_mouse(self, dx: int, dy: int, dz: int = 0, buttons: int = 0) -> None:
        self._must_run()
        self.mouse.append((dx, dy, dz, buttons))

    def _must_run(self) -> None:
        if not self.runs:
            raise StateError("the machine is off")


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def given(guest: Guest) -> GuestInput:
    return GuestInput(cast(VmSession, guest))


def test_keys_arrive_in_their_order(guest: Guest, given: GuestInput) -> None:
    given.handle([A, B, up(A), up(B)])
    assert guest.keys == bytes.fromhex("1e 30 9e b0")


def test_a_lost_connection_releases_what_is_down(guest: Guest, given: GuestInput) -> None:
    given.handle([A, MouseEvent(LEFT | DOWN, 5, 5)])
    given.release_all()
    assert guest.keys == bytes.fromhex("1e 9e")
    assert guest.mouse[-1] == (0, 0, 0, 0)


def test_a_guest_that_takes_no_keys_gets_a_bounded_number_and_every_release(guest: Guest, given: GuestInput) -> None:
    given.handle([A] * 1000 + [B, up(B), up(A)])
    assert len(guest.keys) == MOST_PENDING + 2
    assert guest.keys.endswith(b"\x1e\x9e")


def test_the_focus_releases_keys_and_sets_locks_once_the_guest_has_taken_its_keys(guest: Guest, given: GuestInput) -> None:
    given.handle([SynchronizeEvent(CAPS_LOCK)])
    assert guest.keys == bytes.fromhex("3a ba")
    given.handle([SynchronizeEvent(CAPS_LOCK)] * 100)
    assert guest.keys == bytes.fromhex("3a ba")
    guest.keys.clear()
    guest.leds = CAPS_LOCK
    given.handle([SynchronizeEvent(CAPS_LOCK)])
    assert not guest.keys


def test_a_stopped_machine_loses_input_and_forgets_what_was_down(guest: Guest, given: GuestInput) -> None:
    given.handle([A])
    guest.runs = False
    given.handle([B])
    given.release_all()
    guest.runs = True
    given.release_all()
    assert guest.keys == bytes.fromhex("1e")


def test_places_become_distances(guest: Guest, given: GuestInput) -> None:
    given.handle([MouseEvent(MOVE, 100, 100), MouseEvent(MOVE, 110, 95)])
    assert guest.mouse == [(0, 0, 0, 0), (10, -5, 0, 0)]


@pytest.mark.parametrize(("flag", "button"), [(LEFT, 1), (RIGHT, 2), (MIDDLE, 4)], ids=["left", "right", "middle"])
def test_buttons_go_down_and_up(guest: Guest, given: GuestInput, flag: int, button: int) -> None:
    given.handle([MouseEvent(flag | DOWN, 1, 1), MouseEvent(MOVE, 2, 1), MouseEvent(flag, 2, 1)])
    assert guest.mouse == [(0, 0, 0, button), (1, 0, 0, button), (0, 0, 0, 0)]


def test_the_wheel_turns_without_moving_the_pointer(guest: Guest, given: GuestInput) -> None:
    given.handle([MouseEvent(MOVE, 50, 50), MouseEvent(WHEEL_UP, 0, 0), MouseEvent(WHEEL_DOWN, 0, 0), MouseEvent(MOVE, 51, 50)])
    assert guest.mouse == [(0, 0, 0, 0), (0, 0, -1, 0), (0, 0, 1, 0), (1, 0, 0, 0)]
