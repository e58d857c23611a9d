"""Media registries as `MediumRecord` trees, both ways: ``MediaRegistry`` of a machine file and of the home's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
from ringone.api.config import DriveKind
from ringone.api.errors import ConfigError, UnsupportedError
from ringone.api.settings import MediumRecord, MediumType

from ringone_config_xml.document import Document, Element, SettingsFile
from ringone_config_xml.editing import add, attach, change_attributes, ensure, remove, set_attribute, set_text
from ringone_config_xml.media import LISTS, OWN_REGISTRY_MINOR, TYPE_WORDS, bare_uuid, global_registry
from ringone_config_xml.storage import OLD_STORAGE_MINOR, attachments
from ringone_config_xml.text import braced, flag_text, relative, require_minor

KINDS = {"HardDisks": DriveKind.DISK, "DVDImages": DriveKind.CDROM, "FloppyImages": DriveKind.FLOPPY}
ITEMS = dict(LISTS)
LIST_NAMES = {kind: name for name, kind in KINDS.items()}


def read_registry(document: SettingsFile, element: Element | None) -> tuple[MediumRecord, ...]:
    """What stands in a ``MediaRegistry``."""
    seen: set[str] = set()
    return tuple(_record(document, found, KINDS[list_name], seen) for list_name, item in LISTS for found in document.find_all(element, f"{list_name}/{item}"))


def _record(document: SettingsFile, element: Element, kind: DriveKind, seen: set[str]) -> MediumRecord:
    uuid = bare_uuid(document.text(element, "uuid"))
    if uuid in seen:
        document.problem(element, f"two images have the UUID {{{uuid}}}; accepted is one of each UUID")
    seen.add(uuid)
    return MediumRecord(
        uuid=uuid,
        location=document.folder / document.text(element, "location", "."),
        kind=kind,
        format=document.text(element, "format", _default_format(kind)),
        type=TYPE_WORDS.get(document.text(element, "type").strip().lower(), MediumType.NORMAL),
        auto_reset=document.flag(element, "autoReset", False),
        description=_description(document, element),
        properties={document.text(found, "name"): document.text(found, "value") for found in document.find_all(element, "Property")},
        children=tuple(_record(document, child, kind, seen) for child in document.find_all(element, "HardDisk")),
    )


def _default_format(kind: DriveKind) -> str:
    return "VDI" if kind is DriveKind.DISK else "RAW"


def _description(document: SettingsFile, element: Element) -> str:
    found = document.find(element, "Description")
    return "" if found is None else str(found.xpath("string()"))


def read_machine_media(document: Document) -> tuple[MediumRecord, ...]:
    """A machine's own registry and, before it had one, those trees of the global one that it or a snapshot uses."""
    own = read_registry(document, document.find(document.owner, "MediaRegistry"))
    if document.minor >= OWN_REGISTRY_MINOR:
        return own
    views = [document, *(document.of_snapshot(element) for element in document.owner.iter(document.tag("Snapshot")))]
    used = {attachment.image_uuid for view in views for attachment in attachments(view)}
    known = {record.uuid for top in own for record in top.walk()}
    shared = global_registry(document)
    if shared is None:
        return own
    tops = read_registry(shared, shared.find(shared.home, "MediaRegistry"))
    return (*own, *(top for top in tops if used & {record.uuid for record in top.walk()} and top.uuid not in known))


# --- Writing -----------------------------------------------------------------------------------------------------------------------------------------------


def write_machine_media(document: Document, old: tuple[MediumRecord, ...], new: tuple[MediumRecord, ...]) -> None:
    if old == new:
        return
    if document.minor < OLD_STORAGE_MINOR:
        message = f"media of a machine file of settings version 1.{document.minor} cannot be changed"
        raise UnsupportedError(f"{message}; accepted: 1.{OLD_STORAGE_MINOR} and later")
    own = read_registry(document, document.find(document.owner, "MediaRegistry"))
    write_registry(document, document.owner, own, new)
    require_minor(document, OWN_REGISTRY_MINOR)
    _follow_uuids(document, old, new)


def _follow_uuids(document: Document, old: tuple[MediumRecord, ...], new: tuple[MediumRecord, ...]) -> None:
    """Drives name images by UUID: those of images that got another one follow, in snapshots, too."""
    before, after = ({(record.kind, record.location): record.uuid for record, _ in _with_parents(media)} for media in (old, new))
    changed = {uuid: after[place] for place, uuid in before.items() if after.get(place, uuid) != uuid}
    for element in document.owner.iter(document.tag("Image")) if changed else ():
        uuid = bare_uuid(document.text(element, "uuid"))
        parent = element.getparent()
        if uuid in changed and parent is not None and document.name(parent) == "AttachedDevice":
            set_attribute(document, element, "uuid", braced(changed[uuid]))


def write_registry(document: SettingsFile, holder: Element, old: tuple[MediumRecord, ...], new: tuple[MediumRecord, ...]) -> None:
    """Make the ``MediaRegistry`` of `holder`, which says `old`, say `new`."""
    _refuse_duplicates(new)
    before = {record.uuid: record for top in old for record in top.walk()}
    elements = {bare_uuid(document.text(element, "uuid")): element for element in _elements(document, holder)}
    kept = set()
    for record, parent in _with_parents(new):
        was = before.get(record.uuid)
        if was is not None and was.kind is not record.kind:
            remove(elements.pop(record.uuid))
            was = None
        element = elements.get(record.uuid)
        home = ensure(document, holder, f"MediaRegistry/{LIST_NAMES[record.kind]}") if parent is None else elements[parent.uuid]
        if element is None:
            element = elements[record.uuid] = add(document, home, _item(record))
        elif element.getparent() is not home:
            remove(element)
            attach(document, home, element)
        kept.add(record.uuid)
        _write_record(document, element, was, record)
    for uuid in elements.keys() - kept:
        remove(elements[uuid])


def _refuse_duplicates(media: tuple[MediumRecord, ...]) -> None:
    uuids: dict[str, MediumRecord] = {}
    locations: dict[tuple[DriveKind, Path], MediumRecord] = {}
    for record, _ in _with_parents(media):
        other = uuids.setdefault(record.uuid, record)
        if other is not record:
            raise ConfigError(f"{record.location} and {other.location} have the same UUID {{{record.uuid}}}; accepted is one image of each UUID")
        if locations.setdefault((record.kind, record.location), record) is not record:
            raise ConfigError(f"{record.location} is registered twice; accepted is once")


def _elements(document: SettingsFile, holder: Element) -> Iterator[Element]:
    registry = document.find(holder, "MediaRegistry")
    for list_name, item in LISTS:
        for found in document.find_all(registry, f"{list_name}/{item}"):
            yield from found.iter(document.tag(item))


def _with_parents(media: Iterable[MediumRecord]) -> Iterator[tuple[MediumRecord, MediumRecord | None]]:
    """Every record after the one that it stands on."""
    waiting: list[tuple[MediumRecord, MediumRecord | None]] = [(record, None) for record in reversed(tuple(media))]
    while waiting:
        record, parent = waiting.pop()
        yield record, parent
        waiting += [(child, record) for child in reversed(record.children)]


def _item(record: MediumRecord) -> str:
    return ITEMS[LIST_NAMES[record.kind]]


def _write_record(document: SettingsFile, element: Element, old: MediumRecord | None, new: MediumRecord) -> None:
    if old is not None and attrs.evolve(old, children=()) == attrs.evolve(new, children=()):
        return
    change_attributes(document, element, {} if old is None else _attributes(document, old), _attributes(document, new))
    if (old.description if old else "") != new.description:
        set_text(document, ensure(document, element, "Description"), new.description)
    _write_properties(document, element, {} if old is None else dict(old.properties), dict(new.properties))


def _attributes(document: SettingsFile, record: MediumRecord) -> dict[str, str]:
    attributes = {"uuid": braced(record.uuid), "location": relative(record.location, document.folder)}
    if record.kind is DriveKind.DISK:
        plain_child = record.type is MediumType.NORMAL and record.auto_reset
        attributes |= {"format": record.format, "type": "" if plain_child else record.type.value}
        attributes["autoReset"] = flag_text(True) if record.auto_reset else ""
    return attributes


def _write_properties(document: SettingsFile, element: Element, old: dict[str, str], new: dict[str, str]) -> None:
    found = {document.text(child, "name"): child for child in document.find_all(element, "Property")}
    for name in old.keys() - new.keys():
        remove(found[name])
    for name, value in new.items():
        if old.get(name) == value:
            continue
        child = found.get(name)
        if child is None:
            child = add(document, element, "Property")
            set_attribute(document, child, "name", name)
        set_attribute(document, child, "value", value)
