"""What the graphics pipeline of the RDP console costs on one processor: ``python -m bench.rdp_graphics``.

For the contents of `bench.rdp_codecs` at 1024x768, milliseconds from two pictures to the PDUs of a frame, and bytes; the client is not part of it. H.264 is
left out where the extra ``h264`` is not installed.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.graphics import h264, lossless

from bench.rdp_codecs import CONTENTS, HEIGHT, WIDTH

Encode = Callable[[Picture, Picture], int]


def _lossless(old: Picture, new: Picture) -> int:
    return sum(map(len, lossless.commands(0, lossless.plan(old, new))))


def _avc420() -> Encode:
    encoder = h264.Encoder(WIDTH, HEIGHT)
    return lambda old, new: len(encoder.encode(new))


def _measure(pictures: list[Picture], encode: Encode) -> tuple[float, float]:
    """Medians: milliseconds and bytes."""
    samples = []
    for old, new in itertools.pairwise(pictures):
        start = time.perf_counter()
        size = encode(old, new)
        samples.append(((time.perf_counter() - start) * 1e3, float(size)))
    duration, size = (statistics.median(column) for column in zip(*samples, strict=True))
    return duration, size


def main() -> None:
    table = Table("what", "codec", "ms", "frames/s", "kB/frame", title=f"Graphics pipeline of the RDP console, {WIDTH}x{HEIGHT}, one processor")
    codecs: dict[str, Callable[[], Encode]] = {"lossless": lambda: _lossless}
    if h264.installed():
        codecs["AVC420"] = _avc420
    for content, draw in CONTENTS.items():
        pictures = list(draw())
        for codec, new_encoder in codecs.items():
            duration, size = _measure(pictures, new_encoder())
            table.add_row(content, codec, f"{duration:.2f}", f"{1e3 / duration:.0f}", f"{size / 1e3:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
