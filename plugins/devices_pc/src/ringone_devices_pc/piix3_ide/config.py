"""Options of the PIIX3 IDE controller: where it sits on the PCI bus and what is on its cables."""

from __future__ import annotations

import enum
from typing import Any

import attrs
from ringone.api.options import option

SERIAL_LENGTH = 20


class DriveType(enum.Enum):
    NONE = "none"
    DISK = "disk"
    CDROM = "cdrom"


def _serial(_options: Any, attribute: attrs.Attribute[str], value: str) -> None:
    if len(value) > SERIAL_LENGTH or not value.isascii() or not (value.isprintable() or not value):
        raise ValueError(f"{attribute.name}={value!r}: a drive's serial number is up to {SERIAL_LENGTH} printable ASCII characters")


def _between(low: int, high: int) -> Any:
    return attrs.validators.and_(attrs.validators.ge(low), attrs.validators.le(high))


@attrs.frozen(kw_only=True)
class Piix3IdeOptions:
    """``drive10`` is channel 1 (secondary), device 0 (master). A serial number left empty is made from the drive's name."""

    device: int = option(1, help="PCI device number", validator=_between(0, 31))
    function: int = option(1, help="PCI function number", validator=_between(0, 7))
    drive00: DriveType = option(DriveType.NONE, help="primary master")
    drive01: DriveType = option(DriveType.NONE, help="primary slave")
    drive10: DriveType = option(DriveType.NONE, help="secondary master")
    drive11: DriveType = option(DriveType.NONE, help="secondary slave")
    serial00: str = option("", help="serial number of the primary master", validator=_serial)
    serial01: str = option("", help="serial number of the primary slave", validator=_serial)
    serial10: str = option("", help="serial number of the secondary master", validator=_serial)
    serial11: str = option("", help="serial number of the secondary slave", validator=_serial)
