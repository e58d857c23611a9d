"""INT 13h: floppies, disks with Enhanced Disk Drive calls (EDD 1.1), and El Torito CDs."""

from __future__ import annotations

import struct
from collections.abc import Callable

from ringone.api.errors import MediumError

from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import Call, linear
from ringone_firmware.builtin.drives import FIRST_DISK, BiosDrive, DriveKind
from ringone_firmware.builtin.machine import Bios

OK, BAD_COMMAND, WRITE_PROTECTED, NOT_FOUND, CHANGED, BAD_DRIVE = 0x00, 0x01, 0x03, 0x04, 0x06, 0x07
CONTROLLER_FAILURE, NO_MEDIA, TIMEOUT, NOT_LOCKED = 0x20, 0x31, 0x80, 0xB0
EDD_1_1 = 0x21
EDD_FIXED_DISK, EDD_DRIVE_PARAMETERS = 1 << 0, 1 << 2
HAS_CHANGE_LINE, NO_CHANGE_LINE, IS_DISK = 2, 1, 3
FORMAT_FILLER = b"\xf6"
MOST_EXTENDED_SECTORS = 127
GEOMETRY_VALID, REMOVABLE, HAS_LINE = 1 << 1, 1 << 2, 1 << 4
FLAT_POINTER = 0xFFFFFFFF

Handler = Callable[[Bios, Call, BiosDrive], int]
"""Returns the status for AH."""


def int13(bios: Bios, call: Call) -> None:
    number = call.dl
    if call.ah == 0x4B:
        _finish(call, number, _el_torito(bios, call))
        return
    drive = bios.drives.find(number, bios.state.emulation)
    if drive is None:
        _finish(call, number, _without_drive(bios, call))
        return
    handler = HANDLERS.get(call.ah)
    function = call.ah
    try:
        status = handler(bios, call, drive) if handler else BAD_COMMAND
    except MediumError:
        status = NO_MEDIA if drive.medium is None else CONTROLLER_FAILURE
    if function == 0x15 and status == OK:
        return
    _finish(call, number, status)


def _finish(call: Call, number: int, status: int) -> None:
    call.ah = EDD_1_1 if status == EDD_1_1 else status
    call.set_carry(status not in (OK, EDD_1_1))
    status = OK if status == EDD_1_1 else status
    call.poke(layout.BDA + (layout.FLOPPY_STATUS if number < FIRST_DISK else layout.DISK_STATUS), status)


def _without_drive(bios: Bios, call: Call) -> int:
    """Reset works for every number; parameters of an absent floppy are those of no drive."""
    if call.ah == 0x00:
        return OK
    if call.ah == 0x15:
        call.cx = call.dx = 0
        return BAD_COMMAND
    if call.ah == 0x08 and call.dl < FIRST_DISK:
        call.ax = call.bx = call.cx = 0
        call.dx = bios.drives.floppy_count(bios.state.emulation)
        return OK
    return BAD_COMMAND


# --- Sectors by cylinder, head and sector ---------------------------------------------------------------------------------------------------------------


def _reset(bios: Bios, call: Call, drive: BiosDrive) -> int:
    return OK


def _last_status(bios: Bios, call: Call, drive: BiosDrive) -> int:
    return call.peek(layout.BDA + (layout.FLOPPY_STATUS if drive.number < FIRST_DISK else layout.DISK_STATUS))


def _chs(call: Call, drive: BiosDrive) -> int | None:
    """The sector number, or None for an address outside the geometry."""
    geometry = drive.geometry
    cylinder = call.ch | (call.cl & 0xC0) << 2
    sector = call.cl & 0x3F
    if not (1 <= sector <= geometry.sectors and call.dh < geometry.heads and cylinder < geometry.cylinders):
        return None
    return (cylinder * geometry.heads + call.dh) * geometry.sectors + sector - 1


def _read(bios: Bios, call: Call, drive: BiosDrive) -> int:
    start, count = _chs(call, drive), call.al
    if start is None or not count or not drive.holds(start, count):
        call.al = 0
        return NOT_FOUND if count else BAD_COMMAND
    if drive.kind is DriveKind.FLOPPY and _has_changed(bios, call, drive):
        call.al = 0
        return CHANGED
    call.write(linear(call.es, call.bx), drive.read(start, count))
    return OK


def _write(bios: Bios, call: Call, drive: BiosDrive) -> int:
    start, count = _chs(call, drive), call.al
    if start is None or not count or not drive.holds(start, count):
        call.al = 0
        return NOT_FOUND if count else BAD_COMMAND
    return _write_sectors(call, drive, start, linear(call.es, call.bx), count)


def _write_sectors(call: Call, drive: BiosDrive, start: int, address: int, count: int) -> int:
    if drive.medium is not None and (drive.medium.read_only or drive.emulated or drive.kind is DriveKind.CDROM):
        return WRITE_PROTECTED
    drive.write(start, call.read(address, count * drive.sector_size))
    return OK


def _verify(bios: Bios, call: Call, drive: BiosDrive) -> int:
    start, count = _chs(call, drive), call.al
    if start is None or not drive.holds(start, count):
        return NOT_FOUND
    drive.read(start, count)
    return OK


def _format_track(bios: Bios, call: Call, drive: BiosDrive) -> int:
    if drive.kind is not DriveKind.FLOPPY:
        return BAD_COMMAND
    geometry = drive.geometry
    if call.ch >= geometry.cylinders or call.dh >= geometry.heads:
        return NOT_FOUND
    if drive.medium is not None and (drive.medium.read_only or drive.emulated):
        return WRITE_PROTECTED
    drive.write((call.ch * geometry.heads + call.dh) * geometry.sectors, FORMAT_FILLER * drive.sector_size * geometry.sectors)
    return OK


def _parameters(bios: Bios, call: Call, drive: BiosDrive) -> int:
    if drive.kind is DriveKind.CDROM:
        return BAD_COMMAND
    last = drive.geometry.cylinders - 1
    call.al = 0
    call.ch = last & 0xFF
    call.cl = drive.geometry.sectors | last >> 2 & 0xC0
    call.dh = drive.geometry.heads - 1
    if drive.kind is DriveKind.DISK:
        call.dl = len(bios.drives.disks)
        return OK
    call.dl = bios.drives.floppy_count(bios.state.emulation)
    call.bx = drive.drive_type
    call.es, call.di = layout.BIOS_SEGMENT, layout.DISKETTE_TABLE
    return OK


def _seek(bios: Bios, call: Call, drive: BiosDrive) -> int:
    return OK if (call.ch | (call.cl & 0xC0) << 2) < drive.geometry.cylinders else NOT_FOUND


def _drive_type(bios: Bios, call: Call, drive: BiosDrive) -> int:
    """AH is the answer itself, with carry clear."""
    call.set_carry(False)
    if drive.kind is DriveKind.FLOPPY:
        call.ah = NO_CHANGE_LINE if drive.emulated else HAS_CHANGE_LINE
    else:
        call.ah = IS_DISK
        sectors = min(drive.sectors, 0xFFFFFFFF)
        call.cx, call.dx = sectors >> 16, sectors & 0xFFFF
    return OK


def _has_changed(bios: Bios, call: Call, drive: BiosDrive) -> bool:
    """The change line goes off once, when the medium is noticed to be another."""
    index = drive.number - (1 if bios.state.emulation and bios.state.emulation.media else 0)
    floppy = bios.drives.floppies[index] if not drive.emulated and 0 <= index < len(bios.drives.floppies) else None
    if floppy is None or bios.state.floppy_generations[index] == floppy.generation:
        return False
    bios.state.floppy_generations[index] = floppy.generation
    return True


def _change_line(bios: Bios, call: Call, drive: BiosDrive) -> int:
    if drive.kind is not DriveKind.FLOPPY:
        return BAD_COMMAND
    return CHANGED if _has_changed(bios, call, drive) else OK


def _set_media_type(bios: Bios, call: Call, drive: BiosDrive) -> int:
    if drive.kind is not DriveKind.FLOPPY:
        return BAD_COMMAND
    call.es, call.di = layout.BIOS_SEGMENT, layout.DISKETTE_TABLE
    return OK


# --- Enhanced disk drive --------------------------------------------------------------------------------------------------------------------------------


def _edd_present(bios: Bios, call: Call, drive: BiosDrive) -> int:
    if call.bx != 0x55AA or drive.kind is DriveKind.FLOPPY:
        return BAD_COMMAND
    call.bx = 0xAA55
    call.cx = EDD_FIXED_DISK | EDD_DRIVE_PARAMETERS
    return EDD_1_1


def _packet(call: Call, drive: BiosDrive) -> tuple[int, int, int] | None:
    """(sector, count, buffer address) of a disk address packet at DS:SI, or None for one that makes no sense."""
    address = linear(call.ds, call.si)
    size, _, count, offset, segment, sector, flat = struct.unpack("<BBHHHQQ", call.read(address, 24))
    if size < 16 or count > MOST_EXTENDED_SECTORS or not drive.holds(sector, count):
        return None
    buffer = flat if size >= 24 and segment << 16 | offset == FLAT_POINTER else linear(segment, offset)
    return sector, count, buffer


def _extended_read(bios: Bios, call: Call, drive: BiosDrive) -> int:
    packet = _packet(call, drive)
    if packet is None:
        return _refuse_packet(call)
    sector, count, buffer = packet
    call.write(buffer, drive.read(sector, count))
    return OK


def _extended_write(bios: Bios, call: Call, drive: BiosDrive) -> int:
    packet = _packet(call, drive)
    if packet is None:
        return _refuse_packet(call)
    sector, count, buffer = packet
    return _write_sectors(call, drive, sector, buffer, count)


def _extended_verify(bios: Bios, call: Call, drive: BiosDrive) -> int:
    packet = _packet(call, drive)
    if packet is None:
        return _refuse_packet(call)
    drive.read(packet[0], packet[1])
    return OK


def _extended_seek(bios: Bios, call: Call, drive: BiosDrive) -> int:
    return OK if _packet(call, drive) else NOT_FOUND


def _refuse_packet(call: Call) -> int:
    """The packet's count tells how many sectors were done."""
    call.poke(linear(call.ds, call.si) + 2, 0, 2)
    return NOT_FOUND


def _extended_parameters(bios: Bios, call: Call, drive: BiosDrive) -> int:
    address = linear(call.ds, call.si)
    size = call.peek(address, 2)
    if size < 26 or drive.kind is DriveKind.FLOPPY:
        return BAD_COMMAND
    flags = REMOVABLE | HAS_LINE if drive.kind is DriveKind.CDROM else GEOMETRY_VALID
    geometry = drive.geometry
    length = 30 if size >= 30 else 26
    unknown = FLAT_POINTER if drive.kind is DriveKind.CDROM else None
    chs = (unknown,) * 3 if unknown else (geometry.cylinders, geometry.heads, geometry.sectors)
    table = struct.pack("<HHIIIQHI", length, flags, *chs, drive.sectors, drive.sector_size, FLAT_POINTER)
    call.write(address, table[:length])
    return OK


# --- El Torito --------------------------------------------------------------------------------------------------------------------------------------------


def _el_torito(bios: Bios, call: Call) -> int:
    """4B01h tells about the emulation, 4B00h ends it as well."""
    emulation = bios.state.emulation
    if emulation is None or call.al > 1 or call.dl not in (emulation.drive, 0x7F):
        return BAD_COMMAND
    drive = bios.drives.find(emulation.drive, emulation)
    geometry = drive.geometry if drive else None
    chs = bytes((geometry.cylinders - 1 & 0xFF, geometry.sectors, geometry.heads - 1)) if geometry and emulation.media else bytes(3)
    packet = struct.pack(
        "<BBBBIHHHH", 19, emulation.media, emulation.drive, 0, emulation.image_block, emulation.cd, 0, emulation.load_segment, emulation.sector_count
    )
    call.write(linear(call.ds, call.si), packet + chs)
    if call.al == 0:
        bios.state.emulation = None
    return OK


HANDLERS: dict[int, Handler] = {
    0x00: _reset,
    0x01: _last_status,
    0x02: _read,
    0x03: _write,
    0x04: _verify,
    0x05: _format_track,
    0x08: _parameters,
    0x09: _reset,
    0x0C: _seek,
    0x0D: _reset,
    0x10: _reset,
    0x11: _reset,
    0x14: _reset,
    0x15: _drive_type,
    0x16: _change_line,
    0x17: _set_media_type,
    0x18: _set_media_type,
    0x41: _edd_present,
    0x42: _extended_read,
    0x43: _extended_write,
    0x44: _extended_verify,
    0x47: _extended_seek,
    0x48: _extended_parameters,
}
