"""Options of the floppy controller."""

from __future__ import annotations

import enum

import attrs
from ringone.api.options import option


class DriveType(enum.Enum):
    NONE = "none"
    DD_5 = "360K"
    HD_5 = "1.2M"
    DD_3 = "720K"
    HD_3 = "1.44M"
    ED_3 = "2.88M"


@attrs.frozen(kw_only=True)
class I82077Options:
    base: int = option(0x3F0, help="first port; the controller decodes six from there, and the eighth")
    drive0: DriveType = option(DriveType.NONE, help="first drive (A)")
    drive1: DriveType = option(DriveType.NONE, help="second drive (B)")
