"""Checks on a chip's block addresses."""

from __future__ import annotations

from ringone.api.errors import MediumError


def require_blocks(name: str, doing: str, block: int, count: int, block_count: int) -> None:
    if block < 0 or count < 0 or block + count > block_count:
        raise MediumError(f"{name}: cannot {doing} {count} blocks at block {block}: the disk image has {block_count} blocks")


def whole_blocks(data: bytes | bytearray | memoryview, block_size: int) -> int:
    size = memoryview(data).nbytes
    if size % block_size:
        raise ValueError(f"a write of {size} bytes is no whole number of {block_size}-byte blocks")
    return size // block_size
