"""The guest's memory map: what INT 15h E820, Linux boot parameters and Multiboot report alike."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable

import attrs

EBDA_START = 0x9FC00
VGA_START = 0xA0000
BIOS_START = 0xF0000
HIGH_START = 0x100000
ALIGNMENT = 0x10000


class RangeType(enum.IntEnum):
    RAM = 1
    RESERVED = 2
    ACPI_RECLAIM = 3
    ACPI_NVS = 4


@attrs.frozen
class MemoryRange:
    start: int
    size: int
    type: RangeType


def memory_map(memory_bytes: int, reserved_top: int) -> tuple[MemoryRange, ...]:
    """`reserved_top` bytes at the end of RAM hold ACPI tables."""
    ranges = [
        MemoryRange(0, EBDA_START, RangeType.RAM),
        MemoryRange(EBDA_START, VGA_START - EBDA_START, RangeType.RESERVED),
        MemoryRange(BIOS_START, HIGH_START - BIOS_START, RangeType.RESERVED),
        MemoryRange(HIGH_START, memory_bytes - reserved_top - HIGH_START, RangeType.RAM),
    ]
    if reserved_top:
        ranges.append(MemoryRange(memory_bytes - reserved_top, reserved_top, RangeType.ACPI_NVS))
    return tuple(each for each in ranges if each.size > 0)


def encode(ranges: Iterable[MemoryRange]) -> bytes:
    """20 bytes a range, as the BIOS call returns them."""
    return b"".join(struct.pack("<QQI", each.start, each.size, each.type) for each in ranges)
