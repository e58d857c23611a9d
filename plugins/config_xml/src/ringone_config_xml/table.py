"""Lists of a machine file that are written anew where they change: groups and guest properties."""

from __future__ import annotations

from collections.abc import Sequence

from ringone.api.settings import GuestProperty

from ringone_config_xml.document import Document, Element
from ringone_config_xml.editing import add, ensure, remove, set_attribute

ROOT_GROUP = "/"
PROPERTIES = "Hardware/GuestProperties"


def read_groups(document: Document) -> tuple[str, ...]:
    return tuple(document.text(element, "name") for element in document.find_all(document.owner, "Groups/Group")) or (ROOT_GROUP,)


def write_groups(document: Document, old: Sequence[str], new: Sequence[str]) -> None:
    if tuple(old) == tuple(new):
        return
    present = document.find(document.owner, "Groups")
    if present is not None:
        remove(present)
    if tuple(new) not in ((), (ROOT_GROUP,)):
        groups = ensure(document, document.owner, "Groups")
        for name in new:
            set_attribute(document, add(document, groups, "Group"), "name", name)


def read_guest_properties(document: Document) -> tuple[GuestProperty, ...]:
    return tuple(
        GuestProperty(
            name=document.text(element, "name"),
            value=document.text(element, "value"),
            timestamp_ns=document.number(element, "timestamp"),
            flags=document.text(element, "flags"),
        )
        for element in document.find_all(document.owner, f"{PROPERTIES}/GuestProperty")
    )


def write_guest_properties(document: Document, old: Sequence[GuestProperty], new: Sequence[GuestProperty]) -> None:
    if tuple(old) == tuple(new):
        return
    elements = {document.text(element, "name"): element for element in document.find_all(document.owner, f"{PROPERTIES}/GuestProperty")}
    before = {found.name: found for found in old}
    wanted = {found.name: found for found in new}
    for name in elements.keys() - wanted.keys():
        remove(elements[name])
    for name, found in wanted.items():
        if before.get(name) != found:
            _write(document, elements.get(name), found)
    holder = document.find(document.owner, PROPERTIES)
    if holder is not None and not len(holder):
        remove(holder)


def _write(document: Document, element: Element | None, found: GuestProperty) -> None:
    if element is None:
        element = add(document, ensure(document, document.owner, PROPERTIES), "GuestProperty")
    for name, value in {"name": found.name, "value": found.value, "timestamp": str(found.timestamp_ns), "flags": found.flags}.items():
        set_attribute(document, element, name, value)
