from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage
from plugins.frontend_cli.tests.vboxmanage.test_machines import UUID, facts


@pytest.fixture
def tree(ok: VBoxManage, debian: str, tmp_path: Path) -> str:
    """base -> (first -> second, other *)"""
    ok("createmedium", "disk", "--filename", tmp_path / "disk.vdi", "--size", 8)
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 0, "--device", 0, "--type", "hdd", "--medium", tmp_path / "disk.vdi")
    for name in ("base", "first", "second"):
        ok("snapshot", debian, "take", name, "--description", f"the {name} one")
    ok("snapshot", debian, "restore", "base")
    ok("snapshot", debian, "take", "other")
    return debian


def test_a_machine_without_snapshots_says_so(vbox: VBoxManage, debian: str) -> None:
    answer = vbox("snapshot", debian, "list")
    assert answer.exit_code == 1
    assert "does not have" in answer.out  # vagrant looks for it
    assert vbox("snapshot", debian, "restorecurrent").exit_code == 1


def test_the_tree_is_numbered_for_programs(ok: VBoxManage, tree: str) -> None:
    lines = [re.sub(UUID, "U", line) for line in ok("snapshot", tree, "list", "--machinereadable").lines]
    assert lines == [
        'SnapshotName="base"',
        'SnapshotUUID="U"',
        'SnapshotDescription="the base one"',
        'SnapshotName-1="first"',
        'SnapshotUUID-1="U"',
        'SnapshotDescription-1="the first one"',
        'SnapshotName-1-1="second"',
        'SnapshotUUID-1-1="U"',
        'SnapshotDescription-1-1="the second one"',
        'SnapshotName-2="other"',
        'SnapshotUUID-2="U"',
        'CurrentSnapshotName="other"',
        'CurrentSnapshotUUID="U"',
        'CurrentSnapshotNode="SnapshotName-2"',
    ]
    assert ok("showvminfo", tree, "--machinereadable").lines[-14:] == ok("snapshot", tree, "list", "--machinereadable").lines


def test_the_tree_is_indented_for_people(ok: VBoxManage, tree: str) -> None:
    lines = [re.sub(UUID, "U", line) for line in ok("snapshot", tree, "list").lines]
    assert [line for line in lines if "Name:" in line] == [
        "   Name: base (UUID: U)",
        "      Name: first (UUID: U)",
        "         Name: second (UUID: U)",
        "      Name: other (UUID: U) *",
    ]


def test_taking_restoring_and_deleting_say_what_they_do(ok: VBoxManage, tree: str) -> None:
    assert re.fullmatch(rf"Snapshot taken\. UUID: {UUID.pattern}\n", ok("snapshot", tree, "take", "more").out)
    assert re.fullmatch(rf"Restoring snapshot 'first' \({UUID.pattern}\)\n", ok("snapshot", tree, "restore", "first").out)
    assert re.fullmatch(rf"Restoring snapshot 'first' \({UUID.pattern}\)\n", ok("snapshot", tree, "restorecurrent").out)
    answer = ok("snapshot", tree, "delete", "more")
    assert re.fullmatch(rf"Deleting snapshot 'more' \({UUID.pattern}\)\n", answer.out)
    assert answer.err.endswith("100%\n")


def test_an_error_stands_on_a_line_of_its_own_behind_the_percents(vbox: VBoxManage, debian: str) -> None:
    assert vbox("snapshot", debian, "take", "").err.startswith("0%...\nVBoxManage: error: a snapshot needs a name")


def test_restoring_brings_the_settings_back(ok: VBoxManage, tree: str) -> None:
    ok("modifyvm", tree, "--memory", 32)
    ok("snapshot", tree, "restorecurrent")
    assert facts(ok, tree)["memory"] == "128"


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ("Number", ["s", "s1", "s2"]),
        ("Number,Space", ["s", "s 1", "s 2"]),
        ("Number,Force", ["s1", "s2", "s3"]),
    ],
)
def test_names_are_made_unique(ok: VBoxManage, debian: str, how: str, names: list[str]) -> None:
    for _ in names:
        ok("snapshot", debian, "take", "s", "--uniquename", how)
    found = re.findall(r'^SnapshotName.*?="(.+?)"$', ok("snapshot", debian, "list", "--machinereadable").out, re.MULTILINE)
    assert found == names


def test_a_name_gets_the_time(ok: VBoxManage, debian: str) -> None:
    ok("snapshot", debian, "take", "s", "--uniquename", "Timestamp,Force")
    assert re.search(r'SnapshotName="s\d{4}-\d\d-\d\dT', ok("snapshot", debian, "list", "--machinereadable").out)


def test_a_snapshot_gets_another_name_and_description(ok: VBoxManage, vbox: VBoxManage, tree: str) -> None:
    ok("snapshot", tree, "edit", "second", "--name", "2nd", "--description", "changed")
    ok("snapshot", tree, "edit", "--current", "--name", "now")
    text = ok("snapshot", tree, "list", "--machinereadable").out
    assert 'SnapshotName-1-1="2nd"' in text
    assert 'SnapshotDescription-1-1="changed"' in text
    assert 'CurrentSnapshotName="now"' in text
    assert vbox("snapshot", tree, "edit", "--name", "x").exit_code == 2


def test_a_snapshots_machine_is_shown(ok: VBoxManage, tree: str) -> None:
    ok("modifyvm", tree, "--memory", 32)
    assert "Memory size:                 128MB" in ok("snapshot", tree, "showvminfo", "base").lines


@pytest.mark.parametrize("verb", ["restore", "delete", "edit", "showvminfo"])
def test_a_snapshot_that_there_is_not_is_named(vbox: VBoxManage, tree: str, verb: str) -> None:
    answer = vbox("snapshot", tree, verb, "nothing")
    assert answer.exit_code == 1
    assert "Could not find a snapshot named 'nothing'" in answer.err
    assert "VBOX_E_OBJECT_NOT_FOUND" in answer.err


def test_only_a_saved_state_is_discarded(vbox: VBoxManage, debian: str) -> None:
    answer = vbox("discardstate", debian)
    assert answer.exit_code == 1
    assert "is not in the saved state" in answer.err


# --- clonevm


def test_a_clone_has_disks_of_its_own(ok: VBoxManage, tree: str, home: Path) -> None:
    answer = ok("clonevm", tree, "--register")
    assert answer.out == f'Machine has been successfully cloned as "{tree} Clone"\n'
    old, new = facts(ok, tree), facts(ok, f"{tree} Clone")
    assert new["IDE-0-0"] == str(home / "machines" / f"{tree} Clone" / f"{tree} Clone-disk1.vdi")
    assert new["UUID"] != old["UUID"]
    assert "SnapshotName" not in new
    assert "Parent UUID:    base" in ok("showmediuminfo", new["IDE-0-0"]).lines


def test_a_linked_clone_stands_on_a_snapshot(ok: VBoxManage, vbox: VBoxManage, tree: str) -> None:
    assert "Linked clone can only be created from a snapshot" in vbox("clonevm", tree, "--options", "Link").err
    ok("clonevm", tree, "--snapshot", "first", "--options", "link", "--name", "linked", "--register")
    assert "Parent UUID:    base" not in ok("showmediuminfo", facts(ok, "linked")["IDE-0-0"]).lines
    assert vbox("snapshot", tree, "delete", "first").exit_code == 1
    ok("unregistervm", "linked", "--delete")
    ok("snapshot", tree, "delete", "first")


def test_a_clone_that_fails_leaves_nothing(vbox: VBoxManage, ok: VBoxManage, tree: str, home: Path) -> None:
    ok("createvm", "--name", "taken", "--register")
    before = sorted(path for path in home.rglob("*") if not path.name.startswith("."))
    assert vbox("clonevm", tree, "--name", "taken").exit_code == 1
    assert vbox("clonevm", tree, "--name", "new", "--uuid", facts(ok, tree)["UUID"]).exit_code == 1
    assert sorted(path for path in home.rglob("*") if not path.name.startswith(".")) == before


def test_a_clone_can_have_all_snapshots(ok: VBoxManage, vbox: VBoxManage, tree: str, home: Path) -> None:
    ok("clonevm", tree, "--mode", "all", "--name", "twin", "--register")
    old, new = (ok("snapshot", name, "list", "--machinereadable").lines for name in (tree, "twin"))
    assert [re.sub(UUID, "U", line) for line in new] == [re.sub(UUID, "U", line) for line in old]
    assert not set(UUID.findall("".join(old))) & set(UUID.findall("".join(new)))
    folder = home / "machines" / "twin"
    assert Path(facts(ok, "twin")["IDE-0-0"]).parent == folder / "Snapshots"
    ok("unregistervm", tree, "--delete")
    ok("snapshot", "twin", "restore", "second")
    ok("snapshot", "twin", "delete", "first")
    assert len(list((folder / "Snapshots").iterdir())) == 3
    ok("unregistervm", "twin", "--delete")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (("--mode", "machineandchildren"), 1),
        (("--mode", "all", "--snapshot", "first"), 1),
        (("--mode", "some"), 2),
        (("--options", "Shrink"), 2),
    ],
    ids=["children", "all of one", "mode", "option"],
)
def test_what_cannot_be_cloned_is_refused(vbox: VBoxManage, tree: str, words: tuple[str, ...], exit_code: int) -> None:
    assert vbox("clonevm", tree, *words).exit_code == exit_code
