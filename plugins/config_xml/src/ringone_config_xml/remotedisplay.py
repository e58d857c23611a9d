"""The remote display: ``Hardware/RemoteDisplay`` with its VRDE properties, both ways.

Before settings version 1.11 (VirtualBox 4.0) port and address are attributes; they are the properties ``TCP/Ports`` and ``TCP/Address`` since.
"""

from __future__ import annotations

from ringone.api.config import RemoteDisplay

from ringone_config_xml.document import Document, Element
from ringone_config_xml.editing import add, change_attributes, ensure, remove, set_attribute
from ringone_config_xml.text import flag_text, require_minor

PATH = "Hardware/RemoteDisplay"
PROPERTIES = "VRDEProperties"
PROPERTIES_MINOR = 11
QUIET_MINOR = 16
"""Before it, a remote display that does not say is on."""
OLD_ATTRIBUTES = {"TCP/Ports": "port", "TCP/Address": "netAddress"}
DEFAULTS = RemoteDisplay()


def read_remote_display(document: Document) -> RemoteDisplay:
    element = document.find(document.machine, PATH)
    if element is None:
        return DEFAULTS
    old = {name: document.text(element, attribute) for name, attribute in OLD_ATTRIBUTES.items() if element.get(attribute) is not None}
    found = {document.text(child, "name"): document.text(child, "value") for child in document.find_all(element, f"{PROPERTIES}/Property")}
    return RemoteDisplay(
        enabled=document.flag(element, "enabled", document.minor < QUIET_MINOR),
        auth_type=document.text(element, "authType", DEFAULTS.auth_type).strip().capitalize(),
        auth_timeout_ms=document.number(element, "authTimeout", DEFAULTS.auth_timeout_ms),
        allow_multi_connection=document.flag(element, "allowMultiConnection", False),
        reuse_single_connection=document.flag(element, "reuseSingleConnection", False),
        properties=old | found,
    )


def write_remote_display(document: Document, old: RemoteDisplay, new: RemoteDisplay) -> None:
    if old == new:
        return
    element = ensure(document, document.machine, PATH)
    before = _attributes(old)
    if element.get("enabled") is None:
        del before["enabled"]
    change_attributes(document, element, before, _attributes(new))
    for name in dict.fromkeys([*old.properties, *new.properties]):
        value = new.properties.get(name)
        if old.properties.get(name) != value:
            _write_property(document, element, name, value)


def _attributes(display: RemoteDisplay) -> dict[str, str]:
    return {
        "enabled": flag_text(display.enabled),
        "authType": display.auth_type,
        "authTimeout": str(display.auth_timeout_ms),
        "allowMultiConnection": flag_text(display.allow_multi_connection),
        "reuseSingleConnection": flag_text(display.reuse_single_connection),
    }


def _write_property(document: Document, element: Element, name: str, value: str | None) -> None:
    attribute = OLD_ATTRIBUTES.get(name) if document.minor < PROPERTIES_MINOR else None
    if attribute is not None:
        if value is None:
            element.attrib.pop(attribute, "")
        else:
            set_attribute(document, element, attribute, value)
        return
    found = next((child for child in document.find_all(element, f"{PROPERTIES}/Property") if document.text(child, "name") == name), None)
    if value is None:
        element.attrib.pop(OLD_ATTRIBUTES.get(name, ""), "")
        if found is not None:
            remove(found)
        return
    if found is None:
        require_minor(document, PROPERTIES_MINOR)
        found = add(document, ensure(document, element, PROPERTIES), "Property")
        set_attribute(document, found, "name", name)
    set_attribute(document, found, "value", value)
