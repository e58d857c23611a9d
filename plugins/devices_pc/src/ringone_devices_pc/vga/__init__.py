"""VGA with the Bochs VBE extensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.vga.config import VgaOptions
from ringone_devices_pc.vga.state import VgaState

if TYPE_CHECKING:
    from ringone.api.devices import DeviceContext

    from ringone_devices_pc.vga.device import Vga


def _create(context: DeviceContext, options: VgaOptions) -> Vga:
    from ringone_devices_pc.vga.device import Vga

    return Vga(context, options)


SPEC = DeviceSpec(
    name="vga",
    summary="VGA with Bochs VBE extensions, on PCI or ISA",
    options=VgaOptions,
    state=VgaState,
    create=_create,
    interfaces=("display",),
    links=("pci",),
)
