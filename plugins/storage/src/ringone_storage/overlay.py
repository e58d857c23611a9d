"""Throw-away writes: a read-only device below, written chunks kept in memory until the machine is closed."""

from __future__ import annotations

import logging

from ringone.api.drivers import BlockDevice

from ringone_storage.layers import DEFAULT_LIMIT_BYTES, LayerStack

ADVICE = "use mode persistent on a copy of the image"

log = logging.getLogger(__name__)


class ThrowAwayOverlay:
    """Takes `base` over and closes it. `limit_bytes` bounds the memory that the guest's writes can take; behind it a write fails as on a full host disk."""

    def __init__(self, base: BlockDevice, name: str, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._stack = LayerStack(base, name, ADVICE, limit_bytes)
        log.info("%s: writes are kept in memory (at most %d MiB) and forgotten when the machine is closed", name, limit_bytes >> 20)

    @property
    def block_size(self) -> int:
        return self._stack.base.block_size

    @property
    def block_count(self) -> int:
        return self._stack.base.block_count

    @property
    def read_only(self) -> bool:
        return False

    @property
    def memory_bytes(self) -> int:
        """Host memory that written chunks take."""
        return self._stack.memory_bytes

    def read(self, block: int, count: int) -> bytes:
        return self._stack.read(block, count)

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        self._stack.write(block, data)

    def flush(self) -> None:
        """Nothing outlives the machine."""

    def close(self) -> None:
        self._stack.clear()
        self._stack.base.close()
