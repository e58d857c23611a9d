"""The tree of snapshots: finding, naming, and what taking, restoring and deleting one makes of a machine's settings. Pure functions; VirtualBox's rules.

The images of a snapshot are never written again: the machine goes on with differencing images that stand on them.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs

from ringone.api.errors import ConfigError, StateError, UnknownNameError
from ringone.api.media import AccessMode
from ringone.api.settings import MachineSettings, MediumRecord, SnapshotRecord
from ringone.home.disks import (
    LEFT_ALONE,
    OWN_DIFFERENCES,
    Change,
    Differences,
    disks,
    kept_by_snapshots,
    lineage,
    record_of,
    rewritten,
    users,
    with_chains,
    with_configs,
    with_images,
    without,
    without_unused_differences,
)

DEPTH_LIMIT = 250
"""Deeper trees cannot be read back (VirtualBox's limit)."""
NAME_LIMIT = 1024
DESCRIPTION_LIMIT = 1 << 20


@attrs.frozen(kw_only=True)
class Dissolution:
    """An image that nobody needs as it is any more: it and the only one that stands on it become one."""

    parent: Path
    child: Path


# --- finding and naming


def find_snapshot(settings: MachineSettings, wanted: str) -> SnapshotRecord:
    """By UUID, or by name where only one has it."""
    snapshots = list(settings.snapshots())
    identity = wanted.strip().strip("{}").lower()
    found = [snapshot for snapshot in snapshots if snapshot.uuid == identity] or [snapshot for snapshot in snapshots if snapshot.name == wanted]
    if not found:
        raise UnknownNameError("snapshot", wanted, [snapshot.name for snapshot in snapshots])
    if len(found) > 1:
        raise AmbiguousSnapshotError(wanted, [snapshot.uuid for snapshot in found])
    return found[0]


class AmbiguousSnapshotError(UnknownNameError):
    """Several snapshots have the name; their UUIDs are in the message."""

    def __init__(self, name: str, uuids: list[str]) -> None:
        super().__init__("snapshot", name, uuids)
        self.args = (f"{len(uuids)} snapshots are named {name!r}; give one's UUID: {', '.join(uuids)}",)


def current_snapshot(settings: MachineSettings) -> SnapshotRecord:
    if not settings.current_snapshot:
        raise StateError(f"{settings.config.name!r} has no current snapshot")
    return find_snapshot(settings, settings.current_snapshot)


def parent_of(settings: MachineSettings, snapshot: SnapshotRecord) -> SnapshotRecord | None:
    return next((other for other in settings.snapshots() if snapshot.uuid in {child.uuid for child in other.children}), None)


def check_texts(name: str, description: str = "") -> None:
    """Names and descriptions are kept in machine files: text without control characters, of a bounded length."""
    for what, text, limit, allowed in (("name", name, NAME_LIMIT, ""), ("description", description, DESCRIPTION_LIMIT, "\t\n\r")):
        wrong = next((char for char in text if char not in allowed and (ord(char) < 0x20 or 0xD800 <= ord(char) < 0xE000 or ord(char) in (0xFFFE, 0xFFFF))), "")
        if wrong:
            raise ConfigError(f"a snapshot's {what} cannot have the character U+{ord(wrong):04X}; accepted is text without control characters")
        if len(text) > limit:
            raise ConfigError(f"a snapshot's {what} has {len(text)} characters; accepted: up to {limit}")
    if not name:
        raise ConfigError("a snapshot needs a name of at least one character")


# --- taking


def take(settings: MachineSettings, record: SnapshotRecord, folder: Path) -> Change:
    """Add `record`, which gets the machine's description, below the current snapshot; the machine's disks go on with images in `folder`."""
    depth = _depth(settings.snapshot, settings.current_snapshot)
    if depth >= DEPTH_LIMIT:
        raise StateError(f"the snapshot tree of {settings.config.name!r} is {depth} deep already; accepted: up to {DEPTH_LIMIT}")
    differences = Differences(settings, folder)
    for drive, image in disks(settings.config):
        if kept_by_snapshots(settings, drive, image):
            differences.stand_on(image)
    record = attrs.evolve(record, config=settings.config, children=())
    tree = record if settings.snapshot is None else replaced(settings.snapshot, settings.current_snapshot, lambda parent: (with_branch(parent, record),))[0]
    return differences.change(attrs.evolve(settings, snapshot=tree, current_snapshot=record.uuid, current_state_modified=False))


def new_record(settings: MachineSettings, name: str, description: str, state_file: Path | None) -> SnapshotRecord:
    check_texts(name, description)
    return SnapshotRecord(
        uuid=str(uuid.uuid4()),
        name=name,
        description=description,
        taken=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        config=settings.config,
        state_file=state_file,
    )


def on_differences(settings: MachineSettings, change: Change) -> MachineSettings:
    """`settings` with the registry and disks of `change`, but without its snapshot: the same machine on longer chains."""
    return with_chains(attrs.evolve(settings, media=change.settings.media, config=with_images(settings.config, _new_images(change))))


def _new_images(change: Change) -> dict[Path, Path]:
    return {new.parent: new.path for new in change.create if new.parent is not None}


def with_branch(parent: SnapshotRecord, child: SnapshotRecord) -> SnapshotRecord:
    return attrs.evolve(parent, children=(*parent.children, child))


def replaced(tree: SnapshotRecord, uuid: str, change: Callable[[SnapshotRecord], tuple[SnapshotRecord, ...]]) -> tuple[SnapshotRecord, ...]:
    """The tree with `change` of one snapshot in its place."""
    if tree.uuid == uuid:
        return change(tree)
    children: list[SnapshotRecord] = []
    for child in tree.children:
        children += replaced(child, uuid, change)
    return (attrs.evolve(tree, children=tuple(children)),)


def _depth(tree: SnapshotRecord | None, uuid: str) -> int:
    """Of the snapshot in the tree, the root being 1; 0 where it is not there."""
    level, depth = [] if tree is None else [tree], 1
    while level:
        if any(snapshot.uuid == uuid for snapshot in level):
            return depth
        level, depth = [child for snapshot in level for child in snapshot.children], depth + 1
    return 0


# --- restoring


def restore(settings: MachineSettings, snapshot: SnapshotRecord, folder: Path) -> Change:
    """The machine as `snapshot` keeps it, on fresh images in `folder`; what it is called and what is noted about it stays."""
    before = [image for _, image in disks(settings.config)]
    differences = Differences(settings, folder)
    for drive, image in disks(snapshot.config):
        record_of(settings.media, image)
        if kept_by_snapshots(settings, drive, image):
            differences.stand_on(image)
    present = settings.config
    config = attrs.evolve(
        snapshot.config, name=present.name, uuid=present.uuid, description=present.description, extra_data=present.extra_data, source=present.source
    )
    change = differences.change(
        attrs.evolve(
            settings,
            config=config,
            current_snapshot=snapshot.uuid,
            current_state_modified=False,
            state_file=snapshot.state_file,
            aborted=False,
        )
    )
    return attrs.evolve(change, settings=without_unused_differences(change.settings, before))


# --- deleting


def delete(settings: MachineSettings, snapshot: SnapshotRecord) -> tuple[MachineSettings, tuple[Dissolution, ...]]:
    """Forget `snapshot`: the settings without it, whose chains are still as long, and the images to be dissolved then."""
    children = snapshot.children
    if len(children) > 1:
        raise StateError(f"snapshot {snapshot.name!r} has {len(children)} snapshots that stand on it; only one that has at most one can be deleted")
    if children and settings.current_snapshot == snapshot.uuid:
        raise StateError(f"snapshot {snapshot.name!r} is the current one and {children[0].name!r} stands on it too; restore another one or delete that first")
    assert settings.snapshot is not None
    above = parent_of(settings, snapshot)
    tree = replaced(settings.snapshot, snapshot.uuid, lambda found: found.children)
    current = settings.current_snapshot
    if current == snapshot.uuid:
        current = above.uuid if above is not None else ""
    after = attrs.evolve(settings, snapshot=tree[0] if tree else None, current_snapshot=current)
    images = [image for drive, image in disks(snapshot.config) if drive.mode is AccessMode.PERSISTENT and lineage(settings.media, image)]
    after = with_chains(without_unused_differences(after, images))
    return after, tuple(found for image in images if (found := _dissolution(after, snapshot, image)) is not None)


def _dissolution(settings: MachineSettings, snapshot: SnapshotRecord, image: Path) -> Dissolution | None:
    chain = lineage(settings.media, image)
    if not chain or chain[0].type in OWN_DIFFERENCES | LEFT_ALONE or users(settings, image) or not chain[0].children:
        return None
    if len(chain[0].children) > 1:
        others = ", ".join(str(child.location) for child in chain[0].children)
        raise StateError(f"{image} of snapshot {snapshot.name!r} has {len(chain[0].children)} images that stand on it ({others}); accepted is one")
    return Dissolution(parent=image, child=chain[0].children[0].location)


def forgotten_child(settings: MachineSettings, dissolved: Dissolution) -> MachineSettings:
    """After the child was written into its parent, which takes its place."""
    child = record_of(settings.media, dissolved.child)

    def in_place_of_child(record: MediumRecord) -> tuple[MediumRecord, ...]:
        return (attrs.evolve(record, auto_reset=child.auto_reset) if record.location == dissolved.parent else record,)

    media = rewritten(without(settings.media, dissolved.child), in_place_of_child)
    images = {dissolved.child: dissolved.parent}
    return with_chains(with_configs(attrs.evolve(settings, media=media), lambda config: with_images(config, images)))


def forgotten_parent(settings: MachineSettings, dissolved: Dissolution) -> MachineSettings:
    """After the child took over what its parent held."""
    return with_chains(attrs.evolve(settings, media=without(settings.media, dissolved.parent)))


# --- editing


def edit(settings: MachineSettings, snapshot: SnapshotRecord, name: str | None, description: str | None) -> tuple[MachineSettings, SnapshotRecord]:
    edited = attrs.evolve(
        snapshot,
        name=snapshot.name if name is None else name,
        description=snapshot.description if description is None else description,
    )
    check_texts(edited.name, edited.description)
    assert settings.snapshot is not None
    return attrs.evolve(settings, snapshot=replaced(settings.snapshot, snapshot.uuid, lambda _: (edited,))[0]), edited
