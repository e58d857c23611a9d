"""Changes to an element tree that leave the rest as it was written, blanks and line breaks included."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from lxml import etree
from ringone.api.errors import ConfigError

from ringone_config_xml.document import Element, SettingsFile

INDENT = "  "
ORDER = {
    "Machine": ("MediaRegistry", "Description", "ExtraData", "Snapshot", "Hardware", "HardDiskAttachments", "StorageControllers", "Recording", "Groups"),
    "Hardware": (
        *(
            "CPU",
            "Memory",
            "Firmware",
            "HID",
            "HPET",
            "Chipset",
            "Paravirt",
            "Boot",
            "Display",
            "VideoCapture",
            "RemoteDisplay",
            "BIOS",
            "USB",
            "USBController",
        ),
        *("Network", "UART", "LPT", "AudioAdapter", "RTC", "SharedFolders", "Clipboard", "DragAndDrop", "IO", "HostPci", "EmulatedUSB", "Guest"),
        *("GuestProperties", "StorageControllers"),
    ),
    "Snapshot": ("Description", "ExtraData", "Hardware", "HardDiskAttachments", "StorageControllers", "Recording", "Snapshots"),
    "HardDisk": ("Description", "Property", "HardDisk"),
    "Global": (
        *("ExtraData", "MachineRegistry", "MediaRegistry", "DHCPServers", "NetserviceRegistry", "USBDeviceFilters", "USBDeviceSources", "SystemProperties"),
    ),
    "MediaRegistry": ("HardDisks", "DVDImages", "FloppyImages"),
}
"""In which order VirtualBox writes children. Others are added at the end."""


def ensure(document: SettingsFile, parent: Element, path: str) -> Element:
    """The element at `path`, made with its parents where it is missing."""
    for name in path.split("/"):
        child = document.find(parent, name)
        parent = add(document, parent, name) if child is None else child
    return parent


def add(document: SettingsFile, parent: Element, name: str) -> Element:
    return attach(document, parent, parent.makeelement(document.tag(name)))


def attach(document: SettingsFile, parent: Element, element: Element) -> Element:
    """Put an element that stands nowhere into `parent`, where VirtualBox would have it."""
    name = document.name(element)
    order = ORDER.get(document.name(parent), ())
    later = set(order[order.index(name) + 1 :]) if name in order else set()
    following = next((child for child in parent if isinstance(child.tag, str) and document.name(child) in later), None)
    depth = sum(1 for _ in parent.iterancestors()) + 1
    last = parent[-1] if len(parent) else None
    element.tail = None
    parent.append(element)
    if following is not None:
        element.tail = "\n" + INDENT * depth
        parent.insert(parent.index(following), element)
    elif last is not None:
        element.tail, last.tail = last.tail, "\n" + INDENT * depth
    else:
        parent.text = (parent.text or "").rstrip() + "\n" + INDENT * depth
        element.tail = "\n" + INDENT * (depth - 1)
    return element


def copied(element: Element, parent: Element) -> Element:
    """A copy to be attached to `parent`, with blanks as they would be there."""
    copy = deepcopy(element)
    copy.tail = None
    etree.indent(copy, INDENT, level=sum(1 for _ in parent.iterancestors()) + 1)
    return copy


def remove(element: Element) -> None:
    """Take an element out, and the blanks in front of it; text behind it stays."""
    parent = element.getparent()
    if parent is None:
        return
    tail, previous = element.tail or "", element.getprevious()
    parent.remove(element)
    if previous is not None:
        previous.tail = _joined(previous.tail, tail)
    elif len(parent):
        parent.text = _joined(parent.text, tail)
    else:
        parent.text = _joined(parent.text, tail).strip() or None


def _joined(before: str | None, after: str) -> str:
    return (before or "").rstrip() + after


def set_attribute(document: SettingsFile, element: Element, name: str, value: str) -> None:
    try:
        element.set(name, value)
    except ValueError as error:
        raise _unfit(f"{document.name(element)} {name}", value) from error


def change_attributes(document: SettingsFile, element: Element, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Write those that changed; "" stands for an attribute that is left out."""
    for name, value in new.items():
        if old.get(name, "") == value:
            continue
        if value:
            set_attribute(document, element, name, value)
        else:
            element.attrib.pop(name, "")


def set_text(document: SettingsFile, element: Element, text: str) -> None:
    for child in list(element):
        element.remove(child)
    try:
        element.text = text
    except ValueError as error:
        raise _unfit(document.name(element), text) from error


def _unfit(what: str, text: str) -> ConfigError:
    return ConfigError(f"{what} would be {text[:60]!r}, which XML cannot hold; accepted: text without control characters")
