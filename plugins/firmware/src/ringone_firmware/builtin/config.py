"""Options of the built-in BIOS's service chip; the firmware plugin fills them in."""

from __future__ import annotations

import attrs
from ringone.api.options import option

DEFAULT_BASE = 0xBC0


@attrs.frozen(kw_only=True)
class BiosServicesOptions:
    base: int = option(DEFAULT_BASE, help="first of sixteen I/O ports")
    boot_order: str = option("floppy,cdrom,disk", help="drive kinds to boot from, in order: floppy, cdrom, disk, kernel")
    reserved_bytes: int = option(0, help="bytes at the end of RAM that the memory map reserves", unit="bytes")
