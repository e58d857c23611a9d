"""INT 10h on the screen."""

import pytest
from ringone_firmware.builtin import layout
from ringone_firmware.fonts import font_8x8, font_8x16

from .rom_loop import Guest, booted

CRTC = 0x3D4


@pytest.fixture
def guest() -> Guest:
    return booted()


def type_out(guest: Guest, text: str) -> None:
    for character in text.encode("cp437"):
        guest.call(0x10, ah=0x0E, al=character)


def cursor(guest: Guest) -> tuple[int, int]:
    after = guest.call(0x10, ah=3)
    return after.dl, after.dh


def crtc_cursor(guest: Guest) -> int:
    registers = {value & 0xFF: value >> 8 for port, value in guest.writes if port == CRTC}
    return registers[0x0E] << 8 | registers[0x0F]


def test_teletype_writes_moves_and_wraps(guest: Guest) -> None:
    type_out(guest, "x" * 80 + "next\r\nline\b!")
    assert [guest.line(row) for row in range(3)] == ["x" * 80, "next", "lin!"]
    assert cursor(guest) == (4, 2)
    assert crtc_cursor(guest) == 2 * 80 + 4


def test_the_last_line_scrolls_with_its_colour(guest: Guest) -> None:
    guest.call(0x10, ah=2, dh=24)
    guest.call(0x10, ah=9, al=ord("a"), bl=0x1E, cx=80)
    type_out(guest, "b\n")
    assert guest.line(23) == "b" + "a" * 79
    assert guest.line(24) == ""
    assert guest.video[0x18000 + 24 * 160 + 1] == 0x1E
    assert cursor(guest) == (1, 24)


def test_a_bell_is_silent(guest: Guest) -> None:
    type_out(guest, "\a")
    assert cursor(guest) == (0, 0)


def test_characters_are_written_with_and_without_attribute(guest: Guest) -> None:
    guest.call(0x10, ah=9, al=ord("A"), bl=0x4F, cx=3)
    guest.call(0x10, ah=0x0A, al=ord("B"), cx=2)
    assert guest.video[0x18000:0x18008] == b"B\x4fB\x4fA\x4f \x07"
    assert guest.call(0x10, ah=8).ax == 0x4F42
    assert cursor(guest) == (0, 0)


@pytest.mark.parametrize(
    ("lines", "function", "shown"),
    [(1, 6, ["b", "c", "d", "."]), (1, 7, [".", "a", "b", "c"]), (3, 6, ["d", ".", ".", "."]), (0, 6, ["."] * 4), (9, 7, ["."] * 4)],
)
def test_windows_scroll(lines: int, function: int, shown: list[str], guest: Guest) -> None:
    for row, character in enumerate("abcd"):
        guest.call(0x10, ah=2, dh=row)
        guest.call(0x10, ah=9, al=ord(character), bl=7, cx=80)
    guest.call(0x10, ah=function, al=lines, bh=0x70, cl=10, ch=0, dl=19, dh=3)
    assert [guest.line(row).ljust(80)[15].replace(" ", ".") for row in range(4)] == shown
    assert [guest.line(row)[5] + guest.line(row)[25] for row in range(4)] == ["aa", "bb", "cc", "dd"]


def test_a_string_is_written_where_the_caller_says(guest: Guest) -> None:
    guest.memory.write(0x20000, b"hi\r\n!")
    guest.call(0x10, ax=0x1301, bl=0x2F, cx=5, dl=78, dh=3, es=0x2000)
    assert guest.line(3) == " " * 78 + "hi"
    assert guest.line(5) == "!" and guest.video[0x18000 + 5 * 160 + 1] == 0x2F
    assert cursor(guest) == (1, 5)


def test_a_string_may_bring_its_attributes_and_leave_the_cursor(guest: Guest) -> None:
    guest.memory.write(0x20000, b"a\x01b\x02")
    guest.call(0x10, ax=0x1302, cx=2, es=0x2000)
    assert guest.video[0x18000:0x18004] == b"a\x01b\x02"
    assert cursor(guest) == (0, 0)


def test_pages_have_their_own_cursor_and_start(guest: Guest) -> None:
    guest.call(0x10, ah=2, bh=1, dl=5, dh=6)
    guest.writes.clear()
    guest.call(0x10, ah=5, al=1)
    assert guest.call(0x10, ah=0x0F).bh == 1
    assert (CRTC, 0x0C | 0x0800) in guest.writes
    assert crtc_cursor(guest) == 0x800 + 6 * 80 + 5


def test_setting_a_mode_loads_the_font_and_clears_the_screen(guest: Guest) -> None:
    type_out(guest, "old")
    guest.call(0x10, ax=0x0003)
    assert guest.line(0) == ""
    assert guest.video[32 * ord("A") : 32 * ord("A") + 16] == font_8x16()[16 * ord("A") : 16 * ord("A") + 16]


def test_bit_7_keeps_the_screen(guest: Guest) -> None:
    type_out(guest, "old")
    guest.call(0x10, ax=0x0083)
    assert guest.line(0) == "old"
    assert guest.call(0x10, ah=0x0F).al == 0x83


def test_an_unknown_mode_changes_nothing(guest: Guest) -> None:
    guest.call(0x10, ax=0x0055)
    assert guest.writes == []
    assert guest.call(0x10, ah=0x0F).al == 3


def test_mode_13h_draws_characters_and_pixels(guest: Guest) -> None:
    guest.call(0x10, ax=0x0013)
    assert guest.call(0x10, ah=0x0F).ax == 0x2813
    guest.call(0x10, ah=0x0E, al=ord("I"), bl=12)
    drawn = [sum((guest.video[line * 320 + bit] == 12) << 7 - bit for bit in range(8)) for line in range(8)]
    assert bytes(drawn) == font_8x8()[8 * ord("I") : 8 * ord("I") + 8]
    guest.call(0x10, ah=0x0C, al=7, cx=319, dx=199)
    assert guest.video[63999] == 7
    assert guest.call(0x10, ah=0x0D, cx=319, dx=199).al == 7


def test_font_information_points_into_the_rom(guest: Guest) -> None:
    after = guest.call(0x10, ax=0x1130, bh=6)
    assert (after.es, after.bp, after.cx, after.dl) == (0xF000, layout.FONT_8X16_OFFSET, 16, 24)


def test_the_small_font_gives_fifty_rows(guest: Guest) -> None:
    guest.call(0x10, ax=0x1112)
    assert guest.byte(layout.VIDEO_ROWS) == 49
    assert (CRTC, 0x4709) in guest.writes


def test_colours_go_to_the_dac(guest: Guest) -> None:
    guest.writes.clear()
    guest.call(0x10, ax=0x1010, bl=5, dh=1, ch=2, cl=3)
    assert guest.writes == [(0x3C8, 5), (0x3C9, 1), (0x3C9, 2), (0x3C9, 3)]


def test_a_vga_is_reported(guest: Guest) -> None:
    assert guest.call(0x10, ax=0x1A00).bl == 8
    assert guest.call(0x10, ah=0x12, bl=0x10).bx == 3
