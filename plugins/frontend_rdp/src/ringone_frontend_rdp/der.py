"""DER as CredSSP and SPNEGO use it: definite lengths, one-byte tags, read without recursion.

Nesting is what the caller's code reads, so that no message can make it deeper; every length is checked against the bytes that are there. General ASN.1
libraries build trees from schemas and do not tell how long a message will be before it is whole, which is the one thing a stream needs.
"""

from __future__ import annotations

from ringone_frontend_rdp.errors import ProtocolError

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
ENUMERATED = 0x0A
SEQUENCE = 0x30
LONG_LENGTH = 0x80
MAX_LENGTH_BYTES = 3
MAX_INTEGER_BYTES = 5
"""As many as 32 bits need when their first one is not the sign."""


def context(number: int) -> int:
    """The tag of a constructed element ``[number]``."""
    return 0xA0 | number


def header(data: bytes | bytearray, start: int = 0) -> tuple[int, int] | None:
    """Where the content of the element at `start` begins and ends, the latter perhaps behind the end of `data`. None while its length is not there."""
    if len(data) < start + 2:
        return None
    first = data[start + 1]
    if first < LONG_LENGTH:
        return start + 2, start + 2 + first
    count = first - LONG_LENGTH
    if not 1 <= count <= MAX_LENGTH_BYTES:
        raise ProtocolError(f"a DER length of {count} bytes; accepted are 1 to {MAX_LENGTH_BYTES}")
    begin = start + 2 + count
    if len(data) < begin:
        return None
    return begin, begin + int.from_bytes(data[start + 2 : begin], "big")


class DerReader:
    """The elements of `data`, one after the other. Raises `ProtocolError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def at_end(self) -> bool:
        return self._position == len(self._data)

    def read(self, tag: int) -> bytes:
        """The content of the next element."""
        content = self.read_optional(tag)
        if content is None:
            found = "nothing" if self.at_end else f"{self._data[self._position]:#04x}"
            raise ProtocolError(f"a DER element {tag:#04x} is missing; there is {found}")
        return content

    def read_optional(self, tag: int) -> bytes | None:
        """The content of the next element where that is a `tag`."""
        if self.at_end or self._data[self._position] != tag:
            return None
        span = header(self._data, self._position)
        if span is None or span[1] > len(self._data):
            raise ProtocolError(f"a DER element {tag:#04x} is longer than what holds it")
        begin, self._position = span
        return self._data[begin : self._position]

    def finish(self) -> None:
        if not self.at_end:
            raise ProtocolError(f"{len(self._data) - self._position} bytes after the last DER element")


def only(tag: int, data: bytes) -> bytes:
    """The content of the one element that `data` is."""
    reader = DerReader(data)
    content = reader.read(tag)
    reader.finish()
    return content


def integer(data: bytes) -> int:
    """The value of the INTEGER that `data` is."""
    content = only(INTEGER, data)
    if not 1 <= len(content) <= MAX_INTEGER_BYTES:
        raise ProtocolError(f"a DER integer of {len(content)} bytes; accepted are 1 to {MAX_INTEGER_BYTES}")
    return int.from_bytes(content, "big", signed=True)


def encode(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < LONG_LENGTH:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, LONG_LENGTH | len(length))) + length + content


def encode_integer(value: int) -> bytes:
    size = value.bit_length() // 8 + 1 if value >= 0 else (value + 1).bit_length() // 8 + 1
    return encode(INTEGER, value.to_bytes(size, "big", signed=True))
