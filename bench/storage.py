"""How fast disks are: VDI images, fresh and full, alone and in a chain, beside raw ones: ``python -m bench.storage``."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from ringone.api.drivers import BlockDevice
from ringone.api.media import AccessMode, MediumFormatSpec, MediumVariant, NewMedium
from ringone.plugins import PluginRegistry

MIB = 1 << 20
SIZE = 512 * MIB
REQUEST_SECTORS = 256
SMALL_SECTORS = 8
SMALL_COUNT = 4000
CHAIN_DEPTH = 20
TESTS = ("write in order", "write again", "read in order", "write 4 KiB anywhere", "read 4 KiB anywhere")


def _seconds(blocks: Sequence[int], access: Callable[[int], object], end: Callable[[], None]) -> float:
    os.sync()  # what others have written is not paid for here
    start = time.perf_counter()
    for block in blocks:
        access(block)
    end()
    return time.perf_counter() - start


def _nothing() -> None:
    """After reading."""


def _in_order(access: Callable[[int], object], end: Callable[[], None] = _nothing) -> str:
    seconds = _seconds(range(0, SIZE // 512, REQUEST_SECTORS), access, end)
    return f"{SIZE / MIB / seconds:,.0f} MiB/s"


def _anywhere(access: Callable[[int], object], end: Callable[[], None] = _nothing) -> str:
    luck = random.Random(1)
    blocks = [luck.randrange(SIZE // 512 // SMALL_SECTORS) * SMALL_SECTORS for _ in range(SMALL_COUNT)]
    return f"{SMALL_COUNT / _seconds(blocks, access, end):,.0f} /s"


def _measure(disk: BlockDevice) -> list[str]:
    data = random.Random(2).randbytes(REQUEST_SECTORS * 512)
    small = data[: SMALL_SECTORS * 512]
    try:
        return [
            _in_order(lambda block: disk.write(block, data), disk.flush),
            _in_order(lambda block: disk.write(block, data), disk.flush),
            _in_order(lambda block: disk.read(block, REQUEST_SECTORS)),
            _anywhere(lambda block: disk.write(block, small), disk.flush),
            _anywhere(lambda block: disk.read(block, SMALL_SECTORS)),
        ]
    finally:
        disk.close()


def _first_small_writes(disk: BlockDevice) -> str:
    """Into an empty image: every write gives a block its place."""
    data = b"x" * SMALL_SECTORS * 512
    try:
        return _anywhere(lambda block: disk.write(block, data), disk.flush)
    finally:
        disk.close()


def _create(spec: MediumFormatSpec, path: Path, parent: Path | None = None) -> Path:
    assert spec.tools is not None
    if parent is None:
        return spec.tools.create(NewMedium(path=path, capacity_bytes=SIZE)).path
    return spec.tools.create(NewMedium(path=path, parent=parent, variant=MediumVariant.DIFFERENCING)).path


def _chain(spec: MediumFormatSpec, folder: Path, name: str, depth: int) -> list[Path]:
    chain = [_create(spec, folder / f"{name}0.vdi")]
    for number in range(1, depth):
        chain.insert(0, _create(spec, folder / f"{name}{number}.vdi", chain[0]))
    return chain


def main() -> None:
    formats = PluginRegistry().media_formats()
    vdi, raw = formats["vdi"], formats["raw"]
    table = Table("disk of 512 MiB", *TESTS, title="RingOne's disks, in requests of 128 KiB and 4 KiB; written data is flushed at the end")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def opened(spec: MediumFormatSpec, chain: Sequence[Path]) -> BlockDevice:
            return spec.open(chain, AccessMode.PERSISTENT, 512)

        table.add_row("raw", *_measure(opened(raw, [_create(raw, folder / "raw.img")])))
        base = _chain(vdi, folder, "base", 1)
        table.add_row("VDI, dynamic", *_measure(opened(vdi, base)))
        child = [_create(vdi, folder / "child.vdi", base[0]), *base]
        table.add_row("VDI on a full parent", *_measure(opened(vdi, child)))
        table.add_row(f"VDI on {CHAIN_DEPTH - 1} empty parents", *_measure(opened(vdi, _chain(vdi, folder, "deep", CHAIN_DEPTH))))
        table.add_row("first writes, dynamic", "", "", "", _first_small_writes(opened(vdi, _chain(vdi, folder, "fresh", 1))), "")
        fresh = [_create(vdi, folder / "fresh-child.vdi", base[0]), *base]
        table.add_row("first writes, on a full parent", "", "", "", _first_small_writes(opened(vdi, fresh)), "")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
