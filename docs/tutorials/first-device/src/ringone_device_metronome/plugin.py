"""What this distribution offers to RingOne."""

from __future__ import annotations

from collections.abc import Iterator

from ringone.api.devices import DeviceSpec
from ringone.api.hooks import hookimpl


@hookimpl
def ringone_device_types() -> Iterator[DeviceSpec]:
    from ringone_device_metronome.device import SPEC

    yield SPEC
