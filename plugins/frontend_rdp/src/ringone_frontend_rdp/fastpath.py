"""Fast-path output ([MS-RDPBCGR] 2.2.9.1.2): bitmap updates, one PDU each, never fragmented."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator

import attrs

UPDATETYPE_BITMAP, UPDATETYPE_SYNCHRONIZE = 1, 3
BITMAP_COMPRESSION, NO_BITMAP_COMPRESSION_HDR = 0x0001, 0x0400
LARGEST_PDU = 0x7FFF
HEADERS = 3 + 3 + 4
RECTANGLE_HEADER = 18
LARGEST_BITMAP = LARGEST_PDU - HEADERS - RECTANGLE_HEADER


class Update(enum.IntEnum):
    """updateCode"""

    BITMAP = 1
    SYNCHRONIZE = 3
    POINTER_NULL = 5
    POINTER_DEFAULT = 6


@attrs.frozen(kw_only=True)
class Bitmap:
    """`data` is `columns` x `rows` pixels, bottom row first; what is right of `width` is padding."""

    left: int
    top: int
    width: int
    height: int
    columns: int
    depth: int
    compressed: bool
    data: bytes

    def encode(self) -> bytes:
        flags = BITMAP_COMPRESSION | NO_BITMAP_COMPRESSION_HDR if self.compressed else 0
        right, bottom = self.left + self.width - 1, self.top + self.height - 1
        return struct.pack("<9H", self.left, self.top, right, bottom, self.columns, self.height, self.depth, flags, len(self.data)) + self.data


def bitmap_updates(bitmaps: Iterable[Bitmap]) -> Iterator[bytes]:
    """One PDU each time, of as many bitmaps as it can hold."""
    batch: list[bytes] = []
    size = HEADERS
    for bitmap in bitmaps:
        encoded = bitmap.encode()
        if size + len(encoded) > LARGEST_PDU:
            yield _bitmap_pdu(batch)
            batch, size = [], HEADERS
        batch.append(encoded)
        size += len(encoded)
    if batch:
        yield _bitmap_pdu(batch)


def _bitmap_pdu(batch: list[bytes]) -> bytes:
    return update(Update.BITMAP, struct.pack("<HH", UPDATETYPE_BITMAP, len(batch)) + b"".join(batch))


def update(code: Update, data: bytes = b"") -> bytes:
    return struct.pack(">BH", 0, 0x8000 | 6 + len(data)) + struct.pack("<BH", code, len(data)) + data
