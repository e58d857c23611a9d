"""Writes kept in memory above a device: chunks in layers, the highest one written, each able to be forgotten or joined with the one below it."""

from __future__ import annotations

from collections.abc import Iterator

from ringone.api.drivers import BlockDevice
from ringone.api.errors import DiskFullError

from ringone_storage.blocks import require_blocks, whole_blocks

CHUNK_BYTES = 16 << 10
DEFAULT_LIMIT_BYTES = 1 << 30
RUN_CHUNKS = 64
"""How many chunks are written to a device at once."""

Layer = dict[int, bytearray]


class LayerStack:
    """Layers above `base`; at first there is one, the ground, which is never taken away.

    `limit_bytes` bounds the memory that all layers take together; behind it a write fails as on a full host disk, and `advice` says what to do.
    """

    def __init__(self, base: BlockDevice, name: str, advice: str, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.base = base
        self._name = name
        self._advice = advice
        self._block_size = base.block_size
        self._block_count = base.block_count
        self._blocks_per_chunk = CHUNK_BYTES // base.block_size
        self._layers: list[Layer] = [{}]
        self._chunk_count = 0
        self._chunk_limit = limit_bytes // CHUNK_BYTES

    @property
    def levels(self) -> int:
        """Layers above the ground."""
        return len(self._layers) - 1

    @property
    def memory_bytes(self) -> int:
        """Host memory that written chunks take."""
        return self._chunk_count * CHUNK_BYTES

    def push(self) -> None:
        self._layers.append({})

    def rewind(self, level: int) -> None:
        """Forget what was written since `level` (0 lies on the ground) was pushed; it becomes the highest."""
        del self._layers[level + 2 :]
        self._layers[level + 1] = {}
        self._count()

    def drop(self, level: int) -> None:
        """Join a layer with the one below it."""
        upper = self._layers.pop(level + 1)
        self._layers[level].update(upper)
        self._count()

    def clear(self) -> None:
        self._layers = [{}]
        self._chunk_count = 0

    def settle(self, device: BlockDevice) -> None:
        """Write the ground to `device`. What could not be written when this raises stays in the ground."""
        ground = self._layers[0]
        for run in _runs(sorted(ground)):
            device.write(run[0] * self._blocks_per_chunk, b"".join(ground[index] for index in run))
            for index in run:
                del ground[index]
            self._chunk_count -= len(run)

    def read(self, block: int, count: int) -> bytes:
        require_blocks(self._name, "read", block, count, self._block_count)
        parts: list[bytes | memoryview] = []
        below = block
        """First block of those that only the base has."""
        for index, first, blocks in self._spans(block, count):
            chunk = self._find(index)
            if chunk is None:
                continue
            start = index * self._blocks_per_chunk + first
            if below < start:
                parts.append(self.base.read(below, start - below))
            parts.append(memoryview(chunk)[first * self._block_size : (first + blocks) * self._block_size])
            below = start + blocks
        if below == block:
            return self.base.read(block, count)
        if below < block + count:
            parts.append(self.base.read(below, block + count - below))
        return b"".join(parts)

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        count = whole_blocks(view, self._block_size)
        require_blocks(self._name, "write", block, count, self._block_count)
        top = self._layers[-1]
        done = 0
        for index, first, blocks in self._spans(block, count):
            start, size = first * self._block_size, blocks * self._block_size
            chunk = top.get(index)
            if chunk is None:
                self._require_room()
                chunk = bytearray(CHUNK_BYTES) if blocks == self._blocks_per_chunk else self._copy(index)
                top[index] = chunk
                self._chunk_count += 1
            chunk[start : start + size] = view[done : done + size]
            done += size

    def _find(self, index: int) -> bytearray | None:
        for layer in reversed(self._layers):
            if index in layer:
                return layer[index]
        return None

    def _copy(self, index: int) -> bytearray:
        chunk = self._find(index)
        if chunk is not None:
            return bytearray(chunk)
        start = index * self._blocks_per_chunk
        return bytearray(self.base.read(start, min(self._blocks_per_chunk, self._block_count - start)))

    def _require_room(self) -> None:
        if self._chunk_count >= self._chunk_limit:
            raise DiskFullError(f"{self._name}: the memory for writes is used up ({self._chunk_limit * CHUNK_BYTES >> 20} MiB); {self._advice}")

    def _count(self) -> None:
        self._chunk_count = sum(map(len, self._layers))

    def _spans(self, block: int, count: int) -> Iterator[tuple[int, int, int]]:
        """(chunk, first block in it, number of blocks) for every chunk that the range touches."""
        end = block + count
        while block < end:
            index, first = divmod(block, self._blocks_per_chunk)
            blocks = min(self._blocks_per_chunk - first, end - block)
            yield index, first, blocks
            block += blocks


def _runs(indexes: list[int]) -> Iterator[list[int]]:
    """Neighbours together, at most `RUN_CHUNKS`."""
    run: list[int] = []
    for index in indexes:
        if run and (index != run[-1] + 1 or len(run) == RUN_CHUNKS):
            yield run
            run = []
        run.append(index)
    if run:
        yield run
