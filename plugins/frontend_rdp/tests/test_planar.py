"""The planar codec against a decoder written from [MS-RDPEGDI] 3.1.9 alone."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_rdp.codecs import Picture, planar
from ringone_frontend_rdp.codecs.planar import AlphaPlane

SIZES = st.integers(1, 64)
RLE, NO_ALPHA = 0x10, 0x20


@st.composite
def pictures(draw: st.DrawFn, sizes: st.SearchStrategy[int] = SIZES) -> Picture:
    """Noise, few colours, and stripes of all widths, which make runs of all lengths."""
    height, width = draw(sizes), draw(sizes)
    noise = np.random.default_rng(draw(st.integers(0, 1 << 32))).integers(0, draw(st.sampled_from([2, 4, 256])), (height, width, 3), dtype=np.uint8)
    stripes = np.repeat(np.repeat(noise, draw(SIZES), axis=1), draw(SIZES), axis=0)[:height, :width]
    dots = draw(arrays.arrays(np.uint8, (height, width), elements=st.sampled_from([0, 1]), fill=st.just(0)))
    return np.where(dots[:, :, None], noise, stripes)


def decode(stream: bytes, height: int, width: int) -> list[list[list[int]]]:
    """2.2.2.5.1 RDP6_BITMAP_STREAM: planes of rows in the order of the stream; all bytes must be used."""
    header, place = stream[0], 1
    assert header & ~(RLE | NO_ALPHA) == 0
    assert header & RLE
    planes = []
    for _ in range(3 if header & NO_ALPHA else 4):
        rows: list[list[int]] = []
        for _ in range(height):
            row, place = decode_row(stream, place, width)
            rows.append([(above + difference(value)) % 256 for above, value in zip(rows[-1], row, strict=True)] if rows else row)
        planes.append(rows)
    assert place == len(stream)
    return planes


def decode_row(stream: bytes, place: int, width: int) -> tuple[list[int], int]:
    """2.2.2.5.1.1 RDP6_RLE_SEGMENT: no segment leaves its row."""
    row: list[int] = []
    while len(row) < width:
        run, raw = stream[place] & 15, stream[place] >> 4
        if run in (1, 2):
            run, raw = 16 * run + raw, 0
        row += stream[place + 1 : place + 1 + raw]
        row += [row[-1] if row else 0] * run
        place += 1 + raw
    assert len(row) == width
    return row, place


def difference(value: int) -> int:
    return -(value + 1 >> 1) if value & 1 else value >> 1


def colours(planes: list[list[list[int]]]) -> Picture:
    """From the bottom-up planes of a bitmap update."""
    return np.array(planes[-3:], dtype=np.uint8).transpose(1, 2, 0)[::-1]


@given(pictures())
def test_a_picture_survives(picture: Picture) -> None:
    height, width, _ = picture.shape
    assert np.array_equal(colours(decode(planar.encode(picture), height, width)), picture)


@given(pictures())
def test_a_picture_with_alpha_is_the_same_and_opaque(picture: Picture) -> None:
    height, width, _ = picture.shape
    planes = decode(planar.encode(picture, AlphaPlane.OPAQUE), height, width)
    assert np.array_equal(colours(planes), picture)
    assert all(value == 0xFF for row in planes[0] for value in row)


@given(st.lists(pictures(st.sampled_from([1, 63, 64])), max_size=5), st.sampled_from(AlphaPlane))
def test_many_at_once_are_coded_as_one_by_one(many: list[Picture], alpha: AlphaPlane) -> None:
    assert planar.encode_all(many, alpha) == [planar.encode(picture, alpha) for picture in many]


@pytest.mark.parametrize("width", [*range(1, 100), 1024, 8192])
def test_rows_of_one_colour_take_one_byte_for_every_47_pixels(width: int) -> None:
    black = np.zeros((2, width, 3), dtype=np.uint8)
    stream = planar.encode(black)
    assert not colours(decode(stream, 2, width)).any()
    assert len(stream) == 1 + 6 * (1 + width if width < planar.SHORTEST_RUN else -(-width // planar.LONGEST_RUN))


def test_the_last_row_comes_first() -> None:
    picture = np.array([[[1, 2, 3]], [[11, 12, 13]]], dtype=np.uint8)
    red, green, blue = decode(planar.encode(picture), 2, 1)
    assert (red, green, blue) == ([[11], [1]], [[12], [2]], [[13], [3]])
