from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from ringone.api.media import AccessMode
from ringone.plugins import PluginRegistry

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage
from plugins.frontend_cli.tests.vboxmanage.test_machines import UUID

SECTOR = 512


def content(path: Path) -> bytes:
    """What a VDI reads as."""
    device = PluginRegistry().media_formats()["vdi"].open([path], AccessMode.READ_ONLY, SECTOR)
    try:
        return device.read(0, device.block_count)
    finally:
        device.close()


def shown(ok: VBoxManage, image: object) -> dict[str, str]:
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in ok("showmediuminfo", image).lines)}


@pytest.fixture
def disk(ok: VBoxManage, tmp_path: Path) -> Path:
    ok("createmedium", "disk", "--filename", tmp_path / "disk.vdi", "--size", 8)
    return tmp_path / "disk.vdi"


@pytest.mark.parametrize("verb", ["createmedium", "createhd", "createvdi"])
def test_a_disk_is_created_registered_and_shown(ok: VBoxManage, tmp_path: Path, verb: str) -> None:
    answer = ok(verb, "--filename", "new", "--size", 16)
    match = re.search(r"^Medium created\. UUID: (\S+)$", answer.out, re.MULTILINE)
    assert match
    assert answer.err == "0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\n"
    assert shown(ok, "new.vdi") == {
        "UUID": match[1],
        "Parent UUID": "base",
        "State": "created",
        "Type": "normal (base)",
        "Location": str(tmp_path / "new.vdi"),
        "Storage format": "VDI",
        "Format variant": "dynamic default",
        "Capacity": "16 MBytes",
        "Size on disk": "1 MBytes",
        "Encryption": "disabled",
    }
    assert f"UUID:           {match[1]}" in ok("list", "hdds").lines


def test_a_fixed_disk_takes_all_its_room_at_once(ok: VBoxManage) -> None:
    ok("createmedium", "disk", "--filename", "fixed.vdi", "--sizebyte", 4 << 20, "--variant", "Fixed", "--property", "Purpose=test")
    facts = shown(ok, "fixed.vdi")
    assert facts["Format variant"] == "fixed default"
    assert facts["Capacity"] == "4 MBytes"
    assert int(facts["Size on disk"].split()[0]) >= 4
    assert ok("mediumproperty", "get", "fixed.vdi", "Purpose").out == "Purpose=test\n"


def test_a_differencing_disk_stands_on_another(ok: VBoxManage, disk: Path) -> None:
    ok("createmedium", "disk", "--filename", "child.vdi", "--diffparent", disk)
    assert shown(ok, "child.vdi")["Parent UUID"] == shown(ok, disk)["UUID"]
    assert shown(ok, disk)["Child UUIDs"] == shown(ok, "child.vdi")["UUID"]


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("--filename", "disk.vdi", "--size", "8"), 1, "VERR_ALREADY_EXISTS"),
        (("--filename", "x.vdi"), 2, "Required parameter --size is missing"),
        (("--size", "8"), 2, "Required parameter --filename is missing"),
        (("--filename", "x", "--size", "8", "--format", "QED"), 1, "Medium format 'QED' cannot be created"),
        (("--filename", "x", "--size", "8", "--variant", "Split2G"), 1, "--variant split2g is not supported"),
        (("--filename", "x", "--size", "8", "--variant", "Stream"), 1, "x.vdi"),
        (("--filename", "x", "--size", "8", "--variant", "Wet"), 2, "Invalid medium variant 'wet'"),
        (("--filename", "x", "--size", "0"), 2, "Invalid value '0'"),
        (("--filename", "no/such/folder/x.vdi", "--size", "8"), 1, "no/such/folder"),
    ],
    ids=["exists", "no size", "no name", "format", "variant", "variant of another format", "wrong variant", "empty", "folder"],
)
def test_what_cannot_be_created_is_refused(vbox: VBoxManage, disk: Path, words: tuple[str, ...], exit_code: int, message: str) -> None:
    answer = vbox("createmedium", "disk", *words)
    assert answer.exit_code == exit_code
    assert message in answer.err


def test_a_disk_grows_and_keeps_its_content(ok: VBoxManage, tmp_path: Path) -> None:
    data = bytes(range(256)) * (2 << 12)
    (tmp_path / "raw.img").write_bytes(data)
    ok("convertfromraw", "raw.img", "grown.vdi")
    ok("modifymedium", "disk", "grown.vdi", "--resize", 16)
    assert shown(ok, "grown.vdi")["Capacity"] == "16 MBytes"
    assert content(tmp_path / "grown.vdi")[: len(data)] == data
    ok("modifyhd", "grown.vdi", "--compact")
    assert content(tmp_path / "grown.vdi")[: len(data)] == data


@pytest.mark.parametrize("kind", ["immutable", "writethrough", "multiattach", "normal"])
def test_a_disk_changes_its_type(ok: VBoxManage, disk: Path, kind: str) -> None:
    ok("modifymedium", disk, "--type", kind, "--description", "a disk")
    assert shown(ok, disk)["Type"] == f"{kind} (base)"


def test_the_type_of_an_attached_disk_stays(ok: VBoxManage, vbox: VBoxManage, debian: str, disk: Path) -> None:
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 0, "--device", 0, "--type", "hdd", "--medium", disk)
    assert vbox("modifymedium", disk, "--type", "immutable").exit_code == 1
    assert shown(ok, disk)["In use by VMs"].startswith(f"{debian} (UUID: ")


@pytest.mark.parametrize("verb", ["clonemedium", "clonehd"])
def test_a_clone_reads_the_same_and_is_another_disk(ok: VBoxManage, tmp_path: Path, verb: str) -> None:
    data = b"\x5a" * (3 << 20)
    (tmp_path / "raw.img").write_bytes(data)
    ok("convertfromraw", "raw.img", "one.vdi", "--format", "VDI")
    answer = ok(verb, "one.vdi", "two.vdi")
    assert re.fullmatch(rf"Clone medium created in format 'VDI'\. UUID: {UUID.pattern}\n", answer.out)
    assert content(tmp_path / "two.vdi") == data
    assert shown(ok, "one.vdi")["UUID"] != shown(ok, "two.vdi")["UUID"]


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="other formats are made by qemu-img")
@pytest.mark.parametrize(("format", "variant"), [("VMDK", "Standard"), ("VMDK", "Stream"), ("VHD", "Fixed"), ("QCOW2", "Standard")])
def test_a_disk_goes_to_another_format_and_back(ok: VBoxManage, tmp_path: Path, format: str, variant: str) -> None:
    data = b"\x3c" * (2 << 20)
    (tmp_path / "raw.img").write_bytes(data)
    ok("convertfromraw", "raw.img", "one.vdi")
    ok("clonemedium", "one.vdi", f"two.{format.lower()}", "--format", format, "--variant", variant)
    assert shown(ok, f"two.{format.lower()}")["Storage format"] == format
    ok("clonemedium", f"two.{format.lower()}", "three.vdi", "--format", "VDI")
    assert content(tmp_path / "three.vdi")[: len(data)] == data


def test_a_clone_of_a_differencing_disk_is_whole(ok: VBoxManage, tmp_path: Path) -> None:
    (tmp_path / "raw.img").write_bytes(b"\xa5" * (1 << 20))
    ok("convertfromraw", "raw.img", "base.vdi")
    ok("createmedium", "disk", "--filename", "child.vdi", "--diffparent", "base.vdi")
    ok("clonemedium", "child.vdi", "flat.vdi")
    assert shown(ok, "flat.vdi")["Parent UUID"] == "base"
    assert content(tmp_path / "flat.vdi") == b"\xa5" * (1 << 20)


def test_a_raw_disk_comes_from_standard_input(ok: VBoxManage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\x11" * SECTOR)))
    ok("convertfromraw", "stdin", "piped.vdi", 1 << 20)
    assert content(tmp_path / "piped.vdi") == (b"\x11" * SECTOR).ljust(1 << 20, b"\0")


@pytest.mark.parametrize(
    ("words", "exit_code"), [(("missing.img", "x.vdi"), 1), (("odd.img", "x.vdi"), 1), (("stdin", "x.vdi"), 2), (("odd.img",), 2)], ids=str
)
def test_what_is_no_raw_disk_is_refused(vbox: VBoxManage, tmp_path: Path, words: tuple[str, ...], exit_code: int) -> None:
    (tmp_path / "odd.img").write_bytes(b"odd")
    assert vbox("convertfromraw", *words).exit_code == exit_code
    assert not (tmp_path / "x.vdi").exists()


def test_a_disk_is_forgotten_and_deleted(ok: VBoxManage, vbox: VBoxManage, disk: Path) -> None:
    ok("closemedium", "disk", disk)
    assert disk.exists()
    assert ok("list", "hdds").out == ""
    assert vbox("closemedium", "disk", disk).exit_code == 1
    ok("closemedium", "disk", disk, "--delete")
    assert not disk.exists()


def test_only_files_are_deleted(vbox: VBoxManage, tmp_path: Path) -> None:
    folder = tmp_path / "folder.vdi"
    folder.mkdir()
    answer = vbox("closemedium", "disk", folder, "--delete")
    assert answer.exit_code == 1
    assert "VBOX_E_FILE_ERROR" in answer.err
    assert folder.is_dir()


def test_a_disk_that_is_in_use_is_not_forgotten(ok: VBoxManage, vbox: VBoxManage, debian: str, disk: Path) -> None:
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 0, "--device", 0, "--type", "hdd", "--medium", disk)
    answer = vbox("closemedium", "disk", disk, "--delete")
    assert answer.exit_code == 1
    assert "VBOX_E_OBJECT_IN_USE" in answer.err
    assert disk.exists()


def test_properties_are_kept_with_an_image(ok: VBoxManage, vbox: VBoxManage, disk: Path) -> None:
    ok("mediumproperty", "set", disk, "Owner", "me")
    assert ok("mediumproperty", "get", disk, "Owner").out == "Owner=me\n"
    ok("mediumproperty", "delete", disk, "Owner")
    assert vbox("mediumproperty", "get", disk, "Owner").exit_code == 1


def test_an_image_whose_file_is_gone_is_listed_as_inaccessible(ok: VBoxManage, disk: Path) -> None:
    disk.unlink()
    assert "State:          inaccessible" in ok("list", "hdds").lines
