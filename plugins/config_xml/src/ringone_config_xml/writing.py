"""From a changed `MachineConfig` to its settings document: what differs from the machine that the document describes is edited, nothing else is touched."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from ringone.api.config import BootDevice, Drive, DriveKind, MachineConfig, SerialPort
from ringone.api.errors import ConfigError, UnsupportedError
from ringone.api.media import AccessMode

from ringone_config_xml.controllers import new_controller, write_controllers
from ringone_config_xml.document import Document, Element
from ringone_config_xml.editing import add, attach, copied, ensure, remove, set_attribute, set_text
from ringone_config_xml.extradata import PAE, PREFIX, item_elements, items_of
from ringone_config_xml.media import MODES, TYPES, RegisteredImage, bare_uuid, registry
from ringone_config_xml.reading import BOOT_DEVICES, MIB
from ringone_config_xml.recording import write_recording
from ringone_config_xml.remotedisplay import write_remote_display
from ringone_config_xml.storage import ALL_CONTROLLERS, OLD_STORAGE_MINOR, Place, attachments, controller_elements
from ringone_config_xml.text import braced, flag_text, relative, require_minor
from ringone_config_xml.uart import port_attributes, port_elements
from ringone_config_xml.unmodelled import write_unmodelled

TCP_MINOR = 15
"""Serial ports over TCP came with settings version 1.15 (VirtualBox 5.0)."""
BOOT_POSITIONS = 4
NEW_CONTROLLERS = {"ide": ("IDE", "PIIX4", "2"), "floppy": ("Floppy", "I82078", "1")}
"""Name, type and number of ports of a controller that is added."""
LISTS = {DriveKind.DISK: ("HardDisks", "HardDisk"), DriveKind.CDROM: ("DVDImages", "Image"), DriveKind.FLOPPY: ("FloppyImages", "Image")}
ATTACHMENT_TYPES = {DriveKind.DISK: "HardDisk", DriveKind.CDROM: "DVD", DriveKind.FLOPPY: "Floppy"}
FORMATS = {".vdi": "VDI", ".vmdk": "VMDK", ".vhd": "VHD", ".hdd": "Parallels", ".qcow2": "QCOW"}
VDI_SIGNATURE_OFFSET, VDI_SIGNATURE = 0x40, bytes.fromhex("7f10dabe")
VDI_UUID_OFFSET = 0x188


def apply(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    """Turn the document of `old` into one of `new`."""
    if not document.is_snapshot:
        _write_identity(document, old, new)
    _write_scalars(document, old, new)
    _write_boot_order(document, old, new)
    _write_serial_ports(document, old, new)
    write_controllers(document, old, new)
    _write_drives(document, old, new)
    write_remote_display(document, old.remote_display, new.remote_display)
    write_recording(document, old.recording, new.recording)
    write_unmodelled(document, old, new)
    _write_extra_data(document, old, new)


def _megabytes(what: str, size: int) -> str:
    if size % MIB or size <= 0:
        raise ConfigError(f"{what} of {size} bytes; a machine file holds whole MiB")
    return str(size // MIB)


IDENTITY: tuple[tuple[str, Callable[[MachineConfig], str]], ...] = (
    ("name", lambda config: config.name),
    ("uuid", lambda config: braced(config.uuid)),
    ("OSType", lambda config: config.os_type),
)
"""Attributes of Machine, which snapshots do not have."""
SCALARS: tuple[tuple[str, str, Callable[[MachineConfig], str]], ...] = (
    ("Hardware/Memory", "RAMSize", lambda config: _megabytes("memory", config.memory_bytes)),
    ("Hardware/Display", "VRAMSize", lambda config: _megabytes("video memory", config.vram_bytes)),
    ("Hardware/CPU/PAE", "enabled", lambda config: flag_text(PAE in config.cpu.model.features)),
    ("Hardware/CPU/TripleFaultReset", "enabled", lambda config: flag_text(config.triple_fault_reset)),
    ("Hardware/BIOS/ACPI", "enabled", lambda config: flag_text(config.acpi)),
    ("Hardware/BIOS/BootMenu", "mode", lambda config: "MessageAndMenu" if config.boot_menu else "Disabled"),
    ("Hardware/BIOS/TimeOffset", "value", lambda config: str(config.clock.offset_ms)),
    ("Hardware/RTC", "localOrUTC", lambda config: "local" if config.clock.local_time else "UTC"),
)
"""Path below Machine, attribute, and its value."""


def _write_scalars(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    for path, attribute, value in SCALARS:
        if value(old) != value(new):
            set_attribute(document, ensure(document, document.machine, path), attribute, value(new))


def _write_identity(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    for attribute, value in IDENTITY:
        if value(old) != value(new):
            set_attribute(document, document.machine, attribute, value(new))
    if old.description != new.description:
        set_text(document, ensure(document, document.machine, "Description"), new.description)


def _write_boot_order(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    if old.boot_order == new.boot_order:
        return
    if len(new.boot_order) > BOOT_POSITIONS:
        raise ConfigError(f"a boot order of {len(new.boot_order)} devices; a machine file holds {BOOT_POSITIONS}")
    words: dict[BootDevice | None, str] = {device: word for word, device in BOOT_DEVICES.items()}
    boot = ensure(document, document.machine, "Hardware/Boot")
    orders = {document.number(order, "position"): order for order in document.find_all(boot, "Order")}
    padded = [*new.boot_order, *[None] * (BOOT_POSITIONS - len(new.boot_order))]
    for position, device in enumerate(padded, 1):
        order = orders.get(position)
        if order is None:
            order = add(document, boot, "Order")
            set_attribute(document, order, "position", str(position))
        if device is None or words[device] != order.get("device", "").strip():
            set_attribute(document, order, "device", words.get(device, "None"))


# --- Serial ports ------------------------------------------------------------------------------------------------------------------------------------------


def _write_serial_ports(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    before = {port.slot: port for port in old.serial_ports}
    after = {port.slot: port for port in new.serial_ports}
    elements = {document.number(element, "slot", -1): element for element in port_elements(document)}
    for slot in before.keys() - after.keys():
        set_attribute(document, elements[slot], "enabled", "false")
    for slot, port in sorted(after.items()):
        if before.get(slot) == port:
            continue
        element = elements.get(slot)
        if element is None:
            element = add(document, ensure(document, document.machine, "Hardware/UART"), "Port")
        _write_port(document, element, before.get(slot), port)


def _write_port(document: Document, element: Element, old: SerialPort | None, new: SerialPort) -> None:
    if old is None:
        set_attribute(document, element, "slot", str(new.slot))
        set_attribute(document, element, "enabled", "true")
    if old is None or old.io_base != new.io_base:
        set_attribute(document, element, "IOBase", f"{new.io_base:#x}")
    if old is None or old.irq != new.irq:
        set_attribute(document, element, "IRQ", str(new.irq))
    mode = port_attributes(new)[0]
    if old is None or port_attributes(old)[0] != mode:
        for name in ("path", "server"):
            element.attrib.pop(name, "")
        for name, value in mode.items():
            set_attribute(document, element, name, value)
    if mode["hostMode"] == "TCP":
        require_minor(document, TCP_MINOR)


# --- Drives ------------------------------------------------------------------------------------------------------------------------------------------------


def _write_drives(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    elements = {attachment.place: attachment.element for attachment in attachments(document)}
    before = {_place(drive): drive for drive in old.drives if _place(drive) in elements}
    after = {_place(drive): drive for drive in new.drives}
    if before == after:
        return
    if document.minor < OLD_STORAGE_MINOR:
        raise UnsupportedError(f"drives of a machine file of settings version 1.{document.minor} cannot be changed; accepted: 1.{OLD_STORAGE_MINOR} and later")
    for place in before.keys() - after.keys():
        remove(elements[place])
    for place, drive in after.items():
        was = before.get(place)
        if was != drive:
            element = elements.get(place)
            if was is None or element is None or was.kind is not drive.kind:
                element = _attached_device(document, drive, element)
            _write_medium(document, element, was, drive)


def _place(drive: Drive) -> Place:
    return drive.controller, drive.port, drive.device


def _attached_device(document: Document, drive: Drive, element: Element | None) -> Element:
    element = add(document, _controller(document, drive.controller), "AttachedDevice") if element is None else element
    attributes = {"type": ATTACHMENT_TYPES[drive.kind], "port": str(drive.port), "device": str(drive.device)}
    for name, value in attributes.items():
        set_attribute(document, element, name, value)
    return element


def _controller(document: Document, controller: str) -> Element:
    """The controller that has devices already, else the first of its type, else a new one."""
    candidates = [element for element in controller_elements(document) if ALL_CONTROLLERS.get(document.text(element, "type")) == controller]
    if candidates:
        return next((element for element in candidates if document.find(element, "AttachedDevice") is not None), candidates[0])
    if controller not in NEW_CONTROLLERS:
        raise ConfigError(f"a drive on the controller {controller!r}; accepted: {', '.join(NEW_CONTROLLERS)}")
    element = new_controller(document)
    name, type, ports = NEW_CONTROLLERS[controller]
    for attribute, value in {"name": name, "type": type, "PortCount": ports, "useHostIOCache": "true", "Bootable": "true"}.items():
        set_attribute(document, element, attribute, value)
    return element


def _write_medium(document: Document, element: Element, old: Drive | None, new: Drive) -> None:
    if old is not None and (old.kind, old.image, old.format, old.mode) == (new.kind, new.image, new.format, new.mode):
        return
    image = None if new.image is None else _registered(document, new, new.image)
    for name in ("HostDrive", "Image"):
        for child in list(document.find_all(element, name)):
            if image is None or name == "HostDrive":
                remove(child)
    if image is not None:
        set_attribute(document, ensure(document, element, "Image"), "uuid", braced(image))


def _registered(document: Document, drive: Drive, path: Path) -> str:
    """The UUID of the image in the registry, where it is put, with the images that it stands on, if it is not there yet."""
    list_name, item = LISTS[drive.kind]
    holder: Element | None = None
    known = None
    for location in (document.folder / image for image in (*reversed(drive.parents), path)):
        known = _known(document, location, list_name)
        if known is None:
            parent = ensure(document, document.owner, f"MediaRegistry/{list_name}") if holder is None else holder
            holder = _new_medium(document, add(document, parent, item), location)
            _write_format(document, holder, drive, "")
        else:
            holder = known.element
    assert holder is not None
    _write_registered(document, holder, drive, known)
    return bare_uuid(document.text(holder, "uuid"))


def _known(document: Document, location: Path, list_name: str) -> RegisteredImage | None:
    own = (image for image in registry(document).values() if image.element.getroottree().getroot() is document.root)
    return next((image for image in own if image.location == location and image.kind == list_name), None)


def _new_medium(document: Document, element: Element, location: Path) -> Element:
    set_attribute(document, element, "uuid", braced(_vdi_uuid(location) or str(uuid.uuid4())))
    set_attribute(document, element, "location", relative(location, document.folder))
    return element


def _write_registered(document: Document, element: Element, drive: Drive, known: RegisteredImage | None) -> None:
    _write_format(document, element, drive, known.format if known else "")
    if drive.kind is not DriveKind.DISK:
        return
    was = None if known is None else MODES[known.type]
    if was is not drive.mode and not (known is None and drive.parents and drive.mode is AccessMode.PERSISTENT):
        set_attribute(document, element, "type", TYPES[drive.mode].value)


def _write_format(document: Document, element: Element, drive: Drive, known: str) -> None:
    if drive.format and drive.format != known:
        set_attribute(document, element, "format", drive.format.upper())
    elif drive.kind is DriveKind.DISK and element.get("format") is None:
        set_attribute(document, element, "format", FORMATS.get(Path(document.text(element, "location")).suffix.lower(), "RAW"))


def _vdi_uuid(path: Path) -> str:
    """The UUID in a VDI file's header, which VirtualBox compares with the registry's; "" for other files."""
    try:
        with path.open("rb") as file:
            head = file.read(VDI_UUID_OFFSET + 16)
    except OSError:
        return ""
    if head[VDI_SIGNATURE_OFFSET : VDI_SIGNATURE_OFFSET + 4] != VDI_SIGNATURE or len(head) < VDI_UUID_OFFSET + 16:
        return ""
    return str(uuid.UUID(bytes_le=head[VDI_UUID_OFFSET:]))


# --- ExtraData ---------------------------------------------------------------------------------------------------------------------------------------------


def _write_extra_data(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    before, after = items_of(old), items_of(new)
    if document.is_snapshot:
        if before != after:
            own_extra_data(document)
            _write_groups(document, before, after)
        return
    reserved = next((name for name in new.extra_data if name.startswith(PREFIX)), None)
    if reserved is not None:
        raise ConfigError(f"extra data item {reserved[:60]!r}; names that begin with {PREFIX} belong to the machine's own settings")
    _write_items(document, dict(old.extra_data), dict(new.extra_data))
    _write_groups(document, before, after)


def own_extra_data(document: Document) -> None:
    """Give a snapshot the items of its own that say what VirtualBox has no element for; without them the machine's count."""
    if document.find(document.machine, "ExtraData") is None:
        elements = list(item_elements(document))
        own = ensure(document, document.machine, "ExtraData")
        for element in elements:
            if document.text(element, "name").startswith(PREFIX):
                attach(document, own, copied(element, own))


def _write_groups(document: Document, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    before, after = _by_group(old), _by_group(new)
    for group in dict.fromkeys([*before, *after]):
        _write_group(document, group, before.get(group, {}), after.get(group, {}))


def _by_group(items: Mapping[str, str]) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    for name, value in items.items():
        groups.setdefault(PREFIX + name.partition("/")[0], {})[PREFIX + name] = value
    return groups


def _write_group(document: Document, group: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Items of one group count by their order and numbers: where names differ the group is written anew."""
    if list(before) == list(after):
        _write_items(document, before, after)
        return
    for element in list(item_elements(document)):
        if f"{document.text(element, 'name')}/".startswith(f"{group}/"):
            remove(element)
    _write_items(document, {}, after)


def _write_items(document: Document, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    elements: dict[str, list[Element]] = {}
    for element in item_elements(document):
        elements.setdefault(document.text(element, "name"), []).append(element)
    for name in before.keys() - after.keys():
        for element in elements.get(name, []):
            remove(element)
    for name, value in after.items():
        if before.get(name) == value:
            continue
        for element in elements.get(name, []) or [_new_item(document, name)]:
            set_attribute(document, element, "value", value)


def _new_item(document: Document, name: str) -> Element:
    element = add(document, ensure(document, document.machine, "ExtraData"), "ExtraDataItem")
    set_attribute(document, element, "name", name)
    return element
