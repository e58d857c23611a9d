"""What firmware offers to RingOne. Imports nothing heavy: parts are imported when they are created."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringone.api.devices import DeviceSpec
from ringone.api.firmware import FirmwareSpec
from ringone.api.hooks import hookimpl
from ringone.api.options import NoOptions

from ringone_firmware import flat, seabios
from ringone_firmware.builtin.spec import BIOS_SERVICES

if TYPE_CHECKING:
    from ringone.api.config import MachineConfig
    from ringone.api.firmware import FirmwareImage


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
    yield FirmwareSpec(name="builtin", summary="RingOne's own BIOS", options=NoOptions, preference=10, available=_always, load=_load_builtin)
    yield FirmwareSpec(name="rom", summary="any flat ROM image", options=flat.FlatOptions, preference=-1, available=flat.available, load=flat.load)
    yield FirmwareSpec(
        name="linux", summary="Linux and Multiboot kernels, without a BIOS", options=NoOptions, preference=0, available=_always, load=_load_linux
    )


@hookimpl
def ringone_device_types() -> Iterator[DeviceSpec]:
    yield BIOS_SERVICES


def _always(options: NoOptions) -> str:
    return ""


def _load_builtin(config: MachineConfig, options: NoOptions) -> FirmwareImage:
    from ringone_firmware.builtin.firmware import load

    return load(config, options)


def _load_linux(config: MachineConfig, options: NoOptions) -> FirmwareImage:
    from ringone_firmware.directboot.firmware import load

    return load(config, options)
