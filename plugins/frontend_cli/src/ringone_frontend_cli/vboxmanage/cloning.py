"""clonevm: a machine's copy, with copies of its disks or with images that stand on those of a snapshot.

A full clone of the machine has what the disks read as, in one image each; ``--mode all`` copies its snapshots too.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.media import ImageTools, MediumFormatSpec, MediumVariant, NewMedium, clone_medium, find_format
from ringone.api.settings import MachineSettings, MediumRecord

from ringone_frontend_cli.vboxmanage.clonetree import TreeCloner, require_no_states
from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.media import record_of
from ringone_frontend_cli.vboxmanage.media_registry import Records, lineages, with_record
from ringone_frontend_cli.vboxmanage.settings_table import parse_groups
from ringone_frontend_cli.vboxmanage.snapshots import find_snapshot
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, choice, flag, option, uuid_text

LINK = "link"
KEEP_DISK_NAMES = "keepdisknames"
OPTIONS = frozenset({LINK, "keepallmacs", "keepnatmacs", KEEP_DISK_NAMES, "keephwuuids"})
FORMAT = "vdi"
SNAPSHOTS = "Snapshots"


@attrs.define
class Cloner:
    """One clone in the making; `created` are its files so far."""

    context: Context
    name: str
    folder: Path
    keep_names: bool
    media: Records
    """Of the machine that is cloned."""
    created: list[Path]
    new_media: Records = ()

    def full(self, drive: Drive, image: Path) -> Drive:
        chain = self._lineage(image)
        source = find_format(self.context.registry.media_formats(), image)
        target, _ = self._format(source)
        new = NewMedium(path=self._path(image, target))
        info = clone_medium(source, [record.location for record in chain], target, new, self.context.progress())
        self.created.append(new.path)
        self.new_media = (*self.new_media, attrs.evolve(record_of(target, info), type=chain[-1].type))
        return attrs.evolve(drive, image=new.path, parents=(), format=target.name)

    def linked(self, drive: Drive, image: Path) -> Drive:
        chain = self._lineage(image)
        spec, tools = self._format(None)
        new = NewMedium(path=self._path(image, spec), variant=MediumVariant.DIFFERENCING, parent=image)
        child = record_of(spec, tools.create(new))
        self.created.append(new.path)
        for record in chain:  # the parents of the clone's image, and nothing else that stands on them
            child = attrs.evolve(record, children=(child,))
        self.new_media = (*self.new_media, child)
        return attrs.evolve(drive, image=new.path, parents=tuple(record.location for record in chain), format=spec.name)

    def shared(self, drive: Drive) -> Drive:
        """CDs and floppies are not copied."""
        if drive.image is not None:
            for record in self.media:
                if record.location == drive.image:
                    self.new_media = with_record(self.new_media, record)
        return drive

    def _lineage(self, image: Path) -> Records:
        found = next((lineage for lineage in lineages(self.media) if lineage[0].location == image), None)
        return found or (MediumRecord(uuid=str(uuid.uuid4()), location=image, kind=DriveKind.DISK),)

    def _format(self, source: MediumFormatSpec | None) -> tuple[MediumFormatSpec, ImageTools]:
        spec = source if source is not None and source.tools is not None else self.context.registry.media_formats()[FORMAT]
        assert spec.tools is not None
        return spec, spec.tools

    def _path(self, image: Path, spec: MediumFormatSpec) -> Path:
        suffix = spec.suffixes[0]
        stem = image.stem if self.keep_names else f"{self.name}-disk{len(self.created) + 1}"
        return self.folder / f"{stem}{suffix}"


def clone(context: Context, arguments: Arguments) -> None:
    from ringone.home import LockMode

    machine = context.machine(arguments.words[0])
    words = {word.strip().lower() for word in arguments.get("--options", "").split(",") if word.strip()}
    _check(machine, arguments, words)
    name = arguments.get("--name") or free_name(context, f"{machine.registered.name} Clone")
    with context.home.lock(machine.registered, LockMode.WORK, "cloning it"):
        path = _clone(context, machine, name, arguments, words)
    if arguments.has("--register"):
        context.home.register(path)
    print(f'Machine has been successfully cloned as "{name}"')


def _check(machine: Machine, arguments: Arguments, words: set[str]) -> None:
    for word in words - OPTIONS:
        raise VerbSyntaxError(f"Invalid clone options '{word}'; accepted: {', '.join(sorted(OPTIONS))}")
    if LINK in words and not arguments.has("--snapshot"):
        raise VerbError("Linked clone can only be created from a snapshot", INVALID_ARGUMENT)
    mode = arguments.get("--mode", "machine")
    if mode == "machineandchildren" and machine.loaded.snapshot is not None:
        raise NotSupportedError("clonevm --mode machineandchildren is not supported", "machine, all")
    if mode == "all" and (LINK in words or arguments.has("--snapshot")):
        raise VerbError("--mode all clones all snapshots; --snapshot and the option Link are about one", INVALID_ARGUMENT)
    if mode == "all":
        require_no_states(machine.loaded)


def _clone(context: Context, machine: Machine, name: str, arguments: Arguments, words: set[str]) -> Path:
    groups = parse_groups(arguments.get("--groups")) if arguments.has("--groups") else machine.loaded.groups
    base = Path(arguments.get("--basefolder")) if arguments.has("--basefolder") else None
    folder = context.home.machine_file(name, groups, base).parent
    folder.mkdir(parents=True, exist_ok=True)
    created: list[Path] = []
    try:
        if arguments.get("--mode") == "all":
            tree = TreeCloner(context=context, name=name, folder=folder, snapshot_folder=folder / SNAPSHOTS, created=created)
            clone = tree.clone(machine.loaded)
        else:
            cloner = Cloner(context=context, name=name, folder=folder, keep_names=KEEP_DISK_NAMES in words, media=machine.loaded.media, created=created)
            clone = _alone(machine.loaded, arguments, cloner, cloner.linked if LINK in words else cloner.full)
        config = attrs.evolve(clone.config, name=name, uuid=arguments.get("--uuid", ""), unmodelled=dict(fresh_addresses(clone.config, words)))
        return context.home.create(attrs.evolve(clone, config=config, groups=groups), base, machine.registered.path)
    except BaseException:
        _undo(created, folder)
        raise


def _alone(settings: MachineSettings, arguments: Arguments, cloner: Cloner, copy: Callable[[Drive, Path], Drive]) -> MachineSettings:
    """The machine, or one of its snapshots, without any snapshots."""
    config = find_snapshot(settings, arguments.get("--snapshot")).config if arguments.has("--snapshot") else settings.config
    drives = tuple(copy(drive, drive.image) if drive.kind is DriveKind.DISK and drive.image is not None else cloner.shared(drive) for drive in config.drives)
    return MachineSettings(config=attrs.evolve(config, drives=drives), media=cloner.new_media)


def _undo(created: list[Path], folder: Path) -> None:
    for path in created:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    for empty in (folder / SNAPSHOTS, folder):
        with contextlib.suppress(OSError):
            empty.rmdir()


def fresh_addresses(config: MachineConfig, words: set[str]) -> Iterator[tuple[str, str]]:
    """What the file says of adapters that are not modelled, with MAC addresses of the clone's own."""
    for name, value in config.unmodelled.items():
        is_nat = config.unmodelled.get(f"nic{name[-1]}") == "nat"
        keep = "keepallmacs" in words or ("keepnatmacs" in words and is_nat)
        yield name, value if keep or not name.startswith("macaddress") else f"080027{uuid.uuid4().hex[:6].upper()}"


def free_name(context: Context, wanted: str) -> str:
    taken = {machine.registered.name for machine in context.machines()}
    number, name = 1, wanted
    while name in taken:
        name, number = f"{wanted} ({number})", number + 1
    return name


VERBS = (
    Verb(
        name="clonevm",
        summary="copy a machine with its disks",
        usage=(
            "<uuid|vmname> [--snapshot <uuid|name>] [--mode machine|machineandchildren|all] [--options Link|KeepAllMACs|KeepNatMACs|KeepDiskNames]",
            "  [--name <name>] [--groups <group>, ...] [--basefolder <path>] [--uuid <uuid>] [--register]",
        ),
        run=clone,
        options=(
            option("--snapshot"),
            option("--mode", parse=choice("machine", "machineandchildren", "all")),
            option("--options"),
            option("--name"),
            option("--groups"),
            option("--basefolder"),
            option("--uuid", parse=uuid_text),
            option("--register", parse=flag),
        ),
        words=(1, 1),
    ),
)
