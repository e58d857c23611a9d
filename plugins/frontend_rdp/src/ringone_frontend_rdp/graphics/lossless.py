"""What turns a surface into the next picture, without loss: the part that has scrolled is moved, flat tiles are filled, the rest is planar.

Tiles are those of bitmap updates: larger ones are allowed here, but equal sizes are what lets all of them be coded in one go.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import attrs
import numpy as np

from ringone_frontend_rdp.codecs import Picture, dirty, planar
from ringone_frontend_rdp.codecs.dirty import TILE, Rect
from ringone_frontend_rdp.graphics import pdus
from ringone_frontend_rdp.graphics.pdus import Codec

WORTH_MOVING = 2 * TILE
FEWEST_CHANGED = TILE // 2
"""Rows: below that, looking for what has moved costs more than sending it."""


@attrs.frozen
class Scroll:
    """Rows `top` to `bottom` of the new picture were `distance` further down."""

    top: int
    bottom: int
    distance: int


@attrs.frozen
class Plan:
    """How a picture is going to be drawn: first what moves, then the tiles that differ still."""

    picture: Picture
    scroll: Scroll | None
    tiles: list[Rect]

    @property
    def share(self) -> float:
        """Of the picture that is to be coded."""
        height, width, _ = self.picture.shape
        return float(sum(tile.width * tile.height for tile in self.tiles) / (width * height))


def plan(old: Picture, new: Picture) -> Plan:
    """Everything is drawn where the size has changed."""
    scroll = find_scroll(old, new)
    if scroll is not None:
        moved = old[scroll.top + scroll.distance : scroll.bottom + scroll.distance]
        old = old.copy()
        old[scroll.top : scroll.bottom] = moved
    return Plan(new, scroll, dirty.tiles(old, new))


def commands(surface: int, plan: Plan) -> list[bytes]:
    """PDUs, in their order; none where nothing is to be done."""
    moved = [] if plan.scroll is None else [_move(surface, plan.picture.shape[1], plan.scroll)]
    fills: dict[bytes, list[Rect]] = {}
    coded: list[Rect] = []
    for rect in plan.tiles:
        tile = rect.cut(plan.picture)
        if (tile == tile[0, 0]).all():
            fills.setdefault(tile[0, 0].tobytes(), []).append(rect)
        else:
            coded.append(rect)
    filled = [pdus.solid_fill(surface, colour, rects) for colour, rects in fills.items()]
    return moved + filled + _planar(surface, plan.picture, coded)


def find_scroll(old: Picture, new: Picture) -> Scroll | None:
    """The longest stretch of whole rows that has moved up or down. What only looks so is found out when the tiles are compared."""
    if old.shape != new.shape:
        return None
    changed = np.flatnonzero((old != new).any(axis=(1, 2))).tolist()
    if len(changed) < FEWEST_CHANGED or changed[-1] - changed[0] < WORTH_MOVING:
        return None
    before, after = _hashes(old), _hashes(new)
    places = {value: row for row, value in enumerate(before)}
    alone = {value for value, count in Counter(before).items() if count == 1}
    votes = Counter(places[after[row]] - row for row in changed if after[row] in alone)
    votes.pop(0, None)
    if not votes:
        return None
    distance, _ = votes.most_common(1)[0]
    return _longest(before, after, distance)


def _longest(before: Sequence[int], after: Sequence[int], distance: int) -> Scroll | None:
    first, last = max(0, -distance), min(len(after), len(after) - distance)
    equal = np.array([after[row] == before[row + distance] for row in range(first, last)], dtype=bool)
    edges = np.flatnonzero(np.diff(equal, prepend=False, append=False)).reshape(-1, 2)
    if not edges.size:
        return None
    top, bottom = edges[np.argmax(edges[:, 1] - edges[:, 0])].tolist()
    return Scroll(first + top, first + bottom, distance) if bottom - top >= WORTH_MOVING else None


def _hashes(picture: Picture) -> list[int]:
    rows = np.ascontiguousarray(picture)
    return [zlib.crc32(row) for row in rows]


def _move(surface: int, width: int, scroll: Scroll) -> bytes:
    source = Rect(0, scroll.top + scroll.distance, width, scroll.bottom - scroll.top)
    return pdus.surface_to_surface(surface, source, 0, scroll.top)


def _planar(surface: int, new: Picture, rects: Sequence[Rect]) -> list[bytes]:
    tiles = [rect.cut(new) for rect in rects]
    streams = planar.encode_all([tile[::-1] for tile in tiles])
    return [_coded(surface, rect, tile, stream) for rect, tile, stream in zip(rects, tiles, streams, strict=True)]


def _coded(surface: int, rect: Rect, tile: Picture, stream: bytes) -> bytes:
    if len(stream) < 4 * rect.width * rect.height:
        return pdus.wire_to_surface(surface, Codec.PLANAR, rect, stream)
    pixels = np.full((rect.height, rect.width, 4), 0xFF, np.uint8)
    pixels[:, :, :3] = tile[:, :, ::-1]
    return pdus.wire_to_surface(surface, Codec.UNCOMPRESSED, rect, pixels.tobytes())
