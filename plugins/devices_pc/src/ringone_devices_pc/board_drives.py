"""Drives on the PC board: which places there are, and which host driver goes where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ringone.api.config import Drive, DriveKind, DriverConfig, MachineConfig

IDE_PLACES = tuple((channel, device) for channel in (0, 1) for device in (0, 1))
FLOPPY_PLACES = ((0, 0), (0, 1))

CONTROLLERS = {
    # controller: kinds of drive, places (port, device)
    "ide": ((DriveKind.DISK, DriveKind.CDROM), IDE_PLACES),
    "floppy": ((DriveKind.FLOPPY,), FLOPPY_PLACES),
}
FLOPPY_TYPE = "1.44M"
BLOCK_SIZES = {DriveKind.DISK: 512, DriveKind.CDROM: 2048, DriveKind.FLOPPY: 512}


def mistakes(drives: Iterable[Drive]) -> Iterator[str]:
    """What the board has no place for."""
    taken: set[tuple[str, int, int]] = set()
    for drive in drives:
        where = f"{drive.kind.value} at {drive.controller} port {drive.port} device {drive.device}"
        if drive.controller not in CONTROLLERS:
            yield f"{where}: no such controller; accepted: {', '.join(CONTROLLERS)}"
            continue
        kinds, places = CONTROLLERS[drive.controller]
        if drive.kind not in kinds:
            yield f"{where}: {drive.controller} takes only {' and '.join(kind.value for kind in kinds)}"
        if (drive.port, drive.device) not in places:
            yield f"{where}: no such place; accepted (port, device): {', '.join(map(str, places))}"
        if drive.kind is DriveKind.DISK and drive.image is None:
            yield f"{where}: a disk needs an image"
        place = (drive.controller, drive.port, drive.device)
        if place in taken:
            yield f"{where}: the place is taken by another drive"
        taken.add(place)


def slot(drive: Drive) -> str:
    """The driver slot that a drive's image is bound to."""
    return f"ide.drive{drive.port}{drive.device}" if drive.controller == "ide" else f"fdc.drive{drive.device}"


def driver(drive: Drive) -> DriverConfig:
    options = {"mode": drive.mode.value, "block_size": str(BLOCK_SIZES[drive.kind])}
    if drive.image is not None:
        options["path"] = str(drive.image)
    if drive.parents:
        options["parents"] = "\n".join(str(parent) for parent in drive.parents)
    if drive.format:
        options["format"] = drive.format
    return DriverConfig(slot=slot(drive), type="disk-image" if drive.kind is DriveKind.DISK else "removable-image", options=options)


def firmware_drivers(config: MachineConfig) -> Iterator[DriverConfig]:
    """The same drives for a firmware that reads them itself: ``floppy0``, ``disk0``, ``cd0`` and so on, each kind by its place."""
    ides = sorted((drive for drive in config.drives if drive.controller == "ide"), key=slot)
    disks = [drive for drive in ides if drive.kind is DriveKind.DISK]
    cdroms = [drive for drive in ides if drive.kind is DriveKind.CDROM]
    floppies = [drive for drive in config.drives if drive.controller == "floppy"]
    yield from (DriverConfig(slot=f"firmware.disk{number}", shares=slot(drive)) for number, drive in enumerate(disks))
    yield from (DriverConfig(slot=f"firmware.cd{number}", shares=slot(drive)) for number, drive in enumerate(cdroms))
    yield from (DriverConfig(slot=f"firmware.floppy{drive.device}", shares=slot(drive)) for drive in floppies)


def ide_options(config: MachineConfig) -> dict[str, str]:
    options = {}
    for drive in config.drives:
        if drive.controller == "ide":
            place = f"{drive.port}{drive.device}"
            options[f"drive{place}"] = drive.kind.value
            if drive.serial:
                options[f"serial{place}"] = drive.serial
    return options


def floppy_options(config: MachineConfig) -> dict[str, str]:
    return {f"drive{number}": FLOPPY_TYPE for number in range(floppy_count(config))}


def floppy_count(config: MachineConfig) -> int:
    """Floppy drives up to the last one; BIOSes know no drive 1 without a drive 0."""
    return max((drive.device + 1 for drive in config.drives if drive.controller == "floppy"), default=0)
