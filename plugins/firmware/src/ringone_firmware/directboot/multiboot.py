"""Multiboot 1 (specification 0.6.96): header search, ELF and address-field loading, boot information. One module at most: the machine's initrd."""

from __future__ import annotations

import struct

import attrs
from ringone.api.config import LinuxBoot, MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage, MemoryImage

from ringone_firmware import e820
from ringone_firmware.directboot import elf32, placement
from ringone_firmware.directboot.elf32 import Executable, Segment
from ringone_firmware.directboot.entry import KernelEntry, cpu_state, stub_images

SEARCH_LIMIT = 8192
HEADER_MAGIC, LOADER_MAGIC = 0x1BADB002, 0x2BADB002
HEADER_ADDRESS_FIELDS = 1 << 16
KNOWN_REQUIREMENTS = 0b111
MANDATORY = 0xFFFF
INFO_MEMORY, INFO_CMDLINE, INFO_MODULES, INFO_MEMORY_MAP, INFO_LOADER_NAME = 1 << 0, 1 << 2, 1 << 3, 1 << 6, 1 << 9
INFO_SIZE = 120
LOADER_NAME = b"RingOne\0"
CMDLINE_LIMIT = 4095
LOWER_MEMORY_KIB = e820.EBDA_START >> 10


@attrs.frozen
class Header:
    offset: int
    flags: int


def find_header(data: bytes) -> Header | None:
    """The first doubleword-aligned header in the file's first 8 KiB whose checksum holds."""
    for offset in range(0, min(len(data), SEARCH_LIMIT) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<III", data, offset)
        if magic == HEADER_MAGIC and magic + flags + checksum & 0xFFFFFFFF == 0:
            return Header(offset, flags)
    return None


def load(config: MachineConfig, boot: LinuxBoot, data: bytes, header: Header) -> FirmwareImage:
    name = f"kernel {boot.kernel}"
    if header.flags & MANDATORY & ~KNOWN_REQUIREMENTS:
        raise ConfigError(f"{name} demands Multiboot features {header.flags & MANDATORY:#06x}; known are {KNOWN_REQUIREMENTS:#06x}")
    executable = _by_address_fields(data, header, name) if header.flags & HEADER_ADDRESS_FIELDS else elf32.parse(data, name)
    _check_segments(executable, name)
    acpi = placement.place_acpi(config)
    usable = config.memory_bytes - acpi.reserved
    end = max(segment.address + segment.memory_size for segment in executable.segments)
    placement.check_fits(name, 0, end, usable)
    module = placement.read_initrd(boot)
    module_at = max(end, e820.HIGH_START) + placement.PAGE - 1 & -placement.PAGE
    placement.check_fits(f"module {boot.initrd}", module_at, len(module), usable)
    cmdline = placement.command_line(f"{boot.kernel} {boot.append}".strip(), CMDLINE_LIMIT, name)
    images = (
        *stub_images(KernelEntry(address=executable.entry, eax=LOADER_MAGIC, ebx=placement.INFO)),
        MemoryImage(address=placement.INFO, data=_information(config, acpi.reserved, boot, module_at, len(module))),
        MemoryImage(address=placement.CMDLINE, data=cmdline),
        *(MemoryImage(address=segment.address, data=segment.data.ljust(segment.memory_size, b"\0")) for segment in executable.segments),
        *acpi.images(),
        *((MemoryImage(address=module_at, data=module),) if module else ()),
    )
    return FirmwareImage(name="linux", rom=acpi.rom(), ram=images, entry=cpu_state())


def _by_address_fields(data: bytes, header: Header, name: str) -> Executable:
    if header.offset + 32 > len(data):
        raise ConfigError(f"{name} ends inside its Multiboot header")
    header_addr, load_addr, load_end, bss_end, entry = struct.unpack_from("<5I", data, header.offset + 12)
    start = header.offset - (header_addr - load_addr)
    stop = start + load_end - load_addr if load_end else len(data)
    size = max(bss_end - load_addr, stop - start)
    if not 0 <= start < stop <= len(data):
        raise ConfigError(f"{name} has Multiboot address fields that load file bytes {start} to {stop}; the file has {len(data)}")
    return Executable(entry, (Segment(load_addr, data[start:stop], size),))


def _check_segments(executable: Executable, name: str) -> None:
    """What lies below 1 MiB must leave the boot information and the entry program alone."""
    for segment in executable.segments:
        if segment.address < e820.HIGH_START:
            raise ConfigError(f"{name} wants to be loaded at {segment.address:#x}; addresses from {e820.HIGH_START:#x} on are accepted")


def _information(config: MachineConfig, reserved: int, boot: LinuxBoot, module_at: int, module_size: int) -> bytes:
    """The information structure, followed by what it points to."""
    ranges = e820.encode(e820.memory_map(config.memory_bytes, reserved))
    memory_map = b"".join(struct.pack("<I", 20) + ranges[at : at + 20] for at in range(0, len(ranges), 20))
    memory_map_at = placement.INFO + INFO_SIZE
    name_at = memory_map_at + len(memory_map)
    modules_at = name_at + len(LOADER_NAME)
    modules = struct.pack("<IIII", module_at, module_at + module_size, modules_at + 16, 0) + str(boot.initrd).encode() + b"\0" if module_size else b""
    flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP | INFO_LOADER_NAME
    upper_kib = config.memory_bytes - reserved - e820.HIGH_START >> 10
    info = bytearray(INFO_SIZE)
    struct.pack_into("<7I", info, 0, flags, LOWER_MEMORY_KIB, upper_kib, 0, placement.CMDLINE, 1 if module_size else 0, modules_at)
    struct.pack_into("<II", info, 44, len(memory_map), memory_map_at)
    struct.pack_into("<I", info, 64, name_at)
    return bytes(info) + memory_map + LOADER_NAME + modules
