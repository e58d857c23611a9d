"""Throw-away writes: a read-only device below, written chunks kept in memory until the machine is closed."""

from __future__ import annotations

import logging

from ringone.api.drivers import BlockDevice
from ringone.api.errors import DiskFullError

from ringone_storage.blocks import require_blocks, whole_blocks

CHUNK_BYTES = 64 << 10
DEFAULT_LIMIT_BYTES = 1 << 30

log = logging.getLogger(__name__)


class ThrowAwayOverlay:
    """Takes `base` over and closes it. `limit_bytes` bounds the memory that the guest's writes can take; behind it a write fails as on a full host disk."""

    def __init__(self, base: BlockDevice, name: str, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._base = base
        self._name = name
        self._block_size = base.block_size
        self._block_count = base.block_count
        self._blocks_per_chunk = CHUNK_BYTES // base.block_size
        self._chunks: dict[int, bytearray] = {}
        self._chunk_limit = limit_bytes // CHUNK_BYTES
        log.info("%s: writes are kept in memory (at most %d MiB) and forgotten when the machine is closed", name, limit_bytes >> 20)

    @property
    def block_size(self) -> int:
        return self._block_size

    @property
    def block_count(self) -> int:
        return self._block_count

    @property
    def read_only(self) -> bool:
        return False

    @property
    def memory_bytes(self) -> int:
        """Host memory that written chunks take."""
        return len(self._chunks) * CHUNK_BYTES

    def read(self, block: int, count: int) -> bytes:
        if not self._chunks:
            return self._base.read(block, count)
        require_blocks(self._name, "read", block, count, self._block_count)
        parts = []
        for index, first, blocks in self._spans(block, count):
            chunk = self._chunks.get(index)
            if chunk is None:
                parts.append(self._base.read(index * self._blocks_per_chunk + first, blocks))
            else:
                parts.append(bytes(chunk[first * self._block_size : (first + blocks) * self._block_size]))
        return b"".join(parts)

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        count = whole_blocks(view, self._block_size)
        require_blocks(self._name, "write", block, count, self._block_count)
        done = 0
        for index, first, blocks in self._spans(block, count):
            start, size = first * self._block_size, blocks * self._block_size
            self._chunk(index)[start : start + size] = view[done : done + size]
            done += size

    def flush(self) -> None:
        """Nothing outlives the machine."""

    def close(self) -> None:
        self._chunks.clear()
        self._base.close()

    def _spans(self, block: int, count: int) -> list[tuple[int, int, int]]:
        """(chunk, first block in it, number of blocks) for every chunk that the range touches."""
        spans = []
        end = block + count
        while block < end:
            index, first = divmod(block, self._blocks_per_chunk)
            blocks = min(self._blocks_per_chunk - first, end - block)
            spans.append((index, first, blocks))
            block += blocks
        return spans

    def _chunk(self, index: int) -> bytearray:
        chunk = self._chunks.get(index)
        if chunk is None:
            if len(self._chunks) >= self._chunk_limit:
                limit_mib = self._chunk_limit * CHUNK_BYTES >> 20
                raise DiskFullError(f"{self._name}: the memory for throw-away writes is used up ({limit_mib} MiB); use mode persistent on a copy of the image")
            start = index * self._blocks_per_chunk
            chunk = bytearray(self._base.read(start, min(self._blocks_per_chunk, self._block_count - start)))
            self._chunks[index] = chunk
        return chunk
