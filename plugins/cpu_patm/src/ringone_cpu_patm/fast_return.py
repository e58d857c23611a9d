"""When the SYSEXIT patch may stand for SYSEXIT: an IRETD takes CS and SS from the guest's descriptor table, SYSEXIT makes them up."""

from __future__ import annotations

import struct

_FLAT_LOW = 0x0000FFFF
FLAT_USER_CODE = 0x00CFFB00
FLAT_USER_DATA = 0x00CFF300
"""What SYSEXIT sets (SDM volume 2B): base 0, 4 GiB, 32 bits, present, DPL 3, accessed, and AVL clear."""
_RPL_AND_TABLE = 7
_USER_CODE = 16
"""Behind IA32_SYSENTER_CS; the stack's selector is the next."""


def sysexit_selector(gdt: bytes | memoryview, limit: int, sysenter_cs: int) -> int:
    """The CS selector that both IRETD, from a GDT with these bytes and that limit, and SYSEXIT load with the same descriptor, as both do with SS; else 0."""
    code = (sysenter_cs & 0xFFFC) + _USER_CODE
    if not sysenter_cs & 0xFFFC or code & _RPL_AND_TABLE or code + 15 > limit:
        return 0
    flat = struct.pack("<4I", _FLAT_LOW, FLAT_USER_CODE, _FLAT_LOW, FLAT_USER_DATA)
    return code | 3 if gdt[code : code + 16] == flat else 0
