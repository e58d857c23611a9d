"""Pictures out of what was copied from the adapter, on any thread.

A row that the last picture had, anywhere, is not painted again.
"""

from __future__ import annotations

import functools
import threading
import uuid
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import attrs

from ringone_devices_pc.vga.layout import Cells, Layout
from ringone_devices_pc.vga.pixels import CONVERTERS, Palette
from ringone_devices_pc.vga.text import TextPainter, TextStyle

K = TypeVar("K", bound=Hashable)


@attrs.frozen
class View:
    """All that the picture depends on. Two equal views look the same."""

    layout: Layout
    palette: Palette
    rows: list[bytes]
    style: TextStyle | None


class Painter:
    """Pickled, it is the one painter of this adapter in the other process, which remembers rows of its own."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name or uuid.uuid4().hex
        self._one_at_a_time = threading.Lock()
        self._text: TextPainter | None = None
        self._painted: dict[Any, bytes] = {}
        self._painted_for: Hashable = None

    def __reduce__(self) -> tuple[Callable[[str], Painter], tuple[str]]:
        return _here, (self._name,)

    def paint(self, view: View) -> bytes:
        """8-bit RGB, row by row."""
        with self._one_at_a_time:
            if view.style is not None and view.layout.cells is not None:
                return self._cells(view.layout.cells, view.style, view.rows)
            return self._graphics(view)

    def _cells(self, cells: Cells, style: TextStyle, rows: list[bytes]) -> bytes:
        painter = self._text
        if painter is None or painter.style != style:
            painter = self._text = TextPainter(style)
        cursor_column, cursor_row = cells.cursor or (None, None)
        keys = [(row, cursor_column if number == cursor_row else None) for number, row in enumerate(rows)]
        painted = self._reuse(painter, keys, lambda key: painter.row(*key))
        stride = painter.stride
        return b"".join([pixels[first * stride : (first + count) * stride] for pixels, (first, count) in zip(painted, cells.cuts, strict=True)])

    def _graphics(self, view: View) -> bytes:
        layout, palette = view.layout, view.palette
        convert = CONVERTERS[layout.kind]
        rows = self._reuse((layout.kind, palette), view.rows, lambda row: convert(row, palette))
        if not layout.pan:
            return b"".join(rows)
        left, size = 3 * layout.pan, 3 * layout.width
        return b"".join([row[left : left + size] for row in rows])

    def _reuse(self, purpose: Hashable, keys: list[K], make: Callable[[K], bytes]) -> list[bytes]:
        """The pixels for each key; those of the last picture serve again where `purpose` is the same."""
        known: dict[Any, bytes] = self._painted if purpose == self._painted_for else {}
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
        self._painted, self._painted_for = fresh, purpose
        return result


@functools.cache
def _here(name: str) -> Painter:
    return Painter(name)
