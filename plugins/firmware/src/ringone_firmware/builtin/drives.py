"""Drives by BIOS number: floppies from 00h, disks from 80h, CDs from E0h, and the floppy that an El Torito CD pretends to be.

All count in sectors of 512 bytes but CDs by their own number, which have 2048. Geometries are translated so that CHS addresses reach as far as they can.
"""

from __future__ import annotations

import enum

import attrs
from ringone.api.drivers import BlockDevice, RemovableMedium
from ringone.api.errors import MediumError

from ringone_firmware.builtin.state import Emulation

SECTOR = 512
CD_SECTOR = 2048
FIRST_DISK, FIRST_CD = 0x80, 0xE0
MAX_FLOPPIES, MAX_DISKS, MAX_CDS = 2, 4, 4


class DriveKind(enum.Enum):
    FLOPPY = "floppy"
    DISK = "disk"
    CDROM = "cdrom"


@attrs.frozen
class Geometry:
    cylinders: int
    heads: int
    sectors: int


@attrs.frozen
class FloppyFormat:
    """`drive_type` is what CMOS and INT 13h AH=08h call it."""

    geometry: Geometry
    drive_type: int


FLOPPY_FORMATS = {
    320: FloppyFormat(Geometry(40, 1, 8), 1),
    360: FloppyFormat(Geometry(40, 1, 9), 1),
    640: FloppyFormat(Geometry(40, 2, 8), 1),
    720: FloppyFormat(Geometry(40, 2, 9), 1),
    1440: FloppyFormat(Geometry(80, 2, 9), 3),
    2400: FloppyFormat(Geometry(80, 2, 15), 2),
    2880: FloppyFormat(Geometry(80, 2, 18), 4),
    3360: FloppyFormat(Geometry(80, 2, 21), 4),
    3444: FloppyFormat(Geometry(82, 2, 21), 4),
    5760: FloppyFormat(Geometry(80, 2, 36), 5),
}
"""By sectors. An image of another size is taken for a 1.44 MB disk, or a 2.88 MB disk where it is larger."""
HIGH_DENSITY, EXTRA_DENSITY = 2880, 5760
EMULATED_FLOPPIES = {1: FLOPPY_FORMATS[2400], 2: FLOPPY_FORMATS[2880], 3: FLOPPY_FORMATS[5760]}
"""By El Torito media type."""
DISK_SECTORS_A_TRACK = 63
DISK_HEADS = (16, 32, 64, 128, 255)
MAX_CYLINDERS = 1024


@attrs.frozen
class BiosDrive:
    """`medium` is None while the drive is empty; `first` is where the drive begins on it, in sectors."""

    number: int
    kind: DriveKind
    medium: BlockDevice | None
    geometry: Geometry
    sector_size: int = SECTOR
    first: int = 0
    drive_type: int = 0
    emulated: bool = False

    @property
    def sectors(self) -> int:
        if self.emulated:
            return self.geometry.cylinders * self.geometry.heads * self.geometry.sectors
        return self.medium.block_count * self.medium.block_size // self.sector_size if self.medium else 0

    def read(self, sector: int, count: int) -> bytes:
        """Raises `MediumError` for what the medium cannot give; what an image is short of its format reads as zeros."""
        medium = self._medium()
        start = (self.first + sector) * self.sector_size
        size = count * self.sector_size
        block = medium.block_size
        last = min(-(-(start + size) // block), medium.block_count)
        data = medium.read(start // block, last - start // block) if last > start // block else b""
        return data[start % block : start % block + size].ljust(size, b"\0")

    def write(self, sector: int, data: bytes) -> None:
        medium = self._medium()
        if medium.read_only or medium.block_size != self.sector_size:
            raise MediumError("the medium is write-protected")
        medium.write(self.first + sector, data)

    def holds(self, sector: int, count: int) -> bool:
        return sector >= 0 and sector + count <= max(self.sectors, self._formatted())

    def _formatted(self) -> int:
        """A floppy's format may reach beyond its image."""
        return self.geometry.cylinders * self.geometry.heads * self.geometry.sectors if self.kind is DriveKind.FLOPPY else 0

    def _medium(self) -> BlockDevice:
        if self.medium is None:
            raise MediumError("there is no medium in the drive")
        return self.medium


@attrs.frozen
class Drives:
    """The machine's drives in BIOS order; a place in `floppies` may be empty."""

    floppies: tuple[RemovableMedium | None, ...]
    disks: tuple[BlockDevice, ...]
    cds: tuple[RemovableMedium, ...]

    def find(self, number: int, emulation: Emulation | None) -> BiosDrive | None:
        """The drive behind a BIOS number, or None. An emulated floppy is drive 0 and moves the others up."""
        if emulation and emulation.media and number == emulation.drive:
            return self._emulated(number, emulation)
        if number < FIRST_DISK:
            return self._floppy(number, number - (1 if emulation and emulation.media else 0))
        if number < FIRST_CD:
            return self._disk(number)
        return self._cd(number)

    def floppy_count(self, emulation: Emulation | None) -> int:
        return sum(1 for floppy in self.floppies if floppy) + (1 if emulation and emulation.media else 0)

    def _floppy(self, number: int, index: int) -> BiosDrive | None:
        drive = self.floppies[index] if 0 <= index < len(self.floppies) else None
        if drive is None:
            return None
        form = floppy_format(drive.medium)
        return BiosDrive(number, DriveKind.FLOPPY, drive.medium, form.geometry, drive_type=form.drive_type)

    def _disk(self, number: int) -> BiosDrive | None:
        index = number - FIRST_DISK
        if index >= len(self.disks):
            return None
        disk = self.disks[index]
        return BiosDrive(number, DriveKind.DISK, disk, disk_geometry(disk.block_count))

    def _cd(self, number: int) -> BiosDrive | None:
        index = number - FIRST_CD
        if index >= len(self.cds):
            return None
        return BiosDrive(number, DriveKind.CDROM, self.cds[index].medium, Geometry(0, 0, 0), sector_size=CD_SECTOR)

    def _emulated(self, number: int, emulation: Emulation) -> BiosDrive | None:
        form = EMULATED_FLOPPIES.get(emulation.media)
        if form is None or emulation.cd >= len(self.cds):
            return None
        first = emulation.image_block * (CD_SECTOR // SECTOR)
        return BiosDrive(number, DriveKind.FLOPPY, self.cds[emulation.cd].medium, form.geometry, first=first, drive_type=form.drive_type, emulated=True)


def floppy_format(medium: BlockDevice | None) -> FloppyFormat:
    sectors = medium.block_count if medium else HIGH_DENSITY
    return FLOPPY_FORMATS.get(sectors) or FLOPPY_FORMATS[EXTRA_DENSITY if sectors > HIGH_DENSITY else HIGH_DENSITY]


def disk_geometry(sectors: int) -> Geometry:
    """The fewest heads that leave at most 1024 cylinders."""
    for heads in DISK_HEADS:
        cylinders = sectors // (heads * DISK_SECTORS_A_TRACK)
        if cylinders <= MAX_CYLINDERS:
            return Geometry(max(cylinders, 1), heads, DISK_SECTORS_A_TRACK)
    return Geometry(MAX_CYLINDERS, DISK_HEADS[-1], DISK_SECTORS_A_TRACK)
