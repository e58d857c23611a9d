"""A host's disk that is full in the middle of a snapshot: a small file system of its own, where this process may mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ringone.api.errors import RingOneError

from tests.snapshots.lab import Lab, make_lab
from tests.snapshots.still import still_running

ROOM = "6m"
STATE_BYTES = 8 << 20
"""Of noise, which does not become smaller when it is packed."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this process may not mount file systems")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def lab(small_disk: Path) -> Lab:
    return make_lab(small_disk)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_a_snapshot_without_room_leaves_a_running_machine_as_it_was(lab: Lab) -> None:
    with still_running(lab) as (session, keeper):
        session.write(0, b"a")
        session.memory = bytearray(os.urandom(STATE_BYTES))
        before = keeper.settings()
        with pytest.raises(RingOneError, match="No space left"):
            keeper.take_snapshot("a")
        assert keeper.settings() == before
        session.write(1, b"b")
        session.memory = bytearray(1 << 20)
        keeper.take_snapshot("b")
        session.write(2, b"c")
    assert lab.first_bytes() == b"abc\0"
    assert len(lab.files()) == 4


def test_a_state_without_room_is_not_saved(lab: Lab) -> None:
    with still_running(lab) as (session, keeper):
        session.memory = bytearray(os.urandom(STATE_BYTES))
        with pytest.raises(RingOneError, match="No space left"):
            keeper.save_state()
        session.write(1, b"b")
    assert lab.settings.state_file is None
    assert lab.files() == {"small.vbox", "disk.vdi"}


def test_nothing_changes_on_a_disk_without_any_room(lab: Lab) -> None:
    lab.touch(0, b"a")
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    lab.touch(1, b"b")
    before = lab.settings
    filler = fill(lab.folder)
    for change in (lambda: keeper.take_snapshot("b"), lambda: keeper.restore_snapshot("a"), lambda: keeper.delete_snapshot("a")):
        with pytest.raises(RingOneError), lab.at_rest() as keeper:
            change()
        assert lab.settings == before
    filler.unlink()
    with lab.at_rest() as keeper:
        keeper.delete_snapshot("a")
    assert lab.first_bytes() == b"ab\0\0"
    assert lab.files() == {"small.vbox", "disk.vdi"}


def test_a_merge_without_room_is_made_up_for_later(lab: Lab) -> None:
    lab.touch(0, b"a")
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    lab.write(1, b"b")
    filler = fill(lab.folder)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - (64 << 10))
    with lab.at_rest() as keeper:
        keeper.delete_snapshot("a")
        assert keeper.settings().snapshot is None
    assert (lab.first_bytes(), len(lab.chain)) == (b"ab\0\0", 2)
    filler.unlink()
    with lab.at_rest():
        """Finishes what is left to do."""
    assert (lab.first_bytes(), lab.chain) == (b"ab\0\0", (lab.disk,))
    assert lab.files() == {"small.vbox", "disk.vdi"}
