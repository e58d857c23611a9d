"""A home: the machines that a user has, as files that VirtualBox's users know.

``VirtualBox.xml`` lists the machines and what they share; a machine is a folder with its ``.vbox`` file, disks, ``Snapshots`` and ``Logs``. Files are read
without any lock, since they are only ever replaced whole; they are written with one. Locks are taken in this order: a machine's, then the home's.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from ringone.api.config import MachineConfig, SettingsFormat
from ringone.api.errors import ConfigError, LockedError, NotFoundError, RingOneError, StateError
from ringone.api.settings import GlobalSettings, MachineEntry, MachineSettings, MediumRecord
from ringone.home.locks import FileLock, LockHolder, LockMode
from ringone.home.machinelock import GATE_TIMEOUT_S, MachineLock, lock_machine, session_of
from ringone.home.paths import SUFFIX, check_group, check_name, home_folders
from ringone.home.renaming import Renaming, as_driver_error, found_again, note_file
from ringone.plugins import PluginRegistry

LOCK_FILE = ".home.lock"
LOCKS_HOLD_FOLDERS = sys.platform == "win32"
"""A folder with an open file in it cannot be renamed there."""
SEARCHED_BYTES = 16 << 20
XML_ESCAPED = re.compile("[&<>\"'\\s]+")
SNAPSHOTS = "Snapshots"
LOGS = "Logs"

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class RegisteredMachine:
    """A machine that the home knows. Where its file cannot be read, `error` says why, and `name` is that of its file."""

    uuid: str
    path: Path
    name: str
    settings: MachineSettings | None = None
    error: RingOneError | None = None

    @property
    def accessible(self) -> bool:
        return self.settings is not None

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def logs(self) -> Path:
        return self.folder / LOGS

    @property
    def snapshot_folder(self) -> Path:
        chosen = self.settings.snapshot_folder if self.settings is not None else None
        return chosen if chosen is not None else self.folder / SNAPSHOTS


class Home:
    """Made by `Home.open`. Holds no file open and remembers nothing: what it says is what is on disk at the time of the call."""

    def __init__(self, file: Path, machine_folder: Path, format: SettingsFormat) -> None:
        self.file = file
        self._machine_folder = machine_folder
        self._format = format

    @classmethod
    def open(cls, folder: Path | None, registry: PluginRegistry) -> Home:
        """The home in `folder`, else in ``$RINGONE_HOME``, else where the host keeps a user's files. Nothing is created until something is written."""
        folders = home_folders(folder)
        format = next((spec.settings for spec in registry.config_loaders().values() if spec.settings is not None), None)
        if format is None:
            raise ConfigError("no plugin reads and writes the settings of a home; accepted is one such as ringone-config-xml")
        return cls(folders.settings / format.home_file, folders.machines, format)

    # --- what all machines share

    def settings(self) -> GlobalSettings:
        settings = self._format.load_home(self.file) if self.file.exists() else GlobalSettings()
        return attrs.evolve(settings, machines=tuple(map(found_again, settings.machines)))

    def change_settings(self, change: Callable[[GlobalSettings], GlobalSettings]) -> GlobalSettings:
        """Save what `change` makes of the global settings; two processes that do so at once lose nothing."""
        with self._locked():
            before = self.settings()
            after = change(before)
            self._refuse_foreign_uuids(before.media, after.media, "")
            self._save_settings(after)
            return after

    def machine_folder(self) -> Path:
        """Where new machines go."""
        return self.settings().default_machine_folder or self._machine_folder

    # --- machines

    def machines(self) -> list[RegisteredMachine]:
        """In the order in which they were registered, those with unreadable files too."""
        return [self._registered(entry) for entry in self.settings().machines]

    def find(self, name_or_uuid: str) -> RegisteredMachine:
        """By name or UUID (with or without braces), the readable ones first; `NotFoundError` otherwise."""
        entries = self.settings().machines
        identity = _uuid(name_or_uuid)
        for entry in entries:
            if entry.uuid == identity:
                return self._registered(entry)
        unreadable = []
        for machine in map(self._registered, sorted(entries, key=lambda entry: entry.path.stem != name_or_uuid)):
            if machine.name == name_or_uuid and machine.accessible:
                return machine
            if machine.name == name_or_uuid:
                unreadable.append(machine)
        if not unreadable:
            raise NotFoundError(f"Could not find a registered machine {'with UUID {' + identity + '}' if identity else f'named {name_or_uuid!r}'}")
        return unreadable[0]

    def machine_file(self, name: str, groups: Sequence[str] = ("/",), base_folder: Path | None = None) -> Path:
        """Where the file of a new machine goes: ``<base folder>/<first group>/<name>/<name>.vbox``."""
        check_name("machine name", name)
        group = groups[0] if groups else "/"
        base = base_folder.absolute() if base_folder is not None else self.machine_folder()
        return base.joinpath(*(part for part in check_group(group).split("/") if part), name, name + SUFFIX)

    def create(self, settings: MachineSettings, base_folder: Path | None = None, like: Path | None = None) -> Path:
        """Write the file of a new machine, which `register` makes known, and return its path.

        An empty ``settings.config.uuid`` becomes a fresh one. `like` is the file of a machine whose hardware that nobody understands is taken over (clones).
        """
        path = self.machine_file(settings.config.name, settings.groups, base_folder)
        for group in settings.groups:
            check_group(group)
        with self._locked():
            if path.exists():
                raise ConfigError(f"machine settings file {str(path)!r} already exists")
            self._check_free(settings.config.name, settings.config.uuid)
            self._refuse_foreign_uuids((), settings.media, settings.config.uuid)
            config = attrs.evolve(settings.config, uuid=settings.config.uuid or str(uuid.uuid4()), source=path)
            fresh = not path.parent.exists()
            with as_driver_error(path, "create the machine's folder"):
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._format.save_machine(attrs.evolve(settings, config=config, last_state_change=settings.last_state_change or _now()), path, like)
            except BaseException:
                if fresh:
                    path.parent.rmdir()
                raise
        return path

    def register(self, path: Path) -> RegisteredMachine:
        """Make a machine file known. Refuses one whose name or UUID is registered already."""
        path = path.absolute()
        settings = self._format.load_machine(path)
        entry = MachineEntry(uuid=settings.config.uuid, path=path)
        with self._locked():
            self._check_free(settings.config.name, entry.uuid)
            before = self.settings()
            self._save_settings(attrs.evolve(before, machines=(*before.machines, entry)))
        return RegisteredMachine(uuid=entry.uuid, path=path, name=settings.config.name, settings=settings)

    def unregister(self, machine: RegisteredMachine) -> None:
        """Forget a machine, whose files stay. Refused while somebody runs it or works on it."""
        with contextlib.ExitStack() as stack:
            if machine.path.exists():
                stack.enter_context(self.lock(machine, LockMode.WORK, "unregistering it"))
            self.change_settings(lambda before: attrs.evolve(before, machines=tuple(entry for entry in before.machines if entry.uuid != machine.uuid)))
            note_file(MachineEntry(uuid=machine.uuid, path=machine.path)).unlink(missing_ok=True)

    # --- settings of one machine

    def load(self, machine: RegisteredMachine) -> MachineSettings:
        """As they are on disk now. Aborted, where the process that ran the machine was killed."""
        settings = self._format.load_machine(machine.path)
        killed = session_of(machine.path, machine.uuid).killed
        return attrs.evolve(settings, aborted=True) if killed is not None and killed.mode is LockMode.RUN else settings

    def save(self, lock: MachineLock, settings: MachineSettings) -> None:
        """Save the settings of a machine that the caller has locked. The file as it was stays beside it with ``-prev`` appended to its name.

        With another name the machine's file and folder are renamed, too, which a machine that runs does not allow; `MachineLock.path` is its file then.
        """
        lock.require_held()
        before = self._format.load_machine(lock.path)
        self._refuse_foreign_uuids(before.media, settings.media, before.config.uuid)
        if settings.config.name == before.config.name:
            self._format.save_machine(settings, lock.path)
        else:
            self._rename(lock, before, settings)

    def change(
        self,
        machine: RegisteredMachine,
        change: Callable[[MachineSettings], MachineSettings],
        purpose: str = "changing its settings",
    ) -> MachineSettings:
        """Save what `change` makes of the settings of a machine that is off."""
        with self.lock(machine, LockMode.SETTINGS, purpose) as lock:
            before = self._format.load_machine(lock.path)
            after = change(before)
            if after != before:
                self.save(lock, after)
            return after

    # --- locks

    def lock(self, machine: RegisteredMachine, mode: LockMode, purpose: str) -> MachineLock:
        """Keep everybody else from changing or running the machine until the lock is released (or its process is gone). `LockedError` says who has it.

        `purpose` goes on after "process 4711 is": ``running it``, ``deleting a snapshot``.
        """
        if not machine.path.exists():
            raise NotFoundError(f"the file of the machine {machine.name!r} is not there: {machine.path}")
        lock, killed = lock_machine(machine, mode, purpose)
        if killed is not None and killed.mode is LockMode.RUN:
            try:
                self._write_down_abort(lock)
            except BaseException:
                lock.release()
                raise
        return lock

    def holder(self, machine: RegisteredMachine) -> LockHolder | None:
        """Who runs the machine or works on it."""
        return session_of(machine.path, machine.uuid).holder

    # --- inside

    def _registered(self, entry: MachineEntry) -> RegisteredMachine:
        machine = RegisteredMachine(uuid=entry.uuid, path=entry.path, name=entry.path.stem)
        try:
            settings = self.load(machine)
        except RingOneError as error:
            return attrs.evolve(machine, error=error)
        if settings.config.uuid != entry.uuid:
            message = f"the machine UUID {{{settings.config.uuid}}} is not the one that is registered; accepted: {{{entry.uuid}}}"
            return attrs.evolve(machine, error=ConfigError(message, source=str(entry.path)))
        return attrs.evolve(machine, name=settings.config.name, settings=settings)

    def _write_down_abort(self, lock: MachineLock) -> None:
        try:
            before = self._format.load_machine(lock.path)
        except ConfigError as error:
            log.warning("the process that ran it was killed, which a file that cannot be read does not tell: %s", error)
            return
        self._format.save_machine(attrs.evolve(before, aborted=True, last_state_change=_now()), lock.path)

    def _rename(self, lock: MachineLock, before: MachineSettings, after: MachineSettings) -> None:
        if lock.mode is LockMode.RUN:
            raise StateError(f"the machine {before.config.name!r} is running and cannot be renamed")
        name = check_name("machine name", after.config.name)
        entry = MachineEntry(uuid=before.config.uuid, path=lock.path)
        with self._locked():
            self._check_free(name, "")
            renaming = Renaming(entry, before.config.name, name, keeps_folder=LOCKS_HOLD_FOLDERS or self._others_stand_on(entry))
            renaming.require_room()
            renaming.note()
            self._format.save_machine(after, lock.path)
            renaming.move()
            lock.moved(renaming.path)
            shared = self.settings()
            machines = tuple(attrs.evolve(known, path=renaming.path) if known.uuid == entry.uuid else known for known in shared.machines)
            self._save_settings(attrs.evolve(shared, machines=machines, media=tuple(map(renaming.moved, shared.media))))
            note_file(entry).unlink(missing_ok=True)

    def _others_stand_on(self, entry: MachineEntry) -> bool:
        """Whether other machines have images in the folder of this one."""
        others = [machine.settings for machine in self.machines() if machine.uuid != entry.uuid and machine.settings is not None]
        return any(record.location.is_relative_to(entry.path.parent) for settings in others for top in settings.media for record in top.walk())

    def _refuse_foreign_uuids(self, before: Iterable[MediumRecord], after: Iterable[MediumRecord], machine: str) -> None:
        """An image that a registry beside the one of `machine` knows at another place is a copy that still has its original's UUID."""
        known = {record.uuid for top in before for record in top.walk()}
        new = {record.uuid: record.location for top in after for record in top.walk() if record.uuid not in known}
        if new and (foreign := self._registered_elsewhere(machine, new)):
            raise ConfigError(f"{new[foreign.uuid]} has the UUID {{{foreign.uuid}}}, which {foreign.location} has already; accepted is one image of each UUID")

    def _registered_elsewhere(self, machine: str, wanted: Mapping[str, Path]) -> MediumRecord | None:
        shared = self.settings()
        records = [record for top in shared.media for record in top.walk()]
        for entry in shared.machines:
            if entry.uuid != machine and _mentions(entry.path, wanted):
                with contextlib.suppress(RingOneError):
                    records += [record for top in self._format.load_machine(entry.path).media for record in top.walk()]
        return next((record for record in records if wanted.get(record.uuid, record.location) != record.location), None)

    def _save_settings(self, settings: GlobalSettings) -> None:
        if self.file.exists() or settings != GlobalSettings():
            self._format.save_home(settings, self.file)

    def _check_free(self, name: str, identity: str) -> None:
        for entry in self.settings().machines:
            if entry.uuid != identity and not _mentions(entry.path, _as_in_xml(name)):
                continue
            other = self._registered(entry)
            if other.uuid == identity or (other.name == name and other.accessible):
                raise ConfigError(f"machine {other.name!r} ({{{other.uuid}}}) is registered already, with the file {other.path}")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with as_driver_error(self.file.parent, "create the home's folder"):
            self.file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.file.with_name(LOCK_FILE))
        if not lock.acquire(GATE_TIMEOUT_S):
            raise LockedError(f"{self.file}: another process has been changing the home for {GATE_TIMEOUT_S:.0f} s")
        try:
            yield
        finally:
            lock.release()


def new_settings(name: str, *, os_type: str = "Other", groups: Sequence[str] = ("/",), identity: str = "", description: str = "") -> MachineSettings:
    """Of a machine that `Home.create` is to write."""
    if identity and not _uuid(identity):
        raise ConfigError(f"machine UUID {identity[:60]!r}; accepted: a UUID such as {uuid.uuid4()}")
    config = MachineConfig(name=name, uuid=_uuid(identity), os_type=os_type, description=description)
    return MachineSettings(config=config, groups=tuple(groups) or ("/",))


def _mentions(path: Path, words: Iterable[str]) -> bool:
    """Whether a file has any of the words in its text, which is told sooner than what it means by them."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            text = file.read(SEARCHED_BYTES).lower()
    except OSError:
        return False
    return any(word.encode().lower() in text for word in words)


def _as_in_xml(text: str) -> tuple[str, ...]:
    """What a file that has the text has in any case: its longest part that need not be escaped, or characters by number."""
    return max(XML_ESCAPED.split(text), key=len), "&#"


def _uuid(text: str) -> str:
    """Lower-case, without braces; "" for what is none."""
    try:
        return str(uuid.UUID(text.strip().strip("{}"))) if len(text) <= 50 else ""
    except ValueError:
        return ""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
