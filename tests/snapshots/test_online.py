"""Snapshots of a machine whose guest writes its disk all the time."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from ringone.api.config import Drive, DriveKind
from ringone.api.errors import DriverError, MediumError, SnapshotError, StateError, UnknownNameError
from ringone.api.events import MachineState, SnapshotChanged, SnapshotDeleted, SnapshotRestored, SnapshotTaken
from ringone.api.settings import MachineSettings, MediumRecord
from ringone.home import keeper as keeper_module
from ringone.home.changes import MachineFiles
from ringone.home.disks import all_records
from ringone.machine import Session
from ringone.snapshot.statefile import write_state_file

from tests.snapshots.lab import Lab, counted, newest

PATIENCE_S = 30


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.005)


def let_write(session: Session, sectors: int = 5) -> int:
    """Wait until the guest has written some more sectors."""
    before = counted(session)
    wait_until(lambda: counted(session) >= before + sectors, f"{sectors} sectors after {before}")
    return counted(session)


def test_the_guest_goes_on_after_a_snapshot(lab: Lab) -> None:
    with lab.running() as session:
        let_write(session)
        assert session.keeper is not None
        taken = session.keeper.take_snapshot("a", "running")
        let_write(session)
        assert session.state is MachineState.RUNNING
        assert taken.state_file is not None
        assert taken.state_file.exists()
        assert len(lab.chain) == 2
        last = counted(session)
    assert newest(lab.content()) >= last
    assert newest(lab.content((lab.disk,))) < last


def test_restoring_puts_the_guest_back_in_place_with_its_disk(lab: Lab) -> None:
    with lab.running() as session:
        let_write(session)
        assert session.keeper is not None
        session.pause()
        session.keeper.take_snapshot("a")
        then, state = counted(session), session.state_hash()
        session.resume()
        let_write(session, 70)
        session.pause()
        session.keeper.restore_snapshot("a")
        assert (counted(session), session.state_hash(), session.state) == (then, state, MachineState.PAUSED)
        assert newest(lab.content((lab.disk,))) in (then, then + 1)
        session.resume()
        let_write(session)
    assert len(lab.files()) == 4


def test_a_restored_guest_goes_on_running(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        session.keeper.take_snapshot("a")
        later = let_write(session, 100)
        session.keeper.restore_snapshot("a")
        assert session.state is MachineState.RUNNING
        assert counted(session) < later
        let_write(session)


def test_deleting_merges_under_the_running_guest(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        for name in "abc":
            session.keeper.take_snapshot(name)
            let_write(session)
        for name in "bac":
            session.keeper.delete_snapshot(name)
            let_write(session)
        assert lab.chain == (lab.disk,)
        assert session.disk_chains()["ide.drive00"] == (lab.disk,)
        last = counted(session)
    assert newest(lab.content()) >= last
    assert lab.files() == {"small.vbox", "disk.vdi"}


def test_the_guest_goes_on_while_images_are_merged(lab: Lab) -> None:
    with lab.running() as session:

        def wait_for_the_guest(_done: float) -> None:
            let_write(session, 1)

        assert session.keeper is not None
        for name in "abcd":
            let_write(session)
            session.keeper.take_snapshot(name)
        for name in "bdac":
            session.keeper.delete_snapshot(name, progress=wait_for_the_guest)
        last = let_write(session)
        assert session.disk_chains()["ide.drive00"] == (lab.disk,)
    assert newest(lab.content()) >= last
    assert lab.files() == {"small.vbox", "disk.vdi"}


def test_a_merge_whose_end_cannot_be_written_down_is_made_up_for_later(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        for name in "abc":
            let_write(session)
            session.keeper.take_snapshot(name)
        before = session.disk_chains()
        with monkeypatch.context() as patch:
            fail_to_save_merges(patch)
            for name in "bca":
                session.keeper.delete_snapshot(name)
                assert session.disk_chains() == before
                let_write(session)
        last = let_write(session)
    assert newest(lab.content()) >= last
    assert lab.chain == (lab.disk,)
    assert lab.files() == {"small.vbox", "disk.vdi"}


def fail_to_save_merges(patch: pytest.MonkeyPatch) -> None:
    save = MachineFiles.save

    def saved(files: MachineFiles, settings: MachineSettings) -> None:
        if len(list(all_records(settings.media))) < len(list(all_records(files.load().media))):
            raise DriverError("no room on the host's disk")
        save(files, settings)

    patch.setattr(MachineFiles, "save", saved)


def test_a_saved_machine_goes_on_where_it_was(lab: Lab) -> None:
    with lab.running() as session:
        let_write(session)
        assert session.keeper is not None
        session.keeper.save_state()
        assert session.state is MachineState.POWERED_OFF
    assert lab.settings.state_file is not None
    saved = newest(lab.content())
    with lab.running() as session:
        assert lab.settings.state_file is None
        assert counted(session) >= saved - 1
        let_write(session)
    assert lab.files() == {"small.vbox", "disk.vdi"}


def test_a_paused_machine_can_be_saved(lab: Lab) -> None:
    with lab.running() as session:
        let_write(session)
        assert session.keeper is not None
        session.pause()
        session.keeper.save_state()
    assert lab.settings.state_file is not None


def test_a_discarded_state_is_gone(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        session.keeper.save_state()
    with lab.at_rest() as keeper:
        keeper.discard_state()
    assert lab.files() == {"small.vbox", "disk.vdi"}
    with lab.running() as session:
        wait_until(lambda: counted(session) > 0, "a cold start")


def test_a_snapshot_of_a_saved_machine_shares_its_state(lab: Lab) -> None:
    with lab.running() as session:
        let_write(session)
        assert session.keeper is not None
        session.keeper.save_state()
    saved = newest(lab.content())
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    with lab.running() as session:
        let_write(session, 70)
    with lab.at_rest() as keeper:
        keeper.restore_snapshot("a")
    with lab.running() as session:
        assert counted(session) >= saved - 1
        let_write(session)
    assert newest(lab.content()) > saved


def test_states_that_stand_on_a_deleted_one_can_still_be_restored(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        for name in "abc":
            let_write(session)
            session.keeper.take_snapshot(name)
        session.pause()
        session.keeper.delete_snapshot("a")
        session.keeper.delete_snapshot("b")
        session.keeper.restore_snapshot("c")
        session.resume()
        let_write(session)
    assert len(lab.files()) == 4


def test_observers_are_told(lab: Lab) -> None:
    seen: list[object] = []
    with lab.running() as session:
        session.subscribe(seen.append)
        assert session.keeper is not None
        identity = session.keeper.take_snapshot("a").uuid
        session.keeper.edit_snapshot("a", name="b")
        session.keeper.restore_snapshot("b")
        session.keeper.delete_snapshot(identity)
        session.request(lambda: None).result()
    events = [event for event in seen if isinstance(event, SnapshotTaken | SnapshotChanged | SnapshotRestored | SnapshotDeleted)]
    assert events == [SnapshotTaken(identity, "a"), SnapshotChanged(identity, "b"), SnapshotRestored(identity, "b"), SnapshotDeleted(identity, "b")]


def test_progress_is_told_up_to_the_end(lab: Lab) -> None:
    taking: list[float] = []
    with lab.running() as session:
        assert session.keeper is not None
        session.keeper.take_snapshot("a", progress=taking.append)
    assert taking == sorted(taking)
    assert taking[-1] == 1.0


def test_a_snapshot_of_a_machine_that_was_off_is_not_restored_in_place(lab: Lab) -> None:
    with lab.at_rest() as keeper:
        keeper.take_snapshot("off")
    with lab.running() as session:
        assert session.keeper is not None
        with pytest.raises(StateError, match="power the machine off"):
            session.keeper.restore_snapshot("off")
        with pytest.raises(UnknownNameError):
            session.keeper.restore_snapshot("on")
        let_write(session)


def test_a_medium_stays_in_its_drive(lab: Lab) -> None:
    first, second = lab.machine.folder / "first.iso", lab.machine.folder / "second.iso"
    for image in (first, second):
        image.write_bytes(bytes(64 << 10))
    insert(lab, first)
    with lab.running() as session:
        assert session.keeper is not None
        session.keeper.take_snapshot("a")
    insert(lab, second)
    with lab.running() as session:
        assert session.keeper is not None
        session.keeper.restore_snapshot("a")
        assert lab.settings.config.drives[1].image == second
    with lab.at_rest() as keeper:
        keeper.restore_snapshot("a")
    assert lab.settings.config.drives[1].image == first


def insert(lab: Lab, image: Path) -> None:
    """Put a CD into the drive of a machine that is off."""
    drive = Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0, image=image)
    record = MediumRecord(uuid=str(uuid.uuid4()), location=image, kind=DriveKind.CDROM, format="RAW")

    def changed(settings: MachineSettings) -> MachineSettings:
        config = attrs.evolve(settings.config, drives=(settings.config.drives[0], drive))
        return attrs.evolve(settings, config=config, media=(*settings.media, record))

    lab.home.change(lab.machine, changed)


def test_other_hardware_is_not_restored_in_place(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        session.keeper.take_snapshot("a")
    lab.home.change(lab.machine, lambda before: attrs.evolve(before, config=attrs.evolve(before.config, memory_bytes=8 << 20)))
    with lab.running() as session:
        assert session.keeper is not None
        with pytest.raises(StateError, match="memory_bytes"):
            session.keeper.restore_snapshot("a")
        let_write(session)


# --- failures


def no_room(*_arguments: object, **_options: object) -> None:
    raise SnapshotError("no room on the host's disk")


def test_a_state_that_cannot_be_written_leaves_the_machine_as_it_was(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        let_write(session)
        monkeypatch.setattr(keeper_module, "write_state_file", no_room)
        before = session.keeper.settings()
        with pytest.raises(SnapshotError, match="no room"):
            session.keeper.take_snapshot("a")
        assert session.keeper.settings() == before
        assert session.disk_chains()["ide.drive00"] == (lab.disk,)
        assert lab.files() >= {"small.vbox", "disk.vdi"}
        last = let_write(session)
    assert newest(lab.content()) >= last
    assert lab.files() == {"small.vbox", "disk.vdi"}


def test_what_was_written_while_a_snapshot_failed_is_on_the_disk(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        let_write(session)

        def slow_and_in_vain(*arguments: object, **options: object) -> None:
            let_write(session)
            session.pause()
            raise SnapshotError("no room on the host's disk")

        monkeypatch.setattr(keeper_module, "write_state_file", slow_and_in_vain)
        with pytest.raises(SnapshotError):
            session.keeper.take_snapshot("a")
        last = counted(session)
    assert newest(lab.content()) >= last
    assert lab.chain == (lab.disk,)


def test_what_cannot_be_brought_back_at_once_is_brought_back_later(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_merge(_files: MachineFiles) -> None:
        raise DriverError("no room for a merge")

    with lab.running() as session:
        assert session.keeper is not None
        let_write(session)
        with monkeypatch.context() as patch:
            patch.setattr(keeper_module, "write_state_file", no_room)
            patch.setattr(MachineFiles, "take_back", no_merge)
            with pytest.raises(SnapshotError, match="no room on the host's disk"):
                session.keeper.take_snapshot("a")
        let_write(session)
        assert len(session.disk_chains()["ide.drive00"]) == 2
        session.keeper.take_snapshot("b")
        assert session.disk_chains()["ide.drive00"][1] == lab.disk
        last = let_write(session)
    assert newest(lab.content()) >= last
    assert len(lab.files()) == 4


def test_a_state_that_cannot_be_saved_leaves_the_guest_running(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        monkeypatch.setattr(keeper_module, "write_state_file", no_room)
        with pytest.raises(SnapshotError):
            session.keeper.save_state()
        assert session.state is MachineState.RUNNING
        let_write(session)
    assert lab.settings.state_file is None


def test_a_guest_that_went_on_while_its_state_was_saved_is_not_switched_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write = write_state_file
    with lab.running() as session:
        assert session.keeper is not None

        def disturbed(*arguments: object, **options: object) -> object:
            session.resume()
            return write(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(keeper_module, "write_state_file", disturbed)
        with pytest.raises(StateError, match="went on"):
            session.keeper.save_state()
        let_write(session)
    assert lab.settings.state_file is None
    assert lab.files() == {"small.vbox", "disk.vdi"}


def test_a_damaged_state_is_refused_while_the_guest_goes_on(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        state = session.keeper.take_snapshot("a").state_file
        assert state is not None
        state.write_bytes(state.read_bytes()[:-100] + bytes(100))
        chain = session.disk_chains()
        with pytest.raises(SnapshotError):
            session.keeper.restore_snapshot("a")
        assert session.disk_chains() == chain
        let_write(session)


def test_a_state_whose_image_is_gone_is_refused_while_the_guest_goes_on(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        session.keeper.take_snapshot("a")
        before = session.keeper.settings()
        lab.disk.rename(lab.disk.with_suffix(".away"))
        try:
            with pytest.raises(MediumError):
                session.keeper.restore_snapshot("a")
        finally:
            lab.disk.with_suffix(".away").rename(lab.disk)
        assert session.keeper.settings() == before


def test_checkpoints_keep_snapshots_from_changing_the_disks(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        checkpoint = session.take_checkpoint()
        with pytest.raises(StateError, match="checkpoint"):
            session.keeper.take_snapshot("a")
        let_write(session)
        session.drop_checkpoint(checkpoint)
        session.keeper.take_snapshot("a")
    assert len(lab.chain) == 2


def test_calls_from_several_threads_wait_for_each_other(lab: Lab) -> None:
    with lab.running() as session:
        assert session.keeper is not None
        threads = [threading.Thread(target=session.keeper.take_snapshot, args=(str(number),)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        let_write(session)
    assert {snapshot.name for snapshot in lab.settings.snapshots()} == set("0123")
    assert len(lab.chain) == 5
