"""Screen, keyboard and mouse as the outside sees them. Chips provide these interfaces; the session hands them to frontends."""

from __future__ import annotations

import codecs
import functools
from collections.abc import Callable
from typing import Protocol

import attrs

_CONTROL_GLYPHS = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
GLYPHS = _CONTROL_GLYPHS + bytes(range(0x20, 0x7F)).decode() + "⌂" + bytes(range(0x80, 0xFF)).decode("cp437") + " "
"""The character that shows each code of code page 437, the pictures of control codes included."""


@attrs.frozen
class TextScreen:
    """A text mode's content. `cells` holds two bytes a cell, row by row: character code (code page 437 unless the guest loaded a font) and VGA attribute.

    `cursor` is (column, row) or None while hidden. `palette` has 16 (r, g, b) entries with 8 bits each: the colours behind the attribute's nibbles.
    """

    columns: int
    rows: int
    cells: bytes
    cursor: tuple[int, int] | None
    palette: tuple[tuple[int, int, int], ...]

    def text(self) -> str:
        """Plain text, one line a row, trailing blanks removed."""
        lines = []
        for row in range(self.rows):
            line = self.cells[row * self.columns * 2 : (row + 1) * self.columns * 2 : 2]
            lines.append(codecs.charmap_decode(line, "strict", GLYPHS)[0].rstrip())
        return "\n".join(lines).rstrip("\n")


@attrs.frozen
class Frame:
    """One immutable picture. `generation` rises when the content changed. `text` is set in text modes.

    The pixels are given as they are, or as what paints them when they are first asked for, on whatever thread: the machine's need not wait for it. What paints
    them can be pickled, and paint in another process.
    """

    generation: int
    width: int
    height: int
    source: bytes | Callable[[], bytes]
    text: TextScreen | None = None

    @functools.cached_property
    def pixels(self) -> bytes:
        """8-bit RGB, row by row, ``width * height * 3`` bytes."""
        return self.source if isinstance(self.source, bytes) else self.source()


class Display(Protocol):
    """Interface ``display``. Called on the machine's thread."""

    @property
    def generation(self) -> int:
        """Cheap: rises when something visible may have changed since the last `frame` or `text` call."""
        ...

    def frame(self) -> Frame: ...
    def text(self) -> TextScreen | None:
        """The text screen, or None in graphics modes; cheaper than `frame`."""
        ...


class Keyboard(Protocol):
    """Interface ``keyboard``: keys as a set-1 scan-code stream (what the host's keyboard would send to the controller), lossless."""

    def put_scancodes(self, codes: bytes) -> None:
        """Queue set-1 make and break codes (with E0/E1 prefixes). The queue is unbounded for the host's own calls and drained by the guest's pace."""
        ...

    @property
    def leds(self) -> int:
        """Bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock."""
        ...

    @property
    def pending(self) -> int:
        """Scan-code bytes not yet taken by the guest."""
        ...


class Mouse(Protocol):
    """Interface ``mouse``: relative movement; y grows downwards as on the screen. `buttons`: bit 0 left, 1 right, 2 middle, 3 back, 4 forward."""

    def move(self, dx: int, dy: int, dz: int, buttons: int) -> None: ...


class PowerButton(Protocol):
    """Interface ``power-button``."""

    def press(self) -> None: ...
