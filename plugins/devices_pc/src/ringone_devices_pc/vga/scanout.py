"""Interface ``display``: pictures and text screens out of registers and video memory.

Whether something visible changed is found by comparing rows with those last seen, since much of video memory is written without the adapter's knowledge.
What a picture depends on is copied here, on the machine's thread; its pixels are painted where they are wanted (`painting`). A blanked screen is a black
picture of the last visible size; its text can still be read. Where attribute bit 7 means blinking, `text` clears it, so that the upper nibble is always the
background's colour.
"""

from __future__ import annotations

from functools import partial

from ringone.api.console import Frame, TextScreen

from ringone_devices_pc.vga import registers as reg
from ringone_devices_pc.vga.layout import Cells, Kind, Layout, is_blank, layout_of
from ringone_devices_pc.vga.painting import Painter, View
from ringone_devices_pc.vga.pixels import Palette, dac_palette, through
from ringone_devices_pc.vga.state import VgaState
from ringone_devices_pc.vga.text import FONT_BYTES, TextStyle

_POWER_ON_SIZE = (720, 400)
_NO_BLINK = bytes([value & 0x7F for value in range(256)])
_DIRECT_KINDS = frozenset({Kind.RGB555, Kind.RGB565, Kind.RGB888, Kind.RGBX8888})
_NO_PALETTE: Palette = (b"", b"", b"")


class Scanout:
    """Meets `ringone.api.console.Display`."""

    def __init__(self, state: VgaState, vram: memoryview) -> None:
        self._state = state
        self._vram = vram
        self._generation = 1
        self._view: View | None = None
        self._size = _POWER_ON_SIZE
        self._frame: Frame | None = None
        self._painter = Painter()

    @property
    def generation(self) -> int:
        self._look()
        return self._generation

    def frame(self) -> Frame:
        view = self._look()
        if self._frame is None:
            width, height = self._size
            if view is None:
                self._frame = Frame(self._generation, width, height, partial(bytes, 3 * width * height))
            else:
                text = None if view.layout.cells is None else self._text_screen(view.layout.cells, view.rows, view.palette)
                self._frame = Frame(self._generation, width, height, partial(self._painter.paint, view), text)
        return self._frame

    def text(self) -> TextScreen | None:
        layout = layout_of(self._state, len(self._vram))
        if layout.cells is None:
            return None
        return self._text_screen(layout.cells, self._fetch(layout), self._palette(Kind.TEXT))

    # --- What there is to see ------------------------------------------------------------------------------------------------------------------------------

    def _look(self) -> View | None:
        """The present view, None while blanked; counts the generation up where it differs from the last one."""
        view = None if is_blank(self._state) else self._present()
        if view != self._view:
            self._view = view
            self._generation += 1
            self._frame = None
            if view is not None:
                self._size = (view.layout.width, view.layout.height)
        return view

    def _present(self) -> View:
        layout = layout_of(self._state, len(self._vram))
        palette = self._palette(layout.kind)
        style = self._style(layout, layout.cells, palette) if layout.cells is not None else None
        return View(layout, palette, self._fetch(layout), style)

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
