"""INT 13h: sectors by CHS and by LBA, what drives say about themselves, and errors."""

import struct

import pytest
from ringone.testing.media import MemoryDisk, MemoryDrive, numbered_blocks
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.drives import Geometry, disk_geometry

from .rom_loop import Guest, bench, booted

SECTORS = 16 * 1024
"""A disk of 8 MiB: 16 cylinders of 16 heads and 63 sectors."""
BUFFER = 0x20000
BUFFER_SEGMENT = 0x2000


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk(numbered_blocks(SECTORS))


@pytest.fixture
def floppy() -> MemoryDrive:
    return MemoryDrive(MemoryDisk(numbered_blocks(2880)))


@pytest.fixture
def cd() -> MemoryDrive:
    return MemoryDrive(MemoryDisk(numbered_blocks(200, 2048), block_size=2048, read_only=True))


@pytest.fixture
def guest(disk: MemoryDisk, floppy: MemoryDrive, cd: MemoryDrive) -> Guest:
    return booted(bench(disks=(disk,), floppies=(floppy,), cds=(cd,)))


def first_block(guest: Guest, at: int = BUFFER) -> int:
    return int.from_bytes(guest.memory.read(at, 4), "little")


def packet(guest: Guest, sector: int, count: int, *, size: int = 16, buffer: tuple[int, int] = (0, BUFFER_SEGMENT), flat: int = 0) -> None:
    guest.memory.write(0x30000, struct.pack("<BBHHHQQ", size, 0, count, *buffer, sector, flat))


@pytest.mark.parametrize(
    ("dl", "cylinder", "head", "sector", "block"),
    [(0x80, 0, 0, 1, 0), (0x80, 0, 1, 1, 63), (0x80, 1, 0, 1, 16 * 63), (0x80, 15, 15, 63, 16 * 16 * 63 - 1), (0x00, 79, 1, 18, 2879)],
)
def test_a_sector_is_found_by_cylinder_head_and_sector(dl: int, cylinder: int, head: int, sector: int, block: int, guest: Guest) -> None:
    after = guest.call(0x13, ah=2, al=1, ch=cylinder & 0xFF, cl=sector | cylinder >> 2 & 0xC0, dh=head, dl=dl, es=BUFFER_SEGMENT)
    assert (after.carry, after.ah, after.al) == (False, 0, 1)
    assert first_block(guest) == block


def test_several_sectors_are_read_across_tracks(guest: Guest) -> None:
    guest.call(0x13, ah=2, al=36, cx=1, dx=0, es=BUFFER_SEGMENT)
    assert [first_block(guest, BUFFER + 512 * index) for index in (0, 17, 18, 35)] == [0, 17, 18, 35]


def test_what_is_written_can_be_read(guest: Guest, disk: MemoryDisk) -> None:
    guest.memory.write(BUFFER, b"W" * 1024)
    assert not guest.call(0x13, ah=3, al=2, cx=5, dl=0x80, es=BUFFER_SEGMENT).carry
    assert disk.data[4 * 512 : 6 * 512] == b"W" * 1024


@pytest.mark.parametrize(
    ("registers", "status"),
    [
        ({"ah": 2, "al": 1, "cx": 0, "dl": 0x80}, 0x04),
        ({"ah": 2, "al": 1, "cx": 64, "dl": 0x80}, 0x04),
        ({"ah": 2, "al": 1, "cx": 1, "dh": 16, "dl": 0x80}, 0x04),
        ({"ah": 2, "al": 0, "cx": 1, "dl": 0x80}, 0x01),
        ({"ah": 2, "al": 1, "cx": 1, "dl": 0x81}, 0x01),
        ({"ah": 2, "al": 1, "cx": 1, "dl": 0x01}, 0x01),
        ({"ah": 0x77, "dl": 0x80}, 0x01),
        ({"ah": 5, "dl": 0x80}, 0x01),
        ({"ah": 3, "al": 1, "cx": 1, "dl": 0xE0}, 0x04),
    ],
    ids=str,
)
def test_calls_that_make_no_sense_fail_with_their_status(registers: dict[str, int], status: int, guest: Guest) -> None:
    after = guest.call(0x13, es=BUFFER_SEGMENT, **registers)
    assert (after.carry, after.ah) == (True, status)


def test_a_bad_block_is_a_controller_failure_and_is_remembered(guest: Guest, disk: MemoryDisk) -> None:
    disk.failing.add(3)
    assert guest.call(0x13, ah=2, al=1, cx=4, dl=0x80, es=BUFFER_SEGMENT).ah == 0x20
    assert guest.call(0x13, ah=1, dl=0x80).ah == 0x20


def test_an_empty_floppy_drive_has_no_media(guest: Guest, floppy: MemoryDrive) -> None:
    floppy.medium = None
    assert guest.call(0x13, ah=2, al=1, cx=1, dx=0, es=BUFFER_SEGMENT).ah == 0x31


def test_an_exchanged_floppy_is_announced_once(guest: Guest, floppy: MemoryDrive) -> None:
    floppy.insert(MemoryDisk(numbered_blocks(2880)))
    assert guest.call(0x13, ah=2, al=1, cx=1, dx=0, es=BUFFER_SEGMENT).ah == 0x06
    assert guest.call(0x13, ah=2, al=1, cx=1, dx=0, es=BUFFER_SEGMENT).ah == 0x00


def test_a_write_protected_floppy_refuses_writes(guest: Guest, floppy: MemoryDrive) -> None:
    assert isinstance(floppy.medium, MemoryDisk)
    floppy.medium.read_only = True
    assert guest.call(0x13, ah=3, al=1, cx=1, dx=0, es=BUFFER_SEGMENT).ah == 0x03
    assert guest.call(0x13, ah=5, al=18, cx=1, dx=0).ah == 0x03


def test_formatting_a_track_fills_it(guest: Guest, floppy: MemoryDrive) -> None:
    assert isinstance(floppy.medium, MemoryDisk)
    guest.call(0x13, ah=5, al=18, ch=1, dh=1, dl=0)
    start = 3 * 18 * 512
    assert floppy.medium.data[start : start + 18 * 512] == b"\xf6" * 18 * 512
    assert floppy.medium.data[start - 1] != 0xF6 or floppy.medium.data[start + 18 * 512] != 0xF6


def test_an_image_shorter_than_its_format_reads_as_zeros_behind_its_end() -> None:
    guest = booted(bench(floppies=(MemoryDrive(MemoryDisk(numbered_blocks(2532))),)))
    after = guest.call(0x13, ah=2, al=2, ch=2532 // 36, cl=2532 % 18, dh=2532 // 18 % 2, dl=0, es=BUFFER_SEGMENT)
    assert not after.carry
    assert first_block(guest) == 2531 and first_block(guest, BUFFER + 512) == 0


# --- Parameters -------------------------------------------------------------------------------------------------------------------------------------------


def test_a_disk_tells_its_geometry_and_how_many_there_are(guest: Guest) -> None:
    after = guest.call(0x13, ah=8, dl=0x80)
    assert (after.ch, after.cl & 0x3F, after.dh, after.dl) == (15, 63, 15, 1)


def test_a_floppy_tells_its_type_and_parameter_table(guest: Guest) -> None:
    after = guest.call(0x13, ah=8, dl=0)
    assert (after.bl, after.ch, after.cl, after.dh, after.dl) == (4, 79, 18, 1, 1)
    assert (after.es, after.di) == (0xF000, layout.DISKETTE_TABLE)


@pytest.mark.parametrize(
    ("sectors", "geometry"),
    [
        (64 * 1024, Geometry(65, 16, 63)),
        (1024 * 16 * 63, Geometry(1024, 16, 63)),
        (2 << 20, Geometry(520, 64, 63)),
        (1 << 30, Geometry(1024, 255, 63)),
        (100, Geometry(1, 16, 63)),
    ],
)
def test_geometries_use_as_few_heads_as_they_can(sectors: int, geometry: Geometry) -> None:
    assert disk_geometry(sectors) == geometry


def test_drive_types(guest: Guest) -> None:
    assert guest.call(0x13, ah=0x15, dl=0).ah == 2
    after = guest.call(0x13, ah=0x15, dl=0x80)
    assert (after.carry, after.ah, after.cx << 16 | after.dx) == (False, 3, SECTORS)


# --- Enhanced disk drive ----------------------------------------------------------------------------------------------------------------------------------


def test_extensions_are_there_for_disks_and_cds_but_not_for_floppies(guest: Guest) -> None:
    for drive in (0x80, 0xE0):
        after = guest.call(0x13, ah=0x41, bx=0x55AA, dl=drive)
        assert (after.carry, after.bx, after.ah, after.cx & 1) == (False, 0xAA55, 0x21, 1)
    assert guest.call(0x13, ah=0x41, bx=0x55AA, dl=0).carry


@pytest.mark.parametrize(("drive", "sector"), [(0x80, 16000), (0xE0, 150)])
def test_a_packet_reads_by_sector_number(drive: int, sector: int, guest: Guest) -> None:
    packet(guest, sector, 1)
    assert not guest.call(0x13, ah=0x42, dl=drive, ds=0x3000).carry
    assert first_block(guest) == sector


def test_a_packet_may_have_a_flat_buffer(guest: Guest) -> None:
    packet(guest, 7, 1, size=24, buffer=(0xFFFF, 0xFFFF), flat=0x180000)
    guest.call(0x13, ah=0x42, dl=0x80, ds=0x3000)
    assert first_block(guest, 0x180000) == 7


def test_a_packet_writes(guest: Guest, disk: MemoryDisk) -> None:
    guest.memory.write(BUFFER, b"E" * 512)
    packet(guest, 9, 1)
    assert not guest.call(0x13, ah=0x43, dl=0x80, ds=0x3000).carry
    assert disk.data[9 * 512 : 10 * 512] == b"E" * 512


@pytest.mark.parametrize(("sector", "count"), [(SECTORS, 1), (1 << 63, 1), (0, 0xFFFF)])
def test_a_packet_outside_the_disk_reports_that_nothing_was_done(sector: int, count: int, guest: Guest) -> None:
    packet(guest, sector, count)
    assert guest.call(0x13, ah=0x42, dl=0x80, ds=0x3000).ah == 0x04
    assert guest.memory.read(0x30002, 2) == bytes(2)


def test_extended_parameters(guest: Guest) -> None:
    guest.memory.write(0x30000, struct.pack("<H", 30))
    guest.call(0x13, ah=0x48, dl=0x80, ds=0x3000)
    size, _, cylinders, heads, sectors, total, sector_size = struct.unpack("<HHIIIQH", guest.memory.read(0x30000, 26))
    assert (size, cylinders, heads, sectors, total, sector_size) == (30, 16, 16, 63, SECTORS, 512)
    guest.memory.write(0x30000, struct.pack("<H", 26))
    guest.call(0x13, ah=0x48, dl=0xE0, ds=0x3000)
    assert struct.unpack("<QH", guest.memory.read(0x30010, 10)) == (200, 2048)
