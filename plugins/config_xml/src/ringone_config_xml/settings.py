"""`ringone.api.config.SettingsFormat`: machine files with their snapshots and media, and the home's own file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeVar

import attrs
from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.errors import ConfigError, UnsupportedError
from ringone.api.settings import GlobalSettings, MachineSettings, SnapshotRecord

from ringone_config_xml import schema
from ringone_config_xml.document import Document, HomeDocument, SettingsFile, read_bytes
from ringone_config_xml.editing import change_attributes, set_attribute
from ringone_config_xml.files import prolog_of, replace_keeping, serialized
from ringone_config_xml.home import FRESH_HOME, read_home, write_home
from ringone_config_xml.media import MODES, bare_uuid, registry
from ringone_config_xml.reading import read_machine
from ringone_config_xml.records import read_machine_media, write_machine_media
from ringone_config_xml.snapshots import bring_back, read_snapshots, write_snapshots
from ringone_config_xml.storage import attached_mode
from ringone_config_xml.table import read_groups, read_guest_properties, write_groups, write_guest_properties
from ringone_config_xml.text import braced, checked_uuid, flag_text, relative, time_of, time_text
from ringone_config_xml.vbox import fresh_machine
from ringone_config_xml.writing import apply

LOCATIONS = frozenset({"location", "stateFile", "snapshotFolder"})
F = TypeVar("F", bound=SettingsFile)


def load_machine(path: Path) -> MachineSettings:
    return read_settings(Document(path, read_bytes(path)))


def save_machine(settings: MachineSettings, path: Path, like: Path | None = None) -> None:
    start = fresh_machine() if like is None else read_bytes(like)
    _save(path, Document, start, lambda document: _edit_machine(document, settings), read_settings)


def load_home(path: Path) -> GlobalSettings:
    return read_home(HomeDocument(path, read_bytes(path)))


def save_home(settings: GlobalSettings, path: Path) -> None:
    _save(path, HomeDocument, FRESH_HOME, lambda document: write_home(document, read_home(document), settings), read_home)


def _save(path: Path, parse: Callable[[Path, bytes], F], start: bytes, edit: Callable[[F], None], read: Callable[[F], object]) -> None:
    """Edit what is at `path`, or `start` where nothing is, and put it there if it can be read again."""
    target = path.resolve()
    previous = read_bytes(target) if target.exists() else None
    prolog = prolog_of(previous)
    document = parse(target, start if previous is None else previous)
    before = serialized(document, prolog)
    edit(document)
    data = serialized(document, prolog)
    if previous is not None and data == before:
        return
    try:
        read(parse(target, data))
    except ConfigError as error:
        raise ConfigError(f"not saved, because the file could not be loaded again: {error.message}", source=str(path)) from error
    replace_keeping(target, data, previous, path)


# --- Machines ----------------------------------------------------------------------------------------------------------------------------------------------


def read_settings(document: Document) -> MachineSettings:
    schema.check(document, judge_snapshots=True)
    machine = document.owner
    state, folder = document.text(machine, "stateFile"), document.text(machine, "snapshotFolder")
    images = registry(document)
    config = read_machine(document, images)
    refusals = _without_refusals(document)
    settings = MachineSettings(
        config=config,
        media=read_machine_media(document),
        snapshot=read_snapshots(document, images),
        current_snapshot=bare_uuid(document.text(machine, "currentSnapshot")),
        current_state_modified=document.flag(machine, "currentStateModified", True),
        state_file=document.folder / state if state else None,
        aborted=document.flag(machine, "aborted", False),
        last_state_change=time_of(document.text(machine, "lastStateChange")),
        snapshot_folder=document.folder / folder if folder else None,
        groups=read_groups(document),
        guest_properties=read_guest_properties(document),
    )
    _check_current_snapshot(document, settings)
    _without_refusals(document)
    document.raise_problems()
    return attrs.evolve(settings, refusals=refusals)


def _without_refusals(document: Document) -> tuple[str, ...]:
    """Take out of the problems what RingOne just does not have; snapshots may have more of that than the machine."""
    refusals = [str(error) for error in document.problems if isinstance(error, UnsupportedError)]
    document.problems = [error for error in document.problems if not isinstance(error, UnsupportedError)]
    return tuple(dict.fromkeys(refusals))


def _check_current_snapshot(document: Document, settings: MachineSettings) -> None:
    uuids = {snapshot.uuid for snapshot in settings.snapshots()}
    if (settings.current_snapshot or uuids) and settings.current_snapshot not in uuids:
        found = document.text(document.owner, "currentSnapshot")[:60]
        document.problem(document.owner, f"Machine currentSnapshot is {found!r}; accepted is the UUID of a snapshot of this file")


def _edit_machine(document: Document, new: MachineSettings) -> None:
    old = read_settings(document)
    if old.config.name != new.config.name:
        _make_relative(document)
    identity = checked_uuid("machine", new.config.uuid or old.config.uuid)
    new = attrs.evolve(new, config=attrs.evolve(new.config, uuid=identity))
    write_machine_media(document, old.media, new.media)
    known = {drive for config in _configs(old) for drive in config.drives}
    old, new = (_with_file_modes(document, settings, known) for settings in (old, new))
    write_snapshots(document, old, new)
    if _comes_back(old, new):
        bring_back(document, new.current_snapshot)
        document.problems = []
        old = _with_file_modes(document, attrs.evolve(old, config=read_machine(document, registry(document))), known)
    apply(document, old.config, new.config)
    change_attributes(document, document.owner, _state_attributes(document, old), _state_attributes(document, new))
    write_groups(document, old.groups, new.groups)
    write_guest_properties(document, old.guest_properties, new.guest_properties)


def _make_relative(document: Document) -> None:
    """The folder of a machine that gets another name is renamed: what lies in it is to be found there afterwards."""
    for element in document.owner.iter():
        for name in LOCATIONS & set(map(str, element.attrib)):
            set_attribute(document, element, name, relative(Path(document.text(element, name)), document.folder))


def _comes_back(old: MachineSettings, new: MachineSettings) -> bool:
    """Whether this save restores a snapshot: not, where the state came to be the snapshot's by taking it or by deleting the one that was current."""
    before, after = ({snapshot.uuid for snapshot in settings.snapshots()} for settings in (old, new))
    restored = new.current_snapshot != old.current_snapshot or old.current_state_modified
    return restored and not new.current_state_modified and new.current_snapshot in before & after and old.current_snapshot in after


def _configs(settings: MachineSettings) -> Iterator[MachineConfig]:
    yield settings.config
    for snapshot in settings.snapshots():
        yield snapshot.config


def _with_file_modes(document: Document, settings: MachineSettings, known: AbstractSet[Drive]) -> MachineSettings:
    """Drives with the mode that their image's type stands for: the registry says it, not the drive. Those that are not `known` must agree with it."""
    images = {image.location: image for image in registry(document).values()}

    def mapped(drive: Drive) -> Drive:
        image = images.get(document.folder / drive.image) if drive.kind is DriveKind.DISK and drive.image is not None else None
        if image is None:
            return drive
        if drive.mode is not attached_mode(image) and drive not in known:
            message = f"{drive.image} is to be opened {drive.mode.value}, but is registered as {image.type.value}"
            raise ConfigError(f"{message}; accepted: {attached_mode(image).value}, or another type in the media registry")
        return attrs.evolve(drive, mode=MODES[image.type])

    def changed(config: MachineConfig) -> MachineConfig:
        return attrs.evolve(config, drives=tuple(map(mapped, config.drives)))

    def each(snapshot: SnapshotRecord) -> SnapshotRecord:
        return attrs.evolve(snapshot, config=changed(snapshot.config), children=tuple(map(each, snapshot.children)))

    return attrs.evolve(settings, config=changed(settings.config), snapshot=settings.snapshot and each(settings.snapshot))


def _state_attributes(document: Document, settings: MachineSettings) -> dict[str, str]:
    """What VirtualBox writes; "" where it leaves an attribute out."""
    return {
        "stateFile": "" if settings.state_file is None else relative(settings.state_file, document.folder),
        "currentSnapshot": braced(settings.current_snapshot) if settings.current_snapshot else "",
        "snapshotFolder": "" if settings.snapshot_folder is None else relative(settings.snapshot_folder, document.folder),
        "currentStateModified": "" if settings.current_state_modified else flag_text(False),
        "lastStateChange": time_text(settings.last_state_change),
        "aborted": flag_text(True) if settings.aborted else "",
    }
