"""Storage controllers by name, with or without drives: ``StorageController``, both ways."""

from __future__ import annotations

from collections.abc import Iterator

from ringone.api.config import MachineConfig, StorageController
from ringone.api.errors import ConfigError, UnsupportedError

from ringone_config_xml.document import Document, Element
from ringone_config_xml.editing import add, ensure, remove, set_attribute
from ringone_config_xml.storage import OLD_STORAGE_MINOR, controller_elements

DEFAULT_PORTS = 2


def read_controllers(document: Document) -> tuple[StorageController, ...]:
    return tuple(_controllers(document))


def _controllers(document: Document) -> Iterator[StorageController]:
    seen = set()
    for element in controller_elements(document):
        name = document.text(element, "name")
        if name in seen:
            document.problem(element, f"two storage controllers are named {name[:60]!r}; accepted is one of each name")
        seen.add(name)
        yield StorageController(
            name=name,
            type=document.text(element, "type"),
            ports=document.number(element, "PortCount", DEFAULT_PORTS),
            bootable=document.flag(element, "Bootable", True),
            host_io_cache=document.flag(element, "useHostIOCache", True),
        )


def write_controllers(document: Document, old: MachineConfig, new: MachineConfig) -> None:
    before = {controller.name: controller for controller in old.storage_controllers}
    after = {controller.name: controller for controller in new.storage_controllers}
    if before == after:
        return
    if len(after) < len(new.storage_controllers):
        raise ConfigError("two storage controllers have the same name; accepted is one of each name")
    if document.minor < OLD_STORAGE_MINOR:
        message = f"storage controllers of a machine file of settings version 1.{document.minor} cannot be changed"
        raise UnsupportedError(f"{message}; accepted: 1.{OLD_STORAGE_MINOR} and later")
    elements = {document.text(element, "name"): element for element in controller_elements(document)}
    renamed = _renamed(old.storage_controllers, new.storage_controllers)
    for name in before.keys() - after.keys() - set(renamed.values()):
        remove(elements[name])
    for name, controller in after.items():
        known_as = renamed.get(name, name)
        if before.get(known_as) != controller:
            _write(document, elements.get(known_as), before.get(known_as), controller)


def _renamed(old: tuple[StorageController, ...], new: tuple[StorageController, ...]) -> dict[str, str]:
    """New name to old one: a controller in the place of one of its chip that is not there any more."""
    before, after = {controller.name for controller in old}, {controller.name for controller in new}
    pairs = zip(old, new, strict=False)
    return {one.name: was.name for was, one in pairs if was.name not in after and one.name not in before and was.type == one.type}


def new_controller(document: Document) -> Element:
    in_hardware = document.find(document.machine, "Hardware/StorageControllers") is not None
    parent = ensure(document, document.machine, "Hardware/StorageControllers" if in_hardware else "StorageControllers")
    return add(document, parent, "StorageController")


def _attributes(controller: StorageController) -> dict[str, str]:
    return {
        "name": controller.name,
        "type": controller.type,
        "PortCount": str(controller.ports),
        "useHostIOCache": "true" if controller.host_io_cache else "false",
        "Bootable": "true" if controller.bootable else "false",
    }


def _write(document: Document, element: Element | None, old: StorageController | None, new: StorageController) -> None:
    if element is None:
        element = new_controller(document)
    was = {} if old is None else _attributes(old)
    for name, value in _attributes(new).items():
        if was.get(name) != value:
            set_attribute(document, element, name, value)
