"""What VirtualBox's files say of hardware that RingOne does not have: kept under VBoxManage's names, both ways."""

from __future__ import annotations

import re

from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError

from ringone_config_xml.document import Document, Element
from ringone_config_xml.editing import add, ensure, remove, set_attribute

ATTRIBUTES = {
    "ioapic": ("BIOS/IOAPIC", "enabled"),
    "biosapic": ("BIOS/APIC", "mode"),
    "bioslogofadein": ("BIOS/Logo", "fadeIn"),
    "bioslogofadeout": ("BIOS/Logo", "fadeOut"),
    "bioslogodisplaytime": ("BIOS/Logo", "displayTime"),
    "hpet": ("HPET", "enabled"),
    "pagefusion": ("Memory", "PageFusion"),
    "cpuexecutioncap": ("CPU", "executionCap"),
    "cpuid-portability-level": ("CPU", "CpuIdPortabilityLevel"),
    "longmode": ("CPU/LongMode", "enabled"),
    "apic": ("CPU/APIC", "enabled"),
    "x2apic": ("CPU/X2APIC", "enabled"),
    "nested-hw-virt": ("CPU/NestedHWVirt", "enabled"),
    "hwvirtex": ("CPU/HardwareVirtEx", "enabled"),
    "nestedpaging": ("CPU/HardwareVirtExNestedPaging", "enabled"),
    "largepages": ("CPU/HardwareVirtExLargePages", "enabled"),
    "vtxvpid": ("CPU/HardwareVirtExVPID", "enabled"),
    "vtxux": ("CPU/HardwareVirtExUX", "enabled"),
    "paravirtprovider": ("Paravirt", "provider"),
    "graphicscontroller": ("Display", "controller"),
    "monitorcount": ("Display", "monitorCount"),
    "accelerate3d": ("Display", "accelerate3D"),
    "accelerate2dvideo": ("Display", "accelerate2DVideo"),
    "hidpointing": ("HID", "Pointing"),
    "hidkeyboard": ("HID", "Keyboard"),
    "clipboard": ("Clipboard", "mode"),
    "draganddrop": ("DragAndDrop", "mode"),
    "guestmemoryballoon": ("Guest", "memoryBalloonSize"),
    "audio": ("AudioAdapter", "driver"),
    "audioenabled": ("AudioAdapter", "enabled"),
}
"""Name to path below Hardware and attribute."""
NIC_MODES = {
    "NAT": "nat",
    "BridgedInterface": "bridged",
    "HostOnlyInterface": "hostonly",
    "InternalNetwork": "intnet",
    "NATNetwork": "natnetwork",
    "GenericInterface": "generic",
}
NO_NETWORK = "null"
"""An adapter that is connected to nothing."""
NIC_ATTRIBUTES = {"macaddress": "MACAddress", "nictype": "type", "cableconnected": "cable"}
NIC_NAME = re.compile(rf"(nic|{'|'.join(NIC_ATTRIBUTES)})([1-8])")


def read_unmodelled(document: Document) -> dict[str, str]:
    hardware = document.find(document.machine, "Hardware")
    found = {}
    for name, (path, attribute) in ATTRIBUTES.items():
        element = document.find(hardware, path)
        if element is not None and element.get(attribute) is not None:
            found[name] = document.text(element, attribute)
    for slot, element in _adapters(document).items():
        if document.flag(element, "enabled", False):
            found[f"nic{slot + 1}"] = next((mode for name, mode in NIC_MODES.items() if document.find(element, name) is not None), NO_NETWORK)
        for name, attribute in NIC_ATTRIBUTES.items():
            if element.get(attribute) is not None:
                found[f"{name}{slot + 1}"] = document.text(element, attribute)
    return found


def _adapters(document: Document) -> dict[int, Element]:
    return {document.number(element, "slot"): element for element in document.find_all(document.machine, "Hardware/Network/Adapter")}


def write_unmodelled(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    for name in dict.fromkeys([*old.unmodelled, *new.unmodelled]):
        value = new.unmodelled.get(name)
        if old.unmodelled.get(name) == value:
            continue
        if name in ATTRIBUTES:
            path, attribute = ATTRIBUTES[name]
            _set(document, ensure(document, document.machine, f"Hardware/{path}"), attribute, value)
        elif adapter := NIC_NAME.fullmatch(name):
            _write_adapter(document, adapter[1], int(adapter[2]) - 1, value)
        else:
            raise ConfigError(f"{name[:60]!r} is no setting of a machine file; accepted: {', '.join(ATTRIBUTES)}, nic1 to nic8 and their settings")


def _set(document: Document, element: Element, attribute: str, value: str | None) -> None:
    if value is not None:
        set_attribute(document, element, attribute, value)
        return
    element.attrib.pop(attribute, "")
    if not element.attrib and not len(element):
        remove(element)


def _write_adapter(document: Document, name: str, slot: int, value: str | None) -> None:
    element = _adapters(document).get(slot)
    if element is None:
        element = add(document, ensure(document, document.machine, "Hardware/Network"), "Adapter")
        set_attribute(document, element, "slot", str(slot))
    if name in NIC_ATTRIBUTES:
        _set(document, element, NIC_ATTRIBUTES[name], value)
        return
    set_attribute(document, element, "enabled", "false" if value is None else "true")
    for child_name, mode in NIC_MODES.items():
        child = document.find(element, child_name)
        if mode == value and child is None:
            add(document, element, child_name)
        elif mode != value and child is not None:
            remove(child)
