"""import and export: there and back, as vagrant drives it, and archives that mean harm."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage
from plugins.frontend_cli.tests.vboxmanage.test_machines import facts
from plugins.frontend_cli.tests.vboxmanage.test_media import content

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="VMDK images are made by qemu-img")

CONTENT = bytes(range(256)) * (2 << 12)
Members = dict[str, bytes]


@pytest.fixture
def packed(ok: VBoxManage, debian: str, tmp_path: Path) -> str:
    """A machine with a disk, a CD drive and a floppy drive."""
    (tmp_path / "raw.img").write_bytes(CONTENT)
    ok("convertfromraw", "raw.img", "disk.vdi")
    ok("modifyvm", debian, "--memory", 64, "--description", "carry me")
    ok("storagectl", debian, "--name", "Floppy", "--add", "floppy")
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 0, "--device", 1, "--type", "hdd", "--medium", "disk.vdi")
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 1, "--device", 0, "--type", "dvddrive", "--medium", "emptydrive")
    ok("storageattach", debian, "--storagectl", "Floppy", "--device", 0, "--type", "fdd", "--medium", "emptydrive")
    return debian


@needs_qemu_img
@pytest.mark.parametrize("file", ["box.ova", "box.ovf"])
def test_a_machine_goes_there_and_back(ok: VBoxManage, packed: str, tmp_path: Path, home: Path, file: str) -> None:
    ok("snapshot", packed, "take", "one")
    assert ok("export", packed, "--output", file, "--manifest").out == "Successfully exported 1 machine(s).\n"
    assert sorted(path.name for path in tmp_path.glob("box*")) == (["box.ova"] if file == "box.ova" else ["box-disk001.vmdk", "box.mf", "box.ovf"])
    assert ok("import", file).out.endswith("Successfully imported the appliance.\n")
    found = facts(ok, f"{packed} 1")
    assert (found["memory"], found["ostype"], found["description"]) == ("64", "Debian (32-bit)", "carry me")
    assert (found["IDE-1-0"], found["Floppy-0-0"]) == ("emptydrive", "emptydrive")
    assert content(Path(found["IDE-0-1"])) == CONTENT
    assert Path(found["IDE-0-1"]).parent == home / "machines" / f"{packed} 1"


@needs_qemu_img
def test_vagrant_imports_a_box_under_a_name_of_its_own(ok: VBoxManage, packed: str, tmp_path: Path) -> None:
    ok("export", packed, "--output", "box.ovf")
    dry = ok("import", "-n", "box.ovf").out
    suggested = re.search(r'Suggested VM name "(.+?)"', dry)
    assert suggested
    disks = re.findall(r"(\d+): Hard disk image: source image=.+, target path=(.+),", dry)
    assert len(disks) == 1
    name = "box_1700000000_123"
    words: list[str] = ["--vsys", "0", "--vmname", name]
    for unit, path in disks:
        words += ["--vsys", "0", "--unit", unit, "--disk", path.split(",")[0].replace(f"/{suggested[1]}/", f"/{name}/")]
    ok("import", "box.ovf", *words)
    match = re.search(rf'^"{name}" \{{(.+?)\}}$', ok("list", "vms").out, re.MULTILINE)
    assert match
    assert Path(facts(ok, match[1])["IDE-0-1"]).parent.name == name


@needs_qemu_img
def test_a_machine_is_changed_on_its_way_in(ok: VBoxManage, vbox: VBoxManage, packed: str) -> None:
    ok("export", packed, "-o", "box.ova")
    dry = ok("import", "box.ova", "--dry-run").out
    (disk,) = re.findall(r"(\d+): Hard disk image", dry)
    ok("import", "box.ova", "--vsys", 0, "--vmname", "lean", "--memory", 32, "--ostype", "DOS", "--unit", disk, "--ignore")
    found = facts(ok, "lean")
    assert (found["memory"], found["ostype"], found["IDE-0-1"]) == ("32", "DOS", "none")
    assert vbox("import", "box.ova", "--vmname", "x").exit_code == 2
    assert vbox("import", "box.ova", "--vsys", 1, "--vmname", "x").exit_code == 1
    assert vbox("import", "box.ova", "--vsys", 0, "--unit", 99, "--ignore").exit_code == 1


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("--output", "x.zip"), 1, "suffix .ovf or .ova"),
        ((), 2, "Required parameter --output is missing"),
        (("--output", "raw.img.ova", "--ovf20"), 1, "only OVF 1.0 is written"),
        (("--output", "x.ova", "--options", "iso"), 1, "CD images are not exported"),
        (("--output", "there.ova"), 1, "already exists"),
        (("--output", "nowhere/x.ova"), 1, "nowhere is no folder"),
    ],
    ids=["suffix", "no output", "version", "iso", "exists", "folder"],
)
def test_what_cannot_be_exported_is_refused(vbox: VBoxManage, packed: str, tmp_path: Path, words: tuple[str, ...], exit_code: int, message: str) -> None:
    (tmp_path / "there.ova").write_bytes(b"mine")
    answer = vbox("export", packed, *words)
    assert answer.exit_code == exit_code
    assert message in answer.err
    assert (tmp_path / "there.ova").read_bytes() == b"mine"


# --- archives from others

ENVELOPE = b"""<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References><File ovf:href="disk.img" ovf:id="file1" ovf:size="1048576"/></References>
  <DiskSection><Disk ovf:capacity="1048576" ovf:diskId="d" ovf:fileRef="file1" ovf:format="http://www.virtualbox.org/manual/raw"/></DiskSection>
  <VirtualSystem ovf:id="foreign">
    <VirtualHardwareSection>
      <Item><InstanceID>1</InstanceID><ResourceType>20</ResourceType></Item>
      <Item><AddressOnParent>3</AddressOnParent><HostResource>/disk/d</HostResource><Parent>1</Parent><ResourceType>17</ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""
DISK = b"\x77" * (1 << 20)


def checksums(files: Members) -> bytes:
    return "".join(f"SHA256({name})= {hashlib.sha256(data).hexdigest()}\n" for name, data in files.items()).encode()


def ova(path: Path, files: Members, change: Callable[[tarfile.TarInfo], None] = lambda member: None) -> Path:
    with tarfile.open(path, "w:") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            change(member)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_a_raw_disk_of_a_sata_controller_comes_to_the_ide_controller(ok: VBoxManage, tmp_path: Path) -> None:
    files = {"foreign.ovf": ENVELOPE, "disk.img": DISK}
    ova(tmp_path / "foreign.ova", {**files, "foreign.mf": checksums(files)})
    ok("import", "foreign.ova")
    assert content(Path(facts(ok, "foreign")["IDE-0-0"])) == DISK


FILES: Members = {"foreign.ovf": ENVELOPE, "disk.img": DISK}
HARM: dict[str, tuple[Members, str]] = {
    "a path upwards": ({**FILES, "../evil": b"x"}, "has the member '../evil'"),
    "an absolute path": ({**FILES, "/etc/evil": b"x"}, "has the member '/etc/evil'"),
    "a folder": ({**FILES, "sub/evil": b"x"}, "has the member 'sub/evil'"),
    "the same twice": ({**FILES, "./disk.img": b"x"}, "has the member './disk.img'"),
    "a wrong checksum": ({**FILES, "foreign.mf": checksums({**FILES, "disk.img": b"other"})}, "VERR_CHECKSUM_MISMATCH"),
    "a wrong checksum of the envelope": ({**FILES, "foreign.mf": checksums({**FILES, "foreign.ovf": b"other"})}, "VERR_CHECKSUM_MISMATCH"),
    "a checksum left out": ({**FILES, "foreign.mf": checksums({"foreign.ovf": ENVELOPE})}, "the manifest has no checksum of 'disk.img'"),
    "no manifest": ({**FILES, "foreign.mf": b"trust me\n"}, "is no line of a manifest"),
    "another size": ({"foreign.ovf": ENVELOPE, "disk.img": DISK + DISK}, "has 2097152 bytes and the envelope says 1048576"),
    "a missing disk": ({"foreign.ovf": ENVELOPE}, "the archive has no 'disk.img'"),
    "no envelope": ({"disk.img": DISK}, "the archive has no .ovf file"),
    "an envelope with a path": ({**FILES, "foreign.ovf": ENVELOPE.replace(b"disk.img", b"../disk.img")}, "accepted is the name of a file"),
    "a huge envelope": ({**FILES, "foreign.ovf": b" " * (5 << 20)}, "is larger than"),
    "a VMDK that refers to another file": (
        {
            "foreign.ovf": ENVELOPE.replace(b"manual/raw", b"vmdk").replace(b' ovf:size="1048576"', b""),
            "disk.img": b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/hostname" 0\n',
        },
        "disk",
    ),
}


@pytest.mark.parametrize(("files", "message"), HARM.values(), ids=HARM)
def test_an_archive_that_means_harm_is_refused_and_leaves_nothing(
    vbox: VBoxManage, ok: VBoxManage, home: Path, tmp_path: Path, files: Members, message: str
) -> None:
    ova(tmp_path / "foreign.ova", files)
    answer = vbox("import", "foreign.ova")
    assert answer.exit_code == 1
    assert message in answer.err
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert sorted(path.name for path in tmp_path.iterdir() if path != home) == ["foreign.ova"]


def test_links_in_archives_are_refused(vbox: VBoxManage, tmp_path: Path) -> None:
    def link(member: tarfile.TarInfo) -> None:
        if member.name == "disk.img":
            member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0

    ova(tmp_path / "foreign.ova", FILES, link)
    assert "has the member 'disk.img'" in vbox("import", "foreign.ova").err


@pytest.mark.parametrize("name", ["missing.ova", "missing.ovf", "noise.ova", "cut.ova"])
def test_what_is_no_appliance_is_refused(vbox: VBoxManage, tmp_path: Path, name: str) -> None:
    (tmp_path / "noise.ova").write_bytes(b"noise" * 1000)
    (tmp_path / "cut.ova").write_bytes(ova(tmp_path / "whole.ova", FILES).read_bytes()[:600_000])
    answer = vbox("import", name)
    assert answer.exit_code == 1
    assert answer.err.startswith("VBoxManage: error: ")
    assert "internal" not in answer.err
