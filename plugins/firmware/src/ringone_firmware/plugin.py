"""What firmware offers to RingOne. Imports nothing heavy: parts are imported when they are created."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringone.api.firmware import FirmwareSpec
from ringone.api.hooks import hookimpl

from ringone_firmware import seabios
from ringone_firmware.directboot import firmware

if TYPE_CHECKING:
    pass


@hookimpl
def ringone_firmwares() -> Iterator[FirmwareSpec]:
    yield FirmwareSpec(
        name="seabios",
        summary="SeaBIOS with the standard VGA BIOS, from the host's installation",
        options=seabios.SeabiosOptions,
        preference=100,
        available=seabios.available,
        load=seabios.load,
    )
    yield FirmwareSpec(
        name="linux",
        summary="enters a Linux or Multiboot kernel without a BIOS",
        options=firmware.DirectBootOptions,
        preference=0,
        available=firmware.available,
        load=firmware.load,
    )
