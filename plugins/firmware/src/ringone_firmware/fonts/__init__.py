"""Code page 437 as VGA text modes show it, one line of hexadecimal a character.

The glyphs are the public-domain X fonts ``misc-fixed`` 8x13 and 5x8, set into 8x16 and 8x8 cells; lines and blocks were extended to the cell's edges.
"""

from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def _font(name: str) -> bytes:
    text = resources.files(__name__).joinpath(name).read_text(encoding="ascii")
    return b"".join(bytes.fromhex(line.partition(":")[2]) for line in text.splitlines())


def font_8x16() -> bytes:
    """4096 bytes: 16 a character."""
    return _font("cp437_8x16.hex")


def font_8x8() -> bytes:
    """2048 bytes: 8 a character."""
    return _font("cp437_8x8.hex")
