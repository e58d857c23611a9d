"""What taking, restoring and deleting snapshots makes of a machine's settings."""

from __future__ import annotations

import datetime
from pathlib import Path

import attrs
import pytest
from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.errors import ConfigError, MediumError, StateError, UnknownNameError
from ringone.api.media import AccessMode
from ringone.api.settings import MachineSettings, MediumRecord, MediumType, SnapshotRecord
from ringone.home import snapshots
from ringone.home.disks import Change, all_records, lineage, only_one_refers, power_on, references
from ringone.home.snapshots import Dissolution, current_snapshot, edit, find_snapshot, forgotten_child, forgotten_parent, new_record

FOLDER = Path("/machines/m/Snapshots")
BASE = Path("/machines/m/m.vdi")
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def record(location: Path, type: MediumType = MediumType.NORMAL, *children: MediumRecord, auto_reset: bool = False) -> MediumRecord:
    return MediumRecord(uuid=location.name, location=location, kind=DriveKind.DISK, type=type, children=children, auto_reset=auto_reset)


def disk(image: Path, port: int = 0, mode: AccessMode = AccessMode.PERSISTENT) -> Drive:
    return Drive(kind=DriveKind.DISK, controller="ide", port=port, device=0, image=image, mode=mode)


def machine(type: MediumType = MediumType.NORMAL) -> MachineSettings:
    return MachineSettings(config=MachineConfig(name="m", drives=(disk(BASE),)), media=(record(BASE, type),))


def taken(settings: MachineSettings, name: str, state_file: Path | None = None) -> MachineSettings:
    return take(settings, name, state_file).settings


def take(settings: MachineSettings, name: str, state_file: Path | None = None) -> Change:
    return snapshots.take(settings, attrs.evolve(new_record(settings, name, "", state_file), uuid=f"uuid-of-{name}"), FOLDER)


def restored(settings: MachineSettings, name: str) -> MachineSettings:
    return snapshots.restore(settings, find_snapshot(settings, name), FOLDER).settings


def deleted(settings: MachineSettings, name: str) -> tuple[MachineSettings, tuple[Dissolution, ...]]:
    return snapshots.delete(settings, find_snapshot(settings, name))


def present(settings: MachineSettings) -> tuple[Path, ...]:
    """The chain of the machine's first disk."""
    return chain(settings.config)


def chain(config: MachineConfig) -> tuple[Path, ...]:
    image = config.drives[0].image
    assert image is not None
    return (image, *config.drives[0].parents)


def outline(snapshot: SnapshotRecord | None) -> object:
    return snapshot and (snapshot.name, [outline(child) for child in snapshot.children])


# --- taking


def test_the_machine_goes_on_with_an_image_that_stands_on_the_old_one() -> None:
    change = take(machine(), "first")
    after = change.settings
    (new,) = change.create
    assert (new.parent, new.path.parent) == (BASE, FOLDER)
    assert present(after) == (new.path, BASE)
    assert chain(find_snapshot(after, "first").config) == (BASE,)
    assert [child.location for child in after.media[0].children] == [new.path]
    assert current_snapshot(after).name == "first"


def test_a_chain_grows_with_every_snapshot() -> None:
    settings = taken(taken(taken(machine(), "a"), "b"), "c")
    assert outline(settings.snapshot) == ("a", [("b", [("c", [])])])
    assert len(present(settings)) == 4
    assert [len(chain(found.config)) for found in settings.snapshots()] == [1, 2, 3]


def test_a_snapshot_after_a_restore_starts_a_branch() -> None:
    settings = taken(restored(taken(taken(machine(), "a"), "b"), "a"), "c")
    assert outline(settings.snapshot) == ("a", [("b", []), ("c", [])])
    assert settings.current_snapshot == "uuid-of-c"


@pytest.mark.parametrize("type", [MediumType.WRITETHROUGH, MediumType.SHAREABLE, MediumType.READONLY])
def test_what_snapshots_leave_alone_stays_in_its_drive(type: MediumType) -> None:
    change = take(machine(type), "a")
    assert change.create == ()
    assert present(change.settings) == (BASE,)


def test_throw_away_disks_stay_in_their_drives() -> None:
    settings = attrs.evolve(machine(), config=MachineConfig(name="m", drives=(disk(BASE, mode=AccessMode.THROW_AWAY),)))
    assert take(settings, "a").create == ()


def test_an_image_in_two_drives_is_refused() -> None:
    settings = attrs.evolve(machine(), config=MachineConfig(name="m", drives=(disk(BASE), disk(BASE, port=1))))
    with pytest.raises(StateError, match="in two drives"):
        take(settings, "a")


def test_an_image_that_no_registry_has_is_refused() -> None:
    with pytest.raises(MediumError, match=r"m\.vdi.*in no media registry"):
        take(attrs.evolve(machine(), media=()), "a")


def test_a_tree_that_nobody_could_read_back_is_refused() -> None:
    settings = MachineSettings(config=MachineConfig(name="m"))
    for number in range(snapshots.DEPTH_LIMIT):
        settings = taken(settings, str(number))
    with pytest.raises(StateError, match="250"):
        take(settings, "one more")


# --- names


def test_a_snapshot_is_found_by_name_and_by_uuid() -> None:
    settings = taken(taken(machine(), "a"), "b")
    assert find_snapshot(settings, "a").name == "a"
    assert find_snapshot(settings, "{UUID-of-B}").name == "b"


def test_a_name_that_two_snapshots_have_is_refused_with_their_uuids() -> None:
    settings = taken(attrs.evolve(machine()), "a")
    settings = snapshots.take(settings, attrs.evolve(new_record(settings, "a", "", None), uuid="other"), FOLDER).settings
    with pytest.raises(UnknownNameError, match="uuid-of-a, other"):
        find_snapshot(settings, "a")
    assert find_snapshot(settings, "other").uuid == "other"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="known: first"):
        find_snapshot(taken(machine(), "first"), "last")


@pytest.mark.parametrize(
    ("name", "description", "complaint"),
    [
        ("", "", "at least one"),
        ("a\0b", "", r"U\+0000"),
        ("a\nb", "", r"U\+000A"),
        ("\ud800", "", r"U\+D800"),
        ("a", "\x07", r"U\+0007"),
        ("a" * 2000, "", "2000"),
    ],
    ids=["empty", "nul", "newline", "surrogate", "bell", "long"],
)
def test_texts_that_no_file_can_keep_are_refused(name: str, description: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        new_record(machine(), name, description, None)


@pytest.mark.parametrize("name", ["a/b", "../..", "žluťoučký 🐎", "ä" * 255], ids=["slash", "dots", "unicode", "long"])
def test_names_are_any_text_since_no_file_has_them(name: str) -> None:
    assert find_snapshot(taken(machine(), name), name).name == name


def test_editing_changes_what_is_given() -> None:
    settings = taken(taken(machine(), "a"), "b")
    settings, edited = edit(settings, find_snapshot(settings, "a"), None, "before the update")
    assert (edited.name, edited.description) == ("a", "before the update")
    settings, _ = edit(settings, edited, "c", None)
    assert outline(settings.snapshot) == ("c", [("b", [])])
    assert find_snapshot(settings, "c").description == "before the update"


# --- restoring


def test_restoring_gives_fresh_images_on_those_of_the_snapshot() -> None:
    before = taken(taken(machine(), "a"), "b")
    change = snapshots.restore(before, find_snapshot(before, "a"), FOLDER)
    (new,) = change.create
    assert new.parent == BASE
    assert present(change.settings) == (new.path, BASE)
    assert change.settings.current_snapshot == "uuid-of-a"
    assert only_one_refers(before, change.settings) == {new.path, present(before)[0]}


def test_images_of_other_snapshots_stay() -> None:
    before = taken(taken(machine(), "a"), "b")
    after = restored(before, "a")
    assert set(chain(find_snapshot(before, "b").config)) <= references(after)


def test_a_restored_machine_keeps_its_name_and_its_notes() -> None:
    before = taken(machine(), "a")
    before = attrs.evolve(before, config=attrs.evolve(before.config, name="n", description="mine", memory_bytes=1 << 30, extra_data={"key": "value"}))
    after = restored(before, "a")
    assert (after.config.name, after.config.description, after.config.extra_data) == ("n", "mine", {"key": "value"})
    assert after.config.memory_bytes == 128 << 20


def test_a_restored_state_is_the_snapshots() -> None:
    state = FOLDER / "a.sav"
    assert restored(taken(machine(), "a", state), "a").state_file == state
    assert restored(attrs.evolve(taken(machine(), "a"), state_file=FOLDER / "now.sav"), "a").state_file is None


# --- deleting


def test_a_deleted_snapshot_is_gone_before_its_image_is() -> None:
    before = taken(taken(machine(), "a"), "b")
    after, dissolutions = deleted(before, "a")
    assert outline(after.snapshot) == ("b", [])
    assert present(after) == present(before)
    assert dissolutions == (Dissolution(parent=BASE, child=chain(find_snapshot(before, "b").config)[0]),)


def test_the_child_takes_its_parents_place() -> None:
    before = taken(taken(machine(), "a"), "b")
    after, (dissolution,) = deleted(before, "a")
    merged = forgotten_child(after, dissolution)
    assert present(merged) == (present(before)[0], BASE)
    assert chain(find_snapshot(merged, "b").config) == (BASE,)
    assert {found.location for found in all_records(merged.media)} == set(present(merged))


def test_the_parent_vanishes_into_the_child() -> None:
    before = taken(taken(taken(machine(), "a"), "b"), "c")
    after, (dissolution,) = deleted(before, "b")
    merged = forgotten_parent(after, dissolution)
    assert len(present(merged)) == 3
    assert dissolution.parent not in references(merged)
    assert chain(find_snapshot(merged, "c").config) == (dissolution.child, BASE)


def test_the_last_snapshot_leaves_a_machine_without_any() -> None:
    before = taken(machine(), "a")
    after, (dissolution,) = deleted(before, "a")
    assert (after.snapshot, after.current_snapshot) == (None, "")
    assert present(forgotten_child(after, dissolution)) == (BASE,)


def test_a_leafs_image_is_needed_by_nobody() -> None:
    before = restored(taken(taken(machine(), "a"), "b"), "a")
    after, dissolutions = deleted(before, "b")
    assert dissolutions == ()
    assert references(before) - references(after) == {chain(find_snapshot(before, "b").config)[0]}


def test_a_snapshot_with_two_children_is_refused() -> None:
    settings = taken(restored(taken(taken(machine(), "a"), "b"), "a"), "c")
    with pytest.raises(StateError, match="2 snapshots"):
        deleted(settings, "a")


def test_the_current_snapshot_with_a_child_is_refused() -> None:
    settings = restored(taken(taken(machine(), "a"), "b"), "a")
    with pytest.raises(StateError, match="current one"):
        deleted(settings, "a")


def test_an_image_with_a_second_child_is_refused() -> None:
    settings = taken(taken(machine(), "a"), "b")
    media = (attrs.evolve(settings.media[0], children=(*settings.media[0].children, record(Path("/elsewhere/clone.vdi")))),)
    with pytest.raises(StateError, match=r"clone\.vdi"):
        deleted(attrs.evolve(settings, media=media), "a")


def test_deleting_leaves_write_through_disks_alone() -> None:
    after, dissolutions = deleted(taken(machine(MediumType.WRITETHROUGH), "a"), "a")
    assert dissolutions == ()
    assert present(after) == (BASE,)


# --- power-on


def test_a_normal_machine_is_ready_as_it_is() -> None:
    assert power_on(machine(), FOLDER) == Change(settings=machine())


@pytest.mark.parametrize(("type", "emptied"), [(MediumType.IMMUTABLE, True), (MediumType.MULTIATTACH, False)], ids=["immutable", "multi-attach"])
def test_a_disk_that_nobody_writes_to_gets_an_image_of_the_machines_own(type: MediumType, emptied: bool) -> None:
    change = power_on(machine(type), FOLDER)
    (new,) = change.create
    assert present(change.settings) == (new.path, BASE)
    assert lineage(change.settings.media, new.path)[0].auto_reset is emptied


def test_an_image_on_one_of_another_format_is_opened_as_what_it_is() -> None:
    raw = attrs.evolve(record(BASE, MediumType.IMMUTABLE), format="RAW")
    settings = attrs.evolve(machine(), config=MachineConfig(name="m", drives=(attrs.evolve(disk(BASE), format="raw"),)), media=(raw,))
    assert power_on(settings, FOLDER).settings.config.drives[0].format == "vdi"


def test_an_immutable_disk_gets_a_fresh_image_at_every_power_on() -> None:
    first = power_on(machine(MediumType.IMMUTABLE), FOLDER).settings
    second = power_on(first, FOLDER).settings
    assert present(second) != present(first)
    assert references(second) == set(present(second))


def test_a_multi_attach_disk_keeps_what_was_written() -> None:
    first = power_on(machine(MediumType.MULTIATTACH), FOLDER).settings
    assert power_on(first, FOLDER) == Change(settings=first)


def test_an_immutable_disk_goes_back_to_its_last_snapshot() -> None:
    running = power_on(machine(MediumType.IMMUTABLE), FOLDER).settings
    snapshotted = taken(running, "a")
    again = power_on(snapshotted, FOLDER).settings
    assert present(again)[1:] == present(running)
    assert present(again)[0] != present(snapshotted)[0]
    assert lineage(again.media, present(again)[0])[0].auto_reset
