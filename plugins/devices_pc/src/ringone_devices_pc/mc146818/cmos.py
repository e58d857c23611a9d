"""What a PC's set-up program leaves in the CMOS memory (Ralf Brown's CMOS list; SeaBIOS and QEMU agree on the boot order and the memory above 16 MiB)."""

from __future__ import annotations

from ringone_devices_pc.mc146818.config import BOOT_CODES, FloppyType, Mc146818Options, boot_devices, geometry

FLOPPY_TYPES = 0x10
DISK_TYPES = 0x12
EQUIPMENT = 0x14
BASE_MEMORY = 0x15
EXTENDED_MEMORY = 0x17
DISK0_TYPE = 0x19
DISK1_TYPE = 0x1A
DISK0_GEOMETRY = 0x1B
DISK1_GEOMETRY = 0x24
CHECKSUM = 0x2E
CHECKSUMMED = range(0x10, 0x2E)
ACTUAL_EXTENDED_MEMORY = 0x30
MEMORY_ABOVE_16M = 0x34
BOOT_THIRD = 0x38
DISK_TRANSLATION = 0x39
BOOT_FIRST_TWO = 0x3D

EQUIPMENT_FLOPPY = 1 << 0
EQUIPMENT_FPU = 1 << 1
EQUIPMENT_MOUSE = 1 << 2
EQUIPMENT_SECOND_FLOPPY = 1 << 6

BASE_KIB = 640
USER_DISK_TYPE = 47
TYPE_ABOVE_14 = 15

FLOPPY_CODES = {
    FloppyType.NONE: 0,
    FloppyType.SIZE_360K: 1,
    FloppyType.SIZE_1_2M: 2,
    FloppyType.SIZE_720K: 3,
    FloppyType.SIZE_1_44M: 4,
    FloppyType.SIZE_2_88M: 5,
}


def _put16(cells: bytearray, index: int, value: int) -> None:
    cells[index : index + 2] = min(max(value, 0), 0xFFFF).to_bytes(2, "little")


def fill(cells: bytearray, options: Mc146818Options) -> None:
    _fill_memory(cells, options.ram_bytes)
    _fill_floppies(cells, options)
    _fill_disk(cells, options.disk0, 4, DISK0_TYPE, DISK0_GEOMETRY)
    _fill_disk(cells, options.disk1, 0, DISK1_TYPE, DISK1_GEOMETRY)
    cells[DISK_TRANSLATION] = options.disk_translation & 0xFF
    first, second, third, *_ = [BOOT_CODES[name] for name in boot_devices(options.boot_order)] + [0, 0, 0]
    cells[BOOT_FIRST_TWO] = second << 4 | first
    cells[BOOT_THIRD] = third << 4
    cells[CHECKSUM : CHECKSUM + 2] = (sum(cells[index] for index in CHECKSUMMED) & 0xFFFF).to_bytes(2, "big")


def _fill_memory(cells: bytearray, ram_bytes: int) -> None:
    extended_kib = (ram_bytes >> 10) - 1024
    _put16(cells, BASE_MEMORY, min(BASE_KIB, ram_bytes >> 10))
    _put16(cells, EXTENDED_MEMORY, extended_kib)
    _put16(cells, ACTUAL_EXTENDED_MEMORY, extended_kib)
    _put16(cells, MEMORY_ABOVE_16M, (ram_bytes - (16 << 20)) >> 16)


def _fill_floppies(cells: bytearray, options: Mc146818Options) -> None:
    cells[FLOPPY_TYPES] = FLOPPY_CODES[options.floppy0] << 4 | FLOPPY_CODES[options.floppy1]
    count = (options.floppy0 is not FloppyType.NONE) + (options.floppy1 is not FloppyType.NONE)
    cells[EQUIPMENT] = EQUIPMENT_FPU | EQUIPMENT_MOUSE | (0, EQUIPMENT_FLOPPY, EQUIPMENT_FLOPPY | EQUIPMENT_SECOND_FLOPPY)[count]


def _fill_disk(cells: bytearray, text: str, type_shift: int, type_index: int, index: int) -> None:
    shape = geometry(text)
    if shape is None:
        return
    cylinders, heads, sectors = shape
    cells[DISK_TYPES] |= TYPE_ABOVE_14 << type_shift
    cells[type_index] = USER_DISK_TYPE
    _put16(cells, index, cylinders)
    cells[index + 2] = heads
    _put16(cells, index + 3, 0xFFFF)
    cells[index + 5] = 0xC0 | (8 if heads > 8 else 0)
    _put16(cells, index + 6, cylinders)
    cells[index + 8] = sectors
