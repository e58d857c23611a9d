"""Images by UUID or file, wherever they are registered: with the home or with a machine."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
from ringone.api.config import DriveKind
from ringone.api.media import MediumInfo, MediumVariant, find_format
from ringone.api.settings import MachineSettings, MediumRecord, MediumType

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import FILE_ERROR, OBJECT_IN_USE, OBJECT_NOT_FOUND, NotSupportedError, VerbError

Records = tuple[MediumRecord, ...]

KIND_NAMES = {DriveKind.DISK: "hard disk", DriveKind.CDROM: "DVD", DriveKind.FLOPPY: "floppy"}
KINDS = {"disk": DriveKind.DISK, "dvd": DriveKind.CDROM, "floppy": DriveKind.FLOPPY}
"""The word that media verbs take before the image."""


@attrs.frozen
class Medium:
    """A registered image. `lineage` is it and those that it stands on, the base last; `owner` is the machine whose registry has it, None for the home's."""

    lineage: Records
    owner: Machine | None = None
    users: tuple[Machine, ...] = ()

    @property
    def record(self) -> MediumRecord:
        return self.lineage[0]

    @property
    def chain(self) -> list[Path]:
        return [record.location for record in self.lineage]

    @property
    def type(self) -> MediumType:
        """That of the base: differencing images have none of their own."""
        return self.lineage[-1].type


def all_media(context: Context) -> Iterator[Medium]:
    machines = [machine for machine in context.machines() if machine.settings is not None]
    users: dict[Path, list[Machine]] = {}
    for machine in machines:
        for location in locations(machine.loaded):
            users.setdefault(location, []).append(machine)
    registries: list[tuple[Machine | None, Records]] = [*((machine, machine.loaded.media) for machine in machines), (None, context.home.settings().media)]
    seen = set()
    for owner, records in registries:
        for lineage in lineages(records):
            if lineage[0].uuid not in seen:
                seen.add(lineage[0].uuid)
                yield Medium(lineage, owner, tuple(users.get(lineage[0].location, ())))


def lineages(records: Records, below: Records = ()) -> Iterator[Records]:
    for record in records:
        yield (record, *below)
        yield from lineages(record.children, (record, *below))


def locations(settings: MachineSettings) -> set[Path]:
    """The images of the machine's drives and of its snapshots' drives."""
    configs = (settings.config, *(snapshot.config for snapshot in settings.snapshots()))
    return {drive.image for config in configs for drive in config.drives if drive.image is not None}


def find_medium(context: Context, text: str, kind: DriveKind | None = None) -> Medium | None:
    """By UUID or by file."""
    identity, path = _uuid(text), Path(text).absolute()
    for medium in all_media(context):
        record = medium.record
        if (kind is None or record.kind is kind) and (record.uuid == identity if identity else same_file(record.location, path)):
            return medium
    return None


def require_medium(context: Context, text: str, kind: DriveKind | None = None) -> Medium:
    """A registered image, or the file at `text`, which need not be registered."""
    found = find_medium(context, text, kind)
    if found is not None:
        return found
    if _uuid(text):
        raise VerbError(f"Could not find an open {KIND_NAMES[kind or DriveKind.DISK]} with UUID {{{_uuid(text)}}}", OBJECT_NOT_FOUND)
    return Medium((read_record(context, Path(text), kind or DriveKind.DISK),))


def read_record(context: Context, path: Path, kind: DriveKind, identity: str = "") -> MediumRecord:
    """Of an image that nobody has registered yet."""
    path = path.absolute()
    if not path.exists():
        raise VerbError(f"Could not find file for the medium '{path}' (VERR_FILE_NOT_FOUND)", FILE_ERROR)
    spec = find_format(context.registry.media_formats(), path)
    info = spec.tools.describe(path) if spec.tools is not None and kind is DriveKind.DISK else None
    if info is not None and info.variant is MediumVariant.DIFFERENCING:
        raise NotSupportedError(f"'{path}' is a differencing image and the image that it stands on is not registered")
    known = info.uuid if info is not None else ""
    return MediumRecord(uuid=identity or known or str(uuid.uuid4()), location=path, kind=kind, format=format_name(spec.name, kind))


def format_name(name: str, kind: DriveKind) -> str:
    return "RAW" if kind is not DriveKind.DISK else name.upper()


def describe(context: Context, medium: Medium) -> MediumInfo | None:
    """What the file says; None where its format does not."""
    formats = context.registry.media_formats()
    spec = formats.get(medium.record.format.lower())
    return spec.tools.describe(medium.record.location) if spec is not None and spec.tools is not None else None


def require_unused(medium: Medium) -> None:
    if medium.users:
        names = ", ".join(f"'{machine.registered.name}'" for machine in medium.users)
        raise VerbError(f"Medium '{medium.record.location}' is attached to {names}", OBJECT_IN_USE)
    if medium.record.children:
        raise VerbError(f"Medium '{medium.record.location}' has {len(medium.record.children)} child media and cannot be closed", OBJECT_IN_USE)


def same_file(one: Path, other: Path) -> bool:
    return one == other or one.resolve() == other.resolve()


# --- Changing registries -----------------------------------------------------------------------------------------------------------------------------------


def with_record(records: Records, changed: MediumRecord, parent: str = "") -> Records:
    """The registry with the record put in the place of the one with its UUID, else added, below `parent` where one is named."""
    if any(record.uuid == changed.uuid for top in records for record in top.walk()):
        return map_records(records, lambda record: changed if record.uuid == changed.uuid else record)
    if not parent:
        return (*records, changed)
    return map_records(records, lambda record: attrs.evolve(record, children=(*record.children, changed)) if record.uuid == parent else record)


def without_record(records: Records, identity: str) -> Records:
    kept = (record for record in records if record.uuid != identity)
    return tuple(attrs.evolve(record, children=without_record(record.children, identity)) for record in kept)


def map_records(records: Records, change: Callable[[MediumRecord], MediumRecord]) -> Records:
    return tuple(change(attrs.evolve(record, children=map_records(record.children, change))) for record in records)


def change_records(context: Context, medium: Medium, change: Callable[[Records], Records]) -> None:
    """In the registry that has the image."""
    if medium.owner is None:
        context.home.change_settings(lambda before: attrs.evolve(before, media=change(before.media)))
    else:
        context.change(medium.owner.uuid, lambda before: attrs.evolve(before, media=change(before.media)))


def register(context: Context, record: MediumRecord, parent: Medium | None = None) -> None:
    """In the home's registry, or beside the image that it stands on."""
    if parent is None:
        context.home.change_settings(lambda before: attrs.evolve(before, media=with_record(before.media, record)))
    else:
        change_records(context, parent, lambda records: with_record(records, record, parent.record.uuid))


def forget_in_home(context: Context, medium: Medium) -> None:
    """A machine's registry has the image now."""
    location = medium.lineage[-1].location

    def kept(records: Records) -> Records:
        return tuple(record for record in records if record.location != location)

    if len(kept(context.home.settings().media)) < len(context.home.settings().media):
        context.home.change_settings(lambda before: attrs.evolve(before, media=kept(before.media)))


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text.strip("{}"))) if len(text) <= 50 else ""
    except ValueError:
        return ""
