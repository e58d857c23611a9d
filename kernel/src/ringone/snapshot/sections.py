"""One device's part of a saved state: its state object with the type and version that it was written by."""

from __future__ import annotations

from typing import Any

import attrs

from ringone.api.devices import Device, DeviceSpec
from ringone.api.errors import SnapshotError
from ringone.snapshot.codec import Json, dump, load


@attrs.frozen
class SectionData:
    """`kind` is the device type's name (or the kernel's own word for its sections), `state` what the codec made."""

    kind: str
    version: int
    state: Json


def save_device(component: str, spec: DeviceSpec, device: Device[Any]) -> SectionData:
    return SectionData(spec.name, spec.state_version, dump(device.save_state(), name=component))


def check_device_section(component: str, spec: DeviceSpec, section: SectionData) -> Any:
    """The state object of a section, without touching any device: a machine checks all sections before it loads the first."""
    if section.kind != spec.name:
        raise SnapshotError(f"{component}: saved by a {section.kind!r}, but this machine has a {spec.name!r} there")
    if section.version != spec.state_version:
        raise SnapshotError(f"{component}: saved state has version {section.version}; {spec.name!r} accepts version {spec.state_version}")
    return load(spec.state, section.state, name=component)


def load_device(component: str, device: Device[Any], state: Any) -> None:
    """Give a checked state to its device. What the device itself refuses (`ValueError` and the like) is a `SnapshotError` as well."""
    try:
        device.load_state(state)
    except SnapshotError:
        raise
    except Exception as error:
        raise SnapshotError(f"{component}: the device refuses its saved state: {error}") from error
