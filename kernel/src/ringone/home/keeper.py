"""Snapshots of a running machine: `RunningKeeper`, in the machine's own process.

The guest waits while its state is copied and its disks go over to other images, in one command on the machine's thread; states are written and read by the
calling thread. What a disk's images have to be closed for is done in the middle of that command.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from ringone.api.config import DriveKind, MachineConfig, Recording, RemoteDisplay
from ringone.api.errors import RingOneError, StateError
from ringone.api.events import MachineState, SnapshotChanged, SnapshotDeleted, SnapshotRestored, SnapshotTaken, StateChanged
from ringone.api.media import MediumVariant, NewMedium, Progress, no_progress
from ringone.api.settings import MachineSettings, SnapshotRecord
from ringone.home.changes import MachineFiles, Work, nobody_else
from ringone.home.disks import Change, disks, image_path, references
from ringone.home.journal import Journal, Return
from ringone.home.offline import delete_snapshot, edit_snapshot, now
from ringone.home.snapshots import Dissolution, find_snapshot, new_record, restore, take
from ringone.machine import Session
from ringone.snapshot.image import StateImage
from ringone.snapshot.statefile import read_state_file, write_state_file

STATE_SUFFIX = ".sav"

log = logging.getLogger(__name__)

Chains = Mapping[str, Sequence[Path]]


class RunningKeeper:
    """`ringone.api.snapshot.MachineKeeper` of a machine that this process runs."""

    def __init__(self, files: MachineFiles, session: Session) -> None:
        self._files = files
        self._session = session
        self._one_at_a_time = threading.Lock()
        files.apart = self._apart

    def settings(self) -> MachineSettings:
        return self._files.load()

    def take_snapshot(self, name: str, description: str = "", progress: Progress = no_progress) -> SnapshotRecord:
        with self._one_at_a_time:
            self._settle()
            before = self._files.load()
            folder = self._files.folder(before)
            state_file = new_state_file(folder)
            record = new_record(before, name, description, state_file)
            change = take(before, record, folder)
            try:
                with self._files.changing(before, change.settings):
                    image = self._session.capture(self._chains(before, change.settings), meanwhile=lambda: self._prepare_for_writes(change))
                    self._write_state(before, image, state_file, progress)
                    self._files.save(change.settings)
            except BaseException:
                self._settle_later()
                raise
            self._files.tidy()
        self._session.announce(SnapshotTaken(record.uuid, record.name))
        return find_snapshot(change.settings, record.uuid)

    def restore_snapshot(self, snapshot: str, progress: Progress = no_progress) -> None:
        with self._one_at_a_time:
            self._settle()
            before = self._files.load()
            record = find_snapshot(before, snapshot)
            if record.state_file is None:
                raise StateError(f"snapshot {record.name!r} was taken while the machine was off; power the machine off to restore it")
            change = restore(before, record, self._files.folder(before))
            require_same_hardware(record, before.config, change.settings.config)
            config = with_media_of(change.settings.config, before.config)
            after = attrs.evolve(change.settings, config=config, state_file=None, last_state_change=now())
            self._files.require_no_other_machine(references(before) - references(after))
            image = read_state_file(record.state_file, progress)
            with self._files.changing(before, after):
                self._go_over(before, attrs.evolve(change, settings=after), image)
            self._files.tidy()
        self._session.announce(SnapshotRestored(record.uuid, record.name))

    def delete_snapshot(self, snapshot: str, progress: Progress = no_progress) -> None:
        with self._one_at_a_time:
            self._settle()
            record = delete_snapshot(self._files, snapshot, progress)
        self._session.announce(SnapshotDeleted(record.uuid, record.name))

    def edit_snapshot(self, snapshot: str, *, name: str | None = None, description: str | None = None) -> SnapshotRecord:
        with self._one_at_a_time:
            record = edit_snapshot(self._files, snapshot, name, description)
        self._session.announce(SnapshotChanged(record.uuid, record.name))
        return record

    def save_state(self, progress: Progress = no_progress) -> None:
        with self._one_at_a_time:
            self._settle()
            before = self._files.load()
            path = new_state_file(self._files.folder(before))
            after = attrs.evolve(before, state_file=path, aborted=False, last_state_change=now())
            with Stopped(self._session) as stopped, self._files.changing(before, after):
                self._write_state(before, self._session.capture(), path, progress)
                stopped.power_off(lambda: self._files.save(after))
            self._files.tidy()

    def change_remote_display(self, change: Callable[[RemoteDisplay], RemoteDisplay]) -> None:
        """In the machine file alone: who serves it knows already."""
        self._change(lambda config: attrs.evolve(config, remote_display=change(config.remote_display)))

    def change_recording(self, change: Callable[[Recording], Recording]) -> None:
        """In the machine file alone: who makes it knows already."""
        self._change(lambda config: attrs.evolve(config, recording=change(config.recording)))

    def retire(self) -> None:
        """Wait for the call that is under way, after the session was closed."""
        with self._one_at_a_time:
            self._files.apart = nobody_else

    # --- inside

    def _change(self, change: Callable[[MachineConfig], MachineConfig]) -> None:
        with self._one_at_a_time:
            settings = self._files.load()
            config = change(settings.config)
            if config != settings.config:
                self._files.save(attrs.evolve(settings, config=config, current_state_modified=True))

    def _prepare_for_writes(self, change: Change) -> None:
        """Images that the machine file does not know yet, but the guest writes to: should the process be killed, they are not lost."""
        self._files.create(change.create)
        self._files.note(Journal(returns=tuple(Return(image=new.path, parent=new.parent) for new in change.create if new.parent is not None)))

    def _write_state(self, settings: MachineSettings, image: StateImage, path: Path, progress: Progress) -> None:
        current = find_snapshot(settings, settings.current_snapshot).state_file if settings.current_snapshot else None
        beside = current if current is not None and current.parent == path.parent and current.exists() else None
        write_state_file(image, path, parent=beside, progress=progress)

    def _go_over(self, before: MachineSettings, change: Change, image: StateImage) -> None:
        """Disks, machine file and state in one step; all back where the last fails."""
        saved = False

        def prepare() -> None:
            nonlocal saved
            self._files.create(change.create)
            self._files.save(change.settings)
            saved = True

        try:
            self._session.restore(image, self._chains(before, change.settings), meanwhile=prepare)
        except BaseException:
            if saved:
                self._files.save(before)
            raise

    def _settle(self) -> None:
        """Bring back what the guest wrote to images that came to nothing, because a snapshot failed, and tidy up."""
        chains = self._session.disk_chains()
        returns = {entry.image for entry in self._files.returns()}
        self._files.forget_returns(returns - {chain[0] for chain in chains.values()})
        self._take_back()
        self._files.tidy()

    def _settle_later(self) -> None:
        """Settle now, or with the next call or the machine's end: the guest can go on with longer chains."""
        try:
            self._settle()
        except RingOneError as error:
            log.warning("%s goes on with images for the meantime: %s", self._files.machine.path, error)

    def _take_back(self) -> None:
        """Bring what the guest wrote to images that are only for the meantime to where it belongs."""
        returns = {entry.image for entry in self._files.returns()}
        back = {slot: chain[1:] for slot, chain in self._session.disk_chains().items() if chain[0] in returns}
        if back:
            self._session.switch_disks(back, meanwhile=self._files.take_back)

    def _apart(self, before: MachineSettings, after: MachineSettings, dissolution: Dissolution, merge: Work, finish: Work) -> None:
        """`ringone.home.changes.Apart`: the guest goes on while images are merged, and waits while the end of that is written down."""
        chains = self._chains(before, after)
        written = next((slot for slot, chain in self._session.disk_chains().items() if chain[0] == dissolution.child), None)
        if written is None:
            merge()
            self._session.switch_disks(chains, meanwhile=finish) if chains else finish()
        else:
            self._merge_aside(written, chains[written], dissolution, merge, finish)

    def _merge_aside(self, slot: str, new: Sequence[Path], dissolution: Dissolution, merge: Work, finish: Work) -> None:
        """The guest's own image takes part: meanwhile it writes to another one, and in the end what it wrote there is merged, too."""
        old = self._session.disk_chains()[slot]
        identity = str(uuid.uuid4())
        aside = image_path(self._files.folder(self._files.load()), identity)

        def begin() -> None:
            self._files.note(Journal(leftovers=frozenset({aside})))
            self._files.create([NewMedium(path=aside, variant=MediumVariant.DIFFERENCING, parent=old[0], uuid=identity)])
            self._files.note(Journal(returns=tuple(Return(image=aside, parent=parent) for parent in (dissolution.child, dissolution.parent))))

        def end() -> None:
            finish()
            self._files.stand_on(aside, new[0])

        self._session.switch_disks({slot: (aside, *old)}, meanwhile=begin)
        try:
            merge()
            self._session.switch_disks({slot: (aside, *new)}, meanwhile=end)
        finally:
            self._take_back()

    def _chains(self, before: MachineSettings, after: MachineSettings) -> Chains:
        """Of the disks whose chains change, by their slots."""
        slots = {tuple(chain): slot for slot, chain in self._session.disk_chains().items()}
        places = {(drive.controller, drive.port, drive.device): (image, *drive.parents) for drive, image in disks(after.config)}
        found: dict[str, Sequence[Path]] = {}
        for drive, image in disks(before.config):
            old, new = (image, *drive.parents), places[drive.controller, drive.port, drive.device]
            if old != new:
                if old not in slots:
                    raise StateError(f"{image}: the machine does not have this image in a drive, though its settings say so")
                found[slots[old]] = new
        return found


def new_state_file(folder: Path) -> Path:
    return folder / f"{{{uuid.uuid4()}}}{STATE_SUFFIX}"


class Stopped:
    """Keeps a machine from running between the copying of its state and its end; where that does not come, the machine goes on as before."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._disturbed = False

    def __enter__(self) -> Stopped:
        self._ran = self._session.request(self._stop).result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._unsubscribe()
        if error is not None and self._ran and self._session.state is MachineState.PAUSED:
            self._session.resume()

    def power_off(self, save: Callable[[], None]) -> None:
        """`save` and pull the plug in one command, unless somebody let the machine run."""
        self._session.request(lambda: self._end(save)).result()

    def _stop(self) -> bool:
        ran = self._session.state is MachineState.RUNNING
        if ran:
            self._session.pause()
        self._unsubscribe = self._session.subscribe(self._observe)
        return ran

    def _end(self, save: Callable[[], None]) -> None:
        if self._disturbed or self._session.state is not MachineState.PAUSED:
            raise StateError(f"the machine went on ({self._session.state.value}) while its state was being saved; pause it first, or leave it alone")
        save()
        self._session.power_off()

    def _observe(self, event: object) -> None:
        self._disturbed |= isinstance(event, StateChanged) and event.new is MachineState.RUNNING


def with_media_of(config: MachineConfig, present: MachineConfig) -> MachineConfig:
    """Removable media stay in their drives."""
    drives = {(drive.controller, drive.port, drive.device): drive for drive in present.drives}
    stay = tuple(drive if drive.kind is DriveKind.DISK else drives[drive.controller, drive.port, drive.device] for drive in config.drives)
    return attrs.evolve(config, drives=stay)


def require_same_hardware(record: SnapshotRecord, present: MachineConfig, wanted: MachineConfig) -> None:
    """What is restored in place has the same parts: only what lies in the drives may be another."""
    for field in ("board", "memory_bytes", "vram_bytes", "serial_ports", "devices", "wires", "links", "acpi"):
        if getattr(present, field) != getattr(wanted, field):
            was, would = getattr(present, field), getattr(wanted, field)
            raise StateError(f"snapshot {record.name!r} has another {field} ({would}) than the running machine ({was}); power the machine off to restore it")
    here, there = (
        sorted((drive.controller, drive.port, drive.device, drive.kind.value, drive.mode.value) for drive in config.drives) for config in (present, wanted)
    )
    if here != there:
        raise StateError(f"snapshot {record.name!r} has other drives than the running machine; power the machine off to restore it")
