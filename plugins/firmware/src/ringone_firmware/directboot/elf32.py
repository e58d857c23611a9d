"""Loadable segments of a 32-bit x86 ELF executable (System V ABI, Intel386 supplement)."""

from __future__ import annotations

import struct

import attrs
from ringone.api.errors import ConfigError

MAGIC = b"\x7fELF"
ELFCLASS32, ELFDATA2LSB, EM_386, PT_LOAD = 1, 1, 3, 1
HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIIIIIII")
HIGHEST_PROGRAM_HEADER_COUNT = 64


@attrs.frozen
class Segment:
    """`memory_size` bytes at a physical address; those beyond `data` are zero."""

    address: int
    data: bytes
    memory_size: int


@attrs.frozen
class Executable:
    entry: int
    segments: tuple[Segment, ...]


def looks_like(data: bytes) -> bool:
    return data[:4] == MAGIC


def parse(data: bytes, name: str) -> Executable:
    """Read program headers. `entry` is physical: virtual entry points are moved with the segment that holds them."""
    if len(data) < HEADER.size or not looks_like(data):
        raise ConfigError(f"{name} is no ELF file")
    ident, _, machine, _, entry, program_headers, _, _, _, entry_size, count, *_ = HEADER.unpack_from(data)
    if ident[4] != ELFCLASS32 or ident[5] != ELFDATA2LSB or machine != EM_386:
        raise ConfigError(f"{name} is an ELF file of class {ident[4]} for machine {machine}; a 32-bit file for Intel 386 (class 1, machine 3) is accepted")
    if entry_size < PROGRAM_HEADER.size or not 0 < count <= HIGHEST_PROGRAM_HEADER_COUNT or program_headers + entry_size * count > len(data):
        raise ConfigError(f"{name} has {count} program headers of {entry_size} bytes at {program_headers:#x}, which lie outside the file or are none")
    segments = []
    physical_entry = entry
    for index in range(count):
        kind, offset, virtual, physical, file_size, memory_size, *_ = PROGRAM_HEADER.unpack_from(data, program_headers + index * entry_size)
        if kind != PT_LOAD or not memory_size:
            continue
        if offset + file_size > len(data) or file_size > memory_size:
            raise ConfigError(f"{name}: segment {index} wants {file_size} bytes at file offset {offset:#x}; the file has {len(data)}")
        segments.append(Segment(physical, data[offset : offset + file_size], memory_size))
        if virtual <= entry < virtual + memory_size:
            physical_entry = entry - virtual + physical
    if not segments:
        raise ConfigError(f"{name} has no loadable segment")
    return Executable(physical_entry, tuple(segments))
