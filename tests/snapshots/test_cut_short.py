"""Killed at a step of an operation: the machine opens, and it is the old one or the new one.

Every fifth step in the fast suite, every single one where ``RINGONE_KILLS`` is set.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from ringone.api.media import Progress
from ringone.api.settings import MachineSettings, MediumType, SnapshotRecord
from ringone.home.disks import references
from ringone.home.keeper import RunningKeeper
from ringone.snapshot.statefile import read_state_file

from tests.snapshots.cutting import Killed, killed_at
from tests.snapshots.lab import Lab, make_lab
from tests.snapshots.still import StillSession, still_running

Operation = Callable[[Lab], None]

STRIDE = 1 if "RINGONE_KILLS" in os.environ else 5


@attrs.frozen
class View:
    """What somebody with the machine can see of it. Contents are those of disks and, where there is one, of the state's memory."""

    snapshots: tuple[tuple[str, str, bytes, bytes], ...]
    """Name, parent, disk, memory."""
    current: str
    disk: bytes
    memory: bytes


def view(lab: Lab) -> View:
    settings = lab.settings
    return View(tuple(seen(lab, settings)), current_name(settings), lab.first_bytes(), memory(settings.state_file))


def seen(lab: Lab, settings: MachineSettings) -> Iterator[tuple[str, str, bytes, bytes]]:
    parents = {child.uuid: snapshot.name for snapshot in settings.snapshots() for child in snapshot.children}
    for snapshot in settings.snapshots():
        yield snapshot.name, parents.get(snapshot.uuid, ""), lab.first_bytes(images(snapshot)), memory(snapshot.state_file)


def images(snapshot: SnapshotRecord) -> tuple[Path, ...]:
    drive = snapshot.config.drives[0]
    assert drive.image is not None
    return (drive.image, *drive.parents)


def current_name(settings: MachineSettings) -> str:
    return next((snapshot.name for snapshot in settings.snapshots() if snapshot.uuid == settings.current_snapshot), "")


def memory(state_file: Path | None) -> bytes:
    return b"" if state_file is None else bytes(read_state_file(state_file).memory["ram"][:1])


# --- what is cut short


def prepared(folder: Path) -> Lab:
    """Snapshots a (taken off), b and c (running) in a row, and a fourth generation on the disk."""
    lab = make_lab(folder)
    lab.touch(0, b"a")
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    with still_running(lab) as (session, running):
        session.write(1, b"b")
        running.take_snapshot("b")
        session.write(2, b"c")
        session.write(0, b"c")
        running.take_snapshot("c")
        session.write(3, b"d")
    return lab


def offline(name: str, *arguments: str) -> Operation:
    def operation(lab: Lab) -> None:
        with lab.at_rest() as keeper:
            getattr(keeper, name)(*arguments)

    return operation


def online(name: str, *arguments: str) -> Operation:
    def operation(lab: Lab) -> None:
        with still_running(lab) as (_, keeper):
            getattr(keeper, name)(*arguments)

    return operation


def edit(lab: Lab) -> None:
    with lab.at_rest() as keeper:
        keeper.edit_snapshot("c", name="edited")


OPERATIONS = {
    "take, off": offline("take_snapshot", "new"),
    "restore a, off": offline("restore_snapshot", "a"),
    "restore b, off": offline("restore_snapshot", "b"),
    "delete a, off": offline("delete_snapshot", "a"),
    "delete b, off": offline("delete_snapshot", "b"),
    "delete c, off": offline("delete_snapshot", "c"),
    "edit, off": edit,
    "take, running": online("take_snapshot", "new"),
    "restore b, running": online("restore_snapshot", "b"),
    "delete a, running": online("delete_snapshot", "a"),
    "delete b, running": online("delete_snapshot", "b"),
    "delete c, running": online("delete_snapshot", "c"),
    "save the state": online("save_state"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return prepared(tmp_path_factory.mktemp("original"))


def copied(original: Lab, kept: Path) -> None:
    """Put the lab back to what was kept of it; its files know their places."""
    home = original.home.file.parent
    shutil.rmtree(home)
    shutil.copytree(kept, home)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_killed_operation_leaves_the_old_machine_or_the_new_one(original: Lab, operation: Operation, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(original.home.file.parent, kept)
    try:
        old = view(original)
        with killed_at(0) as host:
            operation(original)
        new, steps = view(original), host.steps
        assert steps > 2
        for step in range(1, steps + 1, STRIDE):
            copied(original, kept)
            with killed_at(step), contextlib.suppress(Killed):
                operation(original)
            assert_whole(original, old, new, f"killed at step {step} of {steps}")
    finally:
        copied(original, kept)


def test_a_killed_start_goes_on_from_the_saved_state_or_has_done_so(original: Lab, tmp_path: Path) -> None:
    kept, saved = tmp_path / "kept", tmp_path / "saved"
    shutil.copytree(original.home.file.parent, kept)
    try:
        OPERATIONS["save the state"](original)
        shutil.copytree(original.home.file.parent, saved)
        old = view(original)
        with killed_at(0) as host:
            start(original)
        new = view(original)
        assert (old.memory, new.memory) == (b"\0", b"")
        for step in range(1, host.steps + 1, STRIDE):
            copied(original, saved)
            with killed_at(step), contextlib.suppress(Killed):
                start(original)
            assert_whole(original, old, new, f"killed at step {step} of {host.steps}")
    finally:
        copied(original, kept)


def start(lab: Lab) -> None:
    with still_running(lab):
        """Nothing else."""


def test_a_killed_power_on_leaves_an_immutable_disk_as_it_was_or_fresh(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, MediumType.IMMUTABLE)
    with still_running(lab) as (session, _):
        session.write(1, b"x")
    kept = tmp_path / "kept"
    shutil.copytree(lab.home.file.parent, kept)
    old = view(lab)
    with killed_at(0) as host:
        start(lab)
    new = view(lab)
    assert (old.disk, new.disk) == (b"\0x\0\0", b"\0\0\0\0")
    for step in range(1, host.steps + 1, STRIDE):
        copied(lab, kept)
        with killed_at(step), contextlib.suppress(Killed):
            start(lab)
        assert_whole(lab, old, new, f"killed at step {step} of {host.steps}")


def assert_whole(lab: Lab, old: View, new: View, when: str) -> None:
    with lab.at_rest():
        found = view(lab)
        assert found in (old, new), when
        needed = {"small.vbox", *(path.name for path in references(lab.settings))}
        assert {name for name in lab.files() if not name.startswith(".")} == needed, when


CHANGES = {
    "take": lambda keeper, progress: keeper.take_snapshot("new", progress=progress),
    "delete b": lambda keeper, progress: keeper.delete_snapshot("b", progress=progress),
    "delete c": lambda keeper, progress: keeper.delete_snapshot("c", progress=progress),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_guest_flushed_survives_a_change_that_does_not(original: Lab, change: Callable[[RunningKeeper, Progress], object], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(original.home.file.parent, kept)
    try:
        step, ended = 1 - STRIDE, False
        while not ended:
            step += STRIDE
            copied(original, kept)
            flushed: list[bytes] = [b"c"]
            with killed_at(step), contextlib.suppress(Killed):
                busy_guest(original, change, flushed)
                ended = True
            with original.at_rest():
                assert original.first_bytes()[:1] in {flushed[-1], next_text(flushed)}, f"killed at step {step}"
    finally:
        copied(original, kept)


def busy_guest(lab: Lab, change: Callable[[RunningKeeper, Progress], object], flushed: list[bytes]) -> None:
    with still_running(lab) as (session, keeper):
        write_on(session, flushed)
        change(keeper, lambda _: write_on(session, flushed))
        write_on(session, flushed)


def write_on(session: StillSession, flushed: list[bytes]) -> None:
    text = next_text(flushed)
    session.write(0, text)
    flushed.append(text)


def next_text(flushed: list[bytes]) -> bytes:
    return b"%c" % (ord("A") + len(flushed))
