"""Saving edits the file: what changed changes, everything else stays, and no failure leaves half a file."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from lxml import etree
from ringone.api.config import (
    BootDevice,
    ClockConfig,
    ClockPolicy,
    CpuConfig,
    DeviceConfig,
    Drive,
    DriveKind,
    DriverConfig,
    FirmwareConfig,
    Link,
    LinuxBoot,
    MachineConfig,
    Recording,
    RemoteDisplay,
    SerialPort,
    StorageController,
    Wire,
)
from ringone.api.cpu import CpuModel
from ringone.api.errors import ConfigError, DriverError, UnsupportedError
from ringone.api.media import AccessMode
from ringone_config_xml.plugin import load, save
from vbox_files import DATA, DISK, NAMES, disk, install, write

MIB = 1 << 20
NS = "{http://www.virtualbox.org/}"
Change = Callable[[MachineConfig], MachineConfig]


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def changed_lines(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """(removed, added) lines, without their indentation."""
    return [line.strip() for line in before if line not in after], [line.strip() for line in after if line not in before]


def without_sources(config: MachineConfig) -> MachineConfig:
    debug = config.debug_console and attrs.evolve(config.debug_console, source="")
    devices = tuple(attrs.evolve(device, source="") for device in config.devices)
    drivers = tuple(attrs.evolve(driver, source="") for driver in config.drivers)
    return attrs.evolve(config, debug_console=debug, devices=devices, drivers=drivers, source=None)


@pytest.mark.parametrize("name", NAMES)
def test_saving_an_unchanged_machine_does_not_touch_the_file(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, name)
    os.utime(path, (1, 1))
    save(load(path), path)
    assert path.read_bytes() == (DATA / f"{name}.vbox").read_bytes()
    assert path.stat().st_mtime == 1
    assert sorted(file.name for file in path.parent.iterdir()) == ["vm.vbox"]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_value_changes_its_line_alone(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, name)
    before, config = lines(path), load(path)
    save(attrs.evolve(config, memory_bytes=333 * MIB), path)
    removed, added = changed_lines(before, lines(path))
    assert len(removed) == len(added) == 1
    assert 'RAMSize="333"' in added[0]
    assert added[0].replace("333", str(config.memory_bytes // MIB)) == removed[0]
    assert lines(path)[0] == before[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_file_as_it_was_stays_beside_the_new_one(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, name)
    save(attrs.evolve(load(path), name="other"), path)
    assert (path.parent / "vm.vbox-prev").read_bytes() == (DATA / f"{name}.vbox").read_bytes()
    assert load(path).name == "other"


CHANGES: dict[str, Change] = {
    "name": lambda config: attrs.evolve(config, name='a "new" <name> & ümläute'),
    "uuid": lambda config: attrs.evolve(config, uuid="99999999-8888-7777-6666-555555555555"),
    "description": lambda config: attrs.evolve(config, description="line one\n\tline two  "),
    "os type": lambda config: attrs.evolve(config, os_type="Linux26"),
    "memory": lambda config: attrs.evolve(config, memory_bytes=17 * MIB, vram_bytes=3 * MIB),
    "boot": lambda config: attrs.evolve(config, boot_order=(BootDevice.NETWORK, BootDevice.FLOPPY), boot_menu=not config.boot_menu),
    "no boot": lambda config: attrs.evolve(config, boot_order=()),
    "switches": lambda config: attrs.evolve(config, acpi=not config.acpi, triple_fault_reset=not config.triple_fault_reset),
    "cpu": lambda config: attrs.evolve(config, cpu=CpuConfig(backend="kvm", options={"a": "1"}, model=CpuModel(family=5, features=frozenset({"fpu", "pae"})))),
    "default cpu": lambda config: attrs.evolve(config, cpu=CpuConfig()),
    "clock": lambda config: attrs.evolve(
        config, clock=ClockConfig(policy=ClockPolicy.MANUAL, base_unix_ns=1, offset_ms=-5, local_time=True, ns_per_1000_progress=7)
    ),
    "default clock": lambda config: attrs.evolve(config, clock=ClockConfig()),
    "firmware": lambda config: attrs.evolve(config, firmware=FirmwareConfig(name="builtin", options={"x": "y"}), board="other"),
    "linux": lambda config: attrs.evolve(config, linux=LinuxBoot(kernel=Path("/boot/vmlinuz"), append='a="b c"')),
    "no linux": lambda config: attrs.evolve(config, linux=None),
    "parts": lambda config: attrs.evolve(
        config,
        devices=(DeviceConfig(id="b", type="t"), DeviceConfig(id="a", type="u", options={"n": "1", "m": "2"})),
        wires=tuple(Wire(f"a.X{n}", f"b.Y{n}") for n in range(12)),
        links=(Link("a.pci", "b.pci"),),
        drivers=(DriverConfig(slot="a.disk", type="disk-image", options={"path": "x y.img"}),),
        debug_console=DriverConfig(slot="", type="stdio"),
    ),
    "no parts": lambda config: attrs.evolve(config, devices=(), wires=(), links=(), drivers=(), debug_console=None),
    "extra data": lambda config: attrs.evolve(config, extra_data={"GUI/LastCloseAction": "save", "VBoxInternal/x": 'a<b>"c"\n'}),
    "no extra data": lambda config: attrs.evolve(config, extra_data={}),
    "no serial ports": lambda config: attrs.evolve(config, serial_ports=()),
    "serial ports": lambda config: attrs.evolve(
        config,
        serial_ports=(
            SerialPort(slot=0, io_base=0x3F8, irq=4, driver="stdio", options={"raw": "on"}),
            SerialPort(slot=1, io_base=0x2F8, irq=3, driver="tcp", options={"host": "::1", "port": "99", "server": "false"}),
            SerialPort(slot=2, io_base=0x3E8, irq=4, driver="file", options={"path": "x.log", "append": "on"}),
            SerialPort(slot=3, io_base=0x2E8, irq=3),
        ),
    ),
    "other hardware": lambda config: attrs.evolve(
        config, unmodelled={"ioapic": "false", "hpet": "true", "graphicscontroller": "VMSVGA", "nic2": "nat", "macaddress2": "080027000002", "nic3": "null"}
    ),
    "a remote display": lambda config: attrs.evolve(
        config,
        remote_display=RemoteDisplay(
            enabled=not config.remote_display.enabled,
            auth_type="External",
            auth_timeout_ms=7,
            allow_multi_connection=True,
            reuse_single_connection=True,
            properties={"TCP/Ports": "5000-5010", "TCP/Address": "::1"},
        ),
    ),
    "a recording": lambda config: attrs.evolve(
        config, recording=Recording(enabled=not config.recording.enabled, file=Path("/videos/a b.mp4"), width=640, height=480, fps=10, rate_kbps=700)
    ),
    "no recording": lambda config: attrs.evolve(config, recording=Recording()),
    "no remote display": lambda config: attrs.evolve(config, remote_display=RemoteDisplay()),
    "more serial ports": lambda config: attrs.evolve(
        config,
        serial_ports=(
            SerialPort(slot=0, io_base=0x3F8, irq=4, driver="unix-socket", options={"path": "/s", "server": "true"}),
            SerialPort(slot=1, io_base=0x2F8, irq=3, driver="tcp", options={"port": "99", "server": "true", "wait": "on"}),
            SerialPort(slot=2, io_base=0x3E8, irq=4, driver="device", options={"path": "/dev/ttyS1"}),
            SerialPort(slot=3, io_base=0x2E8, irq=3, driver="unix-socket", options={"path": "/s"}),
        ),
    ),
}

DRIVES: dict[str, Change] = {
    "no controllers": lambda config: attrs.evolve(config, drives=(), storage_controllers=()),
    "more controllers": lambda config: attrs.evolve(
        config, storage_controllers=(*config.storage_controllers, StorageController(name="My SATA", type="AHCI", ports=5, bootable=False, host_io_cache=False))
    ),
    "renamed controllers": lambda config: attrs.evolve(
        config, storage_controllers=tuple(attrs.evolve(controller, name=f"My {controller.name}") for controller in config.storage_controllers)
    ),
    "controllers of other settings": lambda config: attrs.evolve(
        config, storage_controllers=tuple(attrs.evolve(controller, bootable=False) for controller in config.storage_controllers)
    ),
    "no drives": lambda config: attrs.evolve(config, drives=()),
    "drives": lambda config: attrs.evolve(
        config,
        drives=(
            Drive(kind=DriveKind.CDROM, controller="ide", port=0, device=0, image=Path("/isos/new.iso"), serial="CD1"),
            Drive(kind=DriveKind.DISK, controller="ide", port=1, device=0, image=Path("/new/a.img"), format="raw", mode=AccessMode.THROW_AWAY),
            Drive(kind=DriveKind.DISK, controller="ide", port=1, device=1, image=Path("/new/b.vdi"), format="vdi", serial="X"),
            Drive(kind=DriveKind.FLOPPY, controller="floppy", port=0, device=0),
            Drive(kind=DriveKind.FLOPPY, controller="floppy", port=0, device=1, image=Path("/new/c.flp"), mode=AccessMode.READ_ONLY),
        ),
    ),
    "modes": lambda config: attrs.evolve(
        config, drives=tuple(attrs.evolve(drive, mode=AccessMode.THROW_AWAY) if drive.kind is DriveKind.DISK else drive for drive in config.drives)
    ),
    "ejected": lambda config: attrs.evolve(
        config, drives=tuple(attrs.evolve(drive, image=None, mode=AccessMode.PERSISTENT) for drive in config.drives if drive.kind is not DriveKind.DISK)
    ),
}


def places(drives: tuple[Drive, ...]) -> list[Drive]:
    return sorted(drives, key=lambda drive: (drive.controller, drive.port, drive.device))


def assert_saved(path: Path, change: Change) -> None:
    changed = change(load(path))
    save(changed, path)
    again, wanted = without_sources(load(path)), without_sources(changed)
    assert places(again.drives) == places(wanted.drives)
    assert_same(attrs.evolve(again, drives=()), attrs.evolve(wanted, drives=()))


def assert_same(again: MachineConfig, wanted: MachineConfig) -> None:
    """Saving may add a storage controller that a drive needs."""
    assert again.storage_controllers[: len(wanted.storage_controllers)] == wanted.storage_controllers
    assert attrs.evolve(again, storage_controllers=()) == attrs.evolve(wanted, storage_controllers=())


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_change_is_there_when_the_file_is_loaded_again(tmp_path: Path, name: str, change: Change) -> None:
    assert_saved(install(tmp_path, name), change)


@pytest.mark.parametrize("change", DRIVES.values(), ids=DRIVES)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("innotek-1.6", "virtualbox-3.0")])
def test_every_change_of_drives_is_there_when_the_file_is_loaded_again(tmp_path: Path, name: str, change: Change) -> None:
    assert_saved(install(tmp_path, name), change)


@pytest.mark.parametrize("change", (CHANGES | DRIVES).values(), ids=CHANGES | DRIVES)
def test_a_new_file_holds_the_whole_machine(tmp_path: Path, change: Change) -> None:
    path = tmp_path / "new.vbox"
    config = change(MachineConfig(name="new", uuid=str(uuid.UUID(int=7))))
    save(config, path)
    assert_same(without_sources(load(path)), without_sources(config))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.vbox"]


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_of_any_file_can_be_saved_to_a_new_one(tmp_path: Path, name: str) -> None:
    config = load(install(tmp_path, name))
    save(config, tmp_path / "copy.vbox")
    assert_same(without_sources(load(tmp_path / "copy.vbox")), without_sources(config))


def test_a_new_machine_file_gets_a_uuid_and_loads_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "new.vbox"
    with caplog.at_level(logging.WARNING):
        save(MachineConfig(name="new"), path)
        assert uuid.UUID(load(path).uuid).int
    assert not caplog.records
    root = etree.parse(path).getroot()
    assert root.get("version", "").startswith("1.12-")
    assert [etree.QName(child).localname for child in root[0][0]] == ["CPU", "Memory", "Boot", "BIOS", "RTC"]


def test_unknown_elements_attributes_comments_and_foreign_namespaces_survive(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-7.0")
    before = lines(path)
    change = CHANGES["serial ports"](load(path))
    save(DRIVES["drives"](change), path)
    removed, added = changed_lines(before, lines(path))
    assert [line for line in removed if "StorageController name" not in line and "version=" not in line] == []
    assert any('<my:Ticket id="4711">keep <my:b>me</my:b></my:Ticket>' in line for line in lines(path))
    assert not any("ns0" in line or "xmlns" in line for line in added if "version=" not in line)


def test_added_elements_are_indented_and_stand_where_virtualbox_puts_them(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-6.0")
    save(attrs.evolve(load(path), acpi=False, serial_ports=(SerialPort(slot=0, io_base=0x3F8, irq=4),)), path)
    text = path.read_text()
    assert '\n        <ACPI enabled="false"/>\n      </BIOS>\n' in text
    assert '\n      <UART>\n        <Port slot="0" enabled="true" IOBase="0x3f8" IRQ="4" hostMode="Disconnected"/>\n      </UART>\n      <AudioAdapter' in text


def test_a_removed_element_leaves_no_gap(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-4.3")
    save(attrs.evolve(load(path), extra_data={"VBoxInternal/PDM/HaltOnReset": "1"}), path)
    assert '    <ExtraData>\n      <ExtraDataItem name="VBoxInternal/PDM/HaltOnReset" value="1"/>\n    </ExtraData>\n' in path.read_text()


def test_a_new_medium_is_registered_once_and_relative_to_the_machine_folder(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-6.1")
    image = path.parent / "disks" / "b.img"
    drive = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=1, image=image, format="raw")
    save(attrs.evolve(load(path), drives=(drive,)), path)
    save(attrs.evolve(load(path), drives=(drive, attrs.evolve(drive, port=1))), path)
    text = path.read_text()
    assert text.count('location="disks/b.img" format="RAW" type="Normal"') == 1
    assert [drive.image for drive in load(path).drives] == [image, image]


def test_a_vdi_is_registered_under_the_uuid_of_its_header(tmp_path: Path) -> None:
    image = tmp_path / "a.vdi"
    head = bytearray(0x200)
    head[0x40:0x44] = bytes.fromhex("7f10dabe")
    head[0x188:0x198] = uuid.UUID(DISK).bytes_le
    image.write_bytes(head)
    path = tmp_path / "vm.vbox"
    save(MachineConfig(name="vm", drives=(Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=image),)), path)
    assert f'<HardDisk uuid="{DISK}" location="a.vdi" format="VDI" type="Normal"/>' in path.read_text()


def test_writethrough_stays_while_the_mode_does(tmp_path: Path) -> None:
    path = write(tmp_path, machine=disk(image_type="Writethrough"))
    config = load(path)
    save(attrs.evolve(config, drives=(attrs.evolve(config.drives[0], serial="S"),)), path)
    assert 'type="Writethrough"' in path.read_text()


def test_serial_ports_over_tcp_raise_the_settings_version(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-4.3")
    port = SerialPort(slot=0, io_base=0x3F8, irq=4, driver="tcp", options={"host": "h", "port": "1", "server": "false"})
    save(attrs.evolve(load(path), serial_ports=(port,)), path)
    assert 'version="1.15-macosx"' in path.read_text()


@pytest.mark.parametrize("name", ["innotek-1.6", "virtualbox-3.0"])
def test_drives_of_files_before_settings_version_1_9_are_not_changed(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, name)
    with pytest.raises(UnsupportedError, match=r"drives of a machine file of settings version .* accepted: 1\.9 and later"):
        save(attrs.evolve(load(path), drives=()), path)


REFUSED: dict[str, tuple[Change, str]] = {
    "half a megabyte": (lambda config: attrs.evolve(config, memory_bytes=MIB // 2), "memory of 524288 bytes; a machine file holds whole MiB"),
    "a control character": (lambda config: attrs.evolve(config, name="a\x01"), "Machine name would be .*which XML cannot hold"),
    "a control character in the text": (lambda config: attrs.evolve(config, description="\0"), "Description would be .*which XML cannot hold"),
    "an empty name": (lambda config: attrs.evolve(config, name=""), "not saved.*Machine name is ''"),
    "a UUID": (lambda config: attrs.evolve(config, uuid="me"), "machine UUID 'me'; accepted: a UUID"),
    "a Python object": (
        lambda config: attrs.evolve(config, drivers=(DriverConfig(slot="ide.drive00", instance=object()),)),
        "is a Python object, which no file can hold",
    ),
    "a reserved key": (lambda config: attrs.evolve(config, extra_data={"RingOne/Board": "x"}), "names that begin with RingOne/"),
    "an unknown controller": (
        lambda config: attrs.evolve(config, drives=(Drive(kind=DriveKind.DISK, controller="sata", port=0, device=0),)),
        "a drive on the controller 'sata'; accepted: ide, floppy",
    ),
    "an impossible place": (
        lambda config: attrs.evolve(config, drives=(Drive(kind=DriveKind.CDROM, controller="ide", port=3, device=0),)),
        "not saved.*accepted on ide: ports 0 to 1",
    ),
}


@pytest.mark.parametrize(("change", "says"), REFUSED.values(), ids=REFUSED)
def test_what_a_file_cannot_hold_is_refused_and_the_file_stays(tmp_path: Path, change: Change, says: str) -> None:
    path = install(tmp_path, "virtualbox-6.1")
    with pytest.raises(ConfigError, match=says):
        save(change(load(path)), path)
    assert path.read_bytes() == (DATA / "virtualbox-6.1.vbox").read_bytes()
    assert sorted(file.name for file in path.parent.iterdir()) == ["vm.vbox"]


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(tmp_path, "virtualbox-6.1")
    config = attrs.evolve(load(path), name="other")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DriverError, match=r"vm\.vbox: cannot save the machine file: No space left on device"):
        save(config, path)
    assert path.read_bytes() == (DATA / "virtualbox-6.1.vbox").read_bytes()
    assert sorted(file.name for file in path.parent.iterdir()) == ["vm.vbox"]


def test_everything_around_the_root_element_stays(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = f"<?xml version='1.0' encoding='utf-8'?>\n<!-- a > b -->\n\n<?keep me?>\n{path.read_text()}<!-- end -->\n"
    path.write_text(before)
    save(attrs.evolve(load(path), name="other"), path)
    assert path.read_text() == before.replace('name="vm"', 'name="other"')


def test_a_file_written_by_hand_keeps_its_style_while_nothing_changes(tmp_path: Path) -> None:
    path = write(tmp_path, "<BIOS ><ACPI\n enabled = 'true' ></ACPI></BIOS>")
    before = path.read_bytes()
    save(load(path), path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "vm.vbox"
    path.write_text("<VirtualBox")
    with pytest.raises(ConfigError, match="not well-formed"):
        save(MachineConfig(name="vm"), path)
    assert path.read_text() == "<VirtualBox"


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-6.1")
    path.chmod(0o640)
    link = tmp_path / "link.vbox"
    link.symlink_to(path)
    save(attrs.evolve(load(link), name="other"), link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert load(path).name == "other"
