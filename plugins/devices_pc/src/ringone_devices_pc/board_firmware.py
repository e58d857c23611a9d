"""What the PC board tells its firmware: fw_cfg files for SeaBIOS (its docs/Runtime_config.md) and CMOS bytes for every other BIOS."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import attrs
from ringone.api.config import BootDevice, Drive, DriveKind, MachineConfig
from ringone.api.firmware import FirmwareImage

from ringone_devices_pc import board_drives

CONVENTIONAL_END = 0xA0000
EXTENDED_START = 0x100000
E820_RAM = 1
_E820_ENTRY = struct.Struct("<QQI")

BOOT_MENU_WAIT_MS = 2500

CMOS_BOOT_DEVICES = 3

DRIVE_KINDS = {BootDevice.FLOPPY: DriveKind.FLOPPY, BootDevice.CDROM: DriveKind.CDROM, BootDevice.DISK: DriveKind.DISK}
BOOTORDER_HALT = "HALT"
"""SeaBIOS tries nothing that stands behind this line, or in none."""


@attrs.frozen
class FirmwareFiles:
    """Meets `ringone.api.drivers.FirmwareData`."""

    contents: Mapping[str, bytes]

    def files(self) -> dict[str, bytes]:
        return dict(self.contents)


def files(config: MachineConfig, firmware: FirmwareImage) -> dict[str, bytes]:
    """The board's files and the firmware's own, which win."""
    return {
        "etc/e820": e820(config.memory_bytes),
        "bootorder": bootorder(config),
        "etc/show-boot-menu": struct.pack("<H", config.boot_menu),
        "etc/boot-menu-wait": struct.pack("<I", BOOT_MENU_WAIT_MS),
        **firmware.fw_cfg,
    }


def e820(memory_bytes: int) -> bytes:
    """RAM below the video memory and above 1 MiB; the BIOS adds what it keeps for itself."""
    entries = [_E820_ENTRY.pack(0, CONVENTIONAL_END, E820_RAM)]
    if memory_bytes > EXTENDED_START:
        entries.append(_E820_ENTRY.pack(EXTENDED_START, memory_bytes - EXTENDED_START, E820_RAM))
    return b"".join(entries)


def bootorder(config: MachineConfig) -> bytes:
    """Open Firmware paths of the drives in boot order, a line each, zero-terminated."""
    return "\n".join((*_boot_paths(config), BOOTORDER_HALT)).encode() + b"\0"


def _boot_paths(config: MachineConfig) -> Iterator[str]:
    drives = sorted(config.drives, key=board_drives.slot)
    for device in config.boot_order:
        kind = DRIVE_KINDS.get(device)
        yield from (_boot_path(drive) for drive in drives if drive.kind is kind)


def _boot_path(drive: Drive) -> str:
    if drive.controller == "floppy":
        return f"/pci@i0cf8/isa@1/fdc@03f0/floppy@{drive.device}"
    return f"/pci@i0cf8/ide@1,1/drive@{drive.port}/disk@{drive.device}"


def cmos_options(config: MachineConfig) -> dict[str, str]:
    """The clock chip's options: what a set-up program would have left in its memory."""
    floppies = {f"floppy{number}": board_drives.FLOPPY_TYPE for number in range(board_drives.floppy_count(config))}
    order = ",".join(device.value for device in config.boot_order[:CMOS_BOOT_DEVICES])
    return {"ram_bytes": str(config.memory_bytes), "boot_order": order, **floppies}
