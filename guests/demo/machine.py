"""The machine that the demo guest is made for: the smallest of PCs with one disk."""

from __future__ import annotations

from pathlib import Path

from ringone.api.config import BootDevice, ClockConfig, ClockPolicy, Drive, DriveKind, FirmwareConfig, MachineConfig
from ringone.api.media import AccessMode

MEMORY_BYTES = 16 << 20
PASSED = "DEMO PASSED"


def machine(image: Path, *, firmware: str = "auto", clock: ClockPolicy = ClockPolicy.HOST) -> MachineConfig:
    disk = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=image, mode=AccessMode.THROW_AWAY)
    return MachineConfig(
        name="demo",
        memory_bytes=MEMORY_BYTES,
        firmware=FirmwareConfig(name=firmware),
        clock=ClockConfig(policy=clock),
        boot_order=(BootDevice.DISK,),
        drives=(disk,),
    )
