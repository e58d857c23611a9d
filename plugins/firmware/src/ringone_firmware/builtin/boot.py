"""INT 18h and 19h: find something to boot in the machine's order, on floppies, CDs (El Torito) and disks, or the kernel that the firmware put into memory."""

from __future__ import annotations

import struct
from collections.abc import Callable

import attrs
from ringone.api.errors import MediumError

from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.drives import CD_SECTOR, FIRST_CD, FIRST_DISK, SECTOR, BiosDrive
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import Steps
from ringone_firmware.builtin.rom import program
from ringone_firmware.builtin.screen import Terminal, screen
from ringone_firmware.builtin.state import Emulation

BOOT_SIGNATURE = b"\x55\xaa"
BOOT_RECORD_SECTOR = 17
EL_TORITO = b"\0CD001\x01EL TORITO SPECIFICATION"
CATALOG_POINTER = 0x47
BOOTABLE = 0x88
VALIDATION_ENTRY, ENTRY_KEY = 1, BOOT_SIGNATURE
NO_EMULATION, LAST_FLOPPY_EMULATION = 0, 3
DEFAULT_SEGMENT = 0x7C0
HIGHEST_LOAD_ADDRESS = 0xA0000
MESSAGES = {"floppy": b"Floppy", "cdrom": b"DVD/CD", "disk": b"Hard Disk", "kernel": b"ROM"}
NOTHING = b"No bootable device.\r\n"


@attrs.frozen
class Entry:
    """Where the processor goes, and the drive number in DL."""

    segment: int
    offset: int
    drive: int


def boot(bios: Bios, call: Call) -> Steps:
    return (yield from _try_from(bios, call, 0))


def boot_next(bios: Bios, call: Call) -> Steps:
    """INT 18h: what was booted gave up."""
    return (yield from _try_from(bios, call, bios.state.boot_position))


def _try_from(bios: Bios, call: Call, position: int) -> Steps:
    order = [kind.strip() for kind in bios.options.boot_order.split(",")]
    terminal = Terminal(call, screen(call).page)
    for index in range(position, len(order)):
        source = SOURCES.get(order[index])
        if source is None or not _is_there(bios, order[index]):
            continue
        yield from terminal.write(b"Booting from " + MESSAGES[order[index]] + b"...\r\n")
        entry = _attempt(source, bios, call)
        if entry:
            yield from terminal.finish()
            bios.state.boot_position = index + 1
            _enter(call, entry)
            return None
        yield from terminal.write(b"Boot failed: not a bootable disk\r\n\n")
    yield from terminal.write(NOTHING)
    yield from terminal.finish()
    _enter(call, Entry(layout.BIOS_SEGMENT, program(bios.options.base).labels["idle"], 0))
    return None


def _attempt(source: Callable[[Bios, Call], Entry | None], bios: Bios, call: Call) -> Entry | None:
    try:
        return source(bios, call)
    except MediumError:
        return None


def _enter(call: Call, entry: Entry) -> None:
    call.cs, call.ip, call.dl = entry.segment, entry.offset, entry.drive
    call.ds = call.es = 0
    call.flags |= layout.EFLAGS_IF


def _is_there(bios: Bios, kind: str) -> bool:
    drives = bios.drives
    return {"floppy": any(drives.floppies), "cdrom": bool(drives.cds), "disk": bool(drives.disks), "kernel": True}[kind]


# --- Sources ------------------------------------------------------------------------------------------------------------------------------------------------


def _floppy(bios: Bios, call: Call) -> Entry | None:
    return _boot_sector(bios, call, bios.drives.find(0, None))


def _disk(bios: Bios, call: Call) -> Entry | None:
    return _boot_sector(bios, call, bios.drives.find(FIRST_DISK, None))


def _boot_sector(bios: Bios, call: Call, drive: BiosDrive | None) -> Entry | None:
    if drive is None or drive.medium is None:
        return None
    sector = drive.read(0, 1)
    if not sector.endswith(BOOT_SIGNATURE):
        return None
    bios.state.emulation = None
    call.write(layout.BOOT_ADDRESS, sector)
    return Entry(0, layout.BOOT_ADDRESS, drive.number)


def _cdrom(bios: Bios, call: Call) -> Entry | None:
    """The default entry of the first CD's boot catalog."""
    for index in range(len(bios.drives.cds)):
        drive = bios.drives.find(FIRST_CD + index, None)
        if drive is not None and drive.medium is not None:
            entry = _el_torito(bios, call, drive, index)
            if entry:
                return entry
    return None


def _el_torito(bios: Bios, call: Call, drive: BiosDrive, index: int) -> Entry | None:
    record = drive.read(BOOT_RECORD_SECTOR, 1)
    if not record.startswith(EL_TORITO):
        return None
    (catalog_at,) = struct.unpack_from("<I", record, CATALOG_POINTER)
    if not drive.holds(catalog_at, 1):
        return None
    catalog = drive.read(catalog_at, 1)
    if catalog[0] != VALIDATION_ENTRY or catalog[0x1E:0x20] != ENTRY_KEY or catalog[0x20] != BOOTABLE:
        return None
    media, segment, count, block = catalog[0x21] & 0x0F, *struct.unpack_from("<HxxHI", catalog, 0x22)
    segment = segment or DEFAULT_SEGMENT
    if media > LAST_FLOPPY_EMULATION:
        return None
    number = drive.number if media == NO_EMULATION else 0
    emulation = Emulation(media=media, drive=number, cd=index, image_block=block, load_segment=segment, sector_count=count)
    return _load_image(bios, call, drive, emulation)


def _load_image(bios: Bios, call: Call, drive: BiosDrive, emulation: Emulation) -> Entry | None:
    size = emulation.sector_count * SECTOR if emulation.media == NO_EMULATION else SECTOR
    blocks = -(-size // CD_SECTOR)
    address = emulation.load_segment << 4
    if not size or address + size > HIGHEST_LOAD_ADDRESS or not drive.holds(emulation.image_block, blocks):
        return None
    call.write(address, drive.read(emulation.image_block, blocks)[:size])
    bios.state.emulation = emulation
    if emulation.load_segment == DEFAULT_SEGMENT:
        return Entry(0, layout.BOOT_ADDRESS, emulation.drive)
    return Entry(emulation.load_segment, 0, emulation.drive)


def _kernel(bios: Bios, call: Call) -> Entry | None:
    """A Linux image whose parts the firmware laid into memory; the ROM enters its 16-bit setup."""
    return Entry(layout.BIOS_SEGMENT, program(bios.options.base).labels["enter_setup"], FIRST_DISK)


SOURCES: dict[str, Callable[[Bios, Call], Entry | None]] = {"floppy": _floppy, "cdrom": _cdrom, "disk": _disk, "kernel": _kernel}
