"""Copies of machines that are thrown away after use: their disks are only read, so that any number of them may run at once."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import attrs

from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.errors import UnknownNameError
from ringone.api.media import AccessMode, MediumVariant, NewMedium
from ringone.api.settings import MachineSettings, MediumRecord, MediumType, SnapshotRecord
from ringone.client.places import machine_settings
from ringone.home import Home
from ringone.plugins import PluginRegistry

DIFFERENCING_FORMAT = "vdi"


def copy_machine(machine: str | Path, folder: Path, *, home: Path | None = None, snapshot: str = "") -> str:
    """Make a home in `folder` with a copy of a machine, or of one of its snapshots, and return the copy's UUID."""
    registry = PluginRegistry()
    settings = machine_settings(machine, home, registry)
    source: MachineSettings | SnapshotRecord = find_snapshot(settings, snapshot) if snapshot else settings
    copies = Home.open(folder, registry)
    path = copies.machine_file(source.config.name)
    state_file = source.state_file
    if state_file is not None:
        path.parent.mkdir(parents=True)
        state_file = Path(shutil.copy(state_file, path.parent))
    config, media, fresh = _only_read(source.config, settings.media, path.parent)
    if state_file is not None:  # nothing is made anew for a machine that goes on
        for image in fresh:
            _create(image, registry)
    copies.register(copies.create(MachineSettings(config=config, media=media, state_file=state_file)))
    return config.uuid


def find_snapshot(settings: MachineSettings, name_or_uuid: str) -> SnapshotRecord:
    snapshots = list(settings.snapshots())
    found = [each for each in snapshots if each.uuid == name_or_uuid] or [each for each in snapshots if each.name == name_or_uuid]
    if len(found) != 1:
        raise UnknownNameError(f"snapshot of {settings.config.name!r}", name_or_uuid, [each.name for each in snapshots])
    return found[0]


def _create(image: NewMedium, registry: PluginRegistry) -> None:
    tools = registry.media_formats()[DIFFERENCING_FORMAT].tools
    assert tools is not None
    image.path.parent.mkdir(parents=True, exist_ok=True)
    tools.create(image)


def _only_read(config: MachineConfig, media: tuple[MediumRecord, ...], folder: Path) -> tuple[MachineConfig, tuple[MediumRecord, ...], tuple[NewMedium, ...]]:
    """Put an image that is made anew at power-on above each disk that would be written. The machine, its media, and those images."""
    records = {record.location: record for root in media for record in root.walk()}
    drives, roots, images = [], [], []
    for drive in config.drives:
        if drive.kind is DriveKind.DISK and drive.image is not None and drive.mode is not AccessMode.READ_ONLY:
            identity = str(uuid.uuid4())
            fresh = folder / f"{{{identity}}}.{DIFFERENCING_FORMAT}"
            child = MediumRecord(uuid=identity, location=fresh, kind=drive.kind, format=DIFFERENCING_FORMAT.upper(), auto_reset=True)
            below = _chain(drive, records)
            roots.append(_stacked(below, child))
            images.append(NewMedium(path=fresh, variant=MediumVariant.DIFFERENCING, parent=below[0].location, uuid=identity))
            drive = attrs.evolve(drive, image=fresh, parents=(), format=DIFFERENCING_FORMAT, mode=AccessMode.PERSISTENT)
        elif drive.mode is AccessMode.PERSISTENT:
            drive = attrs.evolve(drive, mode=AccessMode.THROW_AWAY)
        drives.append(drive)
    return attrs.evolve(config, uuid=str(uuid.uuid4()), drives=tuple(drives), source=None), tuple(roots), tuple(images)


def _chain(drive: Drive, records: dict[Path, MediumRecord]) -> list[MediumRecord]:
    """The images that a drive stands on, the lowest last. One that is made anew at power-on is left out."""
    assert drive.image is not None
    chain = []
    for location in (drive.image, *drive.parents):
        unknown = MediumRecord(uuid=str(uuid.uuid4()), location=location, kind=drive.kind, format=(drive.format or DIFFERENCING_FORMAT).upper())
        record = records.get(location, unknown)
        if not record.auto_reset:
            chain.append(record)
    return chain


def _stacked(chain: list[MediumRecord], above: MediumRecord) -> MediumRecord:
    """The lowest of a chain, with `above` on the highest."""
    for record in chain:
        above = attrs.evolve(record, children=(above,))
    return attrs.evolve(above, type=MediumType.IMMUTABLE)
