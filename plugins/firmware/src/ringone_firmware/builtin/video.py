"""INT 10h: VGA text modes with pages, fonts and palettes, and text and pixels in graphics modes 12h and 13h. There is no VESA interface."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ringone_firmware import chipset
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import Call, linear
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import Fetch, Fill, In, Outs, Steps, Store
from ringone_firmware.builtin.screen import (
    ALL_PLANES,
    ATTRIBUTE,
    BLANK,
    GRAPHICS_READ_MAP,
    GRAPHICS_SEGMENT,
    SEQUENCER_MAP_MASK,
    TEXT_PAGES,
    TEXT_SEGMENT,
    Plain,
    Terminal,
    cursor_outs,
    cursor_position,
    draw_glyph,
    screen,
    scroll,
)
from ringone_firmware.chipset import Out, VgaMode
from ringone_firmware.fonts import font_8x8, font_8x16

CRTC_CURSOR_START, CRTC_START_HIGH, CRTC_MAX_SCAN, CRTC_DISPLAY_END = 0x0A, 0x0C, 0x09, 0x12
TEXT_LINES = 400
NO_CLEAR = 0x80
VGA_COLOUR = 0x08
VGA_SWITCHES, VGA_CONTROL, VGA_MODESET = 0xF9, 0x60, 0x51
XOR_PIXEL = 0x80


@attrs.frozen(kw_only=True)
class Mode:
    """What the BIOS data area says about a mode, and its registers."""

    registers: VgaMode
    columns: int
    rows: int
    height: int
    page_size: int
    text: bool = False
    colours: tuple[tuple[int, int, int], ...] = attrs.field(factory=lambda: tuple(chipset.ega_colours()))

    @property
    def memory_words(self) -> int:
        return 0x4000 if self.text else 0x8000


TEXT_40 = Mode(registers=chipset.MODE_1, columns=40, rows=25, height=16, page_size=0x800, text=True)
TEXT_80 = Mode(registers=chipset.MODE_3, columns=80, rows=25, height=16, page_size=0x1000, text=True)
MODES = {
    0x00: TEXT_40,
    0x01: TEXT_40,
    0x02: TEXT_80,
    0x03: TEXT_80,
    0x12: Mode(registers=chipset.MODE_12, columns=80, rows=30, height=16, page_size=0xA000),
    0x13: Mode(registers=chipset.MODE_13, columns=40, rows=25, height=8, page_size=0xFA00, colours=tuple(chipset.vga_colours())),
}


# --- Modes and fonts ----------------------------------------------------------------------------------------------------------------------------------------


def set_mode(number: int, call: Call) -> Plain:
    """Registers, colours, font, an empty screen, and the BIOS data area. Modes that are not there change nothing."""
    mode = MODES.get(number & ~NO_CLEAR)
    if mode is None:
        return
    yield In(chipset.INPUT_STATUS_1)
    yield Outs(tuple(chipset.vga_mode(mode.registers)))
    yield Outs(tuple(chipset.dac(list(mode.colours))))
    if mode.text:
        yield from load_font(0, font_8x16(), 16)
    if not number & NO_CLEAR:
        value = ATTRIBUTE << 8 | BLANK if mode.text else 0
        yield Fill(TEXT_SEGMENT if mode.text else GRAPHICS_SEGMENT, 0, mode.memory_words, value)
    _describe_mode(number, mode, call)


def _describe_mode(number: int, mode: Mode, call: Call) -> None:
    for offset, value, size in (
        (layout.VIDEO_MODE, number & ~NO_CLEAR, 1),
        (layout.VIDEO_COLUMNS, mode.columns, 2),
        (layout.VIDEO_PAGE_SIZE, mode.page_size, 2),
        (layout.VIDEO_PAGE_START, 0, 2),
        (layout.CURSOR_SHAPE, 0x0607 if mode.height == 8 else 0x0D0E, 2),
        (layout.VIDEO_PAGE, 0, 1),
        (layout.CRTC_PORT, chipset.CRTC, 2),
        (layout.VIDEO_ROWS, mode.rows - 1, 1),
        (layout.CHARACTER_HEIGHT, mode.height, 2),
        (layout.VIDEO_CONTROL, VGA_CONTROL | number & NO_CLEAR, 1),
        (layout.VIDEO_SWITCHES, VGA_SWITCHES, 1),
        (layout.MODESET_CONTROL, VGA_MODESET, 1),
        (layout.DISPLAY_CODE, VGA_COLOUR, 1),
    ):
        call.poke(layout.BDA + offset, value, size)
    call.write(layout.BDA + layout.CURSOR_POSITIONS, bytes(2 * TEXT_PAGES))
    font = layout.FONT_8X8_OFFSET if mode.height == 8 else layout.FONT_8X16_OFFSET
    call.write(4 * 0x43, font.to_bytes(2, "little") + layout.BIOS_SEGMENT.to_bytes(2, "little"))


def load_font(first: int, glyphs: bytes, height: int) -> Plain:
    """Glyphs of `height` bytes into plane 2, from character `first` on."""
    cells = b"".join(glyphs[at : at + height].ljust(32, b"\0") for at in range(0, len(glyphs), height))
    yield Outs(tuple(chipset.FONT_PLANE_OPEN))
    yield Store(GRAPHICS_SEGMENT, first * 32, cells)
    yield Outs(tuple(chipset.FONT_PLANE_CLOSE))


def _font_functions(bios: Bios, call: Call) -> Steps:
    """AH=11h: 00h-04h load a font, 10h-14h also fit the rows to it, 30h tells where fonts are."""
    function = call.al
    if function == 0x30:
        _font_information(call)
        return None
    first, height = 0, 16
    match function & 0x0F:
        case 0x00:
            height = call.bh & 0x1F or 16
            first = call.dx & 0xFF
            count = min(call.cx, 256 - first)
            glyphs = call.read(linear(call.es, call.bp), count * height)
        case 0x02:
            height, glyphs = 8, font_8x8()
        case 0x01 | 0x04:
            glyphs = font_8x16()
        case _:
            return None
    if function >= 0x20 or not screen(call).text:
        return None
    yield from load_font(first, glyphs, height)
    if function >= 0x10:
        rows = TEXT_LINES // height
        yield Outs(
            (
                Out(chipset.CRTC, CRTC_MAX_SCAN | (0x40 | height - 1) << 8, 2),
                Out(chipset.CRTC, CRTC_DISPLAY_END | (rows * height - 1 & 0xFF) << 8, 2),
                Out(chipset.CRTC, CRTC_CURSOR_START | (height - 3 & 0x1F) << 8, 2),
                Out(chipset.CRTC, CRTC_CURSOR_START + 1 | height - 2 << 8, 2),
            )
        )
        call.poke(layout.BDA + layout.VIDEO_ROWS, rows - 1)
        call.poke(layout.BDA + layout.CHARACTER_HEIGHT, height, 2)
        call.poke(layout.BDA + layout.VIDEO_PAGE_SIZE, rows * screen(call).columns * 2 + 0xFF & 0xFF00, 2)
    return None


def _font_information(call: Call) -> None:
    offsets = {2: layout.FONT_8X16_OFFSET, 3: layout.FONT_8X8_OFFSET, 4: layout.FONT_8X8_UPPER_OFFSET, 5: layout.FONT_8X16_OFFSET, 6: layout.FONT_8X16_OFFSET}
    if call.bh in (0, 1):
        vector = 0x1F if call.bh == 0 else 0x43
        call.bp, call.es = call.peek(4 * vector, 2), call.peek(4 * vector + 2, 2)
    else:
        call.es, call.bp = layout.BIOS_SEGMENT, offsets.get(call.bh, layout.FONT_8X16_OFFSET)
    now = screen(call)
    call.cx, call.dl = now.height, now.rows - 1


# --- Cursor and pages ---------------------------------------------------------------------------------------------------------------------------------------


def _set_cursor_shape(bios: Bios, call: Call) -> Steps:
    """Scan lines are given for 8-line characters and stretched to taller ones."""
    start, end = call.ch & 0x3F, call.cl & 0x1F
    height = screen(call).height
    if height > 8 and end <= 8 and start <= 8:
        start, end = _stretched(start, height), _stretched(end, height)
    call.poke(layout.BDA + layout.CURSOR_SHAPE, call.cx, 2)
    yield Outs((Out(chipset.CRTC, CRTC_CURSOR_START | start << 8, 2), Out(chipset.CRTC, CRTC_CURSOR_START + 1 | end << 8, 2)))
    return None


def _stretched(line: int, height: int) -> int:
    return (line + 1) * height // 8 - 2 if line >= 5 else line * height // 8


def _set_cursor(bios: Bios, call: Call) -> Steps:
    now = screen(call)
    page = call.bh % TEXT_PAGES
    call.poke(layout.BDA + layout.CURSOR_POSITIONS + 2 * page, call.dx, 2)
    if now.text and page == now.page:
        yield cursor_outs(now, call.dl, call.dh)
    return None


def _get_cursor(bios: Bios, call: Call) -> None:
    call.cx = call.peek(layout.BDA + layout.CURSOR_SHAPE, 2)
    column, row = cursor_position(call, call.bh)
    call.dl, call.dh = column, row


def _select_page(bios: Bios, call: Call) -> Steps:
    now = screen(call)
    page = call.al % TEXT_PAGES
    start = page * now.page_size
    call.poke(layout.BDA + layout.VIDEO_PAGE, page)
    call.poke(layout.BDA + layout.VIDEO_PAGE_START, start, 2)
    if now.text:
        cell = start >> 1
        yield Outs((Out(chipset.CRTC, CRTC_START_HIGH | cell & 0xFF00, 2), Out(chipset.CRTC, CRTC_START_HIGH + 1 | (cell & 0xFF) << 8, 2)))
        yield cursor_outs(attrs.evolve(now, page=page), *cursor_position(call, page))
    return None


# --- Characters ---------------------------------------------------------------------------------------------------------------------------------------------


def _scroll_window(bios: Bios, call: Call) -> Steps:
    now = screen(call)
    lines = call.al if call.ah == 0x06 else -call.al
    yield from scroll(now, now.page, lines, call.bh, (call.cl, call.ch), (call.dl, call.dh))
    return None


def _read_character(bios: Bios, call: Call) -> Steps:
    now = screen(call)
    if not now.text:
        call.ax = 0
        return None
    data = yield Fetch(TEXT_SEGMENT, now.offset(call.bh % TEXT_PAGES, *cursor_position(call, call.bh)), 2)
    call.ax = int.from_bytes(data, "little")
    return None


def _write_characters(bios: Bios, call: Call) -> Steps:
    """AH=09h with attribute, 0Ah without, CX times; the cursor stays."""
    now = screen(call)
    page = call.bh % TEXT_PAGES
    column, row = cursor_position(call, page)
    if not now.text:
        for count in range(min(call.cx, now.columns - column)):
            yield from draw_glyph(now, column + count, row, call.al, call.bl)
        return None
    offset = now.offset(page, column, row)
    count = min(call.cx, (0x8000 - offset) // 2)
    if call.ah == 0x09:
        yield Fill(TEXT_SEGMENT, offset, count, call.bl << 8 | call.al)
    else:
        cells = bytearray((yield Fetch(TEXT_SEGMENT, offset, count * 2)))
        cells[::2] = bytes([call.al]) * count
        yield Store(TEXT_SEGMENT, offset, bytes(cells))
    return None


def _teletype(bios: Bios, call: Call) -> Steps:
    terminal = Terminal(call, screen(call).page, call.bl)
    yield from terminal.put(call.al)
    yield from terminal.finish()
    return None


def _write_string(bios: Bios, call: Call) -> Steps:
    """AH=13h. AL bit 0: move the cursor; bit 1: the string has attributes."""
    text = call.read(linear(call.es, call.bp), call.cx * (2 if call.al & 2 else 1))
    terminal = Terminal(call, call.bh, call.bl)
    terminal.column, terminal.row = call.dl, call.dh
    if call.al & 2:
        for at in range(0, len(text), 2):
            yield from terminal.put(text[at], text[at + 1])
    else:
        for character in text:
            yield from terminal.put(character, call.bl)
    if call.al & 1:
        yield from terminal.finish()
    return None


# --- Pixels and colours -------------------------------------------------------------------------------------------------------------------------------------


def _write_pixel(bios: Bios, call: Call) -> Steps:
    now = screen(call)
    if now.mode == 0x13:
        yield Store(GRAPHICS_SEGMENT, call.dx * 320 + call.cx & 0xFFFF, bytes([call.al]))
    elif now.mode == 0x12:
        offset = call.dx * 80 + (call.cx >> 3) & 0xFFFF
        bit = 0x80 >> (call.cx & 7)
        for plane in range(4):
            yield Outs((Out(chipset.GRAPHICS, GRAPHICS_READ_MAP | plane << 8, 2), Out(chipset.SEQUENCER, SEQUENCER_MAP_MASK | 1 << plane + 8, 2)))
            old = (yield Fetch(GRAPHICS_SEGMENT, offset, 1))[0]
            wanted = bit if call.al >> plane & 1 else 0
            new = old ^ wanted if call.al & XOR_PIXEL else old & ~bit | wanted
            yield Store(GRAPHICS_SEGMENT, offset, bytes([new]))
        yield ALL_PLANES
    return None


def _read_pixel(bios: Bios, call: Call) -> Steps:
    now = screen(call)
    call.al = 0
    if now.mode == 0x13:
        call.al = (yield Fetch(GRAPHICS_SEGMENT, call.dx * 320 + call.cx & 0xFFFF, 1))[0]
    elif now.mode == 0x12:
        colour = 0
        for plane in range(4):
            yield Outs((Out(chipset.GRAPHICS, GRAPHICS_READ_MAP | plane << 8, 2),))
            byte = (yield Fetch(GRAPHICS_SEGMENT, call.dx * 80 + (call.cx >> 3) & 0xFFFF, 1))[0]
            colour |= (byte >> (7 - (call.cx & 7)) & 1) << plane
        call.al = colour
    return None


def _attribute(*values: tuple[int, int]) -> Plain:
    """Attribute controller registers; the screen stays on."""
    yield In(chipset.INPUT_STATUS_1)
    writes = [out for index, value in values for out in (Out(chipset.ATTRIBUTE, index), Out(chipset.ATTRIBUTE, value))]
    yield Outs((*writes, Out(chipset.ATTRIBUTE, 0x20)))


def _palette(bios: Bios, call: Call) -> Steps:
    match call.al:
        case 0x00:
            yield from _attribute((call.bl & 0x1F, call.bh))
        case 0x01:
            yield from _attribute((0x11, call.bh))
        case 0x02:
            table = call.read(linear(call.es, call.dx), 17)
            yield from _attribute(*enumerate(table[:16]), (0x11, table[16]))
        case 0x03:
            yield from _blinking(bool(call.bl & 1))
        case 0x10:
            yield Outs((Out(chipset.DAC_WRITE_INDEX, call.bl), *(Out(chipset.DAC_DATA, part) for part in (call.dh, call.ch, call.cl))))
        case 0x12:
            data = call.read(linear(call.es, call.dx), min(call.cx, 256) * 3)
            yield Outs((Out(chipset.DAC_WRITE_INDEX, call.bl), *(Out(chipset.DAC_DATA, part) for part in data)))
        case 0x15:
            yield Outs((Out(chipset.DAC_READ_INDEX, call.bl),))
            call.dh = (yield In(chipset.DAC_DATA))[0]
            call.ch = (yield In(chipset.DAC_DATA))[0]
            call.cl = (yield In(chipset.DAC_DATA))[0]
        case 0x17:
            yield Outs((Out(chipset.DAC_READ_INDEX, call.bl),))
            values = bytearray()
            for _ in range(min(call.cx, 256) * 3):
                values += (yield In(chipset.DAC_DATA))[:1]
            call.write(linear(call.es, call.dx), bytes(values))
    return None


def _blinking(blink: bool) -> Plain:
    """Attribute bit 7 means blinking, or a bright background."""
    mode = chipset.MODE_3.attribute[0x10]
    yield from _attribute((0x10, mode if blink else mode & ~0x08))


# --- The rest -----------------------------------------------------------------------------------------------------------------------------------------------


def _mode(bios: Bios, call: Call) -> Steps:
    number = call.al
    yield from set_mode(number, call)
    call.al = 0x20 if number & ~NO_CLEAR > 7 else 0x30
    return None


def _get_mode(bios: Bios, call: Call) -> None:
    now = screen(call)
    call.al, call.ah, call.bh = now.mode | call.peek(layout.BDA + layout.VIDEO_CONTROL) & NO_CLEAR, now.columns, now.page


def _alternate_select(bios: Bios, call: Call) -> None:
    """BL=10h tells about the EGA part; the setters only acknowledge."""
    if call.bl == 0x10:
        call.bx, call.cx = 0x0003, VGA_SWITCHES & 0x0F
    elif 0x30 <= call.bl <= 0x36:
        call.al = 0x12


def _display_combination(bios: Bios, call: Call) -> None:
    if call.al == 0:
        call.bx = VGA_COLOUR
    call.al = 0x1A


HANDLERS: dict[int, Callable[[Bios, Call], Steps | None]] = {
    0x00: _mode,
    0x01: _set_cursor_shape,
    0x02: _set_cursor,
    0x03: _get_cursor,
    0x05: _select_page,
    0x06: _scroll_window,
    0x07: _scroll_window,
    0x08: _read_character,
    0x09: _write_characters,
    0x0A: _write_characters,
    0x0C: _write_pixel,
    0x0D: _read_pixel,
    0x0E: _teletype,
    0x0F: _get_mode,
    0x10: _palette,
    0x11: _font_functions,
    0x12: _alternate_select,
    0x13: _write_string,
    0x1A: _display_combination,
}


def int10(bios: Bios, call: Call) -> Steps | None:
    handler = HANDLERS.get(call.ah)
    return handler(bios, call) if handler else None
