"""What the registers say about the picture: its kind, its size, and where in video memory each of its rows begins.

Scan lines that repeat (double scanning, two-line character rows of 200-line modes) and halved dot clocks are shown once: mode 13h is 320 by 200 pixels.
Rows follow the start address, the offset register and the split at line compare. Smooth scrolling shifts the whole picture; stopping it at the split
(attribute mode bit 5), display skew and the overscan border are left out.
"""

from __future__ import annotations

import enum

import attrs

from ringone_devices_pc.vga import registers as reg
from ringone_devices_pc.vga.raster import vertical_display_lines
from ringone_devices_pc.vga.state import VgaState
from ringone_devices_pc.vga.vbe import bytes_for

_VGA_ADDRESSES = 1 << 16


class Kind(enum.Enum):
    TEXT = "text"
    PLANAR = "planar"
    """One bit from each plane a pixel."""
    INTERLEAVED = "interleaved"
    """Two bits a pixel, planes 0 and 1 in turn (CGA modes 4 and 5)."""
    INDEXED = "indexed"
    """One byte a pixel: mode 13h, unchained modes, VBE with 8 bits."""
    RGB555 = "rgb555"
    RGB565 = "rgb565"
    RGB888 = "rgb888"
    RGBX8888 = "rgbx8888"


_VBE_KINDS = {8: Kind.INDEXED, 15: Kind.RGB555, 16: Kind.RGB565, 24: Kind.RGB888, 32: Kind.RGBX8888}


@attrs.frozen
class Cells:
    """A text mode's grid. `cuts` has (first line, number of lines) shown of each row: the preset row scan and the split cut rows.
    `underline` and `cursor_lines` are scan lines of a cell; `cursor` is a (column, row)."""

    columns: int
    width: int
    height: int
    cuts: tuple[tuple[int, int], ...]
    underline: int
    cursor: tuple[int, int] | None
    cursor_lines: range


@attrs.frozen
class Layout:
    """`starts` are byte offsets into video memory, each row `row_bytes` long, all below `wrap_bytes`, where addresses begin again.
    `pan` pixels are skipped at the left."""

    kind: Kind
    width: int
    height: int
    row_bytes: int
    starts: tuple[int, ...]
    wrap_bytes: int
    pan: int = 0
    cells: Cells | None = None


@attrs.frozen
class _CharacterRow:
    """A row as the CRTC counts: the address of its first character clock and the scan lines of it that are shown."""

    address: int
    first: int
    count: int


def layout_of(state: VgaState, vram_bytes: int) -> Layout:
    if state.vbe[reg.VBE_ENABLE] & reg.VBE_ENABLED:
        return _vbe_layout(state.vbe, vram_bytes)
    if state.graphics[reg.GC_MISCELLANEOUS] & reg.GC_GRAPHICS:
        return _graphics_layout(state)
    return _text_layout(state)


def is_blank(state: VgaState) -> bool:
    return not state.attribute_index & reg.ATTRIBUTE_VIDEO_ENABLE or bool(state.sequencer[reg.SEQ_CLOCKING_MODE] & reg.CLOCKING_SCREEN_OFF)


def _vbe_layout(vbe: list[int], vram_bytes: int) -> Layout:
    bpp, width, height = vbe[reg.VBE_BPP], vbe[reg.VBE_XRES], vbe[reg.VBE_YRES]
    planes = 4 if bpp == 4 else 1
    pitch = bytes_for(vbe[reg.VBE_VIRT_WIDTH], bpp)
    start = vbe[reg.VBE_Y_OFFSET] * pitch + bytes_for(vbe[reg.VBE_X_OFFSET] & (~7 if planes == 4 else ~0), bpp)
    starts = tuple([at % vram_bytes for at in range(start, start + height * pitch, pitch)])
    return Layout(_VBE_KINDS.get(bpp, Kind.PLANAR), width, height, bytes_for(width, bpp), starts, vram_bytes)


def _character_rows(crtc: list[int]) -> list[_CharacterRow]:
    maximum = crtc[reg.CRTC_MAXIMUM_SCAN_LINE]
    overflow = crtc[reg.CRTC_OVERFLOW]
    doubled = bool(maximum & reg.MAXIMUM_DOUBLE_SCAN)
    lines = max(1, vertical_display_lines(crtc) >> doubled)
    compare = crtc[reg.CRTC_LINE_COMPARE] | (overflow & reg.OVERFLOW_LINE_COMPARE_8) << 4 | (maximum & 1 << 6) << 3
    top = min(lines, (compare >> doubled) + 1)
    preset = crtc[reg.CRTC_PRESET_ROW_SCAN]
    start = (crtc[reg.CRTC_START_ADDRESS_HIGH] << 8 | crtc[reg.CRTC_START_ADDRESS_LOW]) + (preset >> reg.PRESET_BYTE_PANNING_SHIFT & 3)
    height = (maximum & reg.SCAN_LINE_MASK) + 1
    pitch = crtc[reg.CRTC_OFFSET] * 2
    return _area(start, min(preset & reg.SCAN_LINE_MASK, height - 1), top, height, pitch) + _area(0, 0, lines - top, height, pitch)


def _area(address: int, first: int, lines: int, height: int, pitch: int) -> list[_CharacterRow]:
    rows = []
    while lines > 0:
        count = min(height - first, lines)
        rows.append(_CharacterRow(address % _VGA_ADDRESSES, first, count))
        address += pitch
        lines -= count
        first = 0
    return rows


def _graphics_layout(state: VgaState) -> Layout:
    crtc = state.crtc
    mode = state.graphics[reg.GC_MODE]
    control = crtc[reg.CRTC_MODE_CONTROL]
    substituted = ~control & reg.MODE_CONTROL_ROW_SCAN_MASK
    bit_13 = 1 << (13 if control & reg.MODE_CONTROL_BYTE_MODE else 12)
    starts: list[int] = []
    for row in _character_rows(crtc):
        if not substituted:
            starts.append(row.address * 4)
            continue
        kept = row.address & ~(substituted * bit_13)
        starts.extend((kept | (scan & substituted) * bit_13) * 4 for scan in range(row.first, row.first + row.count))

    clocks = crtc[reg.CRTC_HORIZONTAL_DISPLAY_END] + 1
    pan = state.attribute[reg.ATTRIBUTE_PANNING] & 7
    if mode & reg.MODE_SHIFT_256:
        kind, width, pan = Kind.INDEXED, clocks * 4, pan >> 1
    else:
        kind, width = Kind.INTERLEAVED if mode & reg.MODE_SHIFT_INTERLEAVE else Kind.PLANAR, clocks * 8
    row_bytes = (clocks + bool(pan)) * 4
    return Layout(kind, width, len(starts), row_bytes, tuple(starts), _VGA_ADDRESSES * 4, pan)


def _text_layout(state: VgaState) -> Layout:
    crtc = state.crtc
    rows = _character_rows(crtc)
    columns = crtc[reg.CRTC_HORIZONTAL_DISPLAY_END] + 1
    cell_height = (crtc[reg.CRTC_MAXIMUM_SCAN_LINE] & reg.SCAN_LINE_MASK) + 1
    panning = state.attribute[reg.ATTRIBUTE_PANNING]
    if state.sequencer[reg.SEQ_CLOCKING_MODE] & reg.CLOCKING_8_DOTS:
        cell_width, pan = 8, panning & 7
    else:
        cell_width, pan = 9, (panning + 1) % 9 if panning <= 8 else 0
    first, last = crtc[reg.CRTC_CURSOR_START], crtc[reg.CRTC_CURSOR_END] & reg.SCAN_LINE_MASK
    cursor_lines = range(0) if first & reg.CURSOR_OFF else range(first & reg.SCAN_LINE_MASK, min(last + 1, cell_height))
    cells = Cells(
        columns=columns,
        width=cell_width,
        height=cell_height,
        cuts=tuple([(row.first, row.count) for row in rows]),
        underline=crtc[reg.CRTC_UNDERLINE] & reg.SCAN_LINE_MASK,
        cursor=_cursor(crtc, rows, columns) if cursor_lines else None,
        cursor_lines=cursor_lines,
    )
    starts = tuple([row.address * 4 for row in rows])
    row_bytes = (columns + bool(pan)) * 4
    return Layout(Kind.TEXT, columns * cell_width, sum(row.count for row in rows), row_bytes, starts, _VGA_ADDRESSES * 4, pan, cells)


def _cursor(crtc: list[int], rows: list[_CharacterRow], columns: int) -> tuple[int, int] | None:
    location = crtc[reg.CRTC_CURSOR_LOCATION_HIGH] << 8 | crtc[reg.CRTC_CURSOR_LOCATION_LOW]
    for number, row in enumerate(rows):
        column = (location - row.address) % _VGA_ADDRESSES
        if column < columns:
            return column, number
    return None
