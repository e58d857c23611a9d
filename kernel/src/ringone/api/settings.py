"""What is kept about machines on disk besides their description: snapshots, media, saved states, and what all machines of a home share.

The words are VirtualBox's. Formats of these files are plugins (`ConfigLoaderSpec`); who reads and writes them, and when, is `ringone.home`.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from ringone.api.config import DriveKind, MachineConfig


class MediumType(enum.Enum):
    """How a registered disk behaves under snapshots and at power-on."""

    NORMAL = "Normal"
    IMMUTABLE = "Immutable"
    """Writes go to a differencing image that is emptied at every power-on."""
    WRITETHROUGH = "Writethrough"
    """Snapshots leave it alone."""
    SHAREABLE = "Shareable"
    READONLY = "Readonly"
    MULTIATTACH = "MultiAttach"
    """Every machine that it is attached to writes to a differencing image of its own."""


@attrs.frozen(kw_only=True)
class MediumRecord:
    """An image in a media registry. `location` is absolute; `children` are its differencing images; `auto_reset` marks one that is emptied at power-on."""

    uuid: str
    location: Path
    kind: DriveKind
    format: str = "VDI"
    type: MediumType = MediumType.NORMAL
    auto_reset: bool = False
    description: str = ""
    properties: Mapping[str, str] = attrs.field(factory=dict)
    children: tuple[MediumRecord, ...] = ()

    def walk(self) -> Iterator[MediumRecord]:
        """This one and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@attrs.frozen(kw_only=True)
class SnapshotRecord:
    """A snapshot. `config` is the machine as it was, drives on the images that the snapshot keeps; `state_file` is None for one of a powered-off machine."""

    uuid: str
    name: str
    taken: datetime.datetime
    config: MachineConfig
    description: str = ""
    state_file: Path | None = None
    children: tuple[SnapshotRecord, ...] = ()

    def walk(self) -> Iterator[SnapshotRecord]:
        yield self
        for child in self.children:
            yield from child.walk()


@attrs.frozen(kw_only=True)
class GuestProperty:
    name: str
    value: str
    timestamp_ns: int
    flags: str = ""


@attrs.frozen(kw_only=True)
class MachineSettings:
    """A machine file as a whole. `snapshot` is the root of the tree, `current_snapshot` the UUID of the one that the present state comes from ("" without)."""

    config: MachineConfig
    media: tuple[MediumRecord, ...] = ()
    snapshot: SnapshotRecord | None = None
    current_snapshot: str = ""
    current_state_modified: bool = True
    state_file: Path | None = None
    aborted: bool = False
    last_state_change: datetime.datetime | None = None
    snapshot_folder: Path | None = None
    """None: ``Snapshots`` beside the machine file."""
    groups: tuple[str, ...] = ("/",)
    guest_properties: tuple[GuestProperty, ...] = ()
    refusals: tuple[str, ...] = ()
    """What the file describes and RingOne cannot run, each with its place: the machine can be shown and changed, not started. Never saved."""

    def snapshots(self) -> Iterator[SnapshotRecord]:
        if self.snapshot is not None:
            yield from self.snapshot.walk()


@attrs.frozen(kw_only=True)
class MachineEntry:
    uuid: str
    path: Path


@attrs.frozen(kw_only=True)
class GlobalSettings:
    """What all machines of a home share: VirtualBox.xml. Folders are None where the default holds."""

    machines: tuple[MachineEntry, ...] = ()
    media: tuple[MediumRecord, ...] = ()
    extra_data: Mapping[str, str] = attrs.field(factory=dict)
    default_machine_folder: Path | None = None
    log_history_count: int = 3
