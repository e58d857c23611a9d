"""Keys from the scan code to INT 16h."""

import pytest
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.operations import Opcode

from .rom_loop import Guest, booted

LEFT_SHIFT, CTRL, ALT, CAPS, NUM = 0x2A, 0x1D, 0x38, 0x3A, 0x45
BREAK = 0x80


@pytest.fixture
def guest() -> Guest:
    return booted()


def send(guest: Guest, *codes: int) -> None:
    for code in codes:
        guest.call(layout.VECTOR_SCANCODE, al=code)


def keys(guest: Guest, function: int = 0x10) -> list[int]:
    found = []
    while not guest.call(0x16, ah=function + 1).zero:
        found.append(guest.call(0x16, ah=function).ax)
    return found


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0x1E], 0x1E61),
        ([LEFT_SHIFT, 0x1E], 0x1E41),
        ([CAPS, CAPS | BREAK, 0x1E], 0x1E41),
        ([CAPS, CAPS | BREAK, LEFT_SHIFT, 0x1E], 0x1E61),
        ([CAPS, CAPS | BREAK, 0x02], 0x0231),
        ([LEFT_SHIFT, 0x02], 0x0221),
        ([CTRL, 0x2E], 0x2E03),
        ([CTRL, 0x03], 0x0300),
        ([ALT, 0x1E], 0x1E00),
        ([ALT, 0x02], 0x7800),
        ([0x3B], 0x3B00),
        ([LEFT_SHIFT, 0x3B], 0x5400),
        ([CTRL, 0x3B], 0x5E00),
        ([ALT, 0x44], 0x7100),
        ([0x57], 0x8500),
        ([0x1C], 0x1C0D),
        ([0x01], 0x011B),
        ([0x39], 0x3920),
        ([0xE0, 0x48], 0x48E0),
        ([0xE0, 0x1C], 0xE00D),
        ([0x48], 0x4800),
        ([NUM, NUM | BREAK, 0x48], 0x4838),
        ([0x2B], 0x2B5C),
    ],
)
def test_a_key_gives_its_code(codes: list[int], code: int, guest: Guest) -> None:
    send(guest, *codes)
    assert keys(guest) == [code]


def test_released_keys_give_nothing_and_release_their_shift(guest: Guest) -> None:
    send(guest, LEFT_SHIFT, LEFT_SHIFT | BREAK, 0x1E, 0x1E | BREAK)
    assert keys(guest) == [0x1E61]


def test_a_held_lock_key_toggles_once(guest: Guest) -> None:
    send(guest, CAPS, CAPS, CAPS)
    assert guest.byte(layout.KEYBOARD_FLAGS) & 0x40


def test_the_lights_follow_the_locks(guest: Guest) -> None:
    send(guest, CAPS)
    assert guest.writes == [(0x60, 0xED)]
    send(guest, 0xFA)
    assert guest.writes == [(0x60, 0xED), (0x60, 4)]
    send(guest, 0xFA)
    assert len(guest.writes) == 2


def test_digits_with_alt_build_a_character(guest: Guest) -> None:
    send(guest, ALT, 0x4D, 0x4C, ALT | BREAK)
    assert keys(guest) == [65]


def test_pause_is_swallowed(guest: Guest) -> None:
    send(guest, 0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5, 0x1E)
    assert keys(guest) == [0x1E61]


def test_fake_shifts_of_the_cursor_keys_are_ignored(guest: Guest) -> None:
    send(guest, 0xE0, 0x2A, 0xE0, 0x48, 0xE0, 0xC8, 0xE0, 0xAA)
    assert keys(guest) == [0x48E0]
    assert not guest.byte(layout.KEYBOARD_FLAGS)


def test_ctrl_break_empties_the_buffer_and_tells_the_stub(guest: Guest) -> None:
    send(guest, 0x1E, CTRL, 0xE0)
    after = guest.call(layout.VECTOR_SCANCODE, al=0x46)
    assert after.ah == layout.KEY_BREAK
    assert guest.byte(layout.BREAK_FLAG) == 0x80
    assert keys(guest) == []


def test_ctrl_alt_delete_pulses_the_reset_line(guest: Guest) -> None:
    send(guest, CTRL, ALT, 0xE0, 0x53)
    assert guest.writes == [(0x64, 0xFE)]
    assert guest.byte(layout.WARM_BOOT, 2) == 0x1234


def test_a_full_buffer_keeps_fifteen_keys(guest: Guest) -> None:
    send(guest, *[0x1E] * 20)
    assert len(keys(guest)) == 15


def test_reading_waits_for_a_key_and_drops_nothing(guest: Guest) -> None:
    assert guest.call(0x16, ah=0).outcome is Opcode.HALT
    send(guest, 0x1E)
    assert guest.call(0x16, ah=0).ax == 0x1E61


@pytest.mark.parametrize(("codes", "code"), [([0xE0, 0x48], 0x4800), ([0xE0, 0x1C], 0x1C0D), ([0xE0, 0x35], 0x352F)])
def test_old_functions_show_new_keys_as_old_ones(codes: list[int], code: int, guest: Guest) -> None:
    send(guest, *codes)
    assert keys(guest, 0x00) == [code]


def test_old_functions_skip_keys_that_are_newer_than_they(guest: Guest) -> None:
    send(guest, 0x57, 0x1E)
    assert keys(guest, 0x00) == [0x1E61]


def test_keys_can_be_stored(guest: Guest) -> None:
    assert guest.call(0x16, ah=5, cx=0x1234).al == 0
    assert keys(guest) == [0x1234]


def test_shift_flags(guest: Guest) -> None:
    send(guest, CTRL, 0xE0, ALT)
    assert guest.call(0x16, ah=2).al == 0x0C
    after = guest.call(0x16, ah=0x12)
    assert (after.al, after.ah) == (0x0C, 0x09), "left Ctrl and right Alt"
