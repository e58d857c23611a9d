"""showvminfo --machinereadable: whole files that it has to equal, and what public tools look for in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage

DATA = Path(__file__).parent / "data"
UUID = "5d8f8f80-58a0-4f1d-9a0e-6f0f00000001"
DISK_UUID = "5d8f8f80-58a0-4f1d-9a0e-6f0f00000002"


def normalized(text: str, home: Path) -> str:
    """Without what is another at every run: the home's folder, times, and UUIDs that were made up."""
    text = text.replace(str(home), "<home>")
    text = re.sub(r'(VMStateChangeTime=")[^"]*', r"\1<time>", text)
    return re.sub(r'((?:ImageUUID-1-0"|SnapshotUUID[-0-9]*)=")[^"]*', r"\1<uuid>", text)


@pytest.fixture
def bare(ok: VBoxManage) -> str:
    ok("createvm", "--name", "bare", "--uuid", UUID, "--register")
    return "bare"


@pytest.fixture
def full(ok: VBoxManage, home: Path) -> str:
    """A machine with something of everything."""
    cd = home / "my cd.iso"
    cd.parent.mkdir(exist_ok=True)
    cd.write_bytes(bytes(2048 * 20))
    ok("createvm", "--name", "full 'quoted'", "--ostype", "Debian", "--uuid", UUID, "--groups", "/tests/linux", "--register")
    ok("modifyvm", UUID, "--memory", 64, "--vram", 16, "--boot1", "dvd", "--boot2", "disk", "--boot3", "none", "--ioapic", "on", "--mouse", "usbtablet")
    ok("modifyvm", UUID, "--uart1", "0x3f8", 4, "--uartmode1", "server", "/tmp/com1", "--uart2", "0x2f8", 3, "--description", 'one\n"two"')
    ok("storagectl", UUID, "--name", "IDE Controller", "--add", "ide", "--controller", "ICH6")
    ok("storagectl", UUID, "--name", "Floppy", "--add", "floppy")
    ok("createmedium", "disk", "--filename", home / "disk.vdi", "--size", 8)
    ide = ("storageattach", UUID, "--storagectl", "IDE Controller", "--port")
    ok(*ide, 0, "--device", 0, "--type", "hdd", "--medium", home / "disk.vdi", "--setuuid", DISK_UUID)
    ok(*ide, 1, "--device", 0, "--type", "dvddrive", "--medium", cd)
    ok(*ide, 1, "--device", 1, "--type", "dvddrive", "--medium", "emptydrive")
    ok("storageattach", UUID, "--storagectl", "Floppy", "--device", 1, "--type", "fdd", "--medium", "emptydrive")
    return UUID


@pytest.mark.parametrize("name", ["bare", "full"])
def test_it_is_what_virtualbox_says(ok: VBoxManage, home: Path, request: pytest.FixtureRequest, name: str) -> None:
    text = normalized(ok("showvminfo", request.getfixturevalue(name), "--machinereadable").out, home)
    assert text.splitlines() == (DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def test_people_see_it_aligned(ok: VBoxManage, full: str) -> None:
    lines = ok("showvminfo", full).lines
    assert lines[:4] == [
        "Name:                        full 'quoted'",
        "Groups:                      /tests/linux",
        "Guest OS:                    Debian (32-bit)",
        f"UUID:                        {UUID}",
    ]
    assert "Memory size:                 64MB" in lines
    assert "IOAPIC:                      enabled" in lines
    assert "UART 1:                      I/O base: 0x03f8, IRQ: 4, server,/tmp/com1" in lines
    assert "NIC 1:                       disabled" in lines
    assert ok("showvminfo", full, "--details").lines == lines


# --- what public tools look for

PATTERNS = {
    "vagrant: state": (r'^VMState="(.+?)"$', "poweroff"),
    "vagrant: adapters": (r'^nic(\d+)="(.+?)"$', "1"),
    "vagrant: accessible": (r'^name="((?!<inaccessible>).+)"$', "full 'quoted'"),
    "packer: state": (r'VMState="([a-z]+)"', "poweroff"),
    "packer: uuid": (r'^UUID="([0-9a-f-]{36})"$', UUID),
    "machine: memory": (r"(?m)^memory=(\d+)$", "64"),
    "machine: cpus": (r"(?m)^cpus=(\d+)$", "1"),
    "machine: key and value": (r'"?(?:CfgFile)"?=\s*"(.*?)"\s*$', None),
    "ruby virtualbox: controllers": (r'^storagecontrollername(?:\d+)="(.+?)"$', "IDE Controller"),
    "ruby virtualbox: disks": (r'^"IDE Controller-ImageUUID-0-0"="(.+?)"$', DISK_UUID),
    "vboxapi scripts: any line": (r'^"?([^="]+)"?="?(?:.*?)"?$', "name"),
    "gns3: adapters": (r'nic1="(.*?)"', "none"),
    "cuckoo: config file": (r'CfgFile="(.+\.vbox)"', None),
}
"""Regular expressions as such tools have them, and what the first group has to be (None: anything)."""


@pytest.mark.parametrize(("pattern", "wanted"), PATTERNS.values(), ids=PATTERNS)
def test_tools_find_what_they_look_for(ok: VBoxManage, full: str, pattern: str, wanted: str | None) -> None:
    match = re.search(pattern, ok("showvminfo", full, "--machinereadable").out, re.MULTILINE)
    assert match
    assert wanted is None or match[1] == wanted


def test_every_line_is_a_key_and_a_value(ok: VBoxManage, bare: str) -> None:
    line = re.compile(r'(?:[A-Za-z][A-Za-z0-9_-]*|"(?:[^"\\]|\\.)+")=(?:"(?:[^"\\]|\\.)*"|-?\d+|\d+x\d+|)')
    assert [text for text in ok("showvminfo", bare, "--machinereadable").lines if not line.fullmatch(text)] == []


def test_a_log_is_shown_by_its_number(ok: VBoxManage, vbox: VBoxManage, bare: str, home: Path) -> None:
    logs = home / "machines" / bare / "Logs"
    logs.mkdir()
    (logs / "VBox.log").write_text("newest\n")
    (logs / "VBox.log.1").write_text("older\n")
    assert ok("showvminfo", bare, "--log", 0).out == "newest\n"
    assert ok("showvminfo", bare, "--log", 1).out == "older\n"
    assert vbox("showvminfo", bare, "--log", 2).exit_code == 1


# --- machines of VirtualBox itself

FILES = sorted((Path(__file__).parents[3] / "config_xml" / "tests" / "data").glob("*.vbox"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_machines_of_all_virtualboxes_are_registered_shown_and_kept(ok: VBoxManage, tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "Machines" / "vm"
    folder.mkdir(parents=True)
    shutil.copy(file.with_name("VirtualBox.xml"), tmp_path)
    path = folder / "vm.vbox"
    shutil.copy(file, path)
    ok("registervm", path)
    (uuid,) = re.findall(r"\{(.+?)\}$", ok("list", "vms").out, re.MULTILINE)
    found = ok("showvminfo", uuid, "--machinereadable").out
    assert f'UUID="{uuid}"' in found
    assert re.search(r"^memory=\d+$", found, re.MULTILINE)
    assert f"UUID:                        {uuid}" in ok("showvminfo", uuid).lines
    ok("setextradata", uuid, "Test/Key", "value")
    ok("setextradata", uuid, "Test/Key")
    assert ok("showvminfo", uuid, "--machinereadable").out == found
