"""From a settings document to a `MachineConfig`, with VirtualBox's defaults for what the document leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
from ringone.api.config import BootDevice, MachineConfig
from ringone.api.errors import UnsupportedError

from ringone_config_xml import schema
from ringone_config_xml.controllers import read_controllers
from ringone_config_xml.document import NEWEST_MINOR, Document, Element
from ringone_config_xml.extradata import read_extras
from ringone_config_xml.media import RegisteredImage, bare_uuid, registry
from ringone_config_xml.recording import read_recording
from ringone_config_xml.remotedisplay import read_remote_display
from ringone_config_xml.storage import read_drives, without_home
from ringone_config_xml.uart import read_serial_ports
from ringone_config_xml.unmodelled import read_unmodelled

MIB = 1 << 20
DEFAULT_VRAM_MB = 8
PAE_DEFAULT_MINOR = 9
"""Before it, a file that does not mention PAE means off."""
QUIET_DEFAULTS_MINOR = 16
"""Before it, a sound card and a remote display that do not say are on."""
BOOT_DEVICES = {"Floppy": BootDevice.FLOPPY, "DVD": BootDevice.CDROM, "HardDisk": BootDevice.DISK, "Network": BootDevice.NETWORK}
DEFAULT_BOOT_ORDER = (BootDevice.DISK, BootDevice.CDROM)


def read_machine(document: Document, images: Mapping[str, RegisteredImage]) -> MachineConfig:
    """The machine of a document, or what one of its snapshots keeps of it. `images` are its `registry`. Mistakes are in `Document.problems` then."""
    machine = document.owner
    hardware = _require_child(document, document.machine, "Hardware")
    _refuse_what_there_is_not(document, hardware)
    extras = read_extras(document, pae=_switch(document, hardware, "CPU/PAE", document.minor >= PAE_DEFAULT_MINOR))
    memory = _require_child(document, hardware, "Memory")
    local_time = document.text(document.find(hardware, "RTC"), "localOrUTC", "local") != "UTC"
    offset_ms = document.number(document.find(hardware, "BIOS/TimeOffset"), "value")
    return MachineConfig(
        name=document.text(machine, "name"),
        uuid=bare_uuid(document.text(machine, "uuid")),
        os_type=document.text(machine, "OSType", "Other"),
        description=_description(document),
        board=extras.board,
        memory_bytes=document.number(memory, "RAMSize", 1) * MIB,
        vram_bytes=document.number(document.find(hardware, "Display"), "VRAMSize", DEFAULT_VRAM_MB) * MIB,
        cpu=extras.cpu,
        clock=attrs.evolve(extras.clock, local_time=local_time, offset_ms=offset_ms),
        firmware=extras.firmware,
        boot_order=_boot_order(document, hardware),
        boot_menu=document.text(document.find(hardware, "BIOS/BootMenu"), "mode", "MessageAndMenu") != "Disabled",
        linux=extras.linux,
        storage_controllers=read_controllers(document),
        drives=read_drives(document, extras.drives, images),
        serial_ports=read_serial_ports(document, extras.serial),
        remote_display=read_remote_display(document),
        recording=read_recording(document),
        debug_console=extras.debug_console,
        devices=extras.devices,
        wires=extras.wires,
        links=extras.links,
        drivers=extras.drivers,
        acpi=_switch(document, hardware, "BIOS/ACPI", True),
        triple_fault_reset=_switch(document, hardware, "CPU/TripleFaultReset", False),
        source=document.path.absolute(),
        extra_data=extras.foreign,
        unmodelled=read_unmodelled(document),
    )


def read_alone(document: Document) -> MachineConfig:
    """For running a file by itself. Raises `ConfigError` or `ConfigErrors` with all mistakes of the file."""
    schema.check(document)
    config = without_home(document, read_machine(document, registry(document)))
    document.raise_problems()
    return config


def _require_child(document: Document, parent: Element | None, name: str) -> Element | None:
    element = document.find(parent, name)
    if element is None and parent is not None:
        document.problem(parent, f"<{document.name(parent)}> has no <{name}>; accepted is one")
    return element


def _switch(document: Document, hardware: Element | None, path: str, default: bool) -> bool:
    return document.flag(document.find(hardware, path), "enabled", default)


def _description(document: Document) -> str:
    element = document.find(document.owner, "Description")
    return "" if element is None else str(element.xpath("string()"))


def _refuse_what_there_is_not(document: Document, hardware: Element | None) -> None:
    for path in ("CPU", "CPU/CPUCount"):
        cpu = document.find(hardware, path)
        count = document.number(cpu, "count", 1)
        if count > 1:
            document.problem(cpu, f"{count} processors (count in {path}) are not supported; accepted: 1", UnsupportedError)
    for name, default, accepted in (("Firmware", "BIOS", "BIOS"), ("Chipset", "PIIX3", "PIIX3")):
        element = document.find(hardware, name)
        type = document.text(element, "type", default)
        if type != accepted:
            document.problem(element, f"{name} of type {type[:60]} is not supported; accepted: {accepted}", UnsupportedError)


def _boot_order(document: Document, hardware: Element | None) -> tuple[BootDevice, ...]:
    orders: dict[int, BootDevice | None] = {}
    for element in document.find_all(hardware, "Boot/Order"):
        position = document.number(element, "position")
        if position in orders:
            document.problem(element, f"boot position {position} is given twice; accepted is once")
        orders[position] = BOOT_DEVICES.get(document.text(element, "device").strip())
    devices = [device for _, device in sorted(orders.items(), key=lambda order: order[0]) if device is not None]
    return tuple(dict.fromkeys(devices)) if orders else DEFAULT_BOOT_ORDER


# --- What is read and not followed -------------------------------------------------------------------------------------------------------------------------

IGNORED = (
    ("Network/Adapter", "enabled", 0, "network adapter {slot}"),
    ("AudioAdapter", "enabled", QUIET_DEFAULTS_MINOR, "sound card"),
    ("USB/Controllers/Controller", "", 0, "USB controller {type}"),
    ("USBController", "enabled", 0, "USB controller"),
    ("LPT/Port", "enabled", 0, "parallel port {slot}"),
    ("SharedFolders/SharedFolder", "", 0, "shared folder {name}"),
    ("HPET", "enabled", 0, "HPET"),
    ("BIOS/IOAPIC", "enabled", 0, "I/O APIC"),
    ("CPU/LongMode", "enabled", 0, "64-bit mode"),
    ("CPU/CpuIdTree/CpuIdLeaf", "", 0, "CPUID leaf {id}"),
)
"""Path below Hardware, the attribute that switches it on ("" = its presence does), the settings version 1.N before which it is on by default, its name."""


def warnings(document: Document) -> Iterator[str]:
    """What a user should know about a document that was read."""
    if document.minor > NEWEST_MINOR:
        yield f"settings version 1.{document.minor} is newer than 1.{NEWEST_MINOR}; what is new in it is kept and ignored"
    ignored = list(_ignored(document))
    if ignored:
        yield f"not modelled, kept and ignored: {', '.join(ignored)}"
    if document.text(document.machine, "stateFile"):
        yield "the state that VirtualBox saved is ignored; the machine starts from power-off"


def _ignored(document: Document) -> Iterator[str]:
    hardware = document.find(document.machine, "Hardware")
    for path, switch, on_before, name in IGNORED:
        for element in document.find_all(hardware, path):
            if not switch or document.flag(element, switch, document.minor < on_before):
                yield f"{name.format_map(_Attributes(document, element))} (line {element.sourceline})"
    controller = document.text(document.find(hardware, "Display"), "controller", "VBoxVGA")
    if controller != "VBoxVGA":
        yield f"display controller {controller} (the guest sees a standard VGA)"


class _Attributes(dict[str, str]):
    def __init__(self, document: Document, element: Element) -> None:
        self._document = document
        self._element = element

    def __missing__(self, name: str) -> str:
        return self._document.text(self._element, name)[:60]
