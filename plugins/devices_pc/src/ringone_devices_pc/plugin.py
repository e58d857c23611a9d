"""What devices_pc offers to RingOne. Imports nothing heavy: a chip's module is imported when the chips are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from ringone.api.hooks import hookimpl

if TYPE_CHECKING:
    from ringone.api.config import BoardSpec
    from ringone.api.devices import DeviceSpec

CHIPS: tuple[str, ...] = (
    "debug_port",
    "fw_cfg",
    "i440fx",
    "i8042",
    "i82077",
    "i8237",
    "i8254",
    "i8259",
    "mc146818",
    "ns16550",
    "piix3",
    "piix3_ide",
    "piix4_pm",
    "port92",
    "port_b",
    "post_port",
    "system_rom",
    "vga",
)
"""Folders of this package, one a chip, each exporting `SPEC`."""


@hookimpl
def ringone_device_types() -> Iterator[DeviceSpec]:
    for chip in CHIPS:
        yield import_module(f"ringone_devices_pc.{chip}").SPEC


@hookimpl
def ringone_boards() -> Iterator[BoardSpec]:
    from ringone_devices_pc.board import BOARD

    yield BOARD
