"""What a machine tells its observers. Frozen, delivered on the machine's thread in order."""

from __future__ import annotations

import enum

import attrs


class MachineState(enum.Enum):
    """VirtualBox's words. A machine is created powered off; `STUCK` is a processor in shutdown that is not reset; `ABORTED` ended by a plugin's error."""

    POWERED_OFF = "poweroff"
    RUNNING = "running"
    PAUSED = "paused"
    STUCK = "gurumeditation"
    ABORTED = "aborted"


@attrs.frozen
class StateChanged:
    old: MachineState
    new: MachineState
    reason: str = ""


@attrs.frozen
class MachineReset:
    cause: str


@attrs.frozen
class StateSaved:
    virtual_ns: int


@attrs.frozen
class StateRestored:
    virtual_ns: int


@attrs.frozen
class SnapshotTaken:
    uuid: str
    name: str


@attrs.frozen
class SnapshotDeleted:
    uuid: str
    name: str


@attrs.frozen
class SnapshotRestored:
    """The running machine was put back in place."""

    uuid: str
    name: str


@attrs.frozen
class SnapshotChanged:
    """It has another name or description."""

    uuid: str
    name: str


@attrs.frozen
class MediumFull:
    """The host ran out of room for `component`'s image; the machine has paused."""

    component: str
    message: str


@attrs.frozen
class ObserverFailed:
    observer: str
    message: str
