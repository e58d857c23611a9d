"""Changes of a machine's disks and settings, carried out so that a process killed at any moment leaves the old machine or the new one.

The order is always the same: write down in the journal which files may become superfluous, create the new ones, replace the machine file, tidy up. Tidying up
is what the journal says, and is repeated whenever the machine is opened for a change or to run (`MachineFiles.tidy`).
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from ringone.api.errors import DriverError, RingOneError, SnapshotError, StateError, UnsupportedError
from ringone.api.media import ImageTools, MediumFormatSpec, NewMedium, Progress, find_format, no_progress
from ringone.api.settings import MachineSettings, MediumRecord
from ringone.home.atomic import sync_folder
from ringone.home.disks import DIFFERENCING_FORMAT, Change, all_records, lineage, only_one_refers, references, users
from ringone.home.home import SNAPSHOTS, Home, RegisteredMachine
from ringone.home.journal import Journal, JournalFile, Return
from ringone.home.machinelock import MachineLock
from ringone.home.snapshots import Dissolution, forgotten_child, forgotten_parent
from ringone.snapshot.statefile import describe_state_file, rebase_state_file

UNFINISHED = ".ringone-*"
"""Images and states that were being written."""

log = logging.getLogger(__name__)

Work = Callable[[], None]
Apart = Callable[[MachineSettings, MachineSettings, Dissolution, Work, Work], None]
"""`apart(before, after, dissolution, merge, finish)`: do both, `merge` while nobody writes to the two images, `finish` while nobody has images open whose
chains differ between the two settings. Where `finish` fails, the old chains can be opened again."""


def nobody_else(_before: MachineSettings, _after: MachineSettings, _dissolution: Dissolution, merge: Work, finish: Work) -> None:
    """For a machine that is off."""
    merge()
    finish()


class MachineFiles:
    """A machine's file, its journal and its images, while its lock is held.

    `apart` tells how images are got at that a running machine uses."""

    def __init__(self, home: Home, machine: RegisteredMachine, lock: MachineLock, media_formats: Mapping[str, MediumFormatSpec]) -> None:
        self.machine = machine
        self.apart: Apart = nobody_else
        self._home = home
        self._lock = lock
        self._media_formats = media_formats
        self._journal = JournalFile(machine.path)
        self._noted: set[Path] = set()
        """What this process itself wrote into the journal."""

    def load(self) -> MachineSettings:
        return self._home.load(self.machine)

    def save(self, settings: MachineSettings) -> None:
        self._home.save(self._lock, settings)

    def snapshot_folder(self, settings: MachineSettings) -> Path:
        return settings.snapshot_folder or self.machine.folder / SNAPSHOTS

    def folder(self, settings: MachineSettings) -> Path:
        """Where new images and states go; made where it is not there."""
        folder = self.snapshot_folder(settings)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DriverError(f"{folder}: the snapshot folder cannot be made: {error.strerror or error}") from error
        return folder

    def clean_up(self, progress: Progress = no_progress) -> None:
        """Before a machine is changed or run: what killed processes left is finished or removed."""
        self.tidy(progress)
        for path in self.snapshot_folder(self.load()).glob(UNFINISHED):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # --- changing

    def note(self, journal: Journal) -> None:
        """Add to the journal."""
        self._noted |= journal.leftovers
        with _as_driver_error(self._journal.path):
            self._journal.write(self._journal.read().joined(journal))

    @contextlib.contextmanager
    def changing(self, before: MachineSettings, after: MachineSettings, dissolutions: Iterable[Dissolution] = ()) -> Iterator[None]:
        """Around whatever leads from one settings to the other: afterwards, and also where it fails, what neither needs is gone."""
        pending = tuple(dissolutions)
        merging = {path for dissolution in pending for path in (dissolution.parent, dissolution.child)}
        self.note(Journal(leftovers=frozenset(only_one_refers(before, after) | merging), dissolutions=pending))
        try:
            yield
        except BaseException:
            with contextlib.suppress(RingOneError):
                self.tidy()
            raise

    def apply(self, before: MachineSettings, change: Change, progress: Progress = no_progress) -> None:
        """For a machine that is off."""
        with self.changing(before, change.settings):
            self.create(change.create)
            self.save(change.settings)
        self.tidy(progress)

    def require_no_other_machine(self, images: Iterable[Path]) -> None:
        """Refuse to change or delete images that others of the home stand on: disks of other machines (linked clones), or images that no machine has."""
        wanted, own = set(images), references(self.load())
        registries = {
            f"the machine {other.name!r}": other.settings.media for other in self._home.machines() if other.settings and other.uuid != self.machine.uuid
        }
        for owner, media in {**registries, "the home": self._home.settings().media}.items():
            for record in all_records(media):
                if record.location in wanted and (strangers := sorted({child.location for child in record.children} - own)):
                    raise StateError(f"{record.location}: {owner} has images that stand on this one ({strangers[0]}); delete those first")

    def create(self, images: Iterable[NewMedium]) -> None:
        for new in images:
            self._creator().create(new)
            sync_folder(new.path.parent)

    # --- tidying up

    def returns(self) -> tuple[Return, ...]:
        """What the journal says of images that a running machine may have written to before the machine file knew them."""
        return self._journal.read().returns

    def forget_returns(self, images: Iterable[Path]) -> None:
        """Nothing was written to these."""
        journal, gone = self._journal.read(), frozenset(images)
        with _as_driver_error(self._journal.path):
            self._journal.write(attrs.evolve(journal, returns=tuple(entry for entry in journal.returns if entry.image not in gone)))

    def take_back(self) -> None:
        """Bring what was written to such images into their parents, which may be written to again afterwards."""
        settings, returns = self.load(), self.returns()
        for entry in returns:
            self._return(settings, entry)
        if returns:
            self.forget_returns(entry.image for entry in returns)

    def tidy(self, progress: Progress = no_progress) -> None:
        """Do what the journal says. What cannot be done now, and is not needed to run the machine, stays in it."""
        journal = self._journal.read()
        if journal == Journal():
            return
        self.take_back()
        settings, undissolved = self._dissolve_all(self.load(), journal.dissolutions, progress)
        kept = frozenset(path for dissolution in undissolved for path in (dissolution.parent, dissolution.child))
        journal = self._journal.read()
        superfluous = journal.leftovers - references(settings) - {entry.image for entry in journal.returns}
        still_needed = _part_states(settings) if superfluous else set()
        gone = {path for path in superfluous - still_needed if self._delete(settings, path)}
        kept |= journal.leftovers - references(settings) - gone
        try:
            self._journal.write(attrs.evolve(journal, leftovers=kept, dissolutions=undissolved))
        except OSError as error:
            log.warning("%s stays as it is, and says what was done already too: %s", self._journal.path, error)

    def _return(self, settings: MachineSettings, entry: Return) -> None:
        """Only into an image that somebody uses: of two entries for an image, whose parent is being merged, that one is right."""
        if entry.image in references(settings) or not entry.image.exists() or not users(settings, entry.parent):
            return
        tools = self._tools(entry.image)
        tools.set_parent(entry.image, entry.parent)
        tools.merge(entry.image, entry.parent)

    def _dissolve_all(self, settings: MachineSettings, pending: tuple[Dissolution, ...], progress: Progress) -> tuple[MachineSettings, tuple[Dissolution, ...]]:
        failed: list[Dissolution] = []
        todo = list(pending)
        while todo:
            dissolution = todo.pop(0)
            try:
                after = self._dissolve(settings, dissolution, part_of(progress, 1 - (len(todo) + 1) / len(pending), 1 / len(pending)))
            except RingOneError as error:
                log.warning("%s and %s stay two images for now: %s", dissolution.parent, dissolution.child, error)
                failed.append(dissolution)
                settings = self.load()
                continue
            vanished = references(settings) - references(after)
            todo = [_renamed(other, dissolution, vanished) for other in todo]
            settings = after
        return settings, tuple(failed)

    def _dissolve(self, settings: MachineSettings, dissolution: Dissolution, progress: Progress) -> MachineSettings:
        chain = lineage(settings.media, dissolution.child)
        if len(chain) < 2 or chain[1].location != dissolution.parent or len(chain[1].children) > 1 or users(settings, dissolution.parent):
            return settings
        tools = self._tools(dissolution.child)
        upper, lower = tools.describe(dissolution.child), self._tools(dissolution.parent).describe(dissolution.parent)
        is_base = len(chain) == 2
        merged_already = not is_base and upper.parent_uuid != lower.uuid
        downwards = is_base or (not merged_already and upper.allocated_bytes <= lower.allocated_bytes)
        after = forgotten_child(settings, dissolution) if downwards else forgotten_parent(settings, dissolution)

        def merge() -> None:
            if downwards:
                tools.merge(dissolution.child, dissolution.parent, progress)
            elif not merged_already:
                tools.merge(dissolution.parent, dissolution.child, progress)

        def finish() -> None:
            if downwards:
                self._stand(chain[0].children, dissolution.parent)
            try:
                self.save(after)
            except BaseException:
                self._stand(*((chain[0].children, dissolution.child) if downwards else (chain[:1], dissolution.parent)))
                raise

        self.apart(settings, after, dissolution, merge, finish)
        return after

    def _stand(self, records: Iterable[MediumRecord], parent: Path) -> None:
        for record in records:
            self.stand_on(record.location, parent)

    def stand_on(self, image: Path, parent: Path) -> None:
        """Tell an image of another parent, which reads as the one before."""
        self._tools(image).set_parent(image, parent)

    def _delete(self, settings: MachineSettings, path: Path) -> bool:
        if not (path in self._noted or path.parent == self.snapshot_folder(settings)):
            log.warning("%s is not in the snapshot folder of %s; delete it yourself if nobody needs it", path, self.machine.path)
            return True
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s is superfluous, but cannot be deleted now: %s", path, error)
            return False
        return True

    def _creator(self) -> ImageTools:
        """Of differencing images."""
        tools = self._media_formats[DIFFERENCING_FORMAT.lower()].tools
        assert tools is not None
        return tools

    def _tools(self, image: Path) -> ImageTools:
        """For an image that stands on another one."""
        found = find_format(self._media_formats, image)
        if found.tools is None:
            raise UnsupportedError(f"{image}: {found.name} images cannot be merged or created")
        return found.tools


def part_of(progress: Progress, start: float, size: float) -> Progress:
    """For a part of long work."""
    return lambda done: progress(start + done * size)


def _renamed(dissolution: Dissolution, done: Dissolution, vanished: set[Path]) -> Dissolution:
    """After another one whose parent or child vanished into the other."""
    names = {done.parent: done.child} if done.parent in vanished else {done.child: done.parent}
    return Dissolution(parent=names.get(dissolution.parent, dissolution.parent), child=names.get(dissolution.child, dissolution.child))


def _part_states(settings: MachineSettings) -> set[Path]:
    """Have no state that is needed stand on one that is not. Returns the states that are needed all the same, because that failed."""
    needed = {path for path in (settings.state_file, *(snapshot.state_file for snapshot in settings.snapshots())) if path is not None}
    failed: set[Path] = set()
    for path in needed:
        superfluous: set[Path] = set()
        below = _state_parent(path)
        while below is not None and below not in needed | superfluous:
            superfluous.add(below)
            below = _state_parent(below)
        try:
            if superfluous:
                rebase_state_file(path, below)
        except RingOneError as error:
            log.warning("%s goes on standing on a state that nobody needs otherwise: %s", path, error)
            failed |= superfluous
    return failed


def _state_parent(state: Path) -> Path | None:
    """None also for what is no state of ours: another program's files stand on nothing that we would delete."""
    try:
        return describe_state_file(state).parent
    except SnapshotError:
        return None


@contextlib.contextmanager
def _as_driver_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DriverError(f"{path}: cannot be written: {error.strerror or error}") from error
