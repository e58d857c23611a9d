"""Locks: between processes and threads, gone with their holder, and telling who that is."""

from __future__ import annotations

import datetime
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.errors import DriverError, LockedError, StateError
from ringone.home import machinelock
from ringone.home.locks import FileLock, LockHolder, LockMode, holder_of, note_of
from ringone.home.machinelock import lock_machine, session_of

HOLD = """
import sys
from pathlib import Path
from ringone.home.home import RegisteredMachine
from ringone.home.locks import LockMode
from ringone.home.machinelock import lock_machine
machine = RegisteredMachine(uuid=sys.argv[1], path=Path(sys.argv[2]), name="vm")
lock, killed = lock_machine(machine, LockMode[sys.argv[3]], sys.argv[4])
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


@attrs.frozen
class Machine:
    path: Path
    uuid: str = "8ff63a8a-0000-4000-8000-000000000001"
    name: str = "vm"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "vm.vbox")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machinelock, "GATE_TIMEOUT_S", 0.05)


class OtherProcess:
    """Holds a machine's lock until `let_go` or `kill`."""

    def __init__(self, machine: Machine, mode: LockMode, purpose: str) -> None:
        command = [sys.executable, "-c", HOLD, machine.uuid, str(machine.path), mode.name, purpose]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        self.process.communicate(timeout=20)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=20)


@pytest.fixture
def runner(machine: Machine) -> Iterator[OtherProcess]:
    other = OtherProcess(machine, LockMode.RUN, "running it")
    yield other
    other.kill()


@pytest.mark.parametrize("mode", LockMode)
def test_a_machine_that_another_process_runs_is_refused_and_the_process_is_named(machine: Machine, runner: OtherProcess, mode: LockMode) -> None:
    with pytest.raises(LockedError, match=rf"'vm' is already locked for a session: process {runner.process.pid} is running it since 20\d\d-"):
        lock_machine(machine, mode, "trying")


def test_everybody_is_told_who_has_it(machine: Machine, runner: OtherProcess) -> None:
    holder = session_of(machine.path, machine.uuid).holder
    assert holder is not None
    assert (holder.pid, holder.mode, holder.purpose) == (runner.process.pid, LockMode.RUN, "running it")


def test_a_machine_that_was_let_go_of_can_be_locked_and_leaves_no_files(machine: Machine, runner: OtherProcess) -> None:
    runner.let_go()
    lock, killed = lock_machine(machine, LockMode.RUN, "running it")
    assert killed is None
    lock.release()
    assert list(machine.path.parent.iterdir()) == []


def test_a_killed_process_holds_nothing_and_its_note_tells_of_it(machine: Machine, runner: OtherProcess) -> None:
    runner.kill()
    session = session_of(machine.path, machine.uuid)
    assert session.holder is None
    assert session.killed is not None
    lock, killed = lock_machine(machine, LockMode.SETTINGS, "changing its settings")
    with lock:
        assert killed is not None
        assert (killed.pid, killed.mode) == (runner.process.pid, LockMode.RUN)
    assert session_of(machine.path, machine.uuid) == machinelock.Session()


def test_threads_of_one_process_keep_each_other_out(machine: Machine) -> None:
    lock, _ = lock_machine(machine, LockMode.WORK, "deleting a snapshot")
    with lock, pytest.raises(LockedError, match="is deleting a snapshot"):
        lock_machine(machine, LockMode.SETTINGS, "trying")


def test_settings_locks_wait_for_each_other(machine: Machine) -> None:
    first, _ = lock_machine(machine, LockMode.SETTINGS, "changing its settings")
    order: list[str] = []

    def second() -> None:
        lock, _ = lock_machine(machine, LockMode.SETTINGS, "changing its settings")
        order.append("second")
        lock.release()

    thread = threading.Thread(target=second)
    thread.start()
    order.append("first")
    first.release()
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.usefixtures("impatient")
def test_nobody_waits_for_a_stopped_process_for_ever(machine: Machine) -> None:
    lock, _ = lock_machine(machine, LockMode.SETTINGS, "changing its settings")
    with lock, pytest.raises(LockedError, match="another process has been changing its settings"):
        lock_machine(machine, LockMode.RUN, "running it")


def test_of_many_that_want_to_run_it_at_once_one_gets_it(machine: Machine) -> None:
    got, refused = [], []

    def start() -> None:
        try:
            got.append(lock_machine(machine, LockMode.RUN, "running it")[0])
        except LockedError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    got[0].release()


def test_a_lock_that_was_released_no_longer_counts(machine: Machine) -> None:
    lock, _ = lock_machine(machine, LockMode.WORK, "working on it")
    lock.release()
    lock.release()
    with pytest.raises(StateError, match="released before"):
        lock.require_held()


def test_a_lock_goes_along_when_its_folder_is_renamed(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    before, after = Machine(old / "vm.vbox"), Machine(new / "vm.vbox")
    lock, _ = lock_machine(before, LockMode.WORK, "renaming it")
    old.rename(new)
    lock.moved(after.path)
    with pytest.raises(LockedError, match="is renaming it"):
        lock_machine(after, LockMode.WORK, "trying")
    lock.release()
    assert list(new.iterdir()) == []


def test_a_file_that_was_taken_away_by_its_holder_is_no_lock(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    (tmp_path / "lock").unlink()
    assert second.acquire()
    second.release()
    first.release()


def test_where_no_file_can_be_made_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"nowhere.*cannot lock: No such file"):
        FileLock(tmp_path / "nowhere" / "lock").acquire()


def test_notes_come_back_as_they_were() -> None:
    holder = LockHolder(pid=7, mode=LockMode.WORK, purpose="cloning it", since=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC))
    assert holder_of(note_of(holder)) == holder


@given(
    note=st.binary()
    | st.text().map(str.encode)
    | st.sampled_from([b"[]", b"{}", b'{"pid": "x"}', b"[" * 3000, b'{"pid":1,"mode":"run","since":"x","purpose":1}'])
)
def test_notes_that_nobody_wrote_tell_of_nobody(note: bytes) -> None:
    assert holder_of(note) is None
