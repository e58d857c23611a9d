"""What is done when a machine is opened with a journal, and what is never done because of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ringone.api.errors import ConfigError, MediumError
from ringone.home.journal import Journal, JournalFile, Return

from tests.snapshots.lab import Lab
from tests.snapshots.still import still_running


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """With a snapshot."""
    lab.touch(0, b"a")
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    return lab


def leave(lab: Lab, journal: Journal) -> None:
    JournalFile(lab.machine.path).write(journal)


def test_only_superfluous_files_of_the_snapshot_folder_are_deleted(lab: Lab, tmp_path: Path) -> None:
    superfluous, outside, beside = lab.chain[0].with_name("x.vdi"), tmp_path / "letters.txt", lab.machine.folder / "notes.txt"
    for path in (superfluous, outside, beside):
        path.write_text("words")
    leave(lab, Journal(leftovers=frozenset({superfluous, outside, beside, *lab.chain, lab.machine.path})))
    with lab.at_rest():
        assert not superfluous.exists()
        assert all(path.exists() for path in (outside, beside, *lab.chain, lab.machine.path))
    assert not JournalFile(lab.machine.path).path.exists()


def test_unfinished_files_are_removed(lab: Lab) -> None:
    folder = lab.chain[0].parent
    (folder / ".ringone-image").mkdir()
    (folder / ".ringone-image" / "x.vdi").write_bytes(bytes(10))
    (folder / ".ringone-state-1").write_bytes(bytes(10))
    with lab.at_rest():
        assert {path.name for path in folder.iterdir()} == {lab.chain[0].name}


def test_a_damaged_journal_keeps_the_machine_from_opening_with_advice(lab: Lab) -> None:
    JournalFile(lab.machine.path).path.write_text(json.dumps({"format": "other"}))
    with pytest.raises(ConfigError, match=r"small\.vbox-journal: .*deleting this file"), lab.at_rest():
        """Never comes here."""


def test_what_a_guest_wrote_is_not_given_up_because_it_cannot_be_read(lab: Lab) -> None:
    """Its image is damaged: nobody but its owner decides that it is lost."""
    written = lab.chain[0].with_name("x.vdi")
    written.write_bytes(lab.chain[0].read_bytes()[:514])
    leave(lab, Journal(leftovers=frozenset({written}), returns=(Return(image=written, parent=lab.chain[0]),)))
    for _ in range(2):
        with pytest.raises(MediumError), lab.at_rest():
            """Never comes here."""
    assert written.exists()


def test_a_moved_home_is_tidied_up_where_it_is_now(lab: Lab) -> None:
    superfluous = lab.chain[0].with_name("x.vdi")
    superfluous.write_text("words")
    leave(lab, Journal(leftovers=frozenset({superfluous})))
    moved = lab.machine.folder.with_name("moved")
    lab.machine.folder.rename(moved)
    lab.home.unregister(lab.machine)
    with Lab(lab.folder, lab.home, lab.home.register(moved / "small.vbox")).at_rest():
        assert not (moved / superfluous.relative_to(lab.machine.folder)).exists()


def test_a_running_machine_that_is_only_opened_leaves_no_journal(lab: Lab) -> None:
    with still_running(lab):
        assert not JournalFile(lab.machine.path).path.exists()
