"""The US keyboard as INT 16h reports it: scan code of set 1 -> key codes (AH scan code, AL character) by shift state."""

from __future__ import annotations

import attrs


@attrs.frozen
class Key:
    """Key codes without and with Shift, Ctrl, Alt; 0 gives nothing."""

    normal: int
    shift: int
    ctrl: int
    alt: int
    letter: bool = False


def _character_keys() -> dict[int, Key]:
    keys = {}
    rows = (
        (0x02, "1234567890-=", "!@#$%^&*()_+"),
        (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
        (0x1E, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
        (0x2B, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    )
    for first, plain, shifted in rows:
        for scan, (lower, upper) in enumerate(zip(plain, shifted, strict=True), first):
            code = scan << 8
            control = CONTROL_CODES.get(lower, ord(lower) & 0x1F if lower.isalpha() else None)
            alt = (scan + 0x76) << 8 if scan <= 0x0D else code
            keys[scan] = Key(code | ord(lower), code | ord(upper), 0 if control is None else code | control, alt, letter=lower.isalpha())
    return keys


CONTROL_CODES = {"2": 0x00, "6": 0x1E, "-": 0x1F, "[": 0x1B, "]": 0x1D, "\\": 0x1C}


def _function_keys() -> dict[int, Key]:
    keys = {}
    for number in range(10):
        keys[0x3B + number] = Key((0x3B + number) << 8, (0x54 + number) << 8, (0x5E + number) << 8, (0x68 + number) << 8)
    for number in range(2):
        keys[0x57 + number] = Key((0x85 + number) << 8, (0x87 + number) << 8, (0x89 + number) << 8, (0x8B + number) << 8)
    return keys


KEYS: dict[int, Key] = {
    **_character_keys(),
    **_function_keys(),
    0x01: Key(0x011B, 0x011B, 0x011B, 0x0100),
    0x0E: Key(0x0E08, 0x0E08, 0x0E7F, 0x0E00),
    0x0F: Key(0x0F09, 0x0F00, 0x9400, 0xA500),
    0x1C: Key(0x1C0D, 0x1C0D, 0x1C0A, 0x1C00),
    0x37: Key(0x372A, 0x372A, 0x9600, 0x3700),
    0x39: Key(0x3920, 0x3920, 0x3920, 0x3920),
    0x4A: Key(0x4A2D, 0x4A2D, 0x8E00, 0x4A00),
    0x4E: Key(0x4E2B, 0x4E2B, 0x9000, 0x4E00),
    0x56: Key(0x565C, 0x567C, 0, 0),
}
"""Keys that send one byte; the keypad's are in `KEYPAD`."""

KEYPAD: dict[int, Key] = {
    scan: Key(scan << 8, scan << 8 | ord(digit), ctrl << 8, 0)
    for scan, digit, ctrl in (
        (0x47, "7", 0x77),
        (0x48, "8", 0x8D),
        (0x49, "9", 0x84),
        (0x4B, "4", 0x73),
        (0x4C, "5", 0x8F),
        (0x4D, "6", 0x74),
        (0x4F, "1", 0x75),
        (0x50, "2", 0x91),
        (0x51, "3", 0x76),
        (0x52, "0", 0x92),
        (0x53, ".", 0x93),
    )
}
"""Num Lock swaps `normal` and `shift`; with Alt, digits build a character."""
KEYPAD_DIGITS = {0x52: 0, 0x4F: 1, 0x50: 2, 0x51: 3, 0x4B: 4, 0x4C: 5, 0x4D: 6, 0x47: 7, 0x48: 8, 0x49: 9}

EXTENDED_CONTROL = {0x47: 0x77, 0x48: 0x8D, 0x49: 0x84, 0x4B: 0x73, 0x4D: 0x74, 0x4F: 0x75, 0x50: 0x91, 0x51: 0x76, 0x52: 0x92, 0x53: 0x93}
EXTENDED: dict[int, Key] = {
    0x1C: Key(0xE00D, 0xE00D, 0xE00A, 0xA600),
    0x35: Key(0xE02F, 0xE02F, 0x9500, 0xA400),
    **{scan: Key(scan << 8 | 0xE0, scan << 8 | 0xE0, ctrl << 8 | 0xE0, (scan + 0x50) << 8) for scan, ctrl in EXTENDED_CONTROL.items()},
}
"""Keys that send E0h first."""
