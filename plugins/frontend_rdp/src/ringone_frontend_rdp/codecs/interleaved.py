"""Interleaved run-length codec ([MS-RDPBCGR] 2.2.9.1.1.3.1.2.4 and 3.1.9), 16 bits a pixel: colours lose their lowest bits, nothing else is lost.

Of the format's orders it uses background runs (pixels as in the row sent before), colour runs and colour images. Foreground runs, bit patterns and dithering
are left out: what they save on a console is little. As in `planar`, no loop in Python runs over pixels.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ringone_frontend_rdp.codecs import Picture

MOST_PIXELS = 0xFFFF
"""What the longest order spans; bitmap updates have no room for more either."""
SHORTEST_RUN = 3

SHORT_LENGTHS = 32
"""A length below is in the code byte; a `REGULAR` one follows it in a byte of its own, less this; a `MEGA_MEGA` one in two bytes, as it is."""
REGULAR_LENGTHS = SHORT_LENGTHS + 256


class Order(enum.IntEnum):
    IMAGE = 0
    BACKGROUND = 1
    COLOUR = 2
    END = 3
    """Of a picture; not sent."""


REGULAR = np.array([0x80, 0x00, 0x60, 0], dtype=np.uint8)
MEGA_MEGA = np.array([0xF4, 0xF0, 0xF3, 0], dtype=np.uint8)


def encode(picture: Picture) -> bytes:
    """One picture, its last row first, as the bitmap update wants it."""
    return encode_all([picture])[0]


def encode_all(pictures: Sequence[Picture]) -> list[bytes]:
    """Many at once, much faster than one by one where they have the same size."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, picture in enumerate(pictures):
        by_shape.setdefault(picture.shape, []).append(number)
    streams = [b""] * len(pictures)
    for (height, width, _), numbers in by_shape.items():
        if height * width > MOST_PIXELS:
            raise ValueError(f"a picture of {width} x {height} pixels; the interleaved codec takes {MOST_PIXELS}")
        pixels = np.stack([reduced(pictures[number][::-1]) for number in numbers])
        for number, stream in zip(numbers, _orders(pixels.reshape(len(numbers), -1), width), strict=True):
            streams[number] = stream
    return streams


def reduced(picture: Picture) -> NDArray[np.uint16]:
    """5 bits of red, 6 of green, 5 of blue."""
    red, green, blue = picture.transpose(2, 0, 1)
    pixels: NDArray[np.uint16] = np.left_shift(red & 0xF8, 8, dtype=np.uint16)
    pixels |= np.left_shift(green & 0xFC, 3, dtype=np.uint16)
    pixels |= blue >> 3
    return pixels


def _orders(pixels: NDArray[np.uint16], width: int) -> list[bytes]:
    """One stream a picture. No two background runs follow each other and none is in the first row, where the format gives them other meanings."""
    count, size = pixels.shape
    background = np.zeros((count, size + 1), dtype=bool)
    np.equal(pixels[:, width:], pixels[:, :-width], out=background[:, width:-1])
    background = _in_runs(background.ravel(), SHORTEST_RUN).reshape(background.shape)

    repeats = np.zeros_like(background)
    np.equal(pixels[:, 1:], pixels[:, :-1], out=repeats[:, 1:-1])
    repeats[:, 1:] &= ~(background[:, 1:] | background[:, :-1])
    repeats = _in_runs(repeats.ravel(), SHORTEST_RUN - 1).reshape(background.shape)

    kinds = np.zeros(background.shape, dtype=np.uint8)
    kinds[repeats] = Order.COLOUR
    kinds[:, :-1][repeats[:, 1:]] = Order.COLOUR
    kinds[background] = Order.BACKGROUND
    kinds[:, -1] = Order.END
    run_starts = (kinds == Order.COLOUR) & ~repeats
    flat = kinds.ravel()
    starts_here = np.empty(flat.size, dtype=bool)
    starts_here[0] = True
    np.not_equal(flat[1:], flat[:-1], out=starts_here[1:])
    starts_here |= run_starts.ravel()

    starts = np.flatnonzero(starts_here)
    lengths = np.diff(starts, append=flat.size)
    orders = flat[starts]
    sent = ((kinds == Order.IMAGE) | run_starts)[:, :-1]
    data = pixels[sent].astype("<u2", copy=False).view(np.uint8)
    return _streams(orders, lengths, data)


def _in_runs(flags: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """Those in stretches of no less."""
    whole = flags.copy()
    for distance in range(1, shortest):
        whole[:-distance] &= flags[distance:]
        whole[-distance:] = False
    covered = whole.copy()
    for distance in range(1, shortest):
        covered[distance:] |= whole[:-distance]
    return covered


def _streams(orders: NDArray[np.uint8], lengths: NDArray[np.int64], data: NDArray[np.uint8]) -> list[bytes]:
    headers = np.where(lengths < SHORT_LENGTHS, 1, np.where(lengths < REGULAR_LENGTHS, 2, 3))
    headers[orders == Order.END] = 0
    colours = np.where(orders == Order.IMAGE, lengths, orders == Order.COLOUR)
    ends = np.cumsum(headers + 2 * colours)
    places = ends - headers - 2 * colours

    out = np.empty(int(ends[-1]), dtype=np.uint8)
    is_data = np.ones(out.size, dtype=bool)
    for number in range(3):
        longer = headers > number
        at = places[longer] + number
        is_data[at] = False
        out[at] = _header_bytes(orders[longer], lengths[longer], headers[longer], number)
    out[is_data] = data

    cuts = ends[orders == Order.END].tolist()
    stream = out.tobytes()
    return [stream[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


def _header_bytes(orders: NDArray[np.uint8], lengths: NDArray[np.int64], headers: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    if number == 0:
        return np.where(headers == 3, MEGA_MEGA[orders], REGULAR[orders] | np.where(headers == 1, lengths, 0))
    if number == 1:
        return np.where(headers == 2, lengths - SHORT_LENGTHS, lengths & 0xFF)
    return lengths >> 8
