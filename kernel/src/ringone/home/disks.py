"""Chains of disk images in a machine's settings: pure functions from settings to settings; nothing here touches a file.

A machine's registry holds every image of its drives' chains and of its snapshots' chains. A drive names its image by location; the images below it follow from
the registry (`with_chains`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.errors import MediumError, StateError
from ringone.api.media import AccessMode, MediumVariant, NewMedium
from ringone.api.settings import MachineSettings, MediumRecord, MediumType, SnapshotRecord

DIFFERENCING_FORMAT = "VDI"
DIFFERENCING_SUFFIX = ".vdi"

OWN_DIFFERENCES = frozenset({MediumType.IMMUTABLE, MediumType.MULTIATTACH})
"""Nobody writes to these: each machine has a differencing image of its own."""
LEFT_ALONE = frozenset({MediumType.WRITETHROUGH, MediumType.SHAREABLE, MediumType.READONLY})
"""Snapshots do not keep what these hold."""

Records = tuple[MediumRecord, ...]


@attrs.frozen(kw_only=True)
class Change:
    """What becomes of a machine: its settings afterwards, and the images that have to be there first, parents before children.

    Files that only the settings before or after refer to need no list of their own: `only_one_refers`."""

    settings: MachineSettings
    create: tuple[NewMedium, ...] = ()


# --- the registry


def all_records(media: Iterable[MediumRecord]) -> Iterator[MediumRecord]:
    for record in media:
        yield from record.walk()


def lineage(media: Iterable[MediumRecord], location: Path) -> Records:
    """The record of an image and those of the images that it stands on, the base last; empty where the image is not registered."""
    for record in media:
        if record.location == location:
            return (record,)
        if below := lineage(record.children, location):
            return (*below, record)
    return ()


def record_of(media: Iterable[MediumRecord], location: Path) -> MediumRecord:
    found = lineage(media, location)
    if not found:
        raise MediumError(f"{location}: the disk image is in no media registry of this machine")
    return found[0]


def rewritten(media: Iterable[MediumRecord], rewrite: Callable[[MediumRecord], Records]) -> Records:
    """Every record, children first, replaced by what `rewrite` makes of it."""
    new: list[MediumRecord] = []
    for record in media:  # a comprehension would need two frames of the stack a level, and trees are deep
        new += rewrite(attrs.evolve(record, children=rewritten(record.children, rewrite)))
    return tuple(new)


def with_child(media: Records, parent: Path, child: MediumRecord) -> Records:
    return rewritten(media, lambda record: (attrs.evolve(record, children=(*record.children, child)) if record.location == parent else record,))


def without(media: Records, location: Path) -> Records:
    """Take an image out; its children stand on its parent then."""
    return rewritten(media, lambda record: record.children if record.location == location else (record,))


# --- drives


def disks(config: MachineConfig) -> Iterator[tuple[Drive, Path]]:
    """Fixed disks and their images."""
    for drive in config.drives:
        if drive.kind is DriveKind.DISK and drive.image is not None:
            yield drive, drive.image


def configs(settings: MachineSettings) -> Iterator[MachineConfig]:
    """The machine as it is and as its snapshots keep it."""
    yield settings.config
    for snapshot in settings.snapshots():
        yield snapshot.config


def users(settings: MachineSettings, image: Path) -> list[str]:
    """Who has `image` in a drive, in words."""
    present = ["the machine"] if image in {path for _, path in disks(settings.config)} else []
    return present + [f"snapshot {snapshot.name!r}" for snapshot in settings.snapshots() if image in {path for _, path in disks(snapshot.config)}]


def with_configs(settings: MachineSettings, change: Callable[[MachineConfig], MachineConfig]) -> MachineSettings:
    """Apply `change` to the machine's description and to every snapshot's."""
    return attrs.evolve(settings, config=change(settings.config), snapshot=settings.snapshot and _with_configs(settings.snapshot, change))


def _with_configs(snapshot: SnapshotRecord, change: Callable[[MachineConfig], MachineConfig]) -> SnapshotRecord:
    children = []
    for child in snapshot.children:
        children.append(_with_configs(child, change))
    return attrs.evolve(snapshot, config=change(snapshot.config), children=tuple(children))


def with_images(config: MachineConfig, images: Mapping[Path, Path]) -> MachineConfig:
    """Exchange the images of disks; `parents` and `format` are left for `with_chains`."""

    def exchanged(drive: Drive) -> Drive:
        if drive.kind is not DriveKind.DISK or drive.image is None or drive.image not in images:
            return drive
        return attrs.evolve(drive, image=images[drive.image])

    return attrs.evolve(config, drives=tuple(exchanged(drive) for drive in config.drives))


def with_chains(settings: MachineSettings) -> MachineSettings:
    """Let every disk name the images that its own stands on in the registry, and the format that its own has there, unless it is to be found out."""
    records = {record.location: record for record in all_records(settings.media)}

    def chained(drive: Drive) -> Drive:
        if drive.kind is not DriveKind.DISK or drive.image not in records:
            return drive
        format = records[drive.image].format.lower() if drive.format else ""
        return attrs.evolve(drive, format=format, parents=_parents(settings.media, drive.image))

    return with_configs(settings, lambda config: attrs.evolve(config, drives=tuple(chained(drive) for drive in config.drives)))


def _parents(media: Records, location: Path) -> tuple[Path, ...]:
    return tuple(record.location for record in lineage(media, location)[1:])


# --- files


def references(settings: MachineSettings) -> set[Path]:
    """Every image and state file that the settings need."""
    states = {settings.state_file, *(snapshot.state_file for snapshot in settings.snapshots())}
    return {record.location for record in all_records(settings.media)} | {path for path in states if path is not None}


def only_one_refers(before: MachineSettings, after: MachineSettings) -> set[Path]:
    """What has to go in the end: the new files where the change did not come to be, the old ones where it did."""
    return references(before) ^ references(after)


# --- new differencing images


def image_path(folder: Path, identity: str) -> Path:
    """Of the differencing image with that UUID."""
    return folder / f"{{{identity}}}{DIFFERENCING_SUFFIX}"


@attrs.define
class Differences:
    """Collects the differencing images of one change; `folder` is where they go."""

    settings: MachineSettings
    folder: Path
    create: list[NewMedium] = attrs.Factory(list)
    images: dict[Path, Path] = attrs.Factory(dict)
    """By the image that each stands on."""

    def stand_on(self, parent: Path) -> None:
        """A fresh image on `parent`, which is emptied at power-on where its base is immutable."""
        if parent in self.images:
            raise StateError(f"{parent}: the disk image is in two drives of the machine; a snapshot needs one drive an image")
        record_of(self.settings.media, parent)
        base = lineage(self.settings.media, parent)[-1]
        identity = str(uuid.uuid4())
        path = image_path(self.folder, identity)
        child = MediumRecord(uuid=identity, location=path, kind=DriveKind.DISK, format=DIFFERENCING_FORMAT, auto_reset=base.type is MediumType.IMMUTABLE)
        self.settings = attrs.evolve(self.settings, media=with_child(self.settings.media, parent, child))
        self.create.append(NewMedium(path=path, variant=MediumVariant.DIFFERENCING, parent=parent, uuid=identity))
        self.images[parent] = path

    def change(self, settings: MachineSettings) -> Change:
        """`settings` with the machine's disks on the new images."""
        settings = attrs.evolve(settings, media=self.settings.media, config=with_images(settings.config, self.images))
        return Change(settings=with_chains(settings), create=tuple(self.create))


def kept_by_snapshots(settings: MachineSettings, drive: Drive, image: Path) -> bool:
    """Whether a snapshot keeps what is on this disk."""
    if drive.mode is not AccessMode.PERSISTENT:
        return False
    record_of(settings.media, image)
    return lineage(settings.media, image)[-1].type not in LEFT_ALONE


def without_unused_differences(settings: MachineSettings, candidates: Iterable[Path]) -> MachineSettings:
    """Forget those of `candidates` that stand on another image, that no drive of the machine or of a snapshot has, and that nothing stands on."""
    for location in candidates:
        chain = lineage(settings.media, location)
        if len(chain) > 1 and not chain[0].children and not users(settings, location):
            settings = attrs.evolve(settings, media=without(settings.media, location))
    return settings


# --- power-on


def power_on(settings: MachineSettings, folder: Path) -> Change:
    """Give immutable and multi-attach disks an image of the machine's own; those that are emptied at power-on are replaced by fresh ones."""
    differences = Differences(settings, folder)
    replaced: dict[Path, Path] = {}
    for _, image in disks(settings.config):
        chain = lineage(settings.media, image)
        if chain and len(chain) == 1 and chain[0].type in OWN_DIFFERENCES:
            differences.stand_on(image)
        elif len(chain) > 1 and chain[0].auto_reset:
            replaced[image] = chain[1].location
            differences.stand_on(chain[1].location)
    settings = attrs.evolve(settings, config=with_images(settings.config, replaced))
    change = differences.change(settings)
    return attrs.evolve(change, settings=without_unused_differences(change.settings, replaced))
