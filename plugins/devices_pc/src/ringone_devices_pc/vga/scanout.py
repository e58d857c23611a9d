"""Interface ``display``: pictures and text screens out of registers and video memory.

Whether something visible changed is found by comparing rows with those last seen, since much of video memory is written without the adapter's knowledge.
A row that the last picture had, anywhere, is not converted again. A blanked screen is a black picture of the last visible size; its text can still be read.
Where attribute bit 7 means blinking, `text` clears it, so that the upper nibble is always the background's colour.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import attrs
from ringone.api.console import Frame, TextScreen

from ringone_devices_pc.vga import registers as reg
from ringone_devices_pc.vga.layout import Cells, Kind, Layout, is_blank, layout_of
from ringone_devices_pc.vga.pixels import CONVERTERS, Palette, dac_palette, through
from ringone_devices_pc.vga.state import VgaState
from ringone_devices_pc.vga.text import FONT_BYTES, TextPainter, TextStyle

K = TypeVar("K", bound=Hashable)

_POWER_ON_SIZE = (720, 400)
_NO_BLINK = bytes([value & 0x7F for value in range(256)])
_DIRECT_KINDS = frozenset({Kind.RGB555, Kind.RGB565, Kind.RGB888, Kind.RGBX8888})
_NO_PALETTE: Palette = (b"", b"", b"")


@attrs.frozen
class _View:
    """All that the picture depends on. Two equal views look the same."""

    layout: Layout
    palette: Palette
    rows: list[bytes]
    style: TextStyle | None


class Scanout:
    """Meets `ringone.api.console.Display`."""

    def __init__(self, state: VgaState, vram: memoryview) -> None:
        self._state = state
        self._vram = vram
        self._generation = 1
        self._view: _View | None = None
        self._size = _POWER_ON_SIZE
        self._frame: Frame | None = None
        self._painter: TextPainter | None = None
        self._converted: dict[Any, bytes] = {}
        self._converted_for: Hashable = None

    @property
    def generation(self) -> int:
        self._look()
        return self._generation

    def frame(self) -> Frame:
        view = self._look()
        if self._frame is not None:
            return self._frame
        if view is None:
            width, height = self._size
            pixels, text = bytes(3 * width * height), None
        elif view.style is not None and view.layout.cells is not None:
            pixels, text = self._paint(view.layout, view.layout.cells, view.style, view.rows), self._text_screen(view.layout.cells, view.rows, view.palette)
        else:
            pixels, text = self._convert(view), None
        width, height = self._size
        self._frame = Frame(self._generation, width, height, pixels, text)
        return self._frame

    def text(self) -> TextScreen | None:
        layout = layout_of(self._state, len(self._vram))
        if layout.cells is None:
            return None
        return self._text_screen(layout.cells, self._fetch(layout), self._palette(Kind.TEXT))

    # --- What there is to see ------------------------------------------------------------------------------------------------------------------------------

    def _look(self) -> _View | None:
        """The present view, None while blanked; counts the generation up where it differs from the last one."""
        view = None if is_blank(self._state) else self._present()
        if view != self._view:
            self._view = view
            self._generation += 1
            self._frame = None
            if view is not None:
                self._size = (view.layout.width, view.layout.height)
        return view

    def _present(self) -> _View:
        layout = layout_of(self._state, len(self._vram))
        palette = self._palette(layout.kind)
        style = self._style(layout, layout.cells, palette) if layout.cells is not None else None
        return _View(layout, palette, self._fetch(layout), style)

    def _fetch(self, layout: Layout) -> list[bytes]:
        vram, size, wrap = self._vram, layout.row_bytes, layout.wrap_bytes
        rows = []
        for start in layout.starts:
            end = start + size
            rows.append(vram[start:end].tobytes() if end <= wrap else vram[start:wrap].tobytes() + vram[: end - wrap].tobytes())
        return rows

    def _palette(self, kind: Kind) -> Palette:
        if kind in _DIRECT_KINDS:
            return _NO_PALETTE
        state = self._state
        dac = dac_palette(state.dac, state.pel_mask, eight_bit=bool(state.vbe[reg.VBE_ENABLE] & reg.VBE_8BIT_DAC))
        return dac if kind is Kind.INDEXED else through(dac, self._attribute_indices())

    def _attribute_indices(self) -> bytes:
        """The DAC's entry for each pixel value of 4 bits (repeated to 256), through the attribute controller's palette."""
        attribute = self._state.attribute
        enabled = attribute[reg.ATTRIBUTE_PLANE_ENABLE] & 0x0F
        select = attribute[reg.ATTRIBUTE_COLOUR_SELECT]
        if attribute[reg.ATTRIBUTE_MODE] & reg.ATTRIBUTE_P5_P4_SELECT:
            entries = [colour & 0x0F | select << 4 for colour in attribute[:16]]
        else:
            entries = [colour | (select & 0x0C) << 4 for colour in attribute[:16]]
        return bytes([entries[value & enabled] for value in range(16)] * 16)

    def _style(self, layout: Layout, cells: Cells, palette: Palette) -> TextStyle:
        mode = self._state.attribute[reg.ATTRIBUTE_MODE]
        select = self._state.sequencer[reg.SEQ_CHARACTER_MAP]
        map_a, map_b = self._font(select >> 2 & 3, select >> 5 & 1), self._font(select & 3, select >> 4 & 1)
        return TextStyle.of(
            cells,
            layout.width,
            layout.pan,
            line_graphics=bool(mode & reg.ATTRIBUTE_LINE_GRAPHICS),
            blink=bool(mode & reg.ATTRIBUTE_BLINK),
            fonts=(map_b, map_a),
            palette=palette,
        )

    def _font(self, select: int, odd_8k: int) -> bytes:
        """A font of plane 2: `select` counts 16 KiB, `odd_8k` adds 8."""
        start = 4 * (select << 14 | odd_8k << 13)
        return self._vram[start : start + 4 * FONT_BYTES].tobytes()[2::4]

    # --- Pictures ------------------------------------------------------------------------------------------------------------------------------------------

    def _text_screen(self, cells: Cells, rows: list[bytes], palette: Palette) -> TextScreen:
        """A last row of which only a part is visible is no row of text."""
        count = len(rows)
        if count > 1 and sum(cells.cuts[-1]) < cells.height:
            count -= 1
        memory = b"".join([row[: 4 * cells.columns] for row in rows[:count]])
        content = bytearray(len(memory) // 2)
        content[0::2] = memory[0::4]
        blink = self._state.attribute[reg.ATTRIBUTE_MODE] & reg.ATTRIBUTE_BLINK
        content[1::2] = memory[1::4].translate(_NO_BLINK) if blink else memory[1::4]
        cursor = cells.cursor if cells.cursor is not None and cells.cursor[1] < count else None
        red, green, blue = palette
        return TextScreen(cells.columns, count, bytes(content), cursor, tuple(zip(red[:16], green[:16], blue[:16], strict=True)))

    def _paint(self, layout: Layout, cells: Cells, style: TextStyle, rows: list[bytes]) -> bytes:
        painter = self._painter
        if painter is None or painter.style != style:
            painter = self._painter = TextPainter(style)
        cursor_column, cursor_row = cells.cursor or (None, None)
        keys = [(row, cursor_column if number == cursor_row else None) for number, row in enumerate(rows)]
        painted = self._reuse(painter, keys, lambda key: painter.row(*key))
        stride = painter.stride
        return b"".join([pixels[first * stride : (first + count) * stride] for pixels, (first, count) in zip(painted, cells.cuts, strict=True)])

    def _convert(self, view: _View) -> bytes:
        layout, palette = view.layout, view.palette
        convert = CONVERTERS[layout.kind]
        rows = self._reuse((layout.kind, palette), view.rows, lambda row: convert(row, palette))
        if not layout.pan:
            return b"".join(rows)
        left, size = 3 * layout.pan, 3 * layout.width
        return b"".join([row[left : left + size] for row in rows])

    def _reuse(self, purpose: Hashable, keys: list[K], make: Callable[[K], bytes]) -> list[bytes]:
        """The pixels for each key; those of the last picture serve again where `purpose` is the same."""
        known: dict[Any, bytes] = self._converted if purpose == self._converted_for else {}
        fresh: dict[Any, bytes] = {}
        result = []
        for key in keys:
            pixels = fresh.get(key)
            if pixels is None:
                pixels = known.get(key)
                if pixels is None:
                    pixels = make(key)
                fresh[key] = pixels
            result.append(pixels)
        self._converted, self._converted_for = fresh, purpose
        return result
