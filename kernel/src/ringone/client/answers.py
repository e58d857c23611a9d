"""What a machine answers, as frozen records."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from ringone.api.events import MachineState
from ringone.client.calls import Response

T = TypeVar("T")


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


@attrs.frozen(kw_only=True)
class MachineInfo:
    """`reason` is why the machine is in its state, `error` what aborted it. `virtual_ns` is the guest's time, `uptime_s` the process's."""

    name: str
    uuid: str
    os_type: str
    memory_bytes: int
    state: MachineState = attrs.field(converter=MachineState)
    reason: str
    error: str | None
    pid: int
    backend: str
    virtual_ns: int
    uptime_s: float


@attrs.frozen(kw_only=True)
class KeyboardInfo:
    """`leds` are ``scroll_lock``, ``num_lock`` and ``caps_lock``. `pending` bytes are not yet taken by the guest."""

    leds: Mapping[str, bool]
    pending: int


@attrs.frozen(kw_only=True)
class Match:
    """What was waited for. `groups` are a regular expression's. `start` and `end` are positions on a serial port, None elsewhere."""

    text: str
    groups: tuple[str | None, ...] = attrs.field(converter=tuple)
    start: int | None
    end: int | None
    virtual_ns: int


@attrs.frozen(kw_only=True)
class Cells:
    """A text screen. `rows` are untrimmed; `attributes` has two hexadecimal digits a cell: background and foreground, indices into `palette` (``#rrggbb``)."""

    columns: int
    rows: tuple[str, ...] = attrs.field(converter=tuple)
    attributes: tuple[str, ...] = attrs.field(converter=tuple)
    cursor: Mapping[str, int] | None
    palette: tuple[str, ...] = attrs.field(converter=tuple)


@attrs.frozen(kw_only=True)
class Snapshot:
    """`online`: it has the state of a running machine. `parent` is the UUID of the snapshot that it stands on. The machine's present state comes from the one
    that is `current`."""

    uuid: str
    name: str
    description: str
    taken: datetime.datetime = attrs.field(converter=_moment)
    online: bool
    parent: str | None
    current: bool


@attrs.frozen(kw_only=True)
class RemoteDisplayInfo:
    """`port` is -1 where it is not served, and `error` why not, where it is `enabled`. `clients` have ``address`` and ``user`` each; `clients_so_far` and the
    bytes, of all clients, count since it is served as it is. `properties` are VirtualBox's VRDE properties."""

    enabled: bool
    port: int
    address: str
    fingerprint: str
    error: str
    clients: tuple[Mapping[str, str], ...] = attrs.field(converter=tuple)
    clients_so_far: int
    sent_bytes: int
    received_bytes: int
    properties: Mapping[str, str]


@attrs.frozen(kw_only=True)
class RecordingInfo:
    """`recording` tells whether a video is made now, into `file`, and `error` why not, where it is `enabled`. Otherwise `file` is the one that is named, or ""
    for one beside the machine file."""

    enabled: bool
    recording: bool
    file: str
    width: int
    height: int
    fps: int
    error: str


@attrs.frozen(kw_only=True)
class Event:
    """`kind` is the name of a class of `ringone.api.events`, `fields` what it has."""

    kind: str
    fields: Mapping[str, Any]


def record(kind: type[T]) -> Callable[[Response], T]:
    """Reads an answer that is one `kind`; what it does not know is left out."""
    return lambda response: make(kind, response.json())


def make(kind: type[T], fields: Mapping[str, Any]) -> T:
    names = [attribute.name for attribute in attrs.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: fields[name] for name in names if name in fields})
