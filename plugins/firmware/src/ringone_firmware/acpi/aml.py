"""Encoder for ACPI Machine Language (ACPI specification 6.4, chapter 20) and resource descriptors (chapter 6.4).

Every function returns the encoded bytes of one term, so that terms nest as they do in ASL. Only the terms that describe this PC are here.
"""

from __future__ import annotations

import struct

ZERO_OP, ONE_OP, NAME_OP, BYTE_PREFIX, WORD_PREFIX, DWORD_PREFIX, STRING_PREFIX = 0x00, 0x01, 0x08, 0x0A, 0x0B, 0x0C, 0x0D
SCOPE_OP, BUFFER_OP, PACKAGE_OP, METHOD_OP, DUAL_NAME_PREFIX, MULTI_NAME_PREFIX = 0x10, 0x11, 0x12, 0x14, 0x2E, 0x2F
LOCAL0_OP, ARG0_OP, STORE_OP, AND_OP, OR_OP, CREATE_DWORD_FIELD_OP, LLESS_OP, IF_OP, RETURN_OP = 0x60, 0x68, 0x70, 0x7B, 0x7D, 0x8A, 0x95, 0xA0, 0xA4
EXT_PREFIX, OP_REGION_OP, FIELD_OP, DEVICE_OP = 0x5B, 0x80, 0x81, 0x82

PCI_CONFIG_SPACE = 2
FIELD_BYTE_ACCESS = 1
METHOD_SERIALIZED = 1 << 3


def _name_segment(segment: str) -> bytes:
    if not 1 <= len(segment) <= 4 or not segment.replace("_", "A").isalnum() or segment[0].isdigit() or segment != segment.upper():
        raise ValueError(f"{segment!r} is no ACPI name segment (one to four of A-Z, 0-9 and _, not led by a digit)")
    return segment.ljust(4, "_").encode("ascii")


def name_string(path: str) -> bytes:
    r"""A name such as ``\_SB.PCI0.ISA`` or ``^PRQA``."""
    body = path.lstrip("\\^")
    prefix = path[: len(path) - len(body)].encode("ascii")
    segments = [_name_segment(part) for part in body.split(".")] if body else []
    match len(segments):
        case 0:
            return prefix + b"\0"
        case 1:
            return prefix + segments[0]
        case 2:
            return prefix + bytes([DUAL_NAME_PREFIX]) + b"".join(segments)
        case count:
            return prefix + bytes([MULTI_NAME_PREFIX, count]) + b"".join(segments)


def package_length(body: int) -> bytes:
    """PkgLength of a term whose rest is `body` bytes long; the length counts its own bytes."""
    if body + 1 < 1 << 6:
        return bytes([body + 1])
    for extra in (1, 2, 3):
        total = body + 1 + extra
        if total < 1 << (4 + 8 * extra):
            return bytes([extra << 6 | total & 0xF]) + (total >> 4).to_bytes(extra, "little")
    raise ValueError(f"an AML term of {body} bytes is too long")


def _packaged(opcode: bytes, body: bytes) -> bytes:
    return opcode + package_length(len(body)) + body


def integer(value: int) -> bytes:
    if value in (0, 1):
        return bytes([ONE_OP if value else ZERO_OP])
    if value < 1 << 8:
        return bytes([BYTE_PREFIX, value])
    if value < 1 << 16:
        return struct.pack("<BH", WORD_PREFIX, value)
    return struct.pack("<BI", DWORD_PREFIX, value)


def string(text: str) -> bytes:
    return bytes([STRING_PREFIX]) + text.encode("ascii") + b"\0"


def eisa_id(text: str) -> bytes:
    """A compressed EISA identifier such as ``PNP0A03``: three letters and four hexadecimal digits, big-endian in a doubleword."""
    letters = [ord(letter) - ord("A") + 1 for letter in text[:3]]
    packed = letters[0] << 26 | letters[1] << 21 | letters[2] << 16 | int(text[3:], 16)
    return bytes([DWORD_PREFIX]) + packed.to_bytes(4, "big")


def buffer(data: bytes) -> bytes:
    return _packaged(bytes([BUFFER_OP]), integer(len(data)) + data)


def package(*elements: bytes) -> bytes:
    return _packaged(bytes([PACKAGE_OP]), bytes([len(elements)]) + b"".join(elements))


def name(path: str, value: bytes) -> bytes:
    return bytes([NAME_OP]) + name_string(path) + value


def scope(path: str, *terms: bytes) -> bytes:
    return _packaged(bytes([SCOPE_OP]), name_string(path) + b"".join(terms))


def device(path: str, *terms: bytes) -> bytes:
    return _packaged(bytes([EXT_PREFIX, DEVICE_OP]), name_string(path) + b"".join(terms))


def method(path: str, arguments: int, *terms: bytes, flags: int = 0) -> bytes:
    return _packaged(bytes([METHOD_OP]), name_string(path) + bytes([arguments | flags]) + b"".join(terms))


def operation_region(path: str, space: int, offset: int, length: int) -> bytes:
    return bytes([EXT_PREFIX, OP_REGION_OP]) + name_string(path) + bytes([space]) + integer(offset) + integer(length)


def field(region: str, access: int, *units: tuple[str, int]) -> bytes:
    """`units` are (name, bits), in order, with no gap."""
    body = b"".join(_name_segment(unit) + package_length(bits - 1) for unit, bits in units)
    return _packaged(bytes([EXT_PREFIX, FIELD_OP]), name_string(region) + bytes([access]) + body)


def arg(number: int) -> bytes:
    return bytes([ARG0_OP + number])


def store(source: bytes, target: bytes) -> bytes:
    return bytes([STORE_OP]) + source + target


def and_(left: bytes, right: bytes, target: bytes = b"\0") -> bytes:
    return bytes([AND_OP]) + left + right + target


def or_(left: bytes, right: bytes, target: bytes = b"\0") -> bytes:
    return bytes([OR_OP]) + left + right + target


def less(left: bytes, right: bytes) -> bytes:
    return bytes([LLESS_OP]) + left + right


def create_dword_field(source: bytes, byte_offset: int, path: str) -> bytes:
    return bytes([CREATE_DWORD_FIELD_OP]) + source + integer(byte_offset) + name_string(path)


def if_(predicate: bytes, *terms: bytes) -> bytes:
    return _packaged(bytes([IF_OP]), predicate + b"".join(terms))


def return_(value: bytes) -> bytes:
    return bytes([RETURN_OP]) + value


def call(path: str, *arguments: bytes) -> bytes:
    return name_string(path) + b"".join(arguments)


# --- Resource descriptors ---------------------------------------------------------------------------------------------------------------------------------

MEMORY_RANGE, IO_RANGE, BUS_RANGE = 0, 1, 2
PRODUCER_FIXED = 0x0C
"""General flags of an address space descriptor: resource producer, minimum and maximum fixed, positive decode."""
MEMORY_CACHEABLE_WRITABLE, MEMORY_WRITABLE, IO_ENTIRE_RANGE = 0x03, 0x01, 0x03
LEVEL_SHARED_CONSUMER = 0x09
"""Interrupt flags of an extended descriptor: consumer, level, active high, shared."""
INTERRUPT_NUMBER_OFFSET = 5
"""Where an extended interrupt descriptor of one interrupt holds its number."""


def resources(*descriptors: bytes) -> bytes:
    """A resource template: the descriptors and an end tag without checksum."""
    return buffer(b"".join(descriptors) + b"\x79\0")


def io(base: int, length: int) -> bytes:
    """I/O port descriptor, 16-bit decode, fixed."""
    return struct.pack("<BBHHBB", 0x47, 0x01, base, base, 1, length)


def irq(*numbers: int) -> bytes:
    """IRQ descriptor without flags: edge, active high, exclusive."""
    return struct.pack("<BH", 0x22, sum(1 << number for number in numbers))


def dma(channel: int) -> bytes:
    """DMA descriptor: compatibility timing, no bus master, 8-bit transfers."""
    return bytes([0x2A, 1 << channel, 0])


def interrupts(*numbers: int) -> bytes:
    """Extended interrupt descriptor for the possible settings of a link device."""
    body = struct.pack("<BB", LEVEL_SHARED_CONSUMER, len(numbers)) + struct.pack(f"<{len(numbers)}I", *numbers)
    return struct.pack("<BH", 0x89, len(body)) + body


def word_range(kind: int, type_flags: int, first: int, last: int) -> bytes:
    body = struct.pack("<BBBHHHHH", kind, PRODUCER_FIXED, type_flags, 0, first, last, 0, last - first + 1 & 0xFFFF)
    return struct.pack("<BH", 0x88, len(body)) + body


def dword_range(kind: int, type_flags: int, first: int, last: int) -> bytes:
    body = struct.pack("<BBBIIIII", kind, PRODUCER_FIXED, type_flags, 0, first, last, 0, last - first + 1)
    return struct.pack("<BH", 0x87, len(body)) + body
