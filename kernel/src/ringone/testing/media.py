"""Media in memory, for tests of chips with disks: they fail where a test tells them to."""

from __future__ import annotations

from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError


class MemoryDisk:
    """A `BlockDevice` over a bytearray. `failing` blocks raise, `write_error` is raised by the next writes; `flushes` counts."""

    def __init__(self, data: bytes | bytearray, *, block_size: int = 512, read_only: bool = False) -> None:
        self.data = bytearray(data)
        self.block_size = block_size
        self.block_count = len(data) // block_size
        self.read_only = read_only
        self.failing: set[int] = set()
        self.write_error: MediumError | None = None
        self.flushes = 0
        self.closed = False

    def read(self, block: int, count: int) -> bytes:
        self._check(block, count)
        return bytes(self.data[block * self.block_size : (block + count) * self.block_size])

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        self._check(block, len(data) // self.block_size)
        if self.read_only or len(data) % self.block_size:
            raise MediumError("a write of a read-only medium, or of part of a block")
        if self.write_error is not None:
            raise self.write_error
        self.data[block * self.block_size : block * self.block_size + len(data)] = data

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closed = True

    def _check(self, block: int, count: int) -> None:
        if block < 0 or block + count > self.block_count:
            raise MediumError(f"blocks {block} to {block + count - 1} of a medium with {self.block_count}")
        if self.failing.intersection(range(block, block + count)):
            raise MediumError("a bad block")


class MemoryDrive:
    """A `RemovableMedium` that a test changes with `insert`."""

    def __init__(self, medium: BlockDevice | None = None) -> None:
        self.medium = medium
        self.generation = 0

    def insert(self, medium: BlockDevice | None) -> None:
        self.medium = medium
        self.generation += 1

    def eject(self) -> None:
        self.insert(None)


def numbered_blocks(count: int, block_size: int = 512) -> bytes:
    """A medium whose blocks are all different: each starts with its number and goes on with a byte of its own."""
    return b"".join(number.to_bytes(4, "little") + bytes((number * 7 + 1 & 0xFF,)) * (block_size - 4) for number in range(count))
