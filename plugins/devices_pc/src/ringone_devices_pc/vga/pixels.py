"""Rows of video memory to rows of 8-bit RGB pixels, a whole row an operation: translate tables, strided slices, and big integers for bitwise OR."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringone_devices_pc.vga.layout import Kind

Palette = tuple[bytes, bytes, bytes]
"""Red, green and blue of 256 pixel values, as translate tables."""
RowConverter = Callable[[bytes, Palette], bytes]

_SIX_TO_EIGHT = bytes([(value & 0x3F) << 2 | (value & 0x3F) >> 4 for value in range(256)])
_BIT_IN_PLANE = tuple([[bytes([(byte >> 7 - dot & 1) << plane for dot in range(8)]) for byte in range(256)] for plane in range(4)])
"""Eight pixels of each byte of each plane."""
_PAIRS_IN_PLANE = tuple([[bytes([(byte >> 6 - 2 * dot & 3) << shift for dot in range(4)]) for byte in range(256)] for shift in (0, 2)])
"""Four pixels of each byte of planes 0 and 1, and of planes 2 and 3, which give the upper bits."""


def _table(entry: Callable[[int], int]) -> bytes:
    return bytes([entry(value) & 0xFF for value in range(256)])


_RED_555 = _table(lambda high: (high & 0x7C) << 1 | (high & 0x7C) >> 4)
_GREEN_555_HIGH = _table(lambda high: (high & 3) << 6 | (high & 3) << 1)
_GREEN_555_LOW = _table(lambda low: (low & 0xE0) >> 2 | low >> 7)
_RED_565 = _table(lambda high: high & 0xF8 | high >> 5)
_GREEN_565_HIGH = _table(lambda high: (high & 7) << 5 | (high & 7) >> 1)
_GREEN_565_LOW = _table(lambda low: (low & 0xE0) >> 3)
_BLUE_5 = _table(lambda low: (low & 0x1F) << 3 | (low & 0x1F) >> 2)


def dac_palette(dac: Sequence[int], pel_mask: int, *, eight_bit: bool) -> Palette:
    """The colours of 256 pixel values; each gun has 6 bits unless `eight_bit`."""
    colours = bytes(dac) if eight_bit else bytes(dac).translate(_SIX_TO_EIGHT)
    guns = (colours[0::3], colours[1::3], colours[2::3])
    if pel_mask == 0xFF:
        return guns
    selected = bytes([value & pel_mask for value in range(256)])
    red, green, blue = (selected.translate(gun) for gun in guns)
    return red, green, blue


def through(palette: Palette, indices: bytes) -> Palette:
    """The palette behind another one: pixel value v shows the colour of ``indices[v]``."""
    red, green, blue = palette
    return indices.translate(red), indices.translate(green), indices.translate(blue)


def _merge(parts: Sequence[bytes]) -> bytes:
    total = 0
    for part in parts:
        total |= int.from_bytes(part, "little")
    return total.to_bytes(len(parts[0]), "little")


def _rgb(red: bytes, green: bytes, blue: bytes) -> bytes:
    pixels = bytearray(3 * len(red))
    pixels[0::3] = red
    pixels[1::3] = green
    pixels[2::3] = blue
    return bytes(pixels)


def _indexed(row: bytes, palette: Palette) -> bytes:
    red, green, blue = palette
    return _rgb(row.translate(red), row.translate(green), row.translate(blue))


def _planar(row: bytes, palette: Palette) -> bytes:
    return _indexed(_merge([b"".join([dots[byte] for byte in row[plane::4]]) for plane, dots in enumerate(_BIT_IN_PLANE)]), palette)


def _interleaved(row: bytes, palette: Palette) -> bytes:
    parts = []
    for first, dots in zip((0, 2), _PAIRS_IN_PLANE, strict=True):
        pairs = bytearray(len(row) // 2)
        pairs[0::2] = row[first::4]
        pairs[1::2] = row[first + 1 :: 4]
        parts.append(b"".join([dots[byte] for byte in pairs]))
    return _indexed(_merge(parts), palette)


def _rgb555(row: bytes, _palette: Palette) -> bytes:
    low, high = row[0::2], row[1::2]
    return _rgb(high.translate(_RED_555), _merge([high.translate(_GREEN_555_HIGH), low.translate(_GREEN_555_LOW)]), low.translate(_BLUE_5))


def _rgb565(row: bytes, _palette: Palette) -> bytes:
    low, high = row[0::2], row[1::2]
    return _rgb(high.translate(_RED_565), _merge([high.translate(_GREEN_565_HIGH), low.translate(_GREEN_565_LOW)]), low.translate(_BLUE_5))


def _rgb888(row: bytes, _palette: Palette) -> bytes:
    return _rgb(row[2::3], row[1::3], row[0::3])


def _rgbx8888(row: bytes, _palette: Palette) -> bytes:
    return _rgb(row[2::4], row[1::4], row[0::4])


CONVERTERS: dict[Kind, RowConverter] = {
    Kind.PLANAR: _planar,
    Kind.INTERLEAVED: _interleaved,
    Kind.INDEXED: _indexed,
    Kind.RGB555: _rgb555,
    Kind.RGB565: _rgb565,
    Kind.RGB888: _rgb888,
    Kind.RGBX8888: _rgbx8888,
}
