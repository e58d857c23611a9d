"""Whatever becomes of a picture, the client's surface is the same, and what has scrolled is not sent again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone_frontend_rdp.codecs import Picture, planar
from ringone_frontend_rdp.graphics import lossless, pdus
from ringone_frontend_rdp.graphics.lossless import Scroll

from plugins.frontend_rdp.tests.graphics_client import Screen, unwrapped

WIRE_TO_SURFACE, SOLID_FILL, SURFACE_TO_SURFACE = 0x01, 0x04, 0x05
NOTHING = np.zeros((0, 0, 3), np.uint8)


def noise(height: int, width: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def screen(picture: Picture) -> Screen:
    return Screen(picture.copy())


def drawn(old: Picture, new: Picture) -> Screen:
    client = screen(old if old.shape == new.shape else np.zeros_like(new))
    for command in lossless.commands(0, lossless.plan(old, new)):
        client.draw(command)
    assert np.array_equal(client.picture, new)
    return client


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(0, 9), st.integers(0, 300))
def test_changes_of_any_kind_arrive(height: int, width: int, seed: int, changes: int) -> None:
    old = np.repeat(noise(height, width, seed)[:: seed + 1], seed + 1, axis=0)[:height]
    new = old.copy()
    generator = np.random.default_rng(seed)
    new[generator.integers(0, height, changes), generator.integers(0, width, changes)] = seed
    drawn(NOTHING, old)
    drawn(old, new)


@pytest.mark.parametrize("distance", [16, -16, 1, -300])
def test_what_has_scrolled_is_moved(distance: int) -> None:
    wide = noise(1000, 64)
    client = drawn(wide[400:912], wide[400 + distance : 912 + distance])
    assert client.drawn[0] == SURFACE_TO_SURFACE
    assert client.drawn.count(WIRE_TO_SURFACE) == -(-abs(distance) // 64)


def test_part_that_scrolls_between_lines_that_stay_is_moved() -> None:
    old = noise(480, 64)
    new = old.copy()
    new[64:400] = old[80:416]
    assert lossless.find_scroll(old, new) == Scroll(64, 400, 16)
    drawn(old, new)


def test_text_with_many_empty_lines_is_moved() -> None:
    text = np.zeros((1200, 64, 3), np.uint8)
    text[::16] = noise(75, 64)
    assert drawn(text[:800], text[32:832]).drawn[0] == SURFACE_TO_SURFACE


@pytest.mark.parametrize("new", [noise(480, 64, 1), noise(480, 65, 0), noise(480, 64)], ids=["other", "other-size", "same"])
def test_what_has_not_scrolled_is_not_moved(new: Picture) -> None:
    assert lossless.find_scroll(noise(480, 64), new) is None


def test_rows_that_look_alike_by_chance_cost_bytes_not_exactness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "find_scroll", lambda old, new: Scroll(0, 300, 16))
    drawn(noise(400, 64), noise(400, 64, 1))


def test_flat_tiles_are_filled() -> None:
    picture = np.zeros((128, 130, 3), np.uint8)
    picture[:64] = (1, 2, 3)
    assert drawn(NOTHING, picture).drawn == [SOLID_FILL, SOLID_FILL]


def test_tile_that_planar_would_enlarge_goes_as_it_is() -> None:
    """A byte more than 4 a pixel."""
    picture = noise(1, 2)
    assert len(planar.encode(picture)) > 8
    drawn(NOTHING, picture)


def test_nothing_is_sent_of_what_is_there() -> None:
    assert lossless.commands(0, lossless.plan(noise(100, 100), noise(100, 100))) == []


@given(st.lists(st.integers(1, 200_000), max_size=5))
def test_messages_hold_every_command_whatever_their_size(sizes: list[int]) -> None:
    commands = [bytes((number,)) * size for number, size in enumerate(sizes)]
    assert b"".join(map(unwrapped, pdus.messages(commands))) == b"".join(commands)
