"""SeaBIOS, from the host's installation: the QEMU build, which takes its settings, ACPI tables and the VGA BIOS from the fw_cfg chip.

A directly booted kernel goes in the same way, with an option ROM of our own that loads it (`ringone_firmware.linuxrom`).
"""

from __future__ import annotations

from pathlib import Path

import attrs
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage
from ringone.api.options import option

from ringone_firmware import files
from ringone_firmware.acpi import loader, tables

BIOS_NAMES = ("bios-256k.bin", "bios.bin")
VGABIOS = "vgabios-stdvga.bin"
BIOS_SIZES = (64 << 10, 128 << 10, 256 << 10)
VGABIOS_LIMIT = 64 << 10
VGA_ROM_FILE = "pci1234,1111.rom"
"""SeaBIOS's name for the option ROM of a PCI device (vendor, device): started with the card's address, so that the VGA BIOS finds its frame buffer."""


@attrs.frozen(kw_only=True)
class SeabiosOptions:
    path: Path | None = option(None, help="BIOS image, or the folder of BIOS and VGA BIOS; by default RINGONE_FIRMWARE_PATH and the usual places are searched")


def available(options: SeabiosOptions) -> str:
    if _find_bios(options):
        return ""
    return f"no {' or '.join(BIOS_NAMES)} in {', '.join(str(folder) for folder in _searched(options))}; install the package seabios or set {files.ENVIRONMENT}"


def load(config: MachineConfig, options: SeabiosOptions) -> FirmwareImage:
    path = _find_bios(options)
    if path is None:
        raise ConfigError(f"firmware seabios: {available(options)}")
    rom = files.read(path, "BIOS image", limit=BIOS_SIZES[-1])
    if len(rom) not in BIOS_SIZES:
        raise ConfigError(f"BIOS image {path} has {len(rom)} bytes; a SeaBIOS image has {', '.join(str(size) for size in BIOS_SIZES)}")
    fw_cfg: dict[str, bytes] = {}
    if config.acpi:
        fw_cfg |= loader.fw_cfg_files(tables.build(config))
    vgabios = files.find(VGABIOS, first=path.parent)
    if vgabios:
        fw_cfg[VGA_ROM_FILE] = files.read(vgabios, "VGA BIOS", limit=VGABIOS_LIMIT)
    if config.linux:
        from ringone_firmware import linuxrom

        fw_cfg |= linuxrom.fw_cfg_files(config)
    return FirmwareImage(name="seabios", rom=rom, fw_cfg=fw_cfg)


def _find_bios(options: SeabiosOptions) -> Path | None:
    if options.path is None:
        return files.find(*BIOS_NAMES)
    if options.path.is_dir():
        return next((options.path / name for name in BIOS_NAMES if (options.path / name).is_file()), None)
    return options.path if options.path.is_file() else None


def _searched(options: SeabiosOptions) -> tuple[Path, ...]:
    return (options.path,) if options.path else files.folders()
