"""Options of the mc146818: what the PC's firmware left in the CMOS memory."""

from __future__ import annotations

import enum
from typing import Any

import attrs
from ringone.api.errors import ConfigError
from ringone.api.options import option


class FloppyType(enum.Enum):
    NONE = "none"
    SIZE_360K = "360K"
    SIZE_1_2M = "1.2M"
    SIZE_720K = "720K"
    SIZE_1_44M = "1.44M"
    SIZE_2_88M = "2.88M"


BOOT_CODES = {"floppy": 1, "disk": 2, "cdrom": 3, "network": 4}
MAX_BOOT_DEVICES = 3


def boot_devices(boot_order: str) -> list[str]:
    return [name.strip() for name in boot_order.split(",") if name.strip()]


def _check_boot_order(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    names = boot_devices(value)
    if len(names) > MAX_BOOT_DEVICES or any(name not in BOOT_CODES for name in names):
        raise ConfigError(f"boot_order {value!r} is not a comma-separated list of at most {MAX_BOOT_DEVICES} of: {', '.join(BOOT_CODES)}")


def geometry(text: str) -> tuple[int, int, int] | None:
    """Cylinders, heads and sectors of ``C/H/S``; None for an empty text."""
    if not text:
        return None
    parts = text.split("/")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"disk geometry {text!r} is not of the form cylinders/heads/sectors")
    cylinders, heads, sectors = (int(part) for part in parts)
    if not (1 <= cylinders <= 65535 and 1 <= heads <= 255 and 1 <= sectors <= 255):
        raise ConfigError(f"disk geometry {text!r} is out of range: up to 65535/255/255 fits the CMOS memory")
    return cylinders, heads, sectors


def _check_geometry(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    geometry(value)


@attrs.frozen(kw_only=True)
class Mc146818Options:
    base: int = option(0x70, help="first of four I/O ports: index, data, index and data of the extended bank")
    ram_bytes: int = option(128 << 20, help="RAM below 4 GiB that the firmware is told", unit="bytes")
    floppy0: FloppyType = option(FloppyType.NONE, help="type of the first floppy drive")
    floppy1: FloppyType = option(FloppyType.NONE, help="type of the second floppy drive")
    disk0: str = option("", help="geometry of the first hard disk as cylinders/heads/sectors, empty for none", validator=_check_geometry)
    disk1: str = option("", help="geometry of the second hard disk as cylinders/heads/sectors, empty for none", validator=_check_geometry)
    disk_translation: int = option(0x55, help="how the BIOS translates disk addresses, two bits a disk: 0 none, 1 LBA, 2 large, 3 revised ECHS")
    boot_order: str = option("floppy,cdrom,disk", help="up to three of floppy, cdrom, disk and network, separated by commas", validator=_check_boot_order)
