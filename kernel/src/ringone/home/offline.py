"""Snapshots of a machine that is off."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping

import attrs

from ringone.api.errors import StateError
from ringone.api.media import MediumFormatSpec, Progress, no_progress
from ringone.api.settings import MachineSettings, SnapshotRecord
from ringone.home.changes import MachineFiles
from ringone.home.disks import references
from ringone.home.home import Home, RegisteredMachine
from ringone.home.locks import LockMode
from ringone.home.snapshots import current_snapshot, delete, edit, find_snapshot, new_record, restore, take


class OfflineKeeper:
    """`ringone.api.snapshot.MachineKeeper` of a machine that is off; `machine_at_rest` makes one."""

    def __init__(self, files: MachineFiles) -> None:
        self._files = files

    def settings(self) -> MachineSettings:
        return self._files.load()

    def take_snapshot(self, name: str, description: str = "", progress: Progress = no_progress) -> SnapshotRecord:
        """One of a saved machine keeps the saved state too."""
        before = self._files.load()
        record = new_record(before, name, description, before.state_file)
        change = take(before, record, self._files.folder(before))
        self._files.apply(before, change, progress)
        return find_snapshot(change.settings, record.uuid)

    def restore_snapshot(self, snapshot: str, progress: Progress = no_progress) -> None:
        """A machine whose snapshot was taken while it ran is saved afterwards: its next start goes on from there."""
        before = self._files.load()
        change = restore(before, find_snapshot(before, snapshot), self._files.folder(before))
        change = attrs.evolve(change, settings=attrs.evolve(change.settings, last_state_change=now()))
        self._files.require_no_other_machine(references(before) - references(change.settings))
        self._files.apply(before, change, progress)

    def restore_current(self, progress: Progress = no_progress) -> None:
        """Back to the snapshot that the machine's present state comes from."""
        self.restore_snapshot(current_snapshot(self._files.load()).uuid, progress)

    def delete_snapshot(self, snapshot: str, progress: Progress = no_progress) -> None:
        delete_snapshot(self._files, snapshot, progress)

    def edit_snapshot(self, snapshot: str, *, name: str | None = None, description: str | None = None) -> SnapshotRecord:
        return edit_snapshot(self._files, snapshot, name, description)

    def save_state(self, progress: Progress = no_progress) -> None:
        raise StateError(f"{self._files.machine.name!r} is not running; only the state of a running or paused machine can be saved")

    def discard_state(self) -> None:
        """Forget the saved state: the next start is a cold one."""
        before = self._files.load()
        if before.state_file is None:
            raise StateError(f"{self._files.machine.name!r} has no saved state")
        after = attrs.evolve(before, state_file=None, last_state_change=now())
        with self._files.changing(before, after):
            self._files.save(after)
        self._files.tidy()


@contextlib.contextmanager
def machine_at_rest(home: Home, machine: RegisteredMachine, media_formats: Mapping[str, MediumFormatSpec], purpose: str) -> Iterator[OfflineKeeper]:
    """Lock a machine that is off, tidy up what a killed process left, and change its snapshots. `purpose` is for others (`Home.lock`)."""
    with home.lock(machine, LockMode.WORK, purpose) as lock:
        files = MachineFiles(home, machine, lock, media_formats)
        files.clean_up()
        yield OfflineKeeper(files)


def delete_snapshot(files: MachineFiles, snapshot: str, progress: Progress) -> SnapshotRecord:
    """The snapshot is gone at once; bringing its images together comes after that, and may be repeated."""
    before = files.load()
    record = find_snapshot(before, snapshot)
    after, dissolutions = delete(before, record)
    files.require_no_other_machine((references(before) - references(after)) | {dissolution.parent for dissolution in dissolutions})
    with files.changing(before, after, dissolutions):
        files.save(after)
    files.tidy(progress)
    return record


def edit_snapshot(files: MachineFiles, snapshot: str, name: str | None, description: str | None) -> SnapshotRecord:
    before = files.load()
    after, record = edit(before, find_snapshot(before, snapshot), name, description)
    files.save(after)
    return record


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
