"""PIIX3 IDE: two channels, their disks and CD-ROM drives, bus-master DMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.piix3_ide.config import Piix3IdeOptions
from ringone_devices_pc.piix3_ide.state import Piix3IdeState

if TYPE_CHECKING:
    from ringone.api.devices import DeviceContext

    from ringone_devices_pc.piix3_ide.device import Piix3Ide


def _create(context: DeviceContext, options: Piix3IdeOptions) -> Piix3Ide:
    from ringone_devices_pc.piix3_ide.device import Piix3Ide

    return Piix3Ide(context, options)


SPEC = DeviceSpec(
    name="piix3_ide",
    summary="Intel 82371SB (PIIX3) IDE controller with ATA disks and ATAPI CD-ROM drives",
    options=Piix3IdeOptions,
    state=Piix3IdeState,
    create=_create,
    outputs=("IRQ14", "IRQ15"),
    links=("pci",),
    slots=("drive00", "drive01", "drive10", "drive11"),
)
