"""From the guest's frames to bitmap updates: what differs from what a client already has, in tiles that every client takes.

32 bits per pixel in planar form, 16 in interleaved form; a tile that its codec would make larger goes out as it is. Widths are padded to what compressed
bitmaps must have.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from ringone.api.console import Frame

from ringone_frontend_rdp.fastpath import Bitmap

Pixels = npt.NDArray[np.uint8]

TILE = 64
COLUMN_ALIGNMENT = 4


def pixels_of(frame: Frame) -> Pixels:
    return np.frombuffer(frame.pixels, np.uint8).reshape(frame.height, frame.width, 3)


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """`picture` on a desktop of another size: what is beyond it is cut off, what it lacks is black."""
    if picture.shape[:2] == (height, width):
        return picture
    desktop = np.zeros((height, width, 3), np.uint8)
    rows, columns = min(height, picture.shape[0]), min(width, picture.shape[1])
    desktop[:rows, :columns] = picture[:rows, :columns]
    return desktop


def changed_tiles(old: Pixels | None, new: Pixels) -> Iterator[tuple[int, int]]:
    """(left, top) of each tile in which the pictures, of equal size, differ."""
    height, width, _ = new.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    if old is None:
        differs = np.ones((rows, columns), bool)
    else:
        padded = np.zeros((rows * TILE, columns * TILE), bool)
        padded[:height, :width] = (old != new).any(axis=2)
        differs = padded.reshape(rows, TILE, columns, TILE).any(axis=(1, 3))
    for row, column in np.argwhere(differs):
        yield int(column) * TILE, int(row) * TILE


def raw(tile: Pixels, depth: int) -> bytes:
    """Uncompressed, bottom row first: B, G, R, 0 in 32 bits, or 5-6-5 in 16."""
    flipped = tile[::-1]
    if depth == 32:
        words = np.zeros((*tile.shape[:2], 4), np.uint8)
        words[:, :, :3] = flipped[:, :, ::-1]
        return words.tobytes()
    red, green, blue = (flipped[:, :, channel].astype("<u2") for channel in range(3))
    return ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3).astype("<u2").tobytes()


def bitmap(picture: Pixels, left: int, top: int, depth: int) -> Bitmap:
    tile = picture[top : top + TILE, left : left + TILE]
    height, width, _ = tile.shape
    padding = -width % COLUMN_ALIGNMENT
    padded = np.pad(tile, ((0, 0), (0, padding), (0, 0)), "edge") if padding else tile
    return Bitmap(left=left, top=top, width=width, height=height, columns=width + padding, depth=depth, compressed=False, data=raw(padded, depth))


def updates(old: Pixels | None, new: Pixels, depth: int) -> list[Bitmap]:
    """What turns a client's picture into the new one; everything where `old` is None."""
    return [bitmap(new, left, top, depth) for left, top in changed_tiles(old, new)]
