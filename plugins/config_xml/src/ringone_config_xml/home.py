"""``VirtualBox.xml``: what all machines of a home share, both ways."""

from __future__ import annotations

from collections.abc import Mapping

from ringone.api.errors import ConfigError
from ringone.api.settings import GlobalSettings, MachineEntry

from ringone_config_xml import schema
from ringone_config_xml.document import NAMESPACE, Element, HomeDocument
from ringone_config_xml.editing import add, ensure, remove, set_attribute
from ringone_config_xml.files import PLATFORM
from ringone_config_xml.media import bare_uuid
from ringone_config_xml.records import read_registry, write_registry
from ringone_config_xml.text import braced, relative

FRESH_HOME = f"""<VirtualBox xmlns="{NAMESPACE}" version="1.12-{PLATFORM}">
  <Global>
    <MachineRegistry/>
    <SystemProperties LogHistoryCount="3"/>
  </Global>
</VirtualBox>
""".encode()
MAX_LOGS = 100


def read_home(document: HomeDocument) -> GlobalSettings:
    schema.check(document)
    properties = document.find(document.home, "SystemProperties")
    folder = document.text(properties, "defaultMachineFolder")
    settings = GlobalSettings(
        machines=tuple(_read_machines(document)),
        media=read_registry(document, document.find(document.home, "MediaRegistry")),
        extra_data={document.text(element, "name"): document.text(element, "value") for element in _items(document)},
        default_machine_folder=document.folder / folder if folder else None,
        log_history_count=min(document.number(properties, "LogHistoryCount", GlobalSettings().log_history_count), MAX_LOGS),
    )
    document.raise_problems()
    return settings


def _machine_elements(document: HomeDocument) -> list[Element]:
    return list(document.find_all(document.home, "MachineRegistry/MachineEntry"))


def _read_machines(document: HomeDocument) -> list[MachineEntry]:
    machines: dict[str, MachineEntry] = {}
    for element in _machine_elements(document):
        uuid, source = bare_uuid(document.text(element, "uuid")), document.text(element, "src")
        if not uuid or not source:
            document.problem(element, "MachineEntry lacks the attribute uuid or src; accepted: the UUID and the path of a machine file")
        elif uuid in machines:
            document.problem(element, f"two machines have the UUID {{{uuid}}}; accepted is one of each UUID")
        else:
            machines[uuid] = MachineEntry(uuid=uuid, path=document.folder / source)
    return list(machines.values())


def _items(document: HomeDocument) -> list[Element]:
    return list(document.find_all(document.home, "ExtraData/ExtraDataItem"))


def write_home(document: HomeDocument, old: GlobalSettings, new: GlobalSettings) -> None:
    _write_machines(document, old, new)
    if old.media != new.media:
        write_registry(document, document.home, old.media, new.media)
    _write_extra_data(document, old.extra_data, new.extra_data)
    if old.default_machine_folder != new.default_machine_folder:
        properties = ensure(document, document.home, "SystemProperties")
        if new.default_machine_folder is None:
            properties.attrib.pop("defaultMachineFolder", "")
        else:
            set_attribute(document, properties, "defaultMachineFolder", str(new.default_machine_folder))
    if old.log_history_count != new.log_history_count:
        set_attribute(document, ensure(document, document.home, "SystemProperties"), "LogHistoryCount", str(new.log_history_count))


def _write_machines(document: HomeDocument, old: GlobalSettings, new: GlobalSettings) -> None:
    before = {entry.uuid: entry for entry in old.machines}
    after = {entry.uuid: entry for entry in new.machines}
    if len(after) < len(new.machines):
        raise ConfigError("two machines of the home have the same UUID; accepted is one of each UUID")
    elements = {bare_uuid(document.text(element, "uuid")): element for element in _machine_elements(document)}
    for uuid in before.keys() - after.keys():
        remove(elements[uuid])
    for uuid, entry in after.items():
        if before.get(uuid) == entry:
            continue
        element = elements.get(uuid)
        if element is None:
            element = add(document, ensure(document, document.home, "MachineRegistry"), "MachineEntry")
            set_attribute(document, element, "uuid", braced(uuid))
        set_attribute(document, element, "src", relative(entry.path, document.folder))


def _write_extra_data(document: HomeDocument, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    elements = {document.text(element, "name"): element for element in _items(document)}
    for name in old.keys() - new.keys():
        remove(elements[name])
    for name, value in new.items():
        if old.get(name) == value:
            continue
        element = elements.get(name)
        if element is None:
            element = add(document, ensure(document, document.home, "ExtraData"), "ExtraDataItem")
            set_attribute(document, element, "name", name)
        set_attribute(document, element, "value", value)
