"""PIIX3 IDE: two channels, their disks and CD-ROM drives, bus-master DMA."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.piix3_ide.config import Piix3IdeOptions
from ringone_devices_pc.piix3_ide.device import Piix3Ide
from ringone_devices_pc.piix3_ide.state import Piix3IdeState

SPEC = DeviceSpec(
    name="piix3_ide",
    summary="Intel 82371SB (PIIX3) IDE controller with ATA disks and ATAPI CD-ROM drives",
    options=Piix3IdeOptions,
    state=Piix3IdeState,
    create=Piix3Ide,
    outputs=("IRQ14", "IRQ15"),
    links=("pci",),
    slots=("drive00", "drive01", "drive10", "drive11"),
)
