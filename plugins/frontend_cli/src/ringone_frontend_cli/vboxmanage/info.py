"""What showvminfo says about a machine, row by row in VBoxManage's order."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from ringone.api.config import Drive, DriveKind, MachineConfig, SerialPort, StorageController
from ringone.api.settings import MachineSettings, SnapshotRecord

from ringone_frontend_cli.vboxmanage import recording, vrde
from ringone_frontend_cli.vboxmanage.ostypes import describe_os_type
from ringone_frontend_cli.vboxmanage.output import Bare, Row, Style, lines, time_text
from ringone_frontend_cli.vboxmanage.serial import PORTS, mode_text
from ringone_frontend_cli.vboxmanage.states import State
from ringone_frontend_cli.vboxmanage.words import (
    BOOT_NAMES,
    BOOT_POSITIONS,
    BOOT_WORDS,
    controllers,
    drives_on,
    kept_flag,
    kept_number,
    kept_word,
    kind_of,
)

if TYPE_CHECKING:
    from ringone.client import RecordingInfo, RemoteDisplayInfo

MIB = 1 << 20
NICS = 8
PAE = "pae"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@attrs.frozen(kw_only=True)
class VideoMode:
    width: int
    height: int
    bits: int


@attrs.frozen(kw_only=True)
class MachineView:
    """A machine as it is shown. `image_uuids` are those of the registered images by their path; `session` is the name of the frontend that runs it."""

    settings: MachineSettings
    path: Path
    state: State
    image_uuids: Mapping[Path, str] = attrs.field(factory=dict)
    session: str = ""
    video_mode: VideoMode | None = None
    remote_display: RemoteDisplayInfo | None = None
    recording: RecordingInfo | None = None

    @property
    def config(self) -> MachineConfig:
        return self.settings.config

    @property
    def folder(self) -> Path:
        return self.path.parent


def show(view: MachineView, style: Style) -> Iterator[str]:
    yield from lines(machine_rows(view), style)
    if view.settings.snapshot is not None:
        if style is Style.DETAILS:
            yield from ("", "Snapshots:", "")
        yield from snapshot_lines(view.settings, style)


def machine_rows(view: MachineView) -> Iterator[Row]:
    yield from _identity(view)
    yield from _processor(view.config)
    yield from _firmware(view.config)
    yield from _virtualization(view.config)
    yield from _state(view)
    yield from _display(view.config)
    yield from _management()
    yield from storage_rows(view.config, view.image_uuids)
    yield from _network(view.config)
    yield from _ports(view.config)
    yield from _session(view)
    yield from _rest(view)


def _identity(view: MachineView) -> Iterator[Row]:
    settings, config = view.settings, view.config
    yield Row("name", "Name:", config.name)
    yield Row("groups", "Groups:", ",".join(settings.groups))
    yield Row("ostype", "Guest OS:", describe_os_type(config.os_type))
    yield Row("UUID", "UUID:", config.uuid)
    yield Row("CfgFile", "Config file:", str(view.path))
    yield Row("SnapFldr", "Snapshot folder:", str(settings.snapshot_folder or view.folder / "Snapshots"))
    yield Row("LogFldr", "Log folder:", str(view.folder / "Logs"))
    yield Row("hardwareuuid", "Hardware UUID:", config.uuid)
    memory, vram = config.memory_bytes // MIB, config.vram_bytes // MIB
    yield Row("memory", "Memory size:", memory, f"{memory}MB")
    yield _kept_flag(config, "pagefusion", "Page Fusion:")
    yield Row("vram", "VRAM size:", vram, f"{vram}MB")
    cap = kept_number(config, "cpuexecutioncap")
    yield Row("cpuexecutioncap", "CPU exec cap:", cap, f"{cap}%")
    yield _kept_flag(config, "hpet", "HPET:")
    yield Row("cpu-profile", "CPUProfile:", "host")
    yield Row("chipset", "Chipset:", "piix3")
    yield Row("firmware", "Firmware:", "BIOS")


def _processor(config: MachineConfig) -> Iterator[Row]:
    yield Row("cpus", "Number of CPUs:", 1)
    yield Row("pae", "PAE:", PAE in config.cpu.model.features)
    yield _kept_flag(config, "longmode", "Long Mode:")
    yield Row("triplefaultreset", "Triple Fault Reset:", config.triple_fault_reset)
    yield _kept_flag(config, "apic", "APIC:")
    yield _kept_flag(config, "x2apic", "X2APIC:")
    yield _kept_flag(config, "nested-hw-virt", "Nested VT-x/AMD-V:")
    yield Row("cpuid-portability-level", "CPUID Portability Level:", kept_number(config, "cpuid-portability-level"))
    yield Row("", "CPUID overrides:", "None")


def _firmware(config: MachineConfig) -> Iterator[Row]:
    menu = "message and menu" if config.boot_menu else "disabled"
    yield Row("bootmenu", "Boot menu mode:", menu.replace(" ", ""), menu)
    words = {device: word for word, device in BOOT_WORDS.items()}
    for position in range(BOOT_POSITIONS):
        device = config.boot_order[position] if position < len(config.boot_order) else None
        shown = BOOT_NAMES[device] if device else "Not Assigned"
        yield Row(f"boot{position + 1}", f"Boot Device {position + 1}:", words[device] if device else "none", shown)
    yield Row("acpi", "ACPI:", config.acpi)
    yield _kept_flag(config, "ioapic", "IOAPIC:")
    yield Row("biosapic", "BIOS APIC mode:", kept_word(config, "biosapic"), kept_word(config, "biosapic").upper())
    yield Row("biossystemtimeoffset", "Time offset:", config.clock.offset_ms, f"{config.clock.offset_ms}ms")
    yield Row("rtcuseutc", "RTC:", not config.clock.local_time, "local time" if config.clock.local_time else "UTC")


def _virtualization(config: MachineConfig) -> Iterator[Row]:
    yield _kept_flag(config, "hwvirtex", "Hardware Virtualization:")
    yield _kept_flag(config, "nestedpaging", "Nested Paging:")
    yield _kept_flag(config, "largepages", "Large Pages:")
    yield _kept_flag(config, "vtxvpid", "VT-x VPID:")
    yield _kept_flag(config, "vtxux", "VT-x Unrestricted Exec.:")
    provider = kept_word(config, "paravirtprovider")
    yield Row("paravirtprovider", "Paravirt. Provider:", provider, provider.capitalize())
    yield Row("effparavirtprovider", "Effective Paravirt. Prov.:", "none", "None")


def _state(view: MachineView) -> Iterator[Row]:
    since = time_text(view.settings.last_state_change or EPOCH)
    yield Row("VMState", "State:", view.state.word, f"{view.state.text} (since {since})")
    yield Row("VMStateChangeTime", "", since)
    if view.settings.state_file is not None:
        yield Row("VMStateFile", "", str(view.settings.state_file))


def _display(config: MachineConfig) -> Iterator[Row]:
    graphics = kept_word(config, "graphicscontroller")
    yield Row("graphicscontroller", "Graphics Controller:", graphics, graphics)
    yield Row("monitorcount", "Monitor count:", kept_number(config, "monitorcount"))
    yield _kept_flag(config, "accelerate3d", "3D Acceleration:")
    yield _kept_flag(config, "accelerate2dvideo", "2D Video Acceleration:")


def _management() -> tuple[Row, ...]:
    """Services around a machine that RingOne does not have."""
    return (
        Row("teleporterenabled", "Teleporter Enabled:", False),
        Row("teleporterport", "Teleporter Port:", 0),
        Row("teleporteraddress", "Teleporter Address:", ""),
        Row("teleporterpassword", "Teleporter Password:", ""),
        Row("tracing-enabled", "Tracing Enabled:", False),
        Row("tracing-allow-vm-access", "Allow Tracing to Access VM:", False),
        Row("tracing-config", "Tracing Configuration:", ""),
        Row("autostart-enabled", "Autostart Enabled:", False),
        Row("autostart-delay", "Autostart Delay:", 0),
        Row("defaultfrontend", "Default Frontend:", ""),
        Row("vmprocpriority", "VM process priority:", "default"),
    )


def storage_rows(config: MachineConfig, image_uuids: Mapping[Path, str]) -> Iterator[Row]:
    have = controllers(config)
    for number, controller in enumerate(have):
        kind = kind_of(controller)
        yield Row(f"storagecontrollername{number}", f"Storage Controller Name ({number}):", controller.name)
        yield Row(f"storagecontrollertype{number}", f"Storage Controller Type ({number}):", kind.name)
        yield Row(f"storagecontrollerinstance{number}", f"Storage Controller Instance Number ({number}):", "0")
        yield Row(f"storagecontrollermaxportcount{number}", f"Storage Controller Max Port Count ({number}):", str(kind.max_ports))
        yield Row(f"storagecontrollerportcount{number}", f"Storage Controller Port Count ({number}):", str(controller.ports))
        yield Row(f"storagecontrollerbootable{number}", f"Storage Controller Bootable ({number}):", controller.bootable, _on_off(controller.bootable))
    for controller in have:
        yield from _attachments(config, controller, image_uuids)


def _attachments(config: MachineConfig, controller: StorageController, image_uuids: Mapping[Path, str]) -> Iterator[Row]:
    drives = drives_on(config, controller)
    for port in range(controller.ports):
        for device in range(kind_of(controller).devices):
            drive = drives.get((port, device))
            yield from _attachment(controller.name, f"{port}-{device}", f"({port}, {device})", drive, image_uuids)


def _attachment(name: str, place: str, label: str, drive: Drive | None, image_uuids: Mapping[Path, str]) -> Iterator[Row]:
    if drive is None:
        yield Row(f"{name}-{place}", "", "none", quoted_key=True)
        return
    if drive.image is None:
        yield Row(f"{name}-{place}", f"{name} {label}:", "emptydrive", "Empty", quoted_key=True)
    else:
        uuid = image_uuids.get(drive.image, "")
        yield Row(f"{name}-{place}", f"{name} {label}:", str(drive.image), f"{drive.image} (UUID: {uuid})", quoted_key=True)
        yield Row(f"{name}-ImageUUID-{place}", "", uuid, quoted_key=True)
    if drive.kind is DriveKind.CDROM:
        if drive.image is not None:
            yield Row(f"{name}-tempeject", "", False, quoted_key=True)
        yield Row(f"{name}-IsEjected", "", False, quoted_key=True)


def _network(config: MachineConfig) -> Iterator[Row]:
    kept = config.unmodelled
    for number in range(1, NICS + 1):
        mode = kept.get(f"nic{number}")
        if mode is None:
            yield Row(f"nic{number}", f"NIC {number}:", "none", "disabled")
            continue
        address, kind = kept.get(f"macaddress{number}", ""), kept.get(f"nictype{number}", "82540EM")
        if mode == "nat":
            yield Row(f"natnet{number}", "", "nat")
        yield Row(f"macaddress{number}", "", address)
        yield Row(f"cableconnected{number}", "", kept.get(f"cableconnected{number}", "true").lower() in ("true", "yes", "1"))
        yield Row(f"nic{number}", f"NIC {number}:", mode, f"MAC: {address}, Attachment: {mode}, Type: {kind} (not modelled)")
        yield Row(f"nictype{number}", "", kind)
        yield Row(f"nicspeed{number}", "", "0")


def _ports(config: MachineConfig) -> Iterator[Row]:
    pointing, keyboard = kept_word(config, "hidpointing"), kept_word(config, "hidkeyboard")
    yield Row("hidpointing", "Pointing Device:", pointing, {"ps2mouse": "PS/2 Mouse"}.get(pointing, pointing))
    yield Row("hidkeyboard", "Keyboard Device:", keyboard, {"ps2kbd": "PS/2 Keyboard"}.get(keyboard, keyboard))
    ports = {port.slot: port for port in config.serial_ports}
    for slot in range(PORTS):
        yield from _uart(slot + 1, ports.get(slot))
    for number in (1, 2):
        yield Row(f"lpt{number}", f"LPT {number}:", False)
    audio = config.unmodelled.get("audio", "none").lower() if kept_flag(config, "audioenabled") else "none"
    yield Row("audio", "Audio:", audio, "disabled" if audio == "none" else f"enabled (Driver: {audio}, not modelled)")
    yield Row("audio_in", "", "false")
    yield Row("audio_out", "", "false")
    clipboard, dnd = kept_word(config, "clipboard"), kept_word(config, "draganddrop")
    yield Row("clipboard", "Clipboard Mode:", clipboard)
    yield Row("draganddrop", "Drag and drop Mode:", dnd)


def _uart(number: int, port: SerialPort | None) -> Iterator[Row]:
    if port is None:
        yield Row(f"uart{number}", f"UART {number}:", False)
        return
    mode = mode_text(port)
    yield Row(f"uart{number}", f"UART {number}:", f"0x{port.io_base:04x},{port.irq}", f"I/O base: 0x{port.io_base:04x}, IRQ: {port.irq}, {mode}")
    yield Row(f"uartmode{number}", "", mode)
    yield Row(f"uarttype{number}", "", "16550A")


def _session(view: MachineView) -> Iterator[Row]:
    if view.session:
        yield Row("SessionName", "Session name:", view.session)
    mode = view.video_mode
    if mode is not None:
        value = Bare(f'"{mode.width},{mode.height},{mode.bits}"@0,0 1')
        yield Row("VideoMode", "Video mode:", value, f"{mode.width}x{mode.height}x{mode.bits} at 0,0 enabled")


def _rest(view: MachineView) -> Iterator[Row]:
    yield from vrde.rows(view.config.remote_display, view.remote_display)
    yield Row("usb", "OHCI USB:", False)
    yield Row("ehci", "EHCI USB:", False)
    yield Row("xhci", "xHCI USB:", False)
    if view.session:
        yield from vrde.connection_rows(view.remote_display)
    yield from recording.rows(view.config, view.recording)
    if view.config.description:
        yield Row("description", "Description:", view.config.description, f"\n{view.config.description}")
    balloon = kept_number(view.config, "guestmemoryballoon")
    yield Row("GuestMemoryBalloon", "Configured memory balloon:", balloon, f"{balloon}MB")


def _kept_flag(config: MachineConfig, name: str, label: str) -> Row:
    return Row(name, label, kept_flag(config, name))


def _on_off(value: bool) -> str:
    return "on" if value else "off"


# --- Snapshots ---------------------------------------------------------------------------------------------------------------------------------------------


def snapshot_lines(settings: MachineSettings, style: Style) -> Iterator[str]:
    """The tree: numbered ``SnapshotName-1-2`` for programs, indented for people."""
    if settings.snapshot is not None:
        waiting: list[tuple[SnapshotRecord, str, int]] = [(settings.snapshot, "", 0)]
        while waiting:
            record, place, level = waiting.pop()
            yield from _snapshot(record, place, level, record.uuid == settings.current_snapshot, style)
            waiting += [(child, f"{place}-{number}", level + 1) for number, child in reversed(list(enumerate(record.children, 1)))]


def _snapshot(record: SnapshotRecord, place: str, level: int, is_current: bool, style: Style) -> Iterator[str]:
    if style is Style.DETAILS:
        indent = "   " * (level + 1)
        yield f"{indent}Name: {record.name} (UUID: {record.uuid}){' *' if is_current else ''}"
        if record.description:
            yield f"{indent}Description:"
            yield record.description
        return
    rows = [Row(f"SnapshotName{place}", "", record.name), Row(f"SnapshotUUID{place}", "", record.uuid)]
    if record.description:
        rows.append(Row(f"SnapshotDescription{place}", "", record.description))
    if is_current:
        rows.append(Row("CurrentSnapshotName", "", record.name))
        rows.append(Row("CurrentSnapshotUUID", "", record.uuid))
        rows.append(Row("CurrentSnapshotNode", "", f"SnapshotName{place}"))
    yield from lines(rows, style)
