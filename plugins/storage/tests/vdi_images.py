"""VDI images with small blocks, which RingOne reads and writes but does not create: much happens in few bytes."""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from ringone.api.drivers import BlockDevice
from ringone.api.media import AccessMode
from ringone_storage.formats import VDI
from ringone_storage.vdi.header import SECTOR_BYTES, Header, Kind, parse
from ringone_storage.vdi.image import FREE, to_bytes

BLOCK = 4096
CAPACITY = 64 * BLOCK - 512
"""The last block is cut."""
SECTORS = CAPACITY // 512


def make(path: Path, *, parent: Path | None = None, capacity: int = CAPACITY, block: int = BLOCK, extra: int = 0, kind: Kind | None = None) -> Path:
    """An empty image; `parent` makes it a differencing one."""
    count = -(-capacity // block)
    header = Header(
        kind=kind or (Kind.DYNAMIC if parent is None else Kind.DIFFERENCING),
        capacity_bytes=capacity,
        block_bytes=block,
        extra_bytes=extra,
        block_count=count,
        map_offset=512,
        data_offset=512 + -(-count * 4 // 512) * 512,
        uuid=uuid.uuid4(),
        modification_uuid=uuid.uuid4(),
    )
    if parent is not None:
        above = header_of(parent)
        header = attrs.evolve(header, parent_uuid=above.uuid, parent_modification_uuid=above.modification_uuid)
    write(path, header, array("I", [FREE]) * count)
    return path


def write(path: Path, header: Header, entries: array[int], slots: bytes = b"") -> None:
    path.write_bytes(header.pack().ljust(header.map_offset, b"\0") + to_bytes(entries).ljust(header.data_offset - header.map_offset, b"\0") + slots)


def header_of(path: Path) -> Header:
    return parse(path, path.read_bytes()[:SECTOR_BYTES], path.stat().st_size)


def change_header(path: Path, **changes: Any) -> None:
    """Behind the back of everybody."""
    with path.open("r+b") as file:
        file.write(attrs.evolve(header_of(path), **changes).pack())


def entries_of(path: Path) -> list[int]:
    header = header_of(path)
    return list(array("I", path.read_bytes()[header.map_offset : header.map_offset + header.map_bytes]))


def open_disk(*chain: Path, mode: AccessMode = AccessMode.PERSISTENT) -> BlockDevice:
    return VDI.open(chain, mode, 512)


def content(chain: Sequence[Path]) -> bytes:
    disk = open_disk(*chain, mode=AccessMode.READ_ONLY)
    try:
        return disk.read(0, disk.block_count)
    finally:
        disk.close()


def put(chain: Sequence[Path], block: int, data: bytes) -> None:
    """A machine's life: it writes once."""
    disk = open_disk(*chain)
    disk.write(block, data)
    disk.close()
