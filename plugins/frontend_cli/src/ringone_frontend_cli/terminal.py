"""The guest's screen on a terminal, as ECMA-48 sequences: text in the adapter's colours, graphics as half blocks.

Only rows that changed are drawn again. The painter makes strings and touches no terminal, so what it draws can be tested anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
from ringone.api.console import GLYPHS, Frame, TextScreen

CSI = "\x1b["
ENTER = f"{CSI}?1049h{CSI}2J"
"""The alternate screen, empty."""
LEAVE = f"{CSI}0m{CSI}?25h{CSI}?1049l"

Colour = tuple[int, int, int]
MIN_LINES = 2


class TrueColours:
    """24 bits, as the guest's palette says."""

    def cell(self, attribute: int, palette: Sequence[Colour]) -> str:
        return self.pair(palette[attribute & 0x0F], palette[attribute >> 4])

    def pair(self, foreground: Colour, background: Colour) -> str:
        return f"{CSI}38;2;{foreground[0]};{foreground[1]};{foreground[2]};48;2;{background[0]};{background[1]};{background[2]}m"


class FewColours:
    """The terminal's own 16 for text, the 6x6x6 cube of the 256 for pictures."""

    def cell(self, attribute: int, palette: Sequence[Colour]) -> str:
        foreground, background = _ansi(attribute & 0x0F), _ansi(attribute >> 4)
        return f"{CSI}{foreground + (30 if foreground < 8 else 82)};{background + (40 if background < 8 else 92)}m"

    def pair(self, foreground: Colour, background: Colour) -> str:
        return f"{CSI}38;5;{_cube(foreground)};48;5;{_cube(background)}m"


def _ansi(colour: int) -> int:
    """VGA counts blue, green, red; terminals count red, green, blue."""
    return colour & 0b1010 | (colour & 1) << 2 | (colour & 4) >> 2


def _cube(colour: Colour) -> int:
    red, green, blue = (value * 5 // 255 for value in colour)
    return 16 + 36 * red + 6 * green + blue


@attrs.frozen
class View:
    """The part of the guest's text screen that the terminal has room for."""

    top: int
    columns: int
    rows: int
    clipped: bool


def view_of(screen: TextScreen, columns: int, lines: int) -> View:
    """From the top, or so far down that the cursor's row is shown. Where something is cut off, the last line is kept for saying so."""
    clipped = screen.columns > columns or screen.rows > lines
    rows = min(screen.rows, max(1, lines - 1 if clipped else lines))
    top = 0 if screen.cursor is None else max(0, min(screen.cursor[1] - rows + 1, screen.rows - rows))
    return View(top, min(screen.columns, columns), rows, clipped)


class Painter:
    """Remembers what each line of a terminal of `columns` x `lines` shows. `status`, where not empty, covers the last line."""

    def __init__(self, columns: int, lines: int, colours: TrueColours | FewColours) -> None:
        self.status = ""
        self._colours = colours
        self.resize(columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        self._columns = max(1, columns)
        self._lines = max(MIN_LINES, lines)
        self._shown: dict[int, object] = {}
        self._cursor: tuple[int, int] | None = None
        self._clear = True

    def text(self, screen: TextScreen) -> str:
        view = view_of(screen, self._columns, self._lines)
        notice = (
            f" {screen.columns}x{screen.rows} screen, too big for this terminal: rows {view.top + 1} to {view.top + view.rows} are shown"
            if view.clipped
            else ""
        )
        rows: dict[int, tuple[object, Iterator[str]]] = {}
        for line in range(view.rows):
            start = (view.top + line) * screen.columns * 2
            cells = screen.cells[start : start + view.columns * 2]
            rows[line] = ((cells, screen.palette), self._text_row(cells, screen.palette))
        cursor = None
        if screen.cursor is not None and screen.cursor[0] < view.columns and 0 <= screen.cursor[1] - view.top < view.rows:
            cursor = (screen.cursor[0], screen.cursor[1] - view.top)
        return self._draw(rows, notice, cursor)

    def picture(self, frame: Frame) -> str:
        """Two pixels a character cell, one above the other, the frame's shape kept."""
        columns, lines = self._columns, self._lines - 1
        scale = max(frame.width / columns, frame.height / (2 * lines), 1e-9)
        width, height = max(1, min(columns, int(frame.width / scale))), max(1, min(lines, int(frame.height / scale / 2)))
        xs = [int((x + 0.5) * frame.width / width) for x in range(width)]
        rows: dict[int, tuple[object, Iterator[str]]] = {}
        for line in range(height):
            upper, lower = (_sample(frame, int((2 * line + half + 0.5) * frame.height / (2 * height)), xs) for half in (0, 1))
            rows[line] = ((upper, lower), self._picture_row(upper, lower))
        return self._draw(rows, f" graphics, {frame.width}x{frame.height}; Ctrl-] s saves a screenshot", None)

    def _text_row(self, cells: bytes, palette: Sequence[Colour]) -> Iterator[str]:
        attribute = -1
        for index in range(0, len(cells), 2):
            if cells[index + 1] != attribute:
                attribute = cells[index + 1]
                yield self._colours.cell(attribute, palette)
            yield GLYPHS[cells[index]]

    def _picture_row(self, upper: list[Colour], lower: list[Colour]) -> Iterator[str]:
        last = None
        for pair in zip(upper, lower, strict=True):
            if pair != last:
                last = pair
                yield self._colours.pair(*pair)
            yield "▀"

    def _draw(self, rows: dict[int, tuple[object, Iterator[str]]], notice: str, cursor: tuple[int, int] | None) -> str:
        bottom = self.status or notice
        if bottom:
            width = self._columns - 1  # the last column would make some terminals scroll
            rows[self._lines - 1] = (bottom, iter((f"{CSI}7m", bottom[:width].ljust(width))))
            cursor = None if self.status else cursor
        for line in self._shown.keys() - rows.keys():
            rows[line] = ("", iter(()))
        changed = sorted(line for line, (content, _) in rows.items() if self._shown.get(line) != content)
        if not changed and cursor == self._cursor and not self._clear:
            return ""
        out = [f"{CSI}?25l", f"{CSI}0m{CSI}2J" if self._clear else ""]
        for line in changed:
            content, drawn = rows[line]
            self._shown[line] = content
            out += (f"{CSI}{line + 1};1H{CSI}K", *drawn, f"{CSI}0m")
        if cursor is not None:
            out.append(f"{CSI}{cursor[1] + 1};{cursor[0] + 1}H{CSI}?25h")
        self._clear = False
        self._cursor = cursor
        return "".join(out)


def _sample(frame: Frame, y: int, xs: Sequence[int]) -> list[Colour]:
    start = min(y, frame.height - 1) * frame.width * 3
    pixels = frame.pixels
    return [(pixels[at], pixels[at + 1], pixels[at + 2]) for at in (start + x * 3 for x in xs)]
