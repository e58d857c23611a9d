from __future__ import annotations

from pathlib import Path

import pytest

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage
from plugins.frontend_cli.tests.vboxmanage.test_machines import UUID, facts


@pytest.fixture
def cd(tmp_path: Path) -> Path:
    path = tmp_path / "my cd.iso"
    path.write_bytes(bytes(2048 * 20))
    return path


@pytest.fixture
def disk(ok: VBoxManage, tmp_path: Path) -> Path:
    ok("createmedium", "disk", "--filename", tmp_path / "disk", "--size", 8)
    return tmp_path / "disk.vdi"


def attach(*words: object) -> tuple[object, ...]:
    return ("storageattach", "debian", "--storagectl", "IDE", "--port", 0, "--device", 0, *words)


# --- storagectl


def test_controllers_are_added_renamed_changed_and_removed(ok: VBoxManage, debian: str) -> None:
    ok("storagectl", debian, "--name", "My Floppy", "--add", "floppy", "--bootable", "off")
    ok("storagectl", debian, "--name", "IDE", "--rename", "Disks")
    ok("storagectl", debian, "--name", "Disks", "--controller", "PIIX3")
    found = facts(ok, debian)
    assert found["storagecontrollername0"] == "Disks"
    assert found["storagecontrollertype0"] == "PIIX3"
    assert found["storagecontrollername1"] == "My Floppy"
    assert found["storagecontrollertype1"] == "I82078"
    assert found["storagecontrollerbootable1"] == "off"
    assert found["My Floppy-0-0"] == "none"
    ok("storagectl", debian, "--name", "Disks", "--remove")
    assert facts(ok, debian)["storagecontrollername0"] == "My Floppy"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--name", "SATA", "--add", "sata"), "VBOX_E_NOT_SUPPORTED", "--add sata is not supported"),
        (("--name", "SATA", "--add", "sata", "--controller", "IntelAhci"), "VBOX_E_NOT_SUPPORTED", "--add sata is not supported"),
        (("--name", "More", "--add", "ide"), "VBOX_E_NOT_SUPPORTED", "a second ide controller"),
        (("--name", "IDE", "--add", "floppy"), "VBOX_E_OBJECT_IN_USE", "Storage controller named 'IDE' already exists"),
        (("--name", "SCSI", "--remove"), "VBOX_E_OBJECT_NOT_FOUND", "Could not find a storage controller named 'SCSI'"),
        (("--name", "IDE", "--controller", "LsiLogic"), "VBOX_E_NOT_SUPPORTED", "cannot become one of type LsiLogic"),
        (("--name", "IDE", "--portcount", "4"), "E_INVALIDARG", "Invalid port count 4"),
        (("--name", "IDE", "--controller", "Bach"), "E_INVALIDARG", "Invalid --controller argument 'Bach'"),
    ],
    ids=["sata", "ahci", "second", "taken", "absent", "bus", "ports", "chip"],
)
def test_controllers_that_there_are_not_are_refused(vbox: VBoxManage, debian: str, words: tuple[str, ...], code: str, message: str) -> None:
    answer = vbox("storagectl", debian, *words)
    assert answer.exit_code == 1
    assert message in answer.err
    assert code in answer.err


# --- storageattach


def test_a_cd_goes_in_and_out_of_a_drive(ok: VBoxManage, debian: str, cd: Path) -> None:
    ok(*attach("--type", "dvddrive", "--medium", "emptydrive"))
    assert facts(ok, debian)["IDE-0-0"] == "emptydrive"
    assert facts(ok, debian)["IDE-IsEjected"] == "off"
    ok(*attach("--medium", cd))
    found = facts(ok, debian)
    assert found["IDE-0-0"] == str(cd)
    assert UUID.fullmatch(found["IDE-ImageUUID-0-0"])
    assert found["IDE-tempeject"] == "off"
    assert str(cd) in ok("list", "dvds").out
    ok(*attach("--medium", "emptydrive"))
    ok(*attach("--medium", found["IDE-ImageUUID-0-0"]))
    assert facts(ok, debian)["IDE-0-0"] == str(cd)
    ok(*attach("--medium", "none"))
    assert facts(ok, debian)["IDE-0-0"] == "none"


def test_a_disk_is_attached_by_file_and_by_uuid(ok: VBoxManage, debian: str, disk: Path) -> None:
    ok(*attach("--type", "hdd", "--medium", disk))
    uuid = facts(ok, debian)["IDE-ImageUUID-0-0"]
    assert f"UUID:           {uuid}" in ok("showmediuminfo", disk).lines
    ok(*attach("--medium", "none"))
    ok(*attach("--type", "hdd", "--medium", uuid, "--comment", "system"))
    assert facts(ok, debian)["IDE-0-0"] == str(disk)
    assert ok("list", "hdds").out.count("UUID:           ") == 1


def test_a_raw_image_is_a_disk_too(ok: VBoxManage, debian: str, tmp_path: Path) -> None:
    raw = tmp_path / "plain.img"
    raw.write_bytes(bytes(1 << 20))
    ok(*attach("--type", "hdd", "--medium", "plain.img"))
    assert facts(ok, debian)["IDE-0-0"] == str(raw)


@pytest.mark.parametrize("kind", ["normal", "immutable", "writethrough", "multiattach", "readonly"])
def test_a_disk_has_the_type_that_is_asked_for(ok: VBoxManage, debian: str, disk: Path, kind: str) -> None:
    ok(*attach("--type", "hdd", "--medium", disk, "--mtype", kind))
    assert f"Type:           {kind} (base)" in ok("showmediuminfo", disk).lines


def test_an_image_can_get_another_uuid_when_it_is_attached(ok: VBoxManage, debian: str, disk: Path) -> None:
    before = ok("showmediuminfo", disk).lines[0]
    ok(*attach("--type", "hdd", "--medium", disk, "--setuuid", ""))
    assert ok("showmediuminfo", disk).lines[0] != before
    ok(*attach("--medium", "none"))
    wanted = "11111111-2222-4333-8444-555555555555"
    ok(*attach("--type", "hdd", "--medium", disk, "--setuuid", wanted))
    assert facts(ok, debian)["IDE-ImageUUID-0-0"] == wanted


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--type", "hdd", "--medium", "missing.vdi"), "VBOX_E_FILE_ERROR", "Could not find file for the medium"),
        (("--type", "hdd", "--medium", "11111111-2222-4333-8444-555555555555"), "VBOX_E_OBJECT_NOT_FOUND", "Could not find an open hard disk with UUID"),
        (("--type", "hdd", "--medium", "emptydrive"), "E_INVALIDARG", "A hard disk needs a medium"),
        (("--type", "fdd", "--medium", "emptydrive"), "E_INVALIDARG", "a drive of type fdd does not fit"),
        (("--type", "dvddrive", "--medium", "additions"), "VBOX_E_NOT_SUPPORTED", "there are no guest additions"),
        (("--type", "dvddrive", "--medium", "host:/dev/sr0"), "VBOX_E_NOT_SUPPORTED", "host:/dev/sr0"),
        (("--type", "dvddrive", "--medium", "emptydrive", "--passthrough", "on"), "VBOX_E_NOT_SUPPORTED", "--passthrough"),
        (("--type", "hdd", "--medium", "iscsi", "--server", "x"), "VBOX_E_NOT_SUPPORTED", "iSCSI"),
    ],
    ids=["file", "uuid", "empty disk", "wrong bus", "additions", "host", "passthrough", "iscsi"],
)
def test_what_cannot_be_attached_is_refused(vbox: VBoxManage, debian: str, words: tuple[str, ...], code: str, message: str) -> None:
    answer = vbox(*attach(*words))
    assert answer.exit_code == 1
    assert message in answer.err
    assert code in answer.err


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (("--storagectl", "IDE", "--port", 2, "--device", 0), 1),
        (("--storagectl", "IDE", "--port", 0, "--device", 2), 1),
        (("--storagectl", "IDE"), 1),
        (("--storagectl", "Nobody", "--port", 0), 1),
        (("--port", 0), 2),
        (("--storagectl", "IDE", "--port", "first"), 2),
    ],
    ids=["port", "device", "no port", "controller", "no controller", "no number"],
)
def test_places_that_there_are_not_are_refused(vbox: VBoxManage, debian: str, words: tuple[object, ...], exit_code: int) -> None:
    assert vbox("storageattach", debian, *words, "--type", "dvddrive", "--medium", "emptydrive").exit_code == exit_code


def test_drives_go_with_their_controller(ok: VBoxManage, debian: str, disk: Path) -> None:
    ok(*attach("--type", "hdd", "--medium", disk))
    ok("storagectl", debian, "--name", "IDE", "--remove")
    ok("storagectl", debian, "--name", "IDE", "--add", "ide")
    assert facts(ok, debian)["IDE-0-0"] == "none"
    assert disk.exists()
