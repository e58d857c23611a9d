"""Static virtual channels ([MS-RDPBCGR] 2.2.6.1): messages cut into chunks, and put together again. Chunks are never compressed: it is not offered."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import Reader

FLAG_FIRST, FLAG_LAST, PACKET_COMPRESSED = 0x01, 0x02, 0x00200000
CHUNK_SIZE = 1600
"""Of data; more only where both sides have said so."""


def chunks(message: bytes) -> Iterator[bytes]:
    for start in range(0, len(message), CHUNK_SIZE):
        end = start + CHUNK_SIZE
        flags = (FLAG_FIRST if start == 0 else 0) | (FLAG_LAST if end >= len(message) else 0)
        yield struct.pack("<II", len(message), flags) + message[start:end]


class Assembler:
    """Chunks of one channel become messages of at most `limit` bytes, of which the first `kept` come out."""

    def __init__(self, name: str, limit: int, kept: int) -> None:
        self._name, self._limit, self._kept = name, limit, kept
        self._message = bytearray()
        self._arrived = 0
        self._total: int | None = None

    def receive(self, chunk: bytes) -> bytes | None:
        """The message with its last chunk."""
        reader = Reader(chunk, f"chunk of channel {self._name}")
        total, flags = reader.u32(), reader.u32()
        if flags & PACKET_COMPRESSED:
            raise ProtocolError(f"{reader.what} is compressed, which was not agreed")
        if total > self._limit:
            raise ProtocolError(f"{reader.what}: a message of {total} bytes; accepted: {self._limit}")
        if flags & FLAG_FIRST:
            self._message.clear()
            self._arrived, self._total = 0, total
        reader.expect(total, -1 if self._total is None else self._total, "length of the message")
        self._arrived += reader.remaining
        self._message += reader.take(min(reader.remaining, self._kept - len(self._message)))
        if self._arrived > total:
            raise ProtocolError(f"{reader.what}: more than the {total} bytes of its message")
        if not flags & FLAG_LAST:
            return None
        reader.expect(total, self._arrived, "length of the message")
        message, self._message, self._total = bytes(self._message), bytearray(), None
        return message
