"""The service chip's specification."""

from __future__ import annotations

from ringone.api.devices import Device, DeviceContext, DeviceSpec

from ringone_firmware.builtin.config import BiosServicesOptions
from ringone_firmware.builtin.state import BiosState


def _create(context: DeviceContext, options: BiosServicesOptions) -> Device[BiosState]:
    from ringone_firmware.builtin.device import BiosServices

    return BiosServices(context, options)


BIOS_SERVICES = DeviceSpec(
    name="bios_services",
    summary="answers the built-in BIOS's calls",
    options=BiosServicesOptions,
    state=BiosState,
    create=_create,
    slots=("floppy*", "disk*", "cd*"),
)
