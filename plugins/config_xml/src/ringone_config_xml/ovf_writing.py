"""An OVF 1.0 envelope with the sections that VirtualBox writes."""

from __future__ import annotations

from typing import Any, cast

from lxml import etree
from ringone.api.appliance import Appliance, ApplianceDisk, ApplianceSystem
from ringone.api.config import DriveKind

from ringone_config_xml.document import NAMESPACE as SETTINGS
from ringone_config_xml.document import Element

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
VBOX = f"{SETTINGS}ovf/machine"
XML = "http://www.w3.org/XML/1998/namespace"
NAMESPACES = {None: OVF, "ovf": OVF, "rasd": RASD, "vssd": VSSD, "vbox": VBOX}
OTHER_OS = "1"
MIB = 1 << 20
CHANNELS = 2


def envelope(appliance: Appliance) -> bytes:
    root = etree.Element(f"{{{OVF}}}Envelope", nsmap=cast("Any", NAMESPACES))
    root.set(f"{{{OVF}}}version", "1.0")
    root.set(f"{{{XML}}}lang", "en-US")
    references = _add(root, "References")
    section = _add(root, "DiskSection")
    _add(section, "Info", "List of the virtual disks used in the package")
    for number, disk in enumerate(appliance.disks, 1):
        _write_disk(references, section, disk, f"file{number}")
    for system in appliance.systems:
        _write_system(root, system)
    etree.indent(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _add(parent: Element, name: str, text: str = "", namespace: str = OVF, **attributes: str) -> Element:
    element = etree.SubElement(parent, f"{{{namespace}}}{name}")
    element.text = text or None
    for key, value in attributes.items():
        element.set(f"{{{OVF}}}{key}", value)
    return element


def _write_disk(references: Element, section: Element, disk: ApplianceDisk, file: str) -> None:
    _add(references, "File", id=file, href=disk.file, size=str(disk.file_bytes or 0))
    element = _add(section, "Disk", capacity=str(disk.capacity_bytes), diskId=disk.id, fileRef=file, format=disk.format_uri)
    if disk.uuid:
        element.set(f"{{{VBOX}}}uuid", disk.uuid)


def _write_system(root: Element, system: ApplianceSystem) -> None:
    config = system.config
    element = _add(root, "VirtualSystem", id=config.name)
    _add(element, "Info", "A virtual machine")
    if config.description:
        annotation = _add(element, "AnnotationSection")
        _add(annotation, "Info", "A human-readable annotation")
        _add(annotation, "Annotation", config.description)
    guest = _add(element, "OperatingSystemSection", id=OTHER_OS)
    _add(guest, "Info", "The kind of installed guest operating system")
    _add(guest, "Description", config.os_type)
    _add(guest, "OSType", config.os_type, VBOX, required="false")
    hardware = _add(element, "VirtualHardwareSection")
    _add(hardware, "Info", "Virtual hardware requirements for a virtual machine")
    family = _add(hardware, "System")
    for name, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", config.name),
        ("VirtualSystemType", "virtualbox-2.2"),
    ):
        _add(family, name, text, VSSD)
    _Items(hardware).write(system)


class _Items:
    """Hardware items, numbered as they are written. Elements stand in the order of their names, as the schema wants it."""

    def __init__(self, hardware: Element) -> None:
        self._hardware = hardware
        self._count = 0

    def write(self, system: ApplianceSystem) -> None:
        config = system.config
        self._item("3", "1 virtual CPU", VirtualQuantity="1", Description="Number of virtual CPUs")
        megabytes = str(config.memory_bytes // MIB)
        self._item("4", f"{megabytes} MB of memory", VirtualQuantity=megabytes, AllocationUnits="MegaBytes", Description="Memory Size")
        channels = [self._item("5", f"ideController{channel}", Address=str(channel), ResourceSubType="PIIX4") for channel in range(CHANNELS)]
        for drive in config.drives:
            if drive.kind is DriveKind.CDROM:
                self._item("15", "CD-ROM", AddressOnParent=str(drive.device), AutomaticAllocation="true", Parent=channels[drive.port])
            elif drive.kind is DriveKind.FLOPPY:
                self._item("14", f"floppy{drive.device}", AddressOnParent=str(drive.device), AutomaticAllocation="false")
        for number, disk in enumerate(system.drives, 1):
            self._item("17", f"disk{number}", AddressOnParent=str(disk.device), HostResource=f"/disk/{disk.disk}", Parent=channels[disk.port])

    def _item(self, type: str, caption: str, **fields: str) -> str:
        self._count += 1
        instance = str(self._count)
        item = _add(self._hardware, "Item")
        for name, text in sorted({"Caption": caption, "ElementName": caption, "InstanceID": instance, "ResourceType": type, **fields}.items()):
            _add(item, name, text, RASD)
        return instance
