"""What machine files of every VirtualBox generation mean."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from ringone.api.config import BootDevice, ClockPolicy, DeviceConfig, DriveKind, DriverConfig, Link, LinuxBoot, SerialPort, Wire
from ringone.api.cpu import CpuModel
from ringone.api.media import AccessMode
from ringone_config_xml.plugin import load
from vbox_files import DISK, disk, extra_data, install, write

MIB = 1 << 20


def test_virtualbox_3_finds_images_in_the_global_registry_and_drives_in_hardware(tmp_path: Path) -> None:
    config = load(install(tmp_path, "virtualbox-3.0"))
    places = [(drive.kind, drive.controller, drive.port, drive.device, drive.image) for drive in config.drives]
    assert places == [
        (DriveKind.DISK, "ide", 0, 0, tmp_path / "HardDisks" / "lenny.vdi"),
        (DriveKind.CDROM, "ide", 1, 0, Path("/isos/lenny.iso")),
        (DriveKind.FLOPPY, "floppy", 0, 0, None),
    ]
    assert config.clock.offset_ms == -3_600_000
    assert config.boot_order == (BootDevice.FLOPPY, BootDevice.CDROM, BootDevice.DISK)
    assert config.serial_ports == (SerialPort(slot=0, io_base=0x3F8, irq=4, driver="file", options={"path": "/tmp/lenny.log"}),)


def test_innotek_files_have_their_own_namespace_and_attach_disks_by_bus(tmp_path: Path) -> None:
    path = install(tmp_path, "innotek-1.6")
    config = load(path)
    assert (config.name, config.os_type, config.memory_bytes, config.acpi) == ("Old One", "linux26", 192 * MIB, False)
    assert [(drive.kind, drive.port, drive.device, drive.image) for drive in config.drives] == [
        (DriveKind.DISK, 0, 0, path.parent / "old.vdi"),
        (DriveKind.CDROM, 1, 0, None),
    ]


def test_virtualbox_4_attaches_differencing_images_and_host_drives(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-4.3")
    config = load(path)
    snapshot, golden, dvd, host = config.drives
    assert snapshot.image == path.parent / "Snapshots" / "{31f0b7d2-8b3e-4b7f-9d0c-7b8f00000011}.vdi"
    assert (golden.image, golden.mode) == (path.parent / "golden.vdi", AccessMode.THROW_AWAY)
    assert (dvd.image, dvd.mode) == (Path("/isos/debian-6.0.iso"), AccessMode.PERSISTENT)
    assert (host.image, host.mode, host.kind) == (Path("/dev/sr0"), AccessMode.READ_ONLY, DriveKind.CDROM)
    assert config.description == "Build machine.\nTwo lines & an ampersand."
    assert config.boot_order == (BootDevice.CDROM, BootDevice.DISK, BootDevice.NETWORK)
    assert not config.boot_menu
    assert "pae" not in config.cpu.model.features
    assert config.extra_data == {"GUI/LastCloseAction": "powerOff", "VBoxInternal/PDM/HaltOnReset": "1"}
    assert [(port.driver, port.options) for port in config.serial_ports] == [
        ("unix-socket", {"path": "/tmp/squeeze.sock", "server": "true"}),
        ("device", {"path": "/dev/ttyS0"}),
    ]


def test_what_virtualbox_has_no_element_for_lives_in_extra_data(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-5.2")
    config = load(path)
    assert (config.cpu.backend, config.cpu.options) == ("patm", {"scan_depth": "64"})
    assert config.cpu.model.brand == "Pentium III (Katmai)"
    assert config.cpu.model.features == frozenset(["fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "pge", "cmov", "mmx", "fxsr", "sse"])
    assert (config.clock.policy, config.clock.base_unix_ns, config.clock.ns_per_1000_progress) == (ClockPolicy.DETERMINISTIC, 1519892100 * 10**9, 2500)
    assert (config.firmware.name, config.firmware.options) == ("seabios", {"debug": "on"})
    assert config.linux == LinuxBoot(kernel=path.parent / "vmlinuz", initrd=Path("/boot/initrd.img"), append="console=ttyS0 root=/dev/sda1")
    assert config.devices == (DeviceConfig(id="watchdog", type="i6300esb", options={"base": "0x443"}, source=f"{path}:31"),)
    assert config.wires == (Wire("watchdog.RESET", "system.RESET"), Wire("watchdog.IRQ", "pic2.IR3"), Wire("pit.OUT2", "speaker.IN"))
    assert config.links == (Link("watchdog.pci", "host-bridge.pci"),)
    assert config.drivers == (DriverConfig(slot="watchdog.clock", type="host-clock", options={"skew": "5"}, source=f"{path}:37"),)
    assert config.debug_console == DriverConfig(slot="", type="file", options={"path": "debug.log"}, source=f"{path}:39")
    assert config.extra_data == {"GUI/LastNormalWindowPosition": "400,202,720,443"}


def test_serial_ports_of_every_host_mode_become_host_drivers(tmp_path: Path) -> None:
    ports = load(install(tmp_path, "virtualbox-5.2")).serial_ports
    assert [(port.slot, port.io_base, port.irq, port.driver, port.options) for port in ports] == [
        (0, 0x3F8, 4, "pty", {"link": "/tmp/stretch-tty"}),
        (1, 0x2F8, 3, "file", {"path": "/var/log/stretch.log", "append": "on"}),
        (2, 0x3E8, 5, "tcp", {"port": "2323", "server": "true"}),
        (3, 0x2E8, 7, "tcp", {"host": "::1", "port": "2324", "server": "false"}),
    ]


def test_hard_disk_types_become_access_modes_and_extra_data_adds_the_rest(tmp_path: Path) -> None:
    through, readonly, empty, floppy = load(install(tmp_path, "virtualbox-5.2")).drives
    assert (through.format, through.mode, through.serial) == ("raw", AccessMode.PERSISTENT, "RINGONE-0001")
    assert (readonly.format, readonly.mode) == ("vdi", AccessMode.READ_ONLY)
    assert (empty.kind, empty.image) == (DriveKind.CDROM, None)
    assert (floppy.kind, floppy.mode) == (DriveKind.FLOPPY, AccessMode.THROW_AWAY)


def test_virtualbox_6_1_keeps_storage_controllers_inside_hardware(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-6.1")
    assert [drive.image for drive in load(path).drives] == [path.parent / "bullseye.vdi", path.parent / "netinst.iso"]


def test_virtualbox_7_loads_with_foreign_extensions(tmp_path: Path) -> None:
    config = load(install(tmp_path, "virtualbox-7.0"))
    assert (config.name, config.memory_bytes, config.drives) == ("bookworm", 2048 * MIB, ())


def test_virtualboxs_defaults_fill_what_a_file_leaves_out(tmp_path: Path) -> None:
    config = load(write(tmp_path))
    assert (config.os_type, config.board, config.vram_bytes) == ("Other", "pc", 8 * MIB)
    assert (config.acpi, config.triple_fault_reset, config.boot_menu, config.clock.local_time) == (True, False, True, True)
    assert config.boot_order == (BootDevice.DISK, BootDevice.CDROM)
    assert config.cpu.model == CpuModel()
    assert (config.uuid, config.source) == ("00000000-1111-2222-3333-444444444444", tmp_path / "vm.vbox")


@pytest.mark.parametrize(("version", "pae"), [("1.7-linux", False), ("1.8", False), ("1.9-linux", True), ("1.19-linux", True)])
def test_pae_is_off_by_default_before_settings_version_1_9(tmp_path: Path, version: str, pae: bool) -> None:
    assert ("pae" in load(write(tmp_path, version=version)).cpu.model.features) is pae


@pytest.mark.parametrize("word", ["true", "yes", "1"])
@pytest.mark.parametrize("off", ["false", "no", "0"])
def test_booleans_have_three_spellings(tmp_path: Path, word: str, off: str) -> None:
    config = load(write(tmp_path, f'<CPU><TripleFaultReset enabled="{word}"/></CPU><BIOS><ACPI enabled="{off}"/></BIOS>'))
    assert config.triple_fault_reset
    assert not config.acpi


@pytest.mark.parametrize("uuid", [DISK, DISK.strip("{}"), DISK.upper()])
def test_uuids_match_in_every_spelling(tmp_path: Path, uuid: str) -> None:
    machine = disk().replace(f'<Image uuid="{DISK}"', f'<Image uuid="{uuid}"')
    assert load(write(tmp_path, machine=machine)).drives[0].image == tmp_path / "a.vdi"


@pytest.mark.parametrize(("location", "path"), [("/images/a.vdi", "/images/a.vdi"), ("../a.vdi", "{folder}/../a.vdi"), ("ä ö.vdi", "{folder}/ä ö.vdi")])
def test_image_locations_are_relative_to_the_machine_folder(tmp_path: Path, location: str, path: str) -> None:
    assert str(load(write(tmp_path, machine=disk(location=location))).drives[0].image) == path.format(folder=tmp_path)


def test_controllers_without_devices_may_be_of_any_type(tmp_path: Path) -> None:
    assert load(write(tmp_path, machine='<StorageControllers><StorageController name="SCSI" type="LsiLogic"/></StorageControllers>')).drives == ()


def test_nanosecond_clock_bases_are_kept(tmp_path: Path) -> None:
    assert load(write(tmp_path, machine=extra_data(**{"RingOne/Clock/Base": "1234567890123456789"}))).clock.base_unix_ns == 1234567890123456789


def test_ignored_parts_are_named_in_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(install(tmp_path, "virtualbox-4.3"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for name in ("network adapter 0 (line 61)", "USB controller (line 59)", "shared folder src (line 77)", "I/O APIC (line 53)"):
        assert name in record.message
    assert "network adapter 1" not in record.message


@pytest.mark.parametrize(("version", "warned"), [("1.15-linux", True), ("1.16-linux", False)])
def test_a_sound_card_that_does_not_say_is_on_before_settings_version_1_16(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str, warned: bool
) -> None:
    load(write(tmp_path, "<AudioAdapter/>", version=version))
    assert ("sound card" in caplog.text) is warned


def test_newer_settings_versions_load_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load(write(tmp_path, "<Hologram depth='3'/>", version="1.42-linux")).name == "vm"
    assert "1.42 is newer than 1.19" in caplog.text


def test_a_state_saved_by_virtualbox_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(install(tmp_path, "virtualbox-7.0"))
    assert "saved is ignored" in caplog.text
