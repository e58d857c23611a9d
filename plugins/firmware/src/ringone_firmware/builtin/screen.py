"""Text on the screen: teletype output, scrolling windows and characters, in text modes and in graphics modes 12h and 13h."""

from __future__ import annotations

from collections.abc import Generator

import attrs

from ringone_firmware import chipset
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.operations import Answer, Fetch, Fill, Move, Operation, Outs, Store
from ringone_firmware.chipset import Out
from ringone_firmware.fonts import font_8x8, font_8x16

TEXT_SEGMENT, GRAPHICS_SEGMENT = 0xB800, 0xA000
BLANK, ATTRIBUTE = 0x20, 0x07
CRTC_CURSOR_HIGH = 0x0E
TEXT_PAGES = 8
SEQUENCER_MAP_MASK, GRAPHICS_READ_MAP = 0x02, 0x04
ALL_PLANES = Outs((Out(chipset.SEQUENCER, SEQUENCER_MAP_MASK | 0x0F00, 2),))

Plain = Generator[Operation, Answer, None]


@attrs.frozen
class Screen:
    """The present mode, from the BIOS data area."""

    mode: int
    columns: int
    rows: int
    height: int
    page_size: int
    page: int

    @property
    def text(self) -> bool:
        return self.mode < 8

    def offset(self, page: int, column: int, row: int) -> int:
        return (page * self.page_size + (row * self.columns + column) * 2) & 0x7FFF


def screen(call: Call) -> Screen:
    def word(offset: int, size: int = 1) -> int:
        return call.peek(layout.BDA + offset, size)

    return Screen(
        mode=word(layout.VIDEO_MODE),
        columns=max(word(layout.VIDEO_COLUMNS, 2) & 0xFF, 1),
        rows=word(layout.VIDEO_ROWS) + 1,
        height=max(word(layout.CHARACTER_HEIGHT, 2) & 0x1F, 1),
        page_size=word(layout.VIDEO_PAGE_SIZE, 2),
        page=word(layout.VIDEO_PAGE) % TEXT_PAGES,
    )


def cursor_outs(now: Screen, column: int, row: int) -> Outs:
    cell = now.offset(now.page, column, row) >> 1
    return Outs((Out(chipset.CRTC, CRTC_CURSOR_HIGH | cell & 0xFF00, 2), Out(chipset.CRTC, CRTC_CURSOR_HIGH + 1 | (cell & 0xFF) << 8, 2)))


def cursor_position(call: Call, page: int) -> tuple[int, int]:
    """(column, row)."""
    position = call.peek(layout.BDA + layout.CURSOR_POSITIONS + 2 * (page % TEXT_PAGES), 2)
    return position & 0xFF, position >> 8


class Terminal:
    """Teletype output on one page; `finish` moves the cursor."""

    def __init__(self, call: Call, page: int, colour: int = ATTRIBUTE) -> None:
        self._call = call
        self._screen = screen(call)
        self._page = page % TEXT_PAGES
        self._colour = colour
        self.column, self.row = cursor_position(call, self._page)

    def write(self, text: bytes) -> Plain:
        for character in text:
            yield from self.put(character)

    def put(self, character: int, attribute: int | None = None) -> Plain:
        match character:
            case 0x07:  # bell
                return
            case 0x08:  # backspace
                self.column = max(self.column - 1, 0)
            case 0x0A:  # line feed
                self.row += 1
            case 0x0D:  # carriage return
                self.column = 0
            case _:
                yield from self._show(character, attribute)
                self.column += 1
                if self.column >= self._screen.columns:
                    self.column = 0
                    self.row += 1
        if self.row >= self._screen.rows:
            self.row = self._screen.rows - 1
            yield from self._scroll()

    def _show(self, character: int, attribute: int | None) -> Plain:
        now = self._screen
        if not now.text:
            yield from draw_glyph(now, self.column, self.row, character, self._colour if attribute is None else attribute)
        elif attribute is None:
            yield Store(TEXT_SEGMENT, now.offset(self._page, self.column, self.row), bytes([character]))
        else:
            yield Store(TEXT_SEGMENT, now.offset(self._page, self.column, self.row), bytes([character, attribute]))

    def _scroll(self) -> Plain:
        now = self._screen
        fill = 0
        if now.text:
            fill = (yield Fetch(TEXT_SEGMENT, now.offset(self._page, 0, now.rows - 1) + 1, 1))[0]
        yield from scroll(now, self._page, 1, fill, (0, 0), (now.columns - 1, now.rows - 1))

    def finish(self) -> Plain:
        position = self.row << 8 | self.column
        self._call.poke(layout.BDA + layout.CURSOR_POSITIONS + 2 * self._page, position, 2)
        if self._screen.text and self._page == self._screen.page:
            yield cursor_outs(self._screen, self.column, self.row)


def scroll(now: Screen, page: int, lines: int, fill: int, first: tuple[int, int], last: tuple[int, int]) -> Plain:
    """Up by `lines`, or down where it is negative, in a window of (column, row) corners. 0 lines empty it."""
    left, top = first
    right, bottom = min(last[0], now.columns - 1), min(last[1], now.rows - 1)
    if right < left or bottom < top:
        return
    height = bottom - top + 1
    distance = min(abs(lines), height) or height
    order = range(top, bottom + 1 - distance) if lines >= 0 else range(bottom, top - 1 + distance, -1)
    move, clear = (_move_text_row, _clear_text_row) if now.text else (_move_pixel_row, _clear_pixel_row)
    for row in order:
        yield from move(now, page, left, right, row + (distance if lines >= 0 else -distance), row)
    emptied = range(bottom + 1 - distance, bottom + 1) if lines >= 0 else range(top, top + distance)
    for row in emptied:
        yield from clear(now, page, left, right, row, fill)


def _move_text_row(now: Screen, page: int, left: int, right: int, source: int, target: int) -> Plain:
    yield Move(TEXT_SEGMENT, now.offset(page, left, source), now.offset(page, left, target), right - left + 1)


def _clear_text_row(now: Screen, page: int, left: int, right: int, row: int, fill: int) -> Plain:
    yield Fill(TEXT_SEGMENT, now.offset(page, left, row), right - left + 1, fill << 8 | BLANK)


def _pixel_bytes(now: Screen) -> int:
    """Bytes that a character's row takes: eight pixels are eight bytes in mode 13h and one (in four planes) in mode 12h."""
    return 8 if now.mode == 0x13 else 1


def _move_pixel_row(now: Screen, page: int, left: int, right: int, source: int, target: int) -> Plain:
    """A character row is `height` pixel lines; mode 12h copies them plane by plane."""
    stride = now.columns * _pixel_bytes(now)
    if now.mode == 0x13:
        for line in range(now.height):
            start, end = (source * now.height + line) * stride + left * 8, (target * now.height + line) * stride + left * 8
            yield Move(GRAPHICS_SEGMENT, start, end, (right - left + 1) * 4)
        return
    for plane in range(4):
        yield Outs((Out(chipset.GRAPHICS, GRAPHICS_READ_MAP | plane << 8, 2), Out(chipset.SEQUENCER, SEQUENCER_MAP_MASK | 1 << plane + 8, 2)))
        for line in range(now.height):
            data = yield Fetch(GRAPHICS_SEGMENT, (source * now.height + line) * stride + left, right - left + 1)
            yield Store(GRAPHICS_SEGMENT, (target * now.height + line) * stride + left, data)
    yield ALL_PLANES


def _clear_pixel_row(now: Screen, page: int, left: int, right: int, row: int, fill: int) -> Plain:
    stride = now.columns * _pixel_bytes(now)
    width = (right - left + 1) * _pixel_bytes(now)
    if now.mode == 0x13:
        for line in range(now.height):
            yield Store(GRAPHICS_SEGMENT, (row * now.height + line) * stride + left * 8, bytes([fill]) * width)
        return
    for plane in range(4):
        yield Outs((Out(chipset.SEQUENCER, SEQUENCER_MAP_MASK | 1 << plane + 8, 2),))
        for line in range(now.height):
            yield Store(GRAPHICS_SEGMENT, (row * now.height + line) * stride + left, (b"\xff" if fill >> plane & 1 else b"\0") * width)
    yield ALL_PLANES


def draw_glyph(now: Screen, column: int, row: int, character: int, colour: int) -> Plain:
    """A character in a graphics mode, in `colour` on black."""
    font = font_8x8() if now.height == 8 else font_8x16()
    glyph = font[character * now.height : (character + 1) * now.height]
    if now.mode == 0x13:
        for line, bits in enumerate(glyph):
            pixels = bytes(colour if bits << bit & 0x80 else 0 for bit in range(8))
            yield Store(GRAPHICS_SEGMENT, ((row * now.height + line) * now.columns + column) * 8 & 0xFFFF, pixels)
        return
    for plane in range(4):
        yield Outs((Out(chipset.SEQUENCER, SEQUENCER_MAP_MASK | 1 << plane + 8, 2),))
        for line, bits in enumerate(glyph):
            yield Store(GRAPHICS_SEGMENT, (row * now.height + line) * now.columns + column & 0xFFFF, bytes([bits if colour >> plane & 1 else 0]))
    yield ALL_PLANES
