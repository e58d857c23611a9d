"""Snapshots of a machine that is off: what is on its disks, and which files are there."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from ringone.api.config import Drive, DriveKind
from ringone.api.errors import LockedError, StateError
from ringone.api.media import MediumVariant, NewMedium
from ringone.api.settings import MediumRecord, MediumType
from ringone.home import LockMode, new_settings

from tests.snapshots.lab import BLOCK_BYTES, Lab, formats, make_lab

MACHINE_FILES = {"small.vbox", "disk.vdi"}


def numbered(lab: Lab) -> list[bytes]:
    """What the blocks of the present disk are filled with."""
    content = lab.content()
    return [content[start : start + 1] for start in range(0, len(content), BLOCK_BYTES)]


def three_generations(lab: Lab) -> None:
    """Blocks 0, 1, 2 written before snapshot a, between a and b, after b; block 3 every time."""
    for generation, name in enumerate("abc"):
        for block in (generation, 3):
            lab.write(block, name.encode())
        if name != "c":
            with lab.at_rest() as keeper:
                keeper.take_snapshot(name)


def test_a_snapshot_changes_nothing_that_the_guest_sees(lab: Lab) -> None:
    three_generations(lab)
    assert numbered(lab) == [b"a", b"b", b"c", b"c"]
    assert len(lab.chain) == 3


@pytest.mark.parametrize(("name", "blocks"), [("a", [b"a", b"\0", b"\0", b"a"]), ("b", [b"a", b"b", b"\0", b"b"])], ids=["a", "b"])
def test_restoring_brings_the_disk_back(lab: Lab, name: str, blocks: list[bytes]) -> None:
    three_generations(lab)
    with lab.at_rest() as keeper:
        keeper.restore_snapshot(name)
    assert numbered(lab) == blocks
    assert len(lab.files()) == 2 + 2


def test_restoring_the_current_snapshot_forgets_what_came_after_it(lab: Lab) -> None:
    three_generations(lab)
    with lab.at_rest() as keeper:
        keeper.restore_current()
    assert numbered(lab) == [b"a", b"b", b"\0", b"b"]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")], ids="".join)
def test_deleting_snapshots_keeps_the_present(lab: Lab, names: tuple[str, str]) -> None:
    three_generations(lab)
    for name in names:
        with lab.at_rest() as keeper:
            keeper.delete_snapshot(name)
        assert numbered(lab) == [b"a", b"b", b"c", b"c"]
    assert lab.chain == (lab.disk,)
    assert lab.files() == MACHINE_FILES


def test_deleting_keeps_the_other_snapshots(lab: Lab) -> None:
    three_generations(lab)
    with lab.at_rest() as keeper:
        keeper.restore_snapshot("b")
        keeper.delete_snapshot("a")
        keeper.restore_snapshot("b")
    assert numbered(lab) == [b"a", b"b", b"\0", b"b"]


@pytest.mark.parametrize("big", [0, 1], ids=["the parent has more", "the child has more"])
def test_the_smaller_image_is_merged_into_the_bigger_one(lab: Lab, big: int) -> None:
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    for generation in range(2):
        for block in range(3 if generation == big else 1):
            lab.write(block, b"%d" % generation)
        if generation == 0:
            with lab.at_rest() as keeper:
                keeper.take_snapshot("b")
    parent, child = lab.chain[1], lab.chain[0]
    with lab.at_rest() as keeper:
        keeper.delete_snapshot("b")
    assert lab.chain == ((parent, child)[big], lab.disk)
    assert numbered(lab)[:3] == ([b"1", b"0", b"0"] if big == 0 else [b"1"] * 3)


def test_images_that_stand_on_a_merged_one_stand_on_what_it_became(lab: Lab) -> None:
    three_generations(lab)
    with lab.at_rest() as keeper:
        keeper.delete_snapshot("a")
    assert [len(lab.chain), lab.chain[-1]] == [2, lab.disk]
    assert numbered(lab) == [b"a", b"b", b"c", b"c"]


def test_a_raw_disk_has_snapshots_too(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    raw = lab.disk.with_suffix(".img")
    raw.write_bytes(bytes(2 * BLOCK_BYTES))
    with lab.home.lock(lab.machine, LockMode.WORK, "attaching a disk") as lock:
        before = lab.settings
        drive = attrs.evolve(before.config.drives[0], image=raw, format="")
        record = MediumRecord(uuid="7c9a3bb0-9b0c-4d25-8a9e-3a1d5a2f0d11", location=raw, kind=DriveKind.DISK, format="RAW")
        lab.home.save(lock, attrs.evolve(before, config=attrs.evolve(before.config, drives=(drive,)), media=(record,)))
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    lab.write(1, b"x")
    assert numbered(lab) == [b"\0", b"x"]
    with lab.at_rest() as keeper:
        keeper.delete_snapshot("a")
    assert lab.chain == (raw,)
    assert raw.read_bytes()[BLOCK_BYTES:] == b"x" * BLOCK_BYTES


def test_a_disk_that_another_machine_stands_on_is_not_merged(lab: Lab) -> None:
    with lab.at_rest() as keeper:
        keeper.take_snapshot("a")
    clone_file = lab.home.machine_file("clone")
    clone_file.parent.mkdir(parents=True)
    image = clone_file.with_name("clone.vdi")
    tools = formats()["vdi"].tools
    assert tools is not None
    info = tools.create(NewMedium(path=image, variant=MediumVariant.DIFFERENCING, parent=lab.disk))
    child = MediumRecord(uuid=info.uuid, location=image, kind=DriveKind.DISK)
    settings = new_settings("clone")
    drive = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=image, parents=(lab.disk,))
    media = (attrs.evolve(lab.settings.media[0], children=(child,)),)
    lab.home.register(lab.home.create(attrs.evolve(settings, config=attrs.evolve(settings.config, drives=(drive,)), media=media)))
    before = lab.settings
    with lab.at_rest() as keeper, pytest.raises(StateError, match="'clone'"):
        keeper.delete_snapshot("a")
    assert lab.settings == before


def test_a_locked_machine_is_refused_with_who_has_it(lab: Lab) -> None:
    with lab.home.lock(lab.machine, LockMode.RUN, "running it"), pytest.raises(LockedError, match="running it"), lab.at_rest():
        """Never comes here."""


def test_there_is_no_state_to_save_or_to_discard(lab: Lab) -> None:
    with lab.at_rest() as keeper:
        with pytest.raises(StateError, match="not running"):
            keeper.save_state()
        with pytest.raises(StateError, match="no saved state"):
            keeper.discard_state()


def test_an_edited_snapshot_is_kept_on_disk(lab: Lab) -> None:
    with lab.at_rest() as keeper:
        uuid = keeper.take_snapshot("a", "first").uuid
        keeper.edit_snapshot(uuid, name="b/ž", description="second\nline")
    (found,) = lab.settings.snapshots()
    assert (found.uuid, found.name, found.description) == (uuid, "b/ž", "second\nline")


# --- power-on


def test_an_immutable_disk_forgets_at_the_next_start(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, MediumType.IMMUTABLE)
    with lab.running():
        first = lab.chain
    lab.write(1, b"x")
    assert b"x" in numbered(lab)
    with lab.running():
        assert lab.chain[0] != first[0]
        assert lab.chain[1:] == (lab.disk,)
    assert b"x" not in numbered(lab)
    assert len(lab.files()) == 3


def test_a_multi_attach_disk_keeps_what_its_machine_wrote(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, MediumType.MULTIATTACH)
    with lab.running():
        """Gives the machine its image."""
    lab.write(1, b"x")
    with lab.running():
        assert len(lab.chain) == 2
    assert b"x" in numbered(lab)
    assert lab.content((lab.disk,)) == bytes(len(lab.content()))
