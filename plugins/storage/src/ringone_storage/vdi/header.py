"""The header of a VDI image: the first 512 bytes, little-endian.

    0x00 text 64        0x40 signature         0x44 version           0x48 header size
    0x4C kind           0x50 flags             0x54 comment 256       0x154 map offset
    0x158 data offset   0x15C CHS, sector 16   0x16C unused           0x170 capacity u64
    0x178 block size    0x17C extra per block  0x180 blocks           0x184 allocated blocks
    0x188 UUID          0x198 modification     0x1A8 parent           0x1B8 parent's modification
    0x1C8 CHS of the BIOS 16 (headers of 0x190 bytes)

It is always written as one piece that lies in one sector. Images of version 0 and undo images are left out.
"""

from __future__ import annotations

import enum
import struct
from pathlib import Path
from typing import cast
from uuid import UUID

import attrs
from ringone.api.errors import MediumError

HEADER = struct.Struct("<64sIIIII256sIIIIIIIQIIII16s16s16s16s16s")
"""Every field from 0x00 to 0x1D8."""
SECTOR_BYTES = 512
PREHEADER_BYTES = 0x48
SHORT_HEADER_BYTES, FULL_HEADER_BYTES = 0x180, 0x190
SIGNATURE_OFFSET = 0x40
SIGNATURE = 0xBEDA107F
VERSION = 0x0001_0001
TEXT = b"<<< RingOne Disk Image >>>\n"
COMMENT_BYTES = 256

BLOCK_BYTES = 1 << 20
DATA_ALIGNMENT = 1 << 20
MAX_BLOCK_BYTES = 64 << 20
MAX_BLOCKS = 1 << 24
"""Bounds the memory of a map at 64 MiB; with blocks of 1 MiB it is a disk of 16 TiB."""
ENTRY_BYTES = 4

NO_UUID = UUID(int=0)


class Kind(enum.IntEnum):
    DYNAMIC = 1
    FIXED = 2
    UNDO = 3
    DIFFERENCING = 4


@attrs.frozen(kw_only=True)
class Header:
    """`size` counts from 0x48 on. `geometry` and `bios_geometry` are kept as they are."""

    kind: Kind
    capacity_bytes: int
    block_count: int
    map_offset: int
    data_offset: int
    uuid: UUID
    modification_uuid: UUID
    parent_uuid: UUID = NO_UUID
    parent_modification_uuid: UUID = NO_UUID
    block_bytes: int = BLOCK_BYTES
    extra_bytes: int = 0
    allocated: int = 0
    flags: int = 0
    comment: bytes = b""
    text: bytes = TEXT
    version: int = VERSION
    size: int = FULL_HEADER_BYTES
    geometry: tuple[int, int, int, int, int] = (0, 0, 0, SECTOR_BYTES, 0)
    bios_geometry: bytes = bytes(16)

    @property
    def stride(self) -> int:
        """From one slot to the next."""
        return self.block_bytes + self.extra_bytes

    @property
    def map_bytes(self) -> int:
        return self.block_count * ENTRY_BYTES

    @property
    def differencing(self) -> bool:
        return self.kind is Kind.DIFFERENCING

    def slots_end(self, slots: int) -> int:
        """Where a file with that many slots ends."""
        return self.data_offset + slots * self.stride

    def pack(self) -> bytes:
        data = HEADER.pack(
            self.text,
            SIGNATURE,
            self.version,
            self.size,
            self.kind,
            self.flags,
            self.comment,
            self.map_offset,
            self.data_offset,
            *self.geometry,
            self.capacity_bytes,
            self.block_bytes,
            self.extra_bytes,
            self.block_count,
            self.allocated,
            self.uuid.bytes_le,
            self.modification_uuid.bytes_le,
            self.parent_uuid.bytes_le,
            self.parent_modification_uuid.bytes_le,
            self.bios_geometry,
        )
        return data[: PREHEADER_BYTES + min(self.size, FULL_HEADER_BYTES)]


def is_vdi(head: bytes) -> bool:
    return head[SIGNATURE_OFFSET : SIGNATURE_OFFSET + 4] == SIGNATURE.to_bytes(4, "little")


def parse(path: Path, head: bytes, file_bytes: int) -> Header:
    """Raises `MediumError` for what is no VDI, is damaged or is of a kind that is not supported."""
    if not is_vdi(head):
        raise MediumError(f"{path}: is no VDI image: the signature {SIGNATURE:#x} is missing")
    if len(head) < PREHEADER_BYTES + SHORT_HEADER_BYTES:
        raise MediumError(f"{path}: the VDI header is cut short: the file has {file_bytes} bytes")
    text, _, version, size, kind, flags, comment, map_offset, data_offset, *rest = HEADER.unpack(head[: HEADER.size].ljust(HEADER.size, b"\0"))
    *geometry, capacity, block_bytes, extra_bytes, block_count, allocated, created, modified, parent, parent_modified, bios_geometry = rest
    if version >> 16 != VERSION >> 16:
        raise MediumError(f"{path}: is a VDI image of version {version >> 16}.{version & 0xFFFF}; accepted is 1.1")
    if kind not in (Kind.DYNAMIC, Kind.FIXED, Kind.DIFFERENCING):
        name = "an undo image" if kind == Kind.UNDO else f"of kind {kind}"
        raise MediumError(f"{path}: this VDI image is {name}; accepted are dynamic (1), fixed (2) and differencing (4)")
    header = Header(
        kind=Kind(kind),
        capacity_bytes=capacity,
        block_count=block_count,
        map_offset=map_offset,
        data_offset=data_offset,
        uuid=UUID(bytes_le=created),
        modification_uuid=UUID(bytes_le=modified),
        parent_uuid=UUID(bytes_le=parent),
        parent_modification_uuid=UUID(bytes_le=parent_modified),
        block_bytes=block_bytes,
        extra_bytes=extra_bytes,
        allocated=allocated,
        flags=flags,
        comment=comment,
        text=text,
        version=version,
        size=size,
        geometry=cast("tuple[int, int, int, int, int]", tuple(geometry)),
        bios_geometry=bios_geometry,
    )
    for mistake in _mistakes(header, file_bytes):
        raise MediumError(f"{path}: the VDI header is damaged: {mistake}")
    return header


def _mistakes(header: Header, file_bytes: int) -> list[str]:
    block = header.block_bytes
    header_end = PREHEADER_BYTES + header.size
    map_end = header.map_offset + header.map_bytes
    blocks = -(-header.capacity_bytes // block) if block else 0
    checks = [
        (header.size < SHORT_HEADER_BYTES, f"its size is {header.size} bytes; at least {SHORT_HEADER_BYTES} are needed"),
        (not SECTOR_BYTES <= block <= MAX_BLOCK_BYTES or block & (block - 1), f"the block size is {block}; accepted are powers of two from 512 to 64 MiB"),
        (header.extra_bytes > block, f"{header.extra_bytes} extra bytes a block are more than the block's {block}"),
        (not header.capacity_bytes or header.capacity_bytes % SECTOR_BYTES, f"the capacity of {header.capacity_bytes} bytes is no whole number of sectors"),
        (header.block_count > MAX_BLOCKS, f"{header.block_count} blocks; at most {MAX_BLOCKS} are supported"),
        (header.block_count != blocks, f"{header.block_count} blocks of {block} bytes do not make {header.capacity_bytes} bytes"),
        (header.map_offset % ENTRY_BYTES or header.map_offset < header_end, f"the block map cannot lie at {header.map_offset:#x}"),
        (header.data_offset < map_end, f"the data at {header.data_offset:#x} overlaps the block map, which ends at {map_end:#x}"),
        (file_bytes < map_end, f"the file is cut short: it has {file_bytes} bytes, the block map ends at {map_end}"),
        (header.differencing and header.uuid == header.parent_uuid, f"the image is its own parent ({header.uuid})"),
    ]
    return [text for wrong, text in checks if wrong]


def layout(block_count: int) -> tuple[int, int]:
    """Map offset and data offset of a new image."""
    end = SECTOR_BYTES + block_count * ENTRY_BYTES
    return SECTOR_BYTES, -(-end // DATA_ALIGNMENT) * DATA_ALIGNMENT
