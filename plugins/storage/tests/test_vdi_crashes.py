"""Whatever moment a process is killed or the host loses power: images open, what was flushed is there, and interrupted work can be done again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from ringone.api.media import ImageTools
from ringone_storage.formats import VDI
from ringone_storage.vdi.disk import VdiDisk

from plugins.storage.tests.crash import Recorder, restore
from plugins.storage.tests.vdi_images import BLOCK, CAPACITY, SECTORS, content, header_of, make, open_disk, put

SEEDS = range(int(os.environ.get("RINGONE_CRASH_SEEDS", "1")))
KILLS = int(os.environ.get("RINGONE_KILLS", "2"))
assert VDI.tools is not None
TOOLS: ImageTools = VDI.tools


class Guest:
    """Writes, discards and flushes at random, and knows what each sector may hold after a crash: what was last flushed, or anything written since."""

    def __init__(self, disk: VdiDisk, recorder: Recorder, luck: random.Random) -> None:
        self.disk, self.recorder, self.luck = disk, recorder, luck
        self.present = bytearray(disk.read(0, SECTORS))
        self.flushes = [(0, bytes(self.present))]
        self.writes: list[tuple[int, int, bytes]] = []
        """(steps before it, sector, what the sector became)"""

    def live(self, actions: int) -> None:
        for _ in range(actions):
            self.luck.choice([self.write, self.write, self.write, self.discard, self.flush])()

    def write(self) -> None:
        block, count = self._range()
        data = self.luck.choice([self.luck.randbytes(count * 512), bytes(count * 512)])
        self._change(block, data)
        self.disk.write(block, data)

    def discard(self) -> None:
        block, count = self._range()
        self._change(block, bytes(count * 512))
        self.disk.discard(block, count)
        self.present[:] = self.disk.read(0, SECTORS)

    def flush(self) -> None:
        self.disk.flush()
        self.flushes.append((len(self.recorder.steps), bytes(self.present)))

    def require_possible(self, found: bytes, steps: int) -> None:
        flushed_at, flushed = [flush for flush in self.flushes if flush[0] <= steps][-1]
        possible = [{flushed[sector * 512 : sector * 512 + 512]} for sector in range(SECTORS)]
        for begun, sector, data in self.writes:
            if flushed_at <= begun <= steps:
                possible[sector].add(data)
        wrong = [sector for sector in range(SECTORS) if found[sector * 512 : sector * 512 + 512] not in possible[sector]]
        assert not wrong, f"sectors {wrong} hold neither what was flushed nor what was written since"

    def _range(self) -> tuple[int, int]:
        block = self.luck.randrange(SECTORS)
        return block, min(self.luck.choice([1, 8, 30]), SECTORS - block)

    def _change(self, block: int, data: bytes) -> None:
        for number in range(len(data) // 512):
            self.writes.append((len(self.recorder.steps), block + number, data[number * 512 : number * 512 + 512]))
        self.present[block * 512 : block * 512 + len(data)] = data


def family(folder: Path, luck: random.Random, depth: int) -> list[Path]:
    """A chain with something in every image, youngest first."""
    chain: list[Path] = []
    for number in range(depth):
        chain.insert(0, make(folder / f"{number}.vdi", parent=chain[0] if chain else None, extra=512))
        for _ in range(6):
            block = luck.randrange(SECTORS - 8)
            put(chain, block, luck.choice([luck.randbytes(BLOCK), bytes(BLOCK)]))
        put(chain, 8 * number, luck.randbytes(3 * BLOCK))
        put(chain, 8 * number + 4, bytes(2 * BLOCK))
    return chain


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("depth", [1, 2], ids=["base", "differencing"])
def test_what_a_guest_flushed_survives_every_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int, seed: int) -> None:
    luck = random.Random(seed)
    chain = family(tmp_path, luck, depth)
    with monkeypatch.context() as patched:
        recorder = Recorder(chain, patched)
        disk = open_disk(*chain)
        assert isinstance(disk, VdiDisk)
        guest = Guest(disk, recorder, luck)
        guest.live(30)
        disk.close()
    guest.flushes.append((len(recorder.steps), bytes(guest.present)))
    for steps, _, contents in recorder.crashes(seed):
        restore(contents)
        guest.require_possible(content(chain), steps)


Work = Callable[[list[Path]], list[Path]]


def merge_down(chain: list[Path]) -> list[Path]:
    """The middle one into the base; the youngest then stands on that."""
    TOOLS.merge(chain[1], chain[2])
    TOOLS.set_parent(chain[0], chain[2])
    return [chain[0], chain[2]]


def merge_up(chain: list[Path]) -> list[Path]:
    if header_of(chain[1]).differencing:
        TOOLS.merge(chain[2], chain[1])
    return chain[:2]


def merge_up_in_the_middle(chain: list[Path]) -> list[Path]:
    if header_of(chain[0]).parent_uuid == header_of(chain[1]).uuid:
        TOOLS.merge(chain[1], chain[0])
    return [chain[0], chain[2]]


def compact(chain: list[Path]) -> list[Path]:
    TOOLS.compact(chain)
    return chain


def whole_chain(chain: list[Path]) -> list[Path]:
    """As the headers say it now."""
    by_uuid = {header_of(path).uuid: path for path in chain}
    result = [chain[0]]
    while header_of(result[-1]).differencing:
        result.append(by_uuid[header_of(result[-1]).parent_uuid])
    return result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("work", [merge_down, merge_up, merge_up_in_the_middle, compact], ids=lambda work: work.__name__)
def test_work_on_a_chain_can_be_interrupted_and_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Work, seed: int) -> None:
    chain = family(tmp_path, random.Random(seed), 3)
    expected = content(chain)
    with monkeypatch.context() as patched:
        recorder = Recorder(chain, patched)
        assert content(work(chain)) == expected
    assert recorder.steps
    for steps, what, contents in recorder.crashes(seed):
        restore(contents)
        assert content(whole_chain(chain)) == expected, (steps, what)
        assert content(work(chain)) == expected, (steps, what)


@pytest.mark.parametrize("blocks", [100, 140], ids=["map has room", "map needs room"])
def test_growing_can_be_interrupted_and_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    chain = family(tmp_path, random.Random(1), 1)
    expected = content(chain)
    with monkeypatch.context() as patched:
        recorder = Recorder(chain, patched)
        TOOLS.resize(chain[0], blocks * BLOCK)
    for steps, what, contents in recorder.crashes():
        restore(contents)
        assert header_of(chain[0]).capacity_bytes in (CAPACITY, blocks * BLOCK)
        assert content(chain)[:CAPACITY] == expected, (steps, what)
        TOOLS.resize(chain[0], blocks * BLOCK)
        assert content(chain) == expected.ljust(blocks * BLOCK, b"\0"), (steps, what)


WRITER = """
    import random, sys
    from pathlib import Path
    from ringone.api.media import AccessMode
    from ringone_storage.vdi.disk import open_vdi
    luck = random.Random(int(sys.argv[1]))
    disk = open_vdi([Path(name) for name in sys.argv[2:]], AccessMode.PERSISTENT, 512)
    for turn in range(1, 256):
        for _ in range(5):
            block = luck.randrange(disk.block_count // 8 - 1) * 8 + luck.randrange(8)
            disk.write(block, bytes([turn]) * 512)
        disk.write(0, bytes([turn]) * 512)
        disk.flush()
        print(turn, flush=True)
"""


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_process_that_is_killed_leaves_what_it_had_flushed(tmp_path: Path, seed: int) -> None:
    chain = family(tmp_path, random.Random(seed), 2)
    turns = 20 + 17 * seed % 150
    writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), str(seed), *map(str, chain)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer:
        for _ in range(turns):
            writer.stdout.readline()
        writer.kill()
    luck = random.Random(seed)
    expected = bytearray(content(chain))
    assert turns <= expected[0] <= 255
    for turn in range(1, turns + 1):
        for _ in range(5):
            block = luck.randrange(SECTORS // 8 - 1) * 8 + luck.randrange(8)
            assert expected[block * 512] >= turn
            assert expected[block * 512 : block * 512 + 512] == expected[block * 512 : block * 512 + 1] * 512
