"""Any flat ROM image as firmware: U-Boot, coreboot payloads, GRUB's own ROM, a firmware under development. It ends at 4 GiB and its last 128 KiB
appear below 1 MiB.
"""

from __future__ import annotations

from pathlib import Path

import attrs
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage
from ringone.api.options import option

from ringone_firmware import files

LIMIT = 16 << 20
_PAGE = 4096
_RESET_VECTOR = 16


@attrs.frozen(kw_only=True)
class FlatOptions:
    path: Path | None = option(None, help="ROM image, at most 16 MiB")


def available(options: FlatOptions) -> str:
    return "" if options.path is not None else "its option path names no image"


def load(config: MachineConfig, options: FlatOptions) -> FirmwareImage:
    if options.path is None:
        raise ConfigError(f"firmware rom: {available(options)}")
    rom = files.read(options.path, "ROM image", limit=LIMIT)
    if len(rom) < _RESET_VECTOR:
        raise ConfigError(f"ROM image {options.path} has {len(rom)} bytes; the reset vector alone needs {_RESET_VECTOR}")
    return FirmwareImage(name="rom", rom=rom.rjust(-(-len(rom) // _PAGE) * _PAGE, b"\xff"))
