"""The console over RDP from end to end: ``python -m bench.rdp_console [--rounds N]``.

xfreerdp draws on a virtual X display, server and client on the same processors. Frames are those that came to be seen: each bears its number, which is read
from the display's memory. A key's way is from its press on that display to the pixels that a guest answers with which needs no time. What a client costs the
guest is the time of the same work in one Linux with and without clients, by turns; a process that does nothing but compute is the peer, since whoever uses the
other processor slows the guest, whatever it does.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import mmap
import multiprocessing
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, cast

import attrs
from rich.console import Console as Terminal
from rich.table import Table
from ringone.api.console import Frame
from ringone.api.frontends import VmSession
from ringone.plugins import PluginRegistry
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.config import RdpOptions, Video
from ringone_frontend_rdp.frontend import RdpFrontend

from bench import boots
from bench.rdp_codecs import CONTENTS, HEIGHT, WIDTH
from guests.console import Guest
from guests.initramfs import SHELL
from plugins.frontend_rdp.tests.desk import Console, Desk, new_desk, wait_until

XFREERDP = "xfreerdp /v:127.0.0.1:{port} /cert:ignore /sec:tls /u:nobody /p:nothing"
CLIENTS = {"bitmaps": (XFREERDP, Video.LOSSLESS), "planar": (XFREERDP + " /gfx", Video.LOSSLESS), "AVC420": (XFREERDP + " /gfx:AVC420", Video.AVC420)}
SETTLE_S, MEASURE_S = 3.0, 10.0
KEYS = 60
KEY_PAUSE_S = 0.15
LONGEST_S = 5.0
POLL_S = 0.001
BLOCK, BITS = 16, 8
"""The number of a frame stands in the first row of blocks, black and white, as Gray code: one that is half drawn is not taken for a third."""


def numbered(picture: Picture, number: int) -> Picture:
    marked = picture.copy()
    gray = number ^ number >> 1
    for bit in range(BITS):
        marked[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (gray >> bit & 1)
    return marked


@attrs.define
class Show(Console):
    """A machine whose screen shows the next picture whenever somebody looks, or when a key is struck."""

    pictures: list[Picture] = attrs.field(factory=list)
    moves: bool = True
    struck: list[float] = attrs.field(factory=list)
    _number: int = 0
    _frames: list[Frame] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        order = itertools.islice(self._to_and_fro(), 1 << BITS)
        self._frames = [Frame(0, WIDTH, HEIGHT, numbered(self.pictures[at], number).tobytes()) for number, at in enumerate(order)]

    def frame(self) -> Frame:
        if self.moves:
            self._number += 1
        return attrs.evolve(self._frames[self._number % len(self._frames)], generation=self._number)

    def frame_generation(self) -> int:
        return -1 if self.moves else self._number

    def put_scancodes(self, codes: bytes) -> None:
        if not codes[-1] & 0x80:
            self._number += 1
            self.struck.append(time.monotonic())

    def _to_and_fro(self) -> Iterator[int]:
        last = len(self.pictures) - 1
        return itertools.cycle([*range(last), *range(last, 0, -1)])


def watch(framebuffer: Path, seen: Synchronized[int], at: Synchronized[float], stop: Any) -> None:
    """In a process of its own: count the numbers that come up on the display, and note when the last one did."""
    with framebuffer.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        header = struct.unpack_from(">25I", memory)
        pixel, line = header[11] // 8, header[12]
        middle = header[0] + 12 * header[19] + BLOCK // 2 * line + BLOCK // 2 * pixel
        places = [middle + bit * BLOCK * pixel for bit in range(BITS)]
        last = -1
        while not stop.is_set():
            number = sum((memory[place] > 127) << bit for bit, place in enumerate(places))
            if number != last:
                at.value = time.monotonic()
                seen.value += 1
                last = number
            time.sleep(POLL_S)


@attrs.frozen
class Eye:
    """What is seen on a display."""

    _seen: Synchronized[int]
    _at: Synchronized[float]

    @property
    def seen(self) -> int:
        return self._seen.value

    @property
    def at(self) -> float:
        return self._at.value


@contextlib.contextmanager
def eye(framebuffer: Path) -> Iterator[Eye]:
    context = multiprocessing.get_context("spawn")
    seen, at, stop = context.Value("q", 0), context.Value("d", 0.0), context.Event()
    watcher = context.Process(target=watch, args=(framebuffer, seen, at, stop))
    watcher.start()
    try:
        yield Eye(seen, at)
    finally:
        stop.set()
        watcher.join()


@contextlib.contextmanager
def connected(session: VmSession, client: str) -> Iterator[tuple[RdpFrontend, Desk, Path]]:
    """A client that draws; and the file that is its display's memory."""
    command, video = CLIENTS[client]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        frontend = RdpFrontend(RdpOptions(port="0", video=video))
        frontend.start(session)
        stack.callback(frontend.stop)
        desk = stack.enter_context(new_desk(home, "-fbdir", folder))
        desk.connect(command.format(port=frontend.port))
        wait_until(lambda: bool(frontend.endpoint().clients), lambda: "the client does not come")
        yield frontend, desk, home / "Xvfb_screen0"


def frames(pictures: list[Picture], client: str) -> tuple[float, float]:
    """A second, and kilobytes for each."""
    show = Show(pictures=pictures)
    with connected(cast(VmSession, show), client) as (frontend, desk, framebuffer), eye(framebuffer) as seen:
        wait_until(lambda: seen.seen > 1, lambda: f"nothing is shown, {desk.has_client()=}")
        time.sleep(SETTLE_S)
        start, first, sent = time.monotonic(), seen.seen, frontend.endpoint().sent_bytes
        time.sleep(MEASURE_S)
        shown = seen.seen - first
        return shown / (time.monotonic() - start), (frontend.endpoint().sent_bytes - sent) / 1e3 / shown


def latencies_ms(client: str) -> tuple[list[float], list[float]]:
    """From the press on the client's display to the guest, and to the pixels."""
    show = Show(pictures=list(CONTENTS["typing"]()), moves=False)
    with connected(cast(VmSession, show), client) as (_, desk, framebuffer), eye(framebuffer) as seen:
        wait_until(lambda: seen.seen > 0, lambda: "nothing is shown")
        time.sleep(SETTLE_S)
        desk.focus()
        keys, pixels = [], []
        with subprocess.Popen(["xdotool", "-"], stdin=subprocess.PIPE, env={**os.environ, "DISPLAY": desk.display}) as typist:
            assert typist.stdin is not None
            for _ in range(KEYS):
                before = seen.seen
                show.struck.clear()
                pressed = time.monotonic()
                typist.stdin.write(b"key --delay 0 a\n")
                typist.stdin.flush()
                wait_until(lambda before=before: seen.seen > before, lambda: "the key is not answered", LONGEST_S)  # type: ignore[misc]
                keys.append((show.struck[0] - pressed) * 1e3)
                pixels.append((seen.at - pressed) * 1e3)
                time.sleep(KEY_PAUSE_S)
            typist.stdin.close()
    return keys, pixels


PEER = "a loop on the other processor"
WORK = {
    "calculating, the screen rests": "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo DONE-$i",
    "text scrolls": "i=0; while [ $i -lt 1500 ]; do echo $i the quick brown fox jumps over the lazy dog >/dev/tty0; i=$((i+1)); done; echo DONE-$i",
}


def costs(rounds: int) -> dict[str, dict[str, list[float]]]:
    """How many times as long each work takes in one Linux while a client looks, or the peer computes, as right before, when nobody did."""
    config = boots.machine("recompiler", "console=tty0 console=ttyS0 guest=shell")
    ratios: dict[str, dict[str, list[float]]] = {work: {who: [] for who in (PEER, *CLIENTS)} for work in WORK}
    with Guest(config, PluginRegistry()).start() as guest:
        guest.wait_serial(SHELL, boots.TIMEOUT_S)
        for _ in range(rounds):
            for who in (PEER, *CLIENTS):
                alone = _times(guest)
                with computing() if who == PEER else connected(guest.session, who):
                    time.sleep(SETTLE_S)
                    beside = _times(guest)
                for work in WORK:
                    ratios[work][who].append(beside[work] / alone[work])
    return ratios


def _times(guest: Guest) -> dict[str, float]:
    times = {}
    for work, command in WORK.items():
        said, start = len(guest.serial), time.monotonic()
        guest.send(f"{command}\n")
        guest.wait_serial("\nDONE-", boots.TIMEOUT_S, after=said)
        times[work] = time.monotonic() - start
    return times


@contextlib.contextmanager
def computing() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def _quartiles(ratios: list[float]) -> str:
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{low - 1:+.0%} to {high - 1:+.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.rdp_console", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns with and without a client (default 5, at least 2)")
    rounds = parser.parse_args().rounds
    print("bench: frames", file=sys.stderr)
    shown = Table("what changes", "as", "frames/s", "kB/frame", title=f"xfreerdp at {WIDTH}x{HEIGHT}")
    for content in ("typing", "scrolling text", "full-screen change"):
        pictures = list(CONTENTS[content]())
        for client in CLIENTS:
            rate, size = frames(pictures, client)
            shown.add_row(content, client, f"{rate:.0f}", f"{size:.1f}")
    print("bench: keys", file=sys.stderr)
    answered = Table("client", "key to guest, ms", "key to pixel, ms", "of 20 keys, the slowest", title="A key's way, medians")
    for client in CLIENTS:
        keys, pixels = latencies_ms(client)
        answered.add_row(client, f"{statistics.median(keys):.1f}", f"{statistics.median(pixels):.1f}", f"{statistics.quantiles(pixels, n=20)[-1]:.1f}")
    print("bench: the guest", file=sys.stderr)
    slowed = Table("the guest's work", *(f"beside {who}" for who in (PEER, *CLIENTS)), title="More time for the guest's work, medians (and quartiles)")
    for work, ratios in costs(rounds).items():
        slowed.add_row(work, *(f"{statistics.median(taken) - 1:+.0%} ({_quartiles(taken)})" for taken in ratios.values()))
    for table in (shown, answered, slowed):
        Terminal().print(table)


if __name__ == "__main__":
    main()
