from __future__ import annotations

import re

from ringone.api.console import GLYPHS, Frame, TextScreen
from ringone_frontend_cli.terminal import FewColours, Painter, TrueColours, view_of

SEQUENCE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
PALETTE = tuple((0xAA * (n >> 2 & 1), 0xAA * (n >> 1 & 1), 0xAA * (n & 1)) for n in range(16))


def text_screen(*lines: str, columns: int = 80, rows: int = 25, attribute: int = 0x07, cursor: tuple[int, int] | None = (0, 0)) -> TextScreen:
    text = b"".join(line.encode("cp437").ljust(columns) for line in lines).ljust(columns * rows)
    cells = b"".join(bytes((code, attribute)) for code in text)
    return TextScreen(columns, rows, cells, cursor, PALETTE)


def plain(drawn: str) -> str:
    return SEQUENCE.sub("", drawn)


def rows_drawn(drawn: str) -> list[int]:
    """Rows whose content was drawn, from 0."""
    return [int(row) - 1 for row in re.findall(r"\x1b\[(\d+);1H\x1b\[K", drawn)]


def test_only_changed_rows_are_drawn_again() -> None:
    painter = Painter(80, 30, TrueColours())
    assert len(rows_drawn(painter.text(text_screen("one", "two")))) == 25
    assert painter.text(text_screen("one", "two")) == ""
    drawn = painter.text(text_screen("one", "TWO"))
    assert rows_drawn(drawn) == [1]
    assert plain(drawn).rstrip() == "TWO"


def test_colours_follow_the_palette_or_the_terminals_sixteen() -> None:
    screen = text_screen("x", attribute=0x1C)
    assert "\x1b[38;2;170;0;0;48;2;0;0;170m" in Painter(80, 30, TrueColours()).text(screen)
    assert "\x1b[91;44m" in Painter(80, 30, FewColours()).text(screen)


def test_every_code_has_one_glyph() -> None:
    assert len(GLYPHS) == 256
    assert GLYPHS.isprintable()
    shown = {0x00: " ", 0x01: "☺", 0x1B: "←", 0x41: "A", 0x7F: "⌂", 0xC4: "─", 0xDB: "█", 0xFF: " "}
    assert {code: GLYPHS[code] for code in shown} == shown


def test_the_cursor_is_placed_or_hidden() -> None:
    painter = Painter(80, 30, TrueColours())
    assert painter.text(text_screen("x", cursor=(4, 2))).endswith("\x1b[3;5H\x1b[?25h")
    assert painter.text(text_screen("x", cursor=None)) == "\x1b[?25l"


def test_a_small_terminal_shows_the_rows_around_the_cursor_and_says_so() -> None:
    screen = text_screen(*(f"row {number}" for number in range(25)), cursor=(0, 24))
    assert view_of(screen, 80, 24).top == 2
    drawn = plain(Painter(40, 24, TrueColours()).text(screen))
    assert "row 24" in drawn
    assert "row 1 " not in drawn
    assert "80x25 screen, too big for this" in drawn


def test_a_status_covers_the_last_line_until_it_is_gone() -> None:
    painter = Painter(80, 25, TrueColours())
    painter.text(text_screen(*(f"row {number}" for number in range(25))))
    painter.status = "menu"
    drawn = painter.text(text_screen(*(f"row {number}" for number in range(25))))
    assert rows_drawn(drawn) == [24]
    assert plain(drawn).strip() == "menu"
    painter.status = ""
    assert plain(painter.text(text_screen(*(f"row {number}" for number in range(25))))).strip() == "row 24"


def test_a_resized_terminal_is_drawn_from_scratch() -> None:
    painter = Painter(80, 30, TrueColours())
    painter.text(text_screen("x"))
    painter.resize(100, 40)
    drawn = painter.text(text_screen("x"))
    assert "\x1b[2J" in drawn
    assert len(rows_drawn(drawn)) == 25


def test_graphics_become_half_blocks_in_the_frames_shape() -> None:
    red, blue = b"\xff\0\0", b"\0\0\xff"
    frame = Frame(1, 4, 4, (red * 4 + blue * 4) * 2)
    drawn = Painter(4, 3, TrueColours()).picture(frame)
    assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀▀▀▀" in drawn
    assert rows_drawn(drawn) == [0, 1, 2]


def test_graphics_tell_their_resolution() -> None:
    assert "320x200" in plain(Painter(60, 20, FewColours()).picture(Frame(1, 320, 200, bytes(320 * 200 * 3))))


def test_after_graphics_no_row_of_them_stays() -> None:
    painter = Painter(80, 60, TrueColours())
    picture = rows_drawn(painter.picture(Frame(1, 100, 100, bytes(30000))))
    assert max(picture) == 59
    assert rows_drawn(painter.text(text_screen("x"))) == sorted({*picture, *range(25)})
