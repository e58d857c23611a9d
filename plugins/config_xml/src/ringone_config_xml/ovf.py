"""Envelopes of appliances: OVF 0.9 to 2.0 (DMTF DSP0243) in, OVF 1.0 as VirtualBox writes it out.

Read are the names, guest types, memory, drives and disks of the machines; other hardware is named. Nothing in an envelope is trusted: file names are names and
no paths, numbers are bounded, every reference has to lead somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from lxml import etree
from ringone.api.appliance import Appliance, ApplianceDisk, ApplianceDrive, ApplianceSystem
from ringone.api.config import Drive, DriveKind, MachineConfig, StorageController
from ringone.api.errors import ConfigError, UnsupportedError

from ringone_config_xml.document import Element, parse_root

MAX_BYTES = 4 << 20
MAX_PARTS = 64
"""Disks, and machines, of one appliance."""
MAX_CAPACITY = 1 << 50
MIB = 1 << 20
FILE_NAME = re.compile(r"[^/\\\x00-\x1f:]{1,240}")
FORMATS = {"vmdk": "vmdk", "vdi": "vdi", "raw": "raw", "vhd": "vhd"}
"""What is in the URI of a disk's format, and the format."""
FORMAT_URIS = {
    "vmdk": "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
    "vdi": "http://www.virtualbox.org/manual/vdi",
    "raw": "http://www.virtualbox.org/manual/raw",
}
CPU, MEMORY, IDE, SCSI, ETHERNET, FLOPPY, CD, DVD, DISK, STORAGE, USB, SOUND = (3, 4, 5, 6, 10, 14, 15, 16, 17, 20, 23, 35)
"""Resource types of CIM_ResourceAllocationSettingData."""
BUSES = {IDE: "ide", SCSI: "scsi", STORAGE: "sata"}
ABSENT = {ETHERNET: "network adapter", USB: "USB controller", SOUND: "sound card"}
ITEMS = frozenset({"Item", "StorageItem", "EthernetPortItem"})
UNITS = {"bytes": 1, "byte": 1, "kilobytes": 1 << 10, "megabytes": MIB, "mb": MIB, "gigabytes": 1 << 30, "gb": 1 << 30}
POWER = re.compile(r"byte\s*\*\s*2\^\s*(\d{1,2})")
DEFAULT_MEMORY = 128 * MIB
CONTROLLERS = {"ide": StorageController(name="IDE", type="PIIX4"), "floppy": StorageController(name="Floppy", type="I82078", ports=1)}
OS_TYPES = {96: "Debian_64", 95: "Debian", 94: "Ubuntu_64", 93: "Ubuntu", 36: "Linux", 100: "Linux26_64", 99: "Linux26", 67: "WindowsXP", 58: "Windows2000"}
"""DMTF's numbers for the guests that matter to RingOne."""


def read(data: bytes, name: str) -> Appliance:
    """`name` is for messages."""
    if len(data) > MAX_BYTES:
        raise ConfigError(f"the envelope is larger than {MAX_BYTES >> 20} MiB; accepted are smaller ones", source=name)
    root = parse_root(Path(name), data)
    if _local(root) != "Envelope":
        raise ConfigError(f"the root element is <{_local(root)}>; accepted is an OVF <Envelope>", source=name)
    return Envelope(root, name).appliance()


def _local(element: Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _attribute(element: Element, name: str, default: str = "") -> str:
    """Whatever its namespace."""
    return next((str(value) for key, value in element.attrib.items() if etree.QName(key).localname == name), default)


def _children(element: Element, *names: str) -> Iterator[Element]:
    return (child for child in element if _local(child) in names)


@attrs.frozen
class Item:
    """One piece of hardware, its elements as text by local name."""

    element: Element
    fields: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.fields.get(name, "")


class Envelope:
    def __init__(self, root: Element, name: str) -> None:
        self._root = root
        self._name = name

    def appliance(self) -> Appliance:
        disks = tuple(self._disks())
        systems = tuple(self._system(element, disks) for element in self._root.iter() if _local(element) == "VirtualSystem")
        if not 1 <= len(systems) <= MAX_PARTS:
            raise self._problem(self._root, f"{len(systems)} virtual systems; accepted: 1 to {MAX_PARTS}")
        return Appliance(disks=disks, systems=systems)

    def _problem(self, element: Element, message: str, kind: type[ConfigError] = ConfigError) -> ConfigError:
        return kind(message, source=f"{self._name}:{element.sourceline}")

    def _number(self, element: Element, text: str, what: str, limit: int) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text.strip(), re.ASCII) or int(text) > limit:
            raise self._problem(element, f"{what} is {text[:60]!r}; accepted: 0 to {limit}")
        return int(text)

    def _disks(self) -> Iterator[ApplianceDisk]:
        files = {_attribute(file, "id"): file for section in _children(self._root, "References") for file in _children(section, "File")}
        seen: set[str] = set()
        for section in _children(self._root, "DiskSection"):
            for disk in _children(section, "Disk"):
                id = _attribute(disk, "diskId")
                if not id or id in seen or len(seen) >= MAX_PARTS:
                    raise self._problem(
                        disk, f"disk {id[:60]!r} is nameless, one of two, or one too many; accepted: up to {MAX_PARTS} disks of different names"
                    )
                seen.add(id)
                yield self._disk(disk, id, files)

    def _disk(self, disk: Element, id: str, files: Mapping[str, Element]) -> ApplianceDisk:
        uri, reference = _attribute(disk, "format"), _attribute(disk, "fileRef")
        if _attribute(disk, "parentRef"):
            raise self._problem(disk, f"disk {id[:60]!r} stands on another one; accepted are disks that stand alone", UnsupportedError)
        format = next((name for word, name in FORMATS.items() if word in uri.lower()), "")
        if not format:
            raise self._problem(disk, f"disk {id[:60]!r} has the format {uri[:80]!r}; accepted: VMDK, VDI, VHD, raw", UnsupportedError)
        unit = self._unit(disk, _attribute(disk, "capacityAllocationUnits", "byte"))
        capacity = self._number(disk, _attribute(disk, "capacity", "0"), f"the capacity of disk {id[:60]!r}", MAX_CAPACITY) * unit
        if capacity > MAX_CAPACITY:
            raise self._problem(disk, f"disk {id[:60]!r} has {capacity} bytes; accepted: up to {MAX_CAPACITY}")
        name, size = self._file(disk, id, files[reference]) if reference in files else ("", None)
        if reference and not name:
            raise self._problem(disk, f"disk {id[:60]!r} is in file {reference[:60]!r}, which References does not have")
        return ApplianceDisk(id=id, file=name, format=format, format_uri=uri, capacity_bytes=capacity, file_bytes=size, uuid=_attribute(disk, "uuid"))

    def _file(self, disk: Element, id: str, file: Element) -> tuple[str, int | None]:
        name, size = _attribute(file, "href"), _attribute(file, "size")
        if not FILE_NAME.fullmatch(name) or name in (".", ".."):
            raise self._problem(file, f"disk {id[:60]!r} is in {name[:60]!r}; accepted is the name of a file beside the envelope")
        compression = _attribute(file, "compression")
        if compression not in ("", "identity") or _attribute(file, "chunkSize"):
            raise self._problem(file, f"{name[:60]!r} is compressed or in chunks; accepted are whole files as they are", UnsupportedError)
        return name, self._number(file, size, f"the size of {name[:60]!r}", MAX_CAPACITY) if size else None

    def _unit(self, element: Element, text: str) -> int:
        power = POWER.fullmatch(text.strip().lower())
        if power is not None and int(power[1]) <= 40:
            return 1 << int(power[1])
        if text.strip().lower() not in UNITS:
            raise self._problem(element, f"the unit {text[:60]!r}; accepted: {', '.join(UNITS)}, byte * 2^N")
        return UNITS[text.strip().lower()]

    # --- a machine

    def _system(self, system: Element, disks: tuple[ApplianceDisk, ...]) -> ApplianceSystem:
        hardware = next(_children(system, "VirtualHardwareSection"), None)
        if hardware is None:
            raise self._problem(system, "a virtual system without VirtualHardwareSection; accepted is one")
        items = [self._item(element) for element in hardware if _local(element) in ITEMS]
        controllers = {item.text("InstanceID") or item.text("InstanceId"): (bus, channel) for item, bus, channel in self._controllers(items)}
        known = {disk.id for disk in disks}
        drives: list[ApplianceDrive] = []
        removable: list[Drive] = []
        absent: list[str] = []
        for item in items:
            kind = self._kind(item)
            if kind == DISK:
                drives.append(self._drive(item, controllers, known))
            elif kind in (CD, DVD, FLOPPY):
                removable += self._removable(item, kind, controllers, removable)
            elif kind in ABSENT:
                absent.append(f"{ABSENT[kind]} {item.text('ResourceSubType')}".strip())
        config = MachineConfig(
            name=self._text(system, "Name") or _attribute(system, "id") or "appliance",
            os_type=self._os_type(system),
            description=next((self._text(section, "Annotation") for section in _children(system, "AnnotationSection")), ""),
            memory_bytes=self._memory(items),
            storage_controllers=_needed_controllers(drives, removable),
            drives=tuple(removable),
        )
        return ApplianceSystem(config=config, drives=tuple(drives), absent=tuple(absent))

    def _text(self, parent: Element, name: str) -> str:
        child = next(_children(parent, name), None)
        return "" if child is None else str(child.xpath("string()")).strip()

    def _item(self, element: Element) -> Item:
        return Item(element, {_local(child): (child.text or "").strip() for child in element})

    def _kind(self, item: Item) -> int:
        return self._number(item.element, item.text("ResourceType") or "0", "the resource type", 1 << 16)

    def _controllers(self, items: list[Item]) -> Iterator[tuple[Item, str, int]]:
        channels = 0
        for item in items:
            kind = self._kind(item)
            if kind in BUSES:
                address = item.text("Address")
                channel = int(address) if address in ("0", "1") else channels
                channels += kind == IDE
                yield item, BUSES[kind], channel

    def _drive(self, item: Item, controllers: Mapping[str, tuple[str, int]], known: set[str]) -> ApplianceDrive:
        place = item.text("HostResource")
        disk = place.removeprefix("ovf:").removeprefix("/disk/")
        if disk not in known:
            raise self._problem(item.element, f"a drive has {place[:60]!r}; accepted is /disk/ and the name of a disk of the DiskSection")
        bus, channel = controllers.get(item.text("Parent"), ("ide", 0))
        position = self._number(item.element, item.text("AddressOnParent") or "0", "AddressOnParent", 1 << 16)
        port, device = (channel, position) if bus == "ide" else (position, 0)
        return ApplianceDrive(disk=disk, bus=bus, port=port, device=device)

    def _removable(self, item: Item, kind: int, controllers: Mapping[str, tuple[str, int]], others: list[Drive]) -> Iterator[Drive]:
        """One drive, or none where its place is taken already."""
        position = self._number(item.element, item.text("AddressOnParent") or "0", "AddressOnParent", 1 << 16)
        if kind == FLOPPY:
            drive = Drive(kind=DriveKind.FLOPPY, controller="floppy", port=0, device=position & 1)
        else:
            bus, channel = controllers.get(item.text("Parent"), ("ide", 1))
            port, device = (channel, position) if bus == "ide" and channel < 2 and position < 2 else (1, 0)
            drive = Drive(kind=DriveKind.CDROM, controller="ide", port=port, device=device)
        if all((drive.controller, drive.port, drive.device) != (other.controller, other.port, other.device) for other in others):
            yield drive

    def _memory(self, items: list[Item]) -> int:
        for item in items:
            if self._kind(item) == MEMORY:
                quantity = self._number(item.element, item.text("VirtualQuantity"), "the memory", MAX_CAPACITY)
                return max(MIB, quantity * self._unit(item.element, item.text("AllocationUnits") or "MegaBytes") // MIB * MIB)
        return DEFAULT_MEMORY

    def _os_type(self, system: Element) -> str:
        for section in _children(system, "OperatingSystemSection"):
            number = _attribute(section, "id")
            return self._text(section, "OSType") or (OS_TYPES.get(int(number), "Other") if re.fullmatch(r"[0-9]{1,5}", number, re.ASCII) else "Other")
        return "Other"


def _needed_controllers(drives: list[ApplianceDrive], removable: list[Drive]) -> tuple[StorageController, ...]:
    needed = {drive.controller for drive in removable} | ({"ide"} if drives else set())
    return tuple(controller for name, controller in CONTROLLERS.items() if name in needed)


def write(appliance: Appliance) -> bytes:
    """Disks' `format_uri` may be left empty."""
    from ringone_config_xml.ovf_writing import envelope

    disks = tuple(attrs.evolve(disk, format_uri=disk.format_uri or FORMAT_URIS[disk.format]) for disk in appliance.disks)
    return envelope(attrs.evolve(appliance, disks=disks))
