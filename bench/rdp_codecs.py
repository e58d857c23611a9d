"""What the codecs of the RDP console cost on one processor: ``python -m bench.rdp_codecs``.

For a console of text at 1024x768, milliseconds to find what changed and to encode it, and bytes; the client is not part of it.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table
from ringone_frontend_rdp.codecs import Picture, dirty, interleaved, planar

WIDTH, HEIGHT = 1024, 768
COLUMNS, LINES, LINE_HEIGHT = 128, 48, 16
CHANGES = 20
GREY, BLUE = (170, 170, 170), (0, 0, 96)

CODECS: dict[str, Callable[[list[Picture]], list[bytes]]] = {
    "planar": planar.encode_all,
    "planar with alpha": lambda pictures: planar.encode_all(pictures, planar.AlphaPlane.OPAQUE),
    "interleaved": interleaved.encode_all,
}


def _text(first_line: int, more: str = "") -> Picture:
    """A screen of lines of different lengths, as a listing has them, and what is being typed."""
    image = Image.new("RGB", (WIDTH, HEIGHT), BLUE)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    for line in range(LINES - 1):
        number = first_line + line
        words = (f"{number:5}", "-rw-r--r--", f"{number * 7919 % 99991:6}", "/usr/share/doc/", f"package-{number * 31 % 97}" * (number % 5))
        draw.text((0, line * LINE_HEIGHT), " ".join(words)[:COLUMNS], GREY, font)
    draw.text((0, (LINES - 1) * LINE_HEIGHT), f"$ {more}_", GREY, font)
    return np.asarray(image)


def _typing() -> Iterator[Picture]:
    return (_text(0, "ls -l "[: number % 7]) for number in range(CHANGES + 1))


def _scrolling() -> Iterator[Picture]:
    return (_text(number) for number in range(CHANGES + 1))


def _full_screen() -> Iterator[Picture]:
    """A graphics program: shades, flat areas and texts, all of which move."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(CHANGES + 1):
        shades = np.stack([x + 3 * number, y + 5 * number, (x + y) // 2 + number], axis=-1).astype(np.uint8)
        flat = ((x + 9 * number) // 200 + y // 150) % 2 == 1
        yield np.where(flat[:, :, None], np.uint8(37 * number % 256), shades // 8 * 8) ^ _text(number)


def _noise() -> Iterator[Picture]:
    generator = np.random.default_rng(0)
    return (generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(CHANGES + 1))


CONTENTS = {"typing": _typing, "scrolling text": _scrolling, "full-screen change": _full_screen, "noise": _noise}


def _measure(pictures: list[Picture], encode: Callable[[list[Picture]], list[bytes]]) -> tuple[float, float, float]:
    """Medians: milliseconds to find, milliseconds to encode, bytes."""
    samples = []
    for old, new in itertools.pairwise(pictures):
        start = time.perf_counter()
        rects = dirty.tiles(old, new)
        found = time.perf_counter()
        streams = encode([rect.cut(new) for rect in rects])
        samples.append(((found - start) * 1e3, (time.perf_counter() - found) * 1e3, float(sum(map(len, streams)))))
    find, code, size = (statistics.median(column) for column in zip(*samples, strict=True))
    return find, code, size


def main() -> None:
    table = Table("what", "codec", "find ms", "encode ms", "frames/s", "kB/frame", title=f"Codecs of the RDP console, {WIDTH}x{HEIGHT}, one processor")
    for content, draw in CONTENTS.items():
        pictures = list(draw())
        for codec, encode in CODECS.items():
            find, code, size = _measure(pictures, encode)
            table.add_row(content, codec, f"{find:.2f}", f"{code:.2f}", f"{1e3 / (find + code):.0f}", f"{size / 1e3:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
