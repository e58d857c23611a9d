"""Text rows as pixels, drawn with the guest's own fonts.

Blinking characters and the cursor are shown in their lit phase, so that a picture changes only when the guest changes it.
"""

from __future__ import annotations

import attrs

from ringone_devices_pc.vga.layout import Cells
from ringone_devices_pc.vga.pixels import Palette

FONT_BYTES = 256 * 32
_LINE_GRAPHICS = range(0xC0, 0xE0)
_USES_MAP_A = 1 << 3
_UNDERLINE_MASK, _UNDERLINED = 0x77, 0x01


@attrs.frozen
class TextStyle:
    """All that decides how a cell looks. `fonts` are character maps B and A: attribute bit 3 clear and set."""

    cell_width: int
    cell_height: int
    width: int
    pan: int
    underline: int
    cursor_lines: range
    line_graphics: bool
    blink: bool
    fonts: tuple[bytes, bytes]
    palette: Palette

    @classmethod
    def of(cls, cells: Cells, width: int, pan: int, *, line_graphics: bool, blink: bool, fonts: tuple[bytes, bytes], palette: Palette) -> TextStyle:
        return cls(cells.width, cells.height, width, pan, cells.underline, cells.cursor_lines, line_graphics, blink, fonts, palette)


class TextPainter:
    """Paints rows of one style; keeps the glyphs, as scan lines of pixels, that it has painted."""

    def __init__(self, style: TextStyle) -> None:
        self.style = style
        self.stride = 3 * style.width
        self._glyphs: dict[int, tuple[bytes, ...]] = {}
        self._lines: dict[tuple[int, int, int], bytes] = {}
        self._colours = [bytes(gun[index] for gun in style.palette) for index in range(16)]

    def row(self, cells: bytes, cursor_column: int | None) -> bytes:
        """`cells` has four bytes a cell, as in video memory; the result has all scan lines of the row."""
        style, glyphs = self.style, self._glyphs
        codes = memoryview(cells).cast("H")[::2].tolist()
        for code in set(codes) - glyphs.keys():
            glyphs[code] = self._glyph(code, range(0))
        columns = [glyphs[code] for code in codes]
        if cursor_column is not None:
            columns[cursor_column] = self._glyph(codes[cursor_column], style.cursor_lines)
        if not style.pan:
            return b"".join([b"".join(line) for line in zip(*columns, strict=True)])
        left = 3 * style.pan
        return b"".join([b"".join(line)[left : left + self.stride] for line in zip(*columns, strict=True)])

    def _glyph(self, code: int, solid_lines: range) -> tuple[bytes, ...]:
        style = self.style
        character, attribute = code & 0xFF, code >> 8
        foreground, background = attribute & 0x0F, attribute >> 4 & (0x07 if style.blink else 0x0F)
        nine_dots = style.cell_width == 9
        repeat_last = style.line_graphics and character in _LINE_GRAPHICS
        underline = style.underline if attribute & _UNDERLINE_MASK == _UNDERLINED else -1
        glyph = []
        for line, dots in enumerate(style.fonts[bool(attribute & _USES_MAP_A)][32 * character : 32 * character + style.cell_height]):
            if line in solid_lines or line == underline:
                pattern = 0x1FF
            elif nine_dots:
                pattern = dots << 1 | (dots & 1 if repeat_last else 0)
            else:
                pattern = dots
            glyph.append(self._line(pattern, foreground, background))
        return tuple(glyph)

    def _line(self, pattern: int, foreground: int, background: int) -> bytes:
        key = pattern, foreground, background
        line = self._lines.get(key)
        if line is None:
            lit, dark = self._colours[foreground], self._colours[background]
            line = self._lines[key] = b"".join([lit if pattern >> dot & 1 else dark for dot in reversed(range(self.style.cell_width))])
        return line
