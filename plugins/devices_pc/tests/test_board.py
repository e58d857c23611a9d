"""The PC board: its wiring, the places for drives, and what the firmware is told."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone.api.config import (
    Blueprint,
    BootDevice,
    ClockConfig,
    ClockPolicy,
    DeviceConfig,
    Drive,
    DriveKind,
    DriverConfig,
    Link,
    MachineConfig,
    SerialPort,
    Wire,
)
from ringone.api.devices import DeviceSpec
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage
from ringone.options import bind_options
from ringone_devices_pc.board import BOARD
from ringone_devices_pc.plugin import ringone_device_types

MIB = 1 << 20
BIOS = FirmwareImage(name="bios", rom=b"\xea" * 65536)
NO_BIOS = FirmwareImage(name="linux")

DISK = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=Path("disk.img"), serial="S1")
CDROM = Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0)
FLOPPY = Drive(kind=DriveKind.FLOPPY, controller="floppy", port=0, device=0, image=Path("floppy.img"))
COM1 = SerialPort(slot=0, io_base=0x3F8, irq=4, driver="file", options={"path": "log"})
COM2 = SerialPort(slot=1, io_base=0x2F8, irq=3)

BARE = MachineConfig(name="bare", acpi=False)
FULL = MachineConfig(
    name="full",
    drives=(DISK, CDROM, FLOPPY),
    serial_ports=(COM1, COM2),
    debug_console=DriverConfig(slot="", type="file"),
    devices=(DeviceConfig(id="extra", type="post_port", options={"port": "0x84"}),),
)

WIRING = """\
pic1.INT     -> cpu.INTR
pic2.INT     -> pic1.IR2
pit.OUT0     -> pic1.IR0
kbd.IRQ1     -> pic1.IR1
fdc.IRQ      -> pic1.IR6
rtc.IRQ      -> pic2.IR0
kbd.IRQ12    -> pic2.IR4
ide.IRQ14    -> pic2.IR6
ide.IRQ15    -> pic2.IR7
isa.IRQ3     -> pic1.IR3
isa.IRQ4     -> pic1.IR4
isa.IRQ5     -> pic1.IR5
isa.IRQ6     -> pic1.IR6
isa.IRQ7     -> pic1.IR7
isa.IRQ9     -> pic2.IR1
isa.IRQ10    -> pic2.IR2
isa.IRQ11    -> pic2.IR3
isa.IRQ12    -> pic2.IR4
isa.IRQ14    -> pic2.IR6
isa.IRQ15    -> pic2.IR7
port-b.GATE2 -> pit.GATE2
pit.OUT2     -> port-b.OUT2
kbd.A20      -> cpu.A20M
port92.A20   -> cpu.A20M
kbd.RESET    -> system.RESET
port92.RESET -> system.RESET
isa.RESET    -> system.RESET
pm.SCI       -> pic2.IR1
pm.POWER_OFF -> system.POWER_OFF
com1.IRQ     -> pic1.IR4
com2.IRQ     -> pic1.IR3
"""

MACHINE_INPUTS = {"cpu.INTR", "cpu.NMI", "cpu.A20M", "system.RESET", "system.POWER_OFF"}
MACHINE_USERS = {"cpu.inta", "console.display", "console.keyboard", "console.mouse", "console.power-button"}

SPECS: dict[str, DeviceSpec] = {spec.name: spec for spec in ringone_device_types()}


def blueprint(config: MachineConfig, firmware: FirmwareImage = BIOS) -> Blueprint:
    return BOARD.blueprint(config, firmware)


def options_of(parts: Blueprint, device_id: str) -> Any:
    device = next(device for device in parts.devices if device.id == device_id)
    return bind_options(SPECS[device.type].options, device.options)


def driver_at(parts: Blueprint, slot: str) -> DriverConfig:
    return next(driver for driver in parts.drivers if driver.slot == slot)


def firmware_files(config: MachineConfig, firmware: FirmwareImage = BIOS) -> dict[str, bytes]:
    files: dict[str, bytes] = driver_at(blueprint(config, firmware), "fwcfg.firmware").instance.files()
    return files


def declared(parts: Blueprint, kind: str) -> set[str]:
    return {f"{device.id}.{name}" for device in parts.devices for name in getattr(SPECS[device.type], kind)}


CONFIGS = pytest.mark.parametrize(("config", "firmware"), [(BARE, BIOS), (FULL, BIOS), (FULL, NO_BIOS)], ids=["bare", "full", "without a BIOS"])


# --- Wiring ------------------------------------------------------------------------------------------------------------------------------------------------


def test_the_wiring_reads_as_written() -> None:
    listing = "".join(f"{wire.source:<12} -> {wire.target}\n" for wire in blueprint(FULL).wires)
    assert listing == WIRING


@CONFIGS
def test_every_wire_ends_at_pins_that_exist(config: MachineConfig, firmware: FirmwareImage) -> None:
    parts = blueprint(config, firmware)
    assert {wire.source for wire in parts.wires} <= declared(parts, "outputs")
    assert {wire.target for wire in parts.wires} <= declared(parts, "inputs") | MACHINE_INPUTS


@CONFIGS
def test_every_link_joins_interfaces_that_exist(config: MachineConfig, firmware: FirmwareImage) -> None:
    parts = blueprint(config, firmware)
    assert {link.user for link in parts.links} <= declared(parts, "links") | MACHINE_USERS
    assert {link.provider for link in parts.links} <= declared(parts, "interfaces")


@CONFIGS
def test_every_wanted_interface_is_linked_to_a_chip_made_earlier(config: MachineConfig, firmware: FirmwareImage) -> None:
    parts = blueprint(config, firmware)
    order = {device.id: position for position, device in enumerate(parts.devices)}
    assert declared(parts, "links") - {link.user for link in parts.links} <= {"pic2.slave"}
    late = [link for link in parts.links if link.user not in MACHINE_USERS and order[link.provider.split(".")[0]] > order[link.user.split(".")[0]]]
    assert late == []


@CONFIGS
def test_every_driver_has_a_slot_of_its_own(config: MachineConfig, firmware: FirmwareImage) -> None:
    parts = blueprint(config, firmware)
    slots = [driver.slot for driver in parts.drivers]
    assert set(slots) <= declared(parts, "slots")
    assert len(slots) == len(set(slots))


@CONFIGS
def test_every_option_is_one_that_the_chip_has(config: MachineConfig, firmware: FirmwareImage) -> None:
    for device in blueprint(config, firmware).devices:
        assert bind_options(SPECS[device.type].options, device.options, source=device.id)


def test_a_machine_without_acpi_has_no_power_management() -> None:
    parts = blueprint(BARE)
    assert "pm" not in {device.id for device in parts.devices}
    assert not any(wire.source.startswith("pm.") for wire in parts.wires)


@pytest.mark.parametrize(("firmware", "base"), [(BIOS, None), (NO_BIOS, 0x600)], ids=["with a BIOS", "without"])
def test_power_management_is_preset_where_no_bios_does_it(firmware: FirmwareImage, base: int | None) -> None:
    assert options_of(blueprint(FULL, firmware), "pm").preset_pm_base == base


def test_the_description_may_add_parts_and_wires() -> None:
    config = attrs.evolve(
        BARE,
        devices=(DeviceConfig(id="timer2", type="i8254", options={"base": "0x48"}),),
        wires=(Wire("timer2.OUT0", "isa.PIRQA"),),
        links=(Link("extra.pci", "pci.pci"),),
        drivers=(DriverConfig(slot="extra.stream", type="file"),),
    )
    parts = blueprint(config)
    assert parts.devices[-1] == config.devices[0]
    assert (parts.wires[-1], parts.links[-1], parts.drivers[-1]) == (config.wires[0], config.links[0], config.drivers[0])


def test_a_firmware_brings_its_service_device() -> None:
    parts = blueprint(FULL, attrs.evolve(NO_BIOS, service_device="service", service_options={"a": "b"}))
    assert DeviceConfig(id="firmware", type="service", options={"a": "b"}) in parts.devices
    shared = {name: driver_at(parts, f"firmware.{name}").shares for name in ("disk0", "cd0", "floppy0")}
    assert shared == {"disk0": "ide.drive00", "cd0": "ide.drive10", "floppy0": "fdc.drive0"}


# --- Drives, ports, clock ----------------------------------------------------------------------------------------------------------------------------------


def test_drives_are_bound_to_their_places() -> None:
    parts = blueprint(FULL)
    disk, cdrom, floppy = (driver_at(parts, slot) for slot in ("ide.drive00", "ide.drive10", "fdc.drive0"))
    assert (disk.type, disk.options) == ("disk-image", {"mode": "persistent", "block_size": "512", "path": "disk.img"})
    assert (cdrom.type, cdrom.options) == ("removable-image", {"mode": "persistent", "block_size": "2048"})
    assert (floppy.type, floppy.options) == ("removable-image", {"mode": "persistent", "block_size": "512", "path": "floppy.img"})


def test_the_ide_controller_knows_what_is_on_its_cables() -> None:
    options = options_of(blueprint(FULL), "ide")
    assert [options.drive00.value, options.drive01.value, options.drive10.value, options.serial00] == ["disk", "none", "cdrom", "S1"]


def test_serial_ports_have_their_stream_only_where_one_is_named() -> None:
    parts = blueprint(FULL)
    assert driver_at(parts, "com1.stream") == DriverConfig(slot="com1.stream", type="file", options={"path": "log"})
    assert not any(driver.slot == "com2.stream" for driver in parts.drivers)
    assert options_of(parts, "com2").base == 0x2F8


@pytest.mark.parametrize(
    ("clock", "options"),
    [
        (ClockConfig(), {"offset_ms": "0", "local_time": "off"}),
        (ClockConfig(offset_ms=-5), {"offset_ms": "-5", "local_time": "off"}),
        (ClockConfig(base_unix_ns=5, local_time=True), {"base_unix_ns": "5", "offset_ms": "0", "local_time": "on"}),
        (ClockConfig(policy=ClockPolicy.DETERMINISTIC), {"base_unix_ns": "1577836800000000000", "offset_ms": "0", "local_time": "off"}),
    ],
    ids=["host time", "host time with an offset", "fixed", "deterministic"],
)
def test_the_clock_chip_is_given_its_civil_time(clock: ClockConfig, options: dict[str, str]) -> None:
    assert driver_at(blueprint(attrs.evolve(BARE, clock=clock)), "rtc.wall-clock").options == options


@pytest.mark.parametrize(("asked", "given"), [(1, 8), (8, 8), (9, 16), (33, 64)])
def test_video_memory_is_rounded_up_to_what_the_adapter_has(asked: int, given: int) -> None:
    assert options_of(blueprint(attrs.evolve(BARE, vram_bytes=asked * MIB)), "vga").vram_bytes == given * MIB


def impossible() -> Iterator[Any]:
    def case(id: str, message: str, **changes: Any) -> Any:
        return pytest.param(attrs.evolve(BARE, **changes), message, id=id)

    def drive(**changes: Any) -> dict[str, Any]:
        return {"drives": (attrs.evolve(DISK, **changes),)}

    yield case("controller", "no such controller; accepted: ide, floppy", **drive(controller="scsi"))
    yield case("place", r"no such place; accepted .*\(0, 0\), \(0, 1\), \(1, 0\), \(1, 1\)", **drive(port=2))
    yield case("floppy on ide", "ide takes only disk and cdrom", **drive(kind=DriveKind.FLOPPY))
    yield case("disk on floppy", "floppy takes only floppy", **drive(controller="floppy"))
    yield case("empty disk", "a disk needs an image", **drive(image=None))
    yield case("taken place", "taken by another drive", drives=(DISK, DISK))
    yield case("memory", "accepted: 1 MiB to 3584 MiB", memory_bytes=4096 * MIB)
    yield case("video memory", "accepted: up to 64 MiB", vram_bytes=256 * MIB)
    yield case("serial slot", "accepted: 0 to 3", serial_ports=(attrs.evolve(COM1, slot=4),))
    yield case("serial interrupt", "interrupt 13; accepted: 3, 4, 5", serial_ports=(attrs.evolve(COM1, irq=13),))
    yield case("name", "two components are called 'pit'", devices=(DeviceConfig(id="pit", type="i8254"),))
    yield case("serial ports", "two components are called 'com1'", serial_ports=(COM1, COM1))


@pytest.mark.parametrize(("config", "message"), list(impossible()))
def test_what_the_board_cannot_have_is_refused(config: MachineConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        blueprint(config)


# --- Firmware ----------------------------------------------------------------------------------------------------------------------------------------------


def test_the_memory_map_leaves_the_hole_out() -> None:
    entries = list(struct.iter_unpack("<QQI", firmware_files(attrs.evolve(BARE, memory_bytes=64 * MIB))["etc/e820"]))
    assert entries == [(0, 0xA0000, 1), (0x100000, 63 * MIB, 1)]


@pytest.mark.parametrize(
    ("order", "paths"),
    [
        ((BootDevice.DISK, BootDevice.FLOPPY), ["/pci@i0cf8/ide@1,1/drive@0/disk@0", "/pci@i0cf8/isa@1/fdc@03f0/floppy@0"]),
        ((BootDevice.CDROM,), ["/pci@i0cf8/ide@1,1/drive@1/disk@0"]),
        ((BootDevice.NETWORK,), []),
    ],
    ids=["disk first", "CD only", "nothing that is there"],
)
def test_the_boot_order_names_drives_and_stops_there(order: tuple[BootDevice, ...], paths: list[str]) -> None:
    lines = firmware_files(attrs.evolve(FULL, boot_order=order))["bootorder"]
    assert lines.rstrip(b"\0").decode().split("\n") == [*paths, "HALT"]


@pytest.mark.parametrize("wanted", [False, True])
def test_the_boot_menu_is_shown_on_request(wanted: bool) -> None:
    assert firmware_files(attrs.evolve(BARE, boot_menu=wanted))["etc/show-boot-menu"] == bytes((wanted, 0))


def test_the_firmware_s_own_files_win() -> None:
    files = firmware_files(BARE, attrs.evolve(BIOS, fw_cfg={"etc/e820": b"mine", "opt/x": b"y"}))
    assert (files["etc/e820"], files["opt/x"]) == (b"mine", b"y")


def test_cmos_memory_says_what_a_set_up_program_would_have() -> None:
    options = options_of(blueprint(attrs.evolve(FULL, boot_order=tuple(BootDevice))), "rtc")
    assert (options.ram_bytes, options.floppy0.value, options.floppy1.value, options.boot_order) == (128 * MIB, "1.44M", "none", "floppy,cdrom,disk")
