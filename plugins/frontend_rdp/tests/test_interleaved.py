"""The interleaved codec against a decoder written from [MS-RDPBCGR] 3.1.9 alone, which knows its rules for background runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from ringone_frontend_rdp.codecs import Picture, interleaved

SIZES = st.integers(1, 64)
BLACK, WHITE = 0x0000, 0xFFFF
LITE_CODES, MEGA_MEGA_CODES = {0xC: 0x2, 0xD: 0x7, 0xE: 0x8}, {0xF0: 0x0, 0xF1: 0x1, 0xF2: 0x2, 0xF3: 0x3, 0xF4: 0x4, 0xF6: 0x2, 0xF7: 0x7, 0xF8: 0x8}


@st.composite
def pictures(draw: st.DrawFn, sizes: st.SearchStrategy[int] = SIZES) -> Picture:
    """Noise of few or many colours, in stripes of all widths and heights, with rows that repeat."""
    height, width = draw(sizes), draw(sizes)
    generator = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    noise = generator.integers(0, draw(st.sampled_from([2, 9, 256])), (height, width, 3), dtype=np.uint8) * np.uint8(draw(st.sampled_from([1, 0x24])))
    stripes = np.repeat(np.repeat(noise, draw(SIZES), axis=1), draw(SIZES), axis=0)[:height, :width]
    return np.where(generator.random((height, width, 1)) < draw(st.sampled_from([0.0, 0.01, 0.2])), noise, stripes)


def decode(stream: bytes, height: int, width: int) -> NDArray[np.uint16]:
    """Background and foreground runs, colour runs and images; other orders are not expected of the encoder."""
    pixels: list[int] = []
    place, after_background = 0, False
    while place < len(stream):
        code, length, place = order(stream, place)
        first_row = len(pixels) < width
        if code == 0:
            if after_background and not first_row and len(pixels) != width:
                pixels.append(pixels[-width] ^ WHITE)
                length -= 1
            for _ in range(length):
                pixels.append(BLACK if first_row else pixels[-width])
        elif code == 3:
            pixels += [pixel(stream, place)] * length
            place += 2
        elif code == 4:
            pixels += [pixel(stream, place + 2 * number) for number in range(length)]
            place += 2 * length
        else:
            raise AssertionError(f"order {code:#x}")
        after_background = code == 0
    assert place == len(stream)
    return np.array(pixels, dtype=np.uint16).reshape(height, width)[::-1]


def order(stream: bytes, place: int) -> tuple[int, int, int]:
    """Code, length, and where the data begins."""
    first = stream[place]
    if first in MEGA_MEGA_CODES:
        return MEGA_MEGA_CODES[first], pixel(stream, place + 1), place + 3
    assert first >> 4 not in LITE_CODES
    assert first < 0xF0
    if first & 0x1F:
        return first >> 5, first & 0x1F, place + 1
    return first >> 5, stream[place + 1] + 32, place + 2


def pixel(stream: bytes, place: int) -> int:
    return stream[place] | stream[place + 1] << 8


@given(pictures())
def test_a_picture_survives_but_for_its_lowest_bits(picture: Picture) -> None:
    height, width, _ = picture.shape
    red, green, blue = picture.astype(np.uint16).transpose(2, 0, 1)
    assert np.array_equal(decode(interleaved.encode(picture), height, width), red >> 3 << 11 | green >> 2 << 5 | blue >> 3)


@given(st.lists(pictures(st.sampled_from([1, 63, 64])), max_size=5))
def test_many_at_once_are_coded_as_one_by_one(many: list[Picture]) -> None:
    assert interleaved.encode_all(many) == [interleaved.encode(picture) for picture in many]


@pytest.mark.parametrize("length", [1, 2, 3, 31, 32, 33, 287, 288, 289, 65535])
def test_lengths_of_all_forms(length: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, length, 3), dtype=np.uint8)
    for row in (noise, np.zeros_like(noise)):
        assert np.array_equal(decode(interleaved.encode(row), 1, length), interleaved.reduced(row))


def test_rows_that_repeat_are_one_background_run() -> None:
    row = np.random.default_rng(0).integers(0, 256, (1, 64, 3), dtype=np.uint8)
    picture = np.repeat(row, 64, axis=0)
    assert len(interleaved.encode(picture)) == 2 + 64 * 2 + 3


def test_a_picture_too_large_for_any_bitmap_update_is_refused() -> None:
    with pytest.raises(ValueError, match="256 x 256"):
        interleaved.encode(np.zeros((256, 256, 3), dtype=np.uint8))
