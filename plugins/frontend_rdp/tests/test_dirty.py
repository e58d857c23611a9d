"""Which parts of a picture have to be sent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.codecs.dirty import TILE, Rect, rectangles, tiles

Finder = Callable[[Picture, Picture], list[Rect]]
BLACK = np.zeros((200, 300, 3), dtype=np.uint8)


def changed_at(*points: tuple[int, int], of: Picture = BLACK) -> Picture:
    picture = of.copy()
    for x, y in points:
        picture[y, x, 2] ^= 1
    return picture


@pytest.mark.parametrize("find", [tiles, rectangles])
def test_equal_pictures_have_nothing_to_send(find: Finder) -> None:
    assert find(BLACK, BLACK.copy()) == []


@pytest.mark.parametrize("find", [tiles, rectangles])
def test_a_pixel_is_found_with_its_tile(find: Finder) -> None:
    assert find(BLACK, changed_at((64, 127))) == [Rect(64, 64, 64, 64)]


@pytest.mark.parametrize("find", [tiles, rectangles])
def test_the_corner_tile_is_as_small_as_the_picture_leaves_it(find: Finder) -> None:
    assert find(BLACK, changed_at((299, 199))) == [Rect(256, 192, 44, 8)]


def test_another_size_is_a_whole_new_picture() -> None:
    assert rectangles(BLACK, BLACK[:100]) == [Rect(0, 0, 300, 100)]
    assert len(tiles(BLACK, BLACK[:100])) == 10


def test_neighbours_become_one_rectangle() -> None:
    assert rectangles(BLACK, changed_at((0, 0), (64, 0), (0, 64), (64, 64))) == [Rect(0, 0, 128, 128)]


def test_what_is_not_a_rectangle_becomes_several() -> None:
    assert rectangles(BLACK, changed_at((0, 0), (128, 0), (0, 64))) == [Rect(0, 0, 64, 128), Rect(128, 0, 64, 64)]


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_both_cover_all_changes_once_and_nothing_but_changed_tiles(height: int, width: int, data: st.DataObject) -> None:
    old = np.zeros((height, width, 3), dtype=np.uint8)
    points = data.draw(st.lists(st.tuples(st.integers(0, width - 1), st.integers(0, height - 1)), max_size=8, unique=True))
    wanted = np.zeros((height, width), dtype=int)
    for x, y in points:
        wanted[y // TILE * TILE :, x // TILE * TILE :][:TILE, :TILE] = 1
    for found in (tiles(old, changed_at(*points, of=old)), rectangles(old, changed_at(*points, of=old))):
        covered = np.zeros_like(wanted)
        for rect in found:
            covered[rect.top : rect.top + rect.height, rect.left : rect.left + rect.width] += 1
        assert np.array_equal(covered, wanted)


def test_a_rectangle_cuts_its_part_out_of_a_picture() -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(Rect(2, 1, 3, 2).cut(picture), picture[1:3, 2:5])
