"""Bytes of the wire: a reader that never goes beyond its end, and the frames that slow-path and fast-path PDUs come in."""

from __future__ import annotations

import struct

from ringone_frontend_rdp.errors import ProtocolError

TPKT_VERSION = 3
TPKT_HEADER = 4
LONG_LENGTH = 0x80


class Reader:
    """What is read beyond the end is a `ProtocolError` that names `what` is being read."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self.what = what

    @property
    def remaining(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.remaining:
            raise ProtocolError(f"{self.what}: {size} bytes wanted, {self.remaining} there")
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        return self.take(self.remaining)

    def part(self, size: int, what: str) -> Reader:
        return Reader(self.take(size), what)

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u16_be(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def expect(self, value: int, found: int, field: str) -> None:
        if found != value:
            raise ProtocolError(f"{self.what}: {field} is {found:#x}, not {value:#x}")


def pdu_size(buffer: bytes | bytearray, limit: int) -> int | None:
    """Size of the PDU that begins in `buffer`, or None while that cannot be told."""
    if len(buffer) < 2:
        return None
    if buffer[0] == TPKT_VERSION:
        if len(buffer) < TPKT_HEADER:
            return None
        size, smallest = int.from_bytes(buffer[2:4], "big"), TPKT_HEADER + 1
    elif buffer[0] & 3:
        raise ProtocolError(f"a PDU begins with {buffer[0]:#04x}")
    elif buffer[1] & LONG_LENGTH:
        if len(buffer) < 3:
            return None
        size, smallest = int.from_bytes(buffer[1:3], "big") & 0x7FFF, 4
    else:
        size, smallest = buffer[1], 3
    if not smallest <= size <= limit:
        raise ProtocolError(f"a PDU of {size} bytes; accepted: {smallest} to {limit}")
    return size


def tpkt(payload: bytes) -> bytes:
    return struct.pack(">BBH", TPKT_VERSION, 0, TPKT_HEADER + len(payload)) + payload
