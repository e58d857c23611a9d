"""The tree of snapshots, both ways: ``Snapshot`` elements, each with the hardware and drives of its time."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

import attrs
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.settings import MachineSettings, SnapshotRecord

from ringone_config_xml.document import Document, Element
from ringone_config_xml.editing import add, attach, change_attributes, copied, ensure, remove, set_text
from ringone_config_xml.media import RegisteredImage, bare_uuid
from ringone_config_xml.reading import read_machine
from ringone_config_xml.text import braced, checked_uuid, relative, time_of, time_text
from ringone_config_xml.writing import apply, own_extra_data

DEPTH_LIMIT = 250
KEPT = ("Hardware", "HardDiskAttachments", "StorageControllers", "Recording")
"""The elements that a snapshot has of its machine. Ours have ExtraData, too, for what VirtualBox has no element for."""
LONG_AGO = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def read_snapshots(document: Document, images: Mapping[str, RegisteredImage]) -> SnapshotRecord | None:
    elements = list(document.find_all(document.owner, "Snapshot"))
    if len(elements) > 1:
        document.problem(elements[1], "a second tree of snapshots; accepted is one <Snapshot> in <Machine>")
    return _read(document, images, elements[0], set(), 1) if elements else None


def _read(document: Document, images: Mapping[str, RegisteredImage], element: Element, seen: set[str], depth: int) -> SnapshotRecord:
    uuid = bare_uuid(document.text(element, "uuid"))
    if uuid in seen:
        document.problem(element, f"two snapshots have the UUID {{{uuid}}}; accepted is one of each UUID")
    seen.add(uuid)
    taken = time_of(document.text(element, "timeStamp"))
    if taken is None:
        document.problem(element, f"Snapshot timeStamp is {document.text(element, 'timeStamp')[:60]!r}; accepted: a time such as 2020-01-01T00:00:00Z")
    children = list(document.find_all(element, "Snapshots/Snapshot"))
    if depth == DEPTH_LIMIT and children:
        document.problem(children[0], f"snapshots are nested more than {DEPTH_LIMIT} deep; accepted are up to {DEPTH_LIMIT}")
        children = []
    state = document.text(element, "stateFile")
    description = document.find(element, "Description")
    return SnapshotRecord(
        uuid=uuid,
        name=document.text(element, "name"),
        taken=taken or LONG_AGO,
        config=read_machine(document.of_snapshot(element), images),
        description="" if description is None else str(description.xpath("string()")),
        state_file=document.folder / state if state else None,
        children=tuple(_read(document, images, child, seen, depth + 1) for child in children),
    )


# --- Writing -----------------------------------------------------------------------------------------------------------------------------------------------


def write_snapshots(document: Document, old: MachineSettings, new: MachineSettings) -> None:
    """Called while the machine's own hardware is still that of `old`, of which new snapshots get a copy."""
    if old.snapshot == new.snapshot:
        return
    _check(new)
    before = {record.uuid: record for record in old.snapshots()}
    elements = {bare_uuid(document.text(element, "uuid")): element for element in snapshot_elements(document)}
    kept = set()
    for record, parent in _with_parents(new.snapshot):
        holder = document.owner if parent is None else ensure(document, elements[parent.uuid], "Snapshots")
        element = elements.get(record.uuid)
        if element is None:
            element = elements[record.uuid] = _new(document, holder)
        elif element.getparent() is not holder:
            remove(element)
            attach(document, holder, element)
        kept.add(record.uuid)
        _write(document, element, before.get(record.uuid), old.config, record)
    for uuid in elements.keys() - kept:
        remove(elements[uuid])
    for element in list(snapshot_elements(document)):
        empty = document.find(element, "Snapshots")
        if empty is not None and not len(empty):
            remove(empty)


def snapshot_elements(document: Document) -> Iterator[Element]:
    waiting = list(document.find_all(document.owner, "Snapshot"))
    while waiting:
        element = waiting.pop()
        yield element
        waiting += document.find_all(element, "Snapshots/Snapshot")


def _with_parents(tree: SnapshotRecord | None) -> Iterator[tuple[SnapshotRecord, SnapshotRecord | None]]:
    waiting: list[tuple[SnapshotRecord, SnapshotRecord | None]] = [] if tree is None else [(tree, None)]
    while waiting:
        record, parent = waiting.pop()
        yield record, parent
        waiting += [(child, record) for child in reversed(record.children)]


def _check(settings: MachineSettings) -> None:
    depths: dict[str, int] = {}
    for record, parent in _with_parents(settings.snapshot):
        checked_uuid("snapshot", record.uuid)
        if record.uuid in depths:
            raise ConfigError(f"two snapshots have the UUID {{{record.uuid}}}; accepted is one of each UUID")
        depths[record.uuid] = 1 if parent is None else depths[parent.uuid] + 1
        if depths[record.uuid] > DEPTH_LIMIT:
            raise ConfigError(f"snapshot {record.name!r} would be nested more than {DEPTH_LIMIT} deep; accepted are up to {DEPTH_LIMIT}")


def _new(document: Document, holder: Element) -> Element:
    element = add(document, holder, "Snapshot")
    for name in KEPT:
        found = document.find(document.owner, name)
        if found is not None:
            attach(document, element, copied(found, element))
    own_extra_data(document.of_snapshot(element))
    return element


def _write(document: Document, element: Element, old: SnapshotRecord | None, machine: MachineConfig, new: SnapshotRecord) -> None:
    """`machine` is what a new snapshot's copy says."""
    if old is not None and attrs.evolve(old, children=()) == attrs.evolve(new, children=()):
        return
    change_attributes(document, element, {} if old is None else _attributes(document, old), _attributes(document, new))
    if (old.description if old else "") != new.description:
        set_text(document, ensure(document, element, "Description"), new.description)
    apply(document.of_snapshot(element), machine if old is None else old.config, new.config)


def _attributes(document: Document, record: SnapshotRecord) -> dict[str, str]:
    return {
        "uuid": braced(record.uuid),
        "name": record.name,
        "timeStamp": time_text(record.taken),
        "stateFile": "" if record.state_file is None else relative(record.state_file, document.folder),
    }


def bring_back(document: Document, uuid: str) -> None:
    """Make the machine's hardware, understood or not, a copy of a snapshot's."""
    element = next(found for found in snapshot_elements(document) if bare_uuid(document.text(found, "uuid")) == uuid)
    for name in KEPT:
        present, kept = document.find(document.owner, name), document.find(element, name)
        if present is not None:
            remove(present)
        if kept is not None:
            attach(document, document.owner, copied(kept, document.owner))
