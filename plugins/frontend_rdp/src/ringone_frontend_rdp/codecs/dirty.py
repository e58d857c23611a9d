"""What changed between two pictures, by tiles of 64 x 64 pixels: the size at which comparing, sending and a client's drawing are all cheap."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from ringone_frontend_rdp.codecs import Picture

TILE = 64


@attrs.frozen
class Rect:
    left: int
    top: int
    width: int
    height: int

    def cut(self, picture: Picture) -> Picture:
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def tiles(old: Picture, new: Picture) -> list[Rect]:
    """The tiles that differ, row by row; those at the right and bottom edge are as small as the picture leaves them. All of them where the size changed."""
    return [_rect(new, row, column, row + 1, column + 1) for row, column in np.argwhere(_changed(old, new)).tolist()]


def rectangles(old: Picture, new: Picture) -> list[Rect]:
    """The same area in few rectangles that do not overlap: neighbours in a row are one, and so are equal ones below each other."""
    found: list[Rect] = []
    open_spans: dict[tuple[int, int], int] = {}
    grid = _changed(old, new)
    for row, changed in enumerate([*grid, np.zeros_like(grid[:1]).ravel()]):
        spans = set(_spans(changed))
        for span in [span for span in open_spans if span not in spans]:
            found.append(_rect(new, open_spans.pop(span), span[0], row, span[1]))
        for span in spans:
            open_spans.setdefault(span, row)
    return sorted(found, key=lambda rect: (rect.top, rect.left))


def _changed(old: Picture, new: Picture) -> NDArray[np.bool_]:
    """One flag a tile."""
    height, width, channels = new.shape
    grid = np.ones((-(-height // TILE), -(-width // TILE)), dtype=bool)
    if old.shape != new.shape:
        return grid
    tile_starts = np.arange(0, width * channels, TILE * channels)
    differs = (old != new).reshape(height, width * channels)
    for row, changed in enumerate(grid):
        columns = differs[row * TILE : (row + 1) * TILE].any(axis=0)
        changed[:] = np.logical_or.reduceat(columns, tile_starts)
    return grid


def _spans(changed: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(changed, prepend=False, append=False)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)


def _rect(picture: Picture, first_row: int, first_column: int, end_row: int, end_column: int) -> Rect:
    height, width, _ = picture.shape
    left, top = first_column * TILE, first_row * TILE
    return Rect(left, top, min(end_column * TILE, width) - left, min(end_row * TILE, height) - top)
