"""Scan code sets 1 and 2, and the 8042's translation from 2 to 1 (IBM PS/2 Hardware Interface Technical Reference, keyboard section)."""

from __future__ import annotations

EXTENDED = 0xE0
PAUSE = 0xE1
BREAK_PREFIX = 0xF0
BREAK = 0x80

SET2_TO_SET1 = bytes.fromhex(
    "ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59"
    "65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b"
    "67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d"
    "69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f"
    "6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61"
    "6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76"
    "55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f"
    "52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54"
)
"""Make codes below 80; F7 and Alt+SysRq are the two above, which every other byte there passes unchanged."""
F7_SET1, F7_SET2 = 0x41, 0x83
SYSRQ_SET1, SYSRQ_SET2 = 0x54, 0x84

TRANSLATION = SET2_TO_SET1 + bytes({F7_SET2: F7_SET1, SYSRQ_SET2: SYSRQ_SET1}.get(code, code) for code in range(len(SET2_TO_SET1), 256))
SET1_TO_SET2 = {set1: set2 for set2, set1 in enumerate(SET2_TO_SET1) if set1 < BREAK} | {F7_SET1: F7_SET2, SYSRQ_SET1: SYSRQ_SET2}

NO_KEYS = bytes((0x00, BREAK))
"""Set-1 bytes that no key sends."""


def to_set2(code: int) -> bytes:
    """One byte of a set-1 stream as the bytes of set 2."""
    if code in (EXTENDED, PAUSE):
        return bytes((code,))
    if code & BREAK:
        return bytes((BREAK_PREFIX, SET1_TO_SET2[code & ~BREAK]))
    return bytes((SET1_TO_SET2[code],))
