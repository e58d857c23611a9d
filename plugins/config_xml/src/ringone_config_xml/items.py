"""Items ``RingOne/...`` one by one: what a machine has and VirtualBox's format has no element for, read and set as ``setextradata`` does."""

from __future__ import annotations

from pathlib import Path

import attrs
from ringone.api.config import MachineConfig

from ringone_config_xml.document import Document
from ringone_config_xml.editing import add, ensure, remove, set_attribute
from ringone_config_xml.extradata import PREFIX, item_elements, items_of
from ringone_config_xml.reading import read_alone
from ringone_config_xml.vbox import fresh_machine
from ringone_config_xml.writing import apply

FIELDS = ("board", "cpu", "clock", "firmware", "linux", "serial_ports", "debug_console", "devices", "wires", "links", "drivers")
"""What items say of a machine, drives apart."""


def own_items(config: MachineConfig) -> dict[str, str]:
    return {PREFIX + name: value for name, value in items_of(config).items()}


def with_own_item(config: MachineConfig, name: str, value: str) -> MachineConfig:
    """The machine as a file with that item describes it; an empty value takes the item away. Raises `ConfigError` for what no machine file may have."""
    document = Document(config.source or Path("machine.vbox"), fresh_machine())
    apply(document, read_alone(document), config)
    elements = [element for element in item_elements(document) if document.text(element, "name") == name]
    if not value:
        for element in elements:
            remove(element)
    else:
        element = elements[0] if elements else add(document, ensure(document, document.machine, "ExtraData"), "ExtraDataItem")
        set_attribute(document, element, "name", name)
        set_attribute(document, element, "value", value)
    changed = read_alone(document)
    said = {(drive.controller, drive.port, drive.device): drive for drive in changed.drives}
    drives = []
    for drive in config.drives:
        other = said.get((drive.controller, drive.port, drive.device), drive)
        drives.append(attrs.evolve(drive, mode=other.mode, serial=other.serial))
    return attrs.evolve(config, drives=tuple(drives), **{field: getattr(changed, field) for field in FIELDS})
