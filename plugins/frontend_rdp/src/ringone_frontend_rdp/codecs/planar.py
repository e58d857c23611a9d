"""RDP 6.0 planar codec ([MS-RDPEGDI] 2.2.2.5.1 and 3.1.9), 32 bits a pixel, without loss: colour planes one after the other, each coded by its difference to
the row above and by run lengths. Chroma subsampling is left out, it is lossy; planes without run lengths too, they save little and rdesktop does not know them.

All tiles of a picture are coded in one go: no loop in Python runs over tiles, rows or bytes.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ringone_frontend_rdp.codecs import Picture

HEADER_RLE, HEADER_NO_ALPHA = 0x10, 0x20

SHORTEST_RUN = 3
LONGEST_LITERAL = 15
LONGEST_SHORT_RUN = 15
LONGEST_RUN = 47
"""A low nibble of 1 or 2 is a run of 16 or 32 and more, to which the high nibble is added; runs of 1 and 2 are therefore literals."""


class AlphaPlane(enum.Enum):
    """Clients that do not announce DRAW_ALLOW_SKIP_ALPHA need the plane, rdesktop among them."""

    OPAQUE = enum.auto()
    LEFT_OUT = enum.auto()


def encode(picture: Picture, alpha: AlphaPlane = AlphaPlane.LEFT_OUT) -> bytes:
    """One picture, its last row first, as the bitmap update wants it; for RDPEGFX, which wants the first row first, hand over ``picture[::-1]``."""
    return encode_all([picture], alpha)[0]


def encode_all(pictures: Sequence[Picture], alpha: AlphaPlane = AlphaPlane.LEFT_OUT) -> list[bytes]:
    """Many at once, much faster than one by one where they have the same size."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, picture in enumerate(pictures):
        by_shape.setdefault(picture.shape, []).append(number)
    streams = [b""] * len(pictures)
    for (height, width, _), numbers in by_shape.items():
        header = bytes([HEADER_RLE | HEADER_NO_ALPHA]) if alpha is AlphaPlane.LEFT_OUT else bytes([HEADER_RLE]) + _opaque(height, width)
        planes = _differences([pictures[number] for number in numbers], height, width)
        for number, stream in zip(numbers, _run_lengths(planes, len(numbers)), strict=True):
            streams[number] = header + stream
    return streams


@functools.lru_cache(maxsize=64)
def _opaque(height: int, width: int) -> bytes:
    plane = np.zeros((1, height, width + 1), dtype=np.uint8)
    plane[0, 0, :width] = _FIRST_ROW[0xFF]
    return _run_lengths(plane, 1)[0]


_BYTES = np.arange(256, dtype=np.uint8)
_ZIGZAG = np.where(_BYTES < 0x80, _BYTES << 1, ~(_BYTES << 1)).astype(np.uint8)
"""Differences as they are sent: 0, -1, 1, -2, 2 ... become 0, 1, 2, 3, 4 ..."""
_FIRST_ROW = np.argsort(_ZIGZAG).astype(np.uint8)
"""The other way round. The first row of a plane is sent as it is: it is stored as what becomes that when it is sent."""


def _differences(pictures: Sequence[Picture], height: int, width: int) -> NDArray[np.uint8]:
    """Planes, rows, and columns with a 0 behind each row: what differs from the row sent before."""
    planes = np.zeros((len(pictures), 3, height, width + 1), dtype=np.uint8)
    for picture, target in zip(pictures, planes, strict=True):
        channels = picture[::-1].transpose(2, 0, 1)
        target[:, 0, :width] = _FIRST_ROW[channels[:, 0]]
        np.subtract(channels[:, 1:], channels[:, :-1], out=target[:, 1:, :width])
    return planes.reshape(-1, height, width + 1)


def _run_lengths(planes: NDArray[np.uint8], parts: int) -> list[bytes]:
    """Code all rows and cut the result into equal numbers of planes.

    A row is segments of literals and the run behind them; the 0 at its end makes a last segment with a run of no length. A segment is sent in pieces, each a
    control byte and its literals.
    """
    row_size = planes.shape[-1]
    values = planes.ravel()
    repeats = np.empty(values.size + SHORTEST_RUN, dtype=bool)
    repeats[0] = values[0] == 0
    np.equal(values[1:], values[:-1], out=repeats[1 : values.size])
    repeats[row_size - 1 :: row_size] = False
    repeats[values.size :] = False

    in_long_run = repeats[:-2] & repeats[1:-1] & repeats[2:]
    first = in_long_run.copy()
    first[1:] &= ~in_long_run[:-1]
    last = np.zeros_like(repeats)
    last[2:-1] = in_long_run[:-1] & ~in_long_run[1:]
    covered = np.zeros_like(repeats)
    covered[:-2] = in_long_run
    covered[1:-1] |= in_long_run
    covered[2:] |= in_long_run
    for mask in (first, last, covered):
        mask[row_size - 1 : values.size : row_size] = True

    starts = np.flatnonzero(first)
    ends = np.flatnonzero(last) + 1
    runs = ends - starts
    row_ends = np.flatnonzero(runs == 1)
    runs[row_ends] = 0
    literals = starts.copy()
    literals[1:] -= ends[:-1]

    long_runs = runs > LONGEST_SHORT_RUN
    run_pieces = np.where(long_runs, -(-runs // LONGEST_RUN), 0)
    literal_pieces = -(-literals // LONGEST_LITERAL)
    literal_pieces[(literals == 0) & (runs > 0) & ~long_runs] = 1
    pieces = literal_pieces + run_pieces
    segment_ends = np.cumsum(pieces + literals)

    controls, places = _pieces(literals, runs, literal_pieces, run_pieces, segment_ends)
    out = np.empty(int(segment_ends[-1]), dtype=np.uint8)
    is_literal = np.ones(out.size, dtype=bool)
    is_literal[places] = False
    out[places] = controls
    out[is_literal] = _ZIGZAG[values[~covered[: values.size]]]

    cuts = segment_ends[row_ends[len(row_ends) // parts - 1 :: len(row_ends) // parts]].tolist()
    stream = out.tobytes()
    return [stream[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


def _pieces(
    literals: NDArray[np.int64], runs: NDArray[np.int64], literal_pieces: NDArray[np.int64], run_pieces: NDArray[np.int64], segment_ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The control bytes and where they go."""
    pieces = literal_pieces + run_pieces
    segment = np.repeat(np.arange(len(pieces)), pieces)
    number = np.arange(len(segment)) - (np.cumsum(pieces) - pieces)[segment]
    literal, run, of_literals = literals[segment], runs[segment], literal_pieces[segment]
    before = np.minimum(number * LONGEST_LITERAL, literal)
    places = (segment_ends - pieces - literals)[segment] + number + before

    is_run = number >= of_literals
    controls = np.minimum(literal - before, LONGEST_LITERAL) << 4
    controls[(number == of_literals - 1) & (run <= LONGEST_SHORT_RUN)] |= run[(number == of_literals - 1) & (run <= LONGEST_SHORT_RUN)]
    many = run_pieces[segment][is_run]
    length = run[is_run] // many + (number[is_run] - of_literals[is_run] < run[is_run] % many)
    controls[is_run] = np.where(length < 32, (length - 16) << 4 | 1, (length - 32) << 4 | 2)
    return controls.astype(np.uint8), places
