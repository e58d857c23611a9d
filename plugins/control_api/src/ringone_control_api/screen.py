"""The guest's screen as files and as data: PNG, raw pixels, and the cells of text modes."""

from __future__ import annotations

import io
import threading
from typing import TypedDict

from ringone.api.console import GLYPHS, Frame, TextScreen

PNG_COMPRESSION = 1
"""zlib's fastest: a screen is looked at once and not kept."""


class Position(TypedDict):
    column: int
    row: int


class Cells(TypedDict):
    """A text screen. `rows` are the characters, none trimmed; `attributes` are the VGA attributes of each row, two hexadecimal digits a cell: the background's
    colour and the foreground's, both indices into `palette` (``#rrggbb``). `cursor` is null while hidden."""

    columns: int
    rows: list[str]
    attributes: list[str]
    cursor: Position | None
    palette: list[str]


def cells(screen: TextScreen) -> Cells:
    width = screen.columns * 2
    rows = [screen.cells[start : start + width] for start in range(0, screen.rows * width, width)]
    return Cells(
        columns=screen.columns,
        rows=["".join(GLYPHS[code] for code in row[::2]) for row in rows],
        attributes=[row[1::2].hex() for row in rows],
        cursor=None if screen.cursor is None else Position(column=screen.cursor[0], row=screen.cursor[1]),
        palette=[f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in screen.palette],
    )


def png(frame: Frame) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (frame.width, frame.height), frame.pixels).save(file, "PNG", compress_level=PNG_COMPRESSION)
    return file.getvalue()


class Pictures:
    """PNGs of one machine's frames. A screen that did not change is compressed once, whoever asks how often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generation = -1
        self._png = b""

    def png(self, frame: Frame) -> bytes:
        with self._lock:
            if frame.generation != self._generation:
                self._png = png(frame)
                self._generation = frame.generation
            return self._png
