"""Every mistake has its line and says what would be accepted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ringone.api.errors import ConfigError, ConfigErrors, UnsupportedError
from ringone_config_xml.document import MAX_BYTES
from ringone_config_xml.plugin import load
from vbox_files import DISK, disk, extra_data, write


def port(attributes: str) -> str:
    return f'<UART><Port slot="0" enabled="true" IOBase="0x3f8" IRQ="4" {attributes}/></UART>'


MISTAKES = {
    "memory that is no number": ('<Memory RAMSize="64 MB"/>', "", 4, "Memory RAMSize is '64 MB'; accepted: whole megabytes from 1 to 1048576"),
    "no memory at all": ('<Memory RAMSize="0"/>', "", 4, "Memory RAMSize is '0'; accepted: whole megabytes from 1"),
    "a boolean": ('<BIOS><ACPI enabled="maybe"/></BIOS>', "", 4, "ACPI enabled is 'maybe'; accepted: true, false, yes, no, 1, 0"),
    "a missing attribute": ("<CPU><PAE/></CPU>", "", 4, "PAE lacks the attribute enabled; accepted: true, false, yes"),
    "a boot position": ('<Boot><Order position="5" device="DVD"/></Boot>', "", 4, "Order position is '5'; accepted: a whole number from 1 to 4"),
    "a boot device": ('<Boot><Order position="1" device="USB"/></Boot>', "", 4, "Order device is 'USB'; accepted: None, Floppy, DVD, HardDisk, Network"),
    "a boot position twice": (
        '<Boot><Order position="1" device="DVD"/>\n<Order position="1" device="HardDisk"/></Boot>',
        "",
        5,
        "boot position 1 is given twice",
    ),
    "a clock word": ('<RTC localOrUTC="utc"/>', "", 4, "RTC localOrUTC is 'utc'; accepted: local, UTC"),
    "a time offset": ('<BIOS><TimeOffset value="1h"/></BIOS>', "", 4, "TimeOffset value is '1h'; accepted: whole milliseconds"),
    "video memory": ('<Display VRAMSize="4096"/>', "", 4, "Display VRAMSize is '4096'; accepted: whole megabytes from 1 to 256"),
    "a host mode": (port('hostMode="USB"'), "", 4, "Port hostMode is 'USB'; accepted: Disconnected, HostPipe, HostDevice, RawFile, TCP"),
    "no host mode": (port(""), "", 4, "Port lacks the attribute hostMode; accepted: Disconnected"),
    "a pipe without path": (port('hostMode="HostPipe"'), "", 4, "Port lacks the attribute path; accepted for hostMode HostPipe"),
    "a TCP client without host": (port('hostMode="TCP" path="2323"'), "", 4, "accepted for hostMode TCP with server=false: host:port"),
    "a TCP port out of range": (port('hostMode="TCP" server="1" path="99999"'), "", 4, "accepted for hostMode TCP with server=true: a port"),
    "an I/O base": ('<UART><Port slot="0" enabled="1" IOBase="0x10000" IRQ="4" hostMode="Disconnected"/></UART>', "", 4, "accepted: 0x0 to 0xfff8"),
    "a slot twice": (port('hostMode="Disconnected"') + "\n" + port('hostMode="Disconnected"'), "", 5, "two serial ports in slot 0"),
    "a UUID": ("", disk().replace(DISK, "{1234}"), 5, "accepted: a UUID such as {12345678-"),
    "an image that is not registered": ("", disk().replace(DISK, DISK.replace("5", "6"), 1), 5, "is not registered; accepted: an image of MediaRegistry"),
    "a disk without image": ("", disk().replace(f'<Image uuid="{DISK}"/>', ""), 5, "a hard disk without an image"),
    "an IDE port": ("", disk(attached='type="HardDisk" port="2" device="0"'), 5, "accepted on ide: ports 0 to 1, devices 0 to 1"),
    "a floppy on IDE": ("", disk(attached='type="Floppy" port="0" device="0"'), 5, "of type Floppy on a controller of type ide; accepted: HardDisk, DVD"),
    "an extra data key": ("", extra_data(**{"RingOne/Cpu/Backed": "x"}), 5, "RingOne/Cpu/Backed is unknown; accepted: RingOne/Board, RingOne/Cpu/Backend"),
    "a clock policy": ("", extra_data(**{"RingOne/Clock/Policy": "fast"}), 5, "is 'fast'; accepted: host, deterministic, manual"),
    "a clock base": ("", extra_data(**{"RingOne/Clock/Base": "yesterday"}), 5, "accepted: a time such as 2020-01-01T00:00:00Z"),
    "a wire": ("", extra_data(**{"RingOne/Wire/1": "pit.OUT0"}), 5, "accepted: component.pin -> component.pin"),
    "a wire's number": ("", extra_data(**{"RingOne/Wire/first": "a.B -> c.D"}), 5, "RingOne/Wire/first is unknown"),
    "a CPU family": ("", extra_data(**{"RingOne/Cpu/Model/Family": "six"}), 5, "accepted: a whole number"),
    "an access mode": ("", extra_data(**{"RingOne/Drive/ide/0/0/Mode": "rw"}), 5, "accepted: persistent, read-only, throw-away"),
    "a RAM disk without kernel": ("", extra_data(**{"RingOne/Linux/Initrd": "x"}), 5, "together with RingOne/Linux/Kernel"),
    "an option without its device": ("", extra_data(**{"RingOne/Device/x/Options/y": "z"}), 5, "RingOne/Device/x/Options/y is unknown"),
}


@pytest.mark.parametrize(("hardware", "machine", "line", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_has_its_line_and_what_would_be_accepted(tmp_path: Path, hardware: str, machine: str, line: int, says: str) -> None:
    memory = "" if "<Memory" in hardware else '<Memory RAMSize="64"/>'
    path = write(tmp_path, hardware, machine, memory=memory)
    with pytest.raises(ConfigError) as caught:
        load(path)
    first = caught.value.errors[0] if isinstance(caught.value, ConfigErrors) else caught.value
    assert says in first.message
    assert first.source == f"{path}:{line}"


UNSUPPORTED = {
    "two processors": ('<CPU count="2"/>', "", "2 processors (count in CPU) are not supported; accepted: 1"),
    "two processors, as older files say it": ('<CPU><CPUCount count="2"/></CPU>', "", "2 processors"),
    "EFI": ('<Firmware type="EFI64"/>', "", "Firmware of type EFI64 is not supported; accepted: BIOS"),
    "another chipset": ('<Chipset type="ICH9"/>', "", "Chipset of type ICH9 is not supported; accepted: PIIX3"),
    "SATA with a disk": ("", disk("AHCI"), "storage controller 'C' of type AHCI has devices attached; accepted types: PIIX3, PIIX4, ICH6, I82078"),
    "SCSI with a disk": ("", disk("LsiLogic"), "of type LsiLogic has devices attached"),
    "a shareable disk": ("", disk(image_type="Shareable"), "image 'a.vdi' is of type Shareable; accepted: Normal, Immutable, Writethrough, Readonly"),
    "an encrypted disk": (
        "",
        disk().replace('type="Normal"/>', 'type="Normal"><Property name="CRYPT/KeyId" value="key"/></HardDisk>'),
        "image 'a.vdi' is encrypted; accepted: images that are not",
    ),
    "an old SATA attachment": (
        "",
        f'<HardDiskAttachments><HardDiskAttachment hardDisk="{DISK}" bus="SATA" channel="0" device="0"/></HardDiskAttachments>',
        "HardDiskAttachment on bus sata; accepted: IDE",
    ),
}


@pytest.mark.parametrize(("hardware", "machine", "says"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_ringone_does_not_have_is_named(tmp_path: Path, hardware: str, machine: str, says: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(write(tmp_path, hardware, machine))
    assert says in caught.value.message


def test_all_mistakes_are_reported_at_once_in_file_order(tmp_path: Path) -> None:
    path = write(tmp_path, '<CPU count="2"/>\n<Firmware type="EFI"/>\n<BIOS><ACPI enabled="x"/></BIOS>\n', disk("BusLogic"), memory='<Memory RAMSize="x"/>')
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    assert [error.source.rpartition(":")[2] for error in caught.value.errors] == ["3", "4", "5", "6", "8"]
    assert str(caught.value).count("\n") == 4


def test_snapshots_are_not_judged(tmp_path: Path) -> None:
    machine = f'<Snapshot uuid="{DISK}" name="s" timeStamp="now"><Hardware><CPU count="8"/><Memory RAMSize="lots"/></Hardware></Snapshot>'
    assert load(write(tmp_path, machine=machine)).name == "vm"


FILES = {
    "empty": (b"", "not well-formed XML"),
    "no XML": (b"\x7fELF\x02\x01", "not well-formed XML"),
    "binary": (bytes(range(256)), "the file is not UTF-8 text (byte 0x80)"),
    "UTF-16": ("<VirtualBox/>".encode("utf-16"), "not UTF-8"),
    "cut off": (b'<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12">\n<Machine', "not well-formed XML"),
    "another root": (b"<domain type='kvm'/>", 'the root element is <domain xmlns="">; accepted is <VirtualBox'),
    "no namespace": (b'<VirtualBox version="1.12"/>', 'accepted is <VirtualBox xmlns="http://www.virtualbox.org/">'),
    "no version": (b'<VirtualBox xmlns="http://www.virtualbox.org/"/>', "the settings version is ''; accepted are versions 1.x"),
    "another major version": (b'<VirtualBox xmlns="http://www.virtualbox.org/" version="2.0-linux"/>', "the settings version is '2.0-linux'"),
    "no machine": (b'<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12-linux"/>', "there is no <Machine> element"),
    "the global file": (
        b'<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12-linux"><Global/></VirtualBox>',
        "this is VirtualBox's global configuration",
    ),
    "another encoding": (b'<?xml version="1.0" encoding="IBM037"?><VirtualBox/>', "declares the encoding 'IBM037'; accepted is UTF-8"),
    "an entity": (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', "without document type and entities"),
    "entities in entities": (
        b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]><x y="&c;">&c;</x>',
        "without document type and entities",
    ),
    "an undefined entity": (b"<VirtualBox>&a;</VirtualBox>", "not well-formed XML"),
    "nested deeply": (b"<a>" * 1000 + b"</a>" * 1000, "nested more than 600 deep"),
    "nested without end": (b"<a>" * 100_000, "not well-formed XML"),
}


@pytest.mark.parametrize(("data", "says"), FILES.values(), ids=FILES)
def test_files_that_are_no_machine_files_are_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "vm.vbox"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert says in caught.value.message
    assert caught.value.source.startswith(str(path))


def test_huge_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vm.vbox"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        load(path)


@pytest.mark.parametrize("name", ["missing.vbox", ".", "a\0b.vbox"])
def test_files_that_cannot_be_read_are_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot read the machine file"):
        load(tmp_path / name)


@pytest.mark.skipif("sys.platform == 'win32'")
def test_files_that_would_be_read_for_ever_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "vm.vbox")
    with pytest.raises(ConfigError, match="cannot read the machine file: it is no regular file"):
        load(tmp_path / "vm.vbox")


def test_machines_without_hardware_or_memory_are_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"vm\.vbox:3: <Hardware> has no <Memory>"):
        load(write(tmp_path, memory=""))
