"""From the guest's frames to bitmaps: what differs from what a client already has, in tiles that every client takes.

Tiles are planar with 32 bits a pixel, interleaved with 16; one that this would make larger goes out as it is. Widths are padded to what compressed bitmaps
must have.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ringone.api.console import Frame

from ringone_frontend_rdp.codecs import dirty, interleaved, planar
from ringone_frontend_rdp.codecs.dirty import Rect
from ringone_frontend_rdp.fastpath import Bitmap

Pixels = npt.NDArray[np.uint8]

COLUMN_ALIGNMENT = 4
NOTHING: Pixels = np.zeros((0, 0, 3), np.uint8)
SAMPLED_ROWS = 7
"""One of so many is looked at; odd, as many rows of a font are blank."""
MUCH = 0.25


def pixels_of(frame: Frame) -> Pixels:
    return np.frombuffer(frame.pixels, np.uint8).reshape(frame.height, frame.width, 3)


def differs_much(old: Pixels, new: Pixels) -> bool:
    """Whether a picture of the same size has other pixels in more than `MUCH` of its rows, as where text scrolls."""
    if old.shape != new.shape:
        return False
    return bool((old[::SAMPLED_ROWS] != new[::SAMPLED_ROWS]).any(axis=(1, 2)).mean() > MUCH)


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """`picture` on a desktop of another size: what is beyond it is cut off, what it lacks is black."""
    if picture.shape[:2] == (height, width):
        return picture
    desktop = np.zeros((height, width, 3), np.uint8)
    rows, columns = min(height, picture.shape[0]), min(width, picture.shape[1])
    desktop[:rows, :columns] = picture[:rows, :columns]
    return desktop


def updates(old: Pixels, new: Pixels, depth: int, alpha: planar.AlphaPlane) -> list[Bitmap]:
    """What turns a client's picture into the new one; everything where `old` is `NOTHING`."""
    tiles = dirty.tiles(old, new)
    padded = [_padded(tile.cut(new)) for tile in tiles]
    streams = planar.encode_all(padded, alpha) if depth == 32 else interleaved.encode_all(padded)
    return [_bitmap(tile, pixels, depth, stream) for tile, pixels, stream in zip(tiles, padded, streams, strict=True)]


def raw(tile: Pixels, depth: int) -> bytes:
    """Uncompressed, bottom row first: B, G, R, 0 in 32 bits, or 5-6-5 in 16."""
    flipped = tile[::-1]
    if depth == 32:
        words = np.zeros((*tile.shape[:2], 4), np.uint8)
        words[:, :, :3] = flipped[:, :, ::-1]
        return words.tobytes()
    return interleaved.reduced(flipped).astype("<u2").tobytes()


def _padded(tile: Pixels) -> Pixels:
    padding = -tile.shape[1] % COLUMN_ALIGNMENT
    return np.pad(tile, ((0, 0), (0, padding), (0, 0)), "edge") if padding else tile


def _bitmap(tile: Rect, pixels: Pixels, depth: int, stream: bytes) -> Bitmap:
    height, columns, _ = pixels.shape
    compressed = len(stream) < height * columns * depth // 8
    return Bitmap(
        left=tile.left,
        top=tile.top,
        width=tile.width,
        height=tile.height,
        columns=columns,
        depth=depth,
        compressed=compressed,
        data=stream if compressed else raw(pixels, depth),
    )
