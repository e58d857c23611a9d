"""Keys by name, and the bytes that they send (scan code set 1, IBM PS/2 Hardware Interface Technical Reference, keyboard section)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ringone.api.errors import ConfigError, UnknownNameError
from ringone.keyboard.layouts import Layout, pick, undone

MAX_CHORD_KEYS = 8

KEYS: Mapping[str, bytes] = {
    "escape": b"\x01",
    "backspace": b"\x0e",
    "tab": b"\x0f",
    "enter": b"\x1c",
    "space": b"\x39",
    "capslock": b"\x3a",
    "numlock": b"\x45",
    "scrolllock": b"\x46",
    **{f"f{number}": bytes((0x3A + number,)) for number in range(1, 11)},
    "f11": b"\x57",
    "f12": b"\x58",
    "ctrl": b"\x1d",
    "rightctrl": b"\xe0\x1d",
    "shift": b"\x2a",
    "rightshift": b"\x36",
    "alt": b"\x38",
    "altgr": b"\xe0\x38",
    "super": b"\xe0\x5b",
    "rightsuper": b"\xe0\x5c",
    "menu": b"\xe0\x5d",
    "home": b"\xe0\x47",
    "up": b"\xe0\x48",
    "pageup": b"\xe0\x49",
    "left": b"\xe0\x4b",
    "right": b"\xe0\x4d",
    "end": b"\xe0\x4f",
    "down": b"\xe0\x50",
    "pagedown": b"\xe0\x51",
    "insert": b"\xe0\x52",
    "delete": b"\xe0\x53",
    "printscreen": b"\xe0\x2a\xe0\x37",
    "sysrq": b"\x54",
    "pause": b"\xe1\x1d\x45\xe1\x9d\xc5",
    "break": b"\xe0\x46",
    "power": b"\xe0\x5e",
    "sleep": b"\xe0\x5f",
    "wake": b"\xe0\x63",
    **{f"kp{digit}": bytes((code,)) for digit, code in enumerate(b"\x52\x4f\x50\x51\x4b\x4c\x4d\x47\x48\x49")},
    "kpadd": b"\x4e",
    "kpsubtract": b"\x4a",
    "kpmultiply": b"\x37",
    "kpdivide": b"\xe0\x35",
    "kpdecimal": b"\x53",
    "kpenter": b"\xe0\x1c",
    "hankaku": b"\x29",
    "muhenkan": b"\x7b",
    "henkan": b"\x79",
    "katakana": b"\x70",
}
"""What each key sends when it is pressed. Keys with a character on them have that character as their name (`chord`)."""

ALIASES: Mapping[str, str] = {
    "esc": "escape",
    "return": "enter",
    "bksp": "backspace",
    "caps": "capslock",
    "num": "numlock",
    "scroll": "scrolllock",
    "control": "ctrl",
    "leftctrl": "ctrl",
    "rctrl": "rightctrl",
    "leftshift": "shift",
    "rshift": "rightshift",
    "leftalt": "alt",
    "rightalt": "altgr",
    "ralt": "altgr",
    "win": "super",
    "meta": "super",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "ins": "insert",
    "del": "delete",
    "print": "printscreen",
    "minus": "-",
    "plus": "+",
}

_JOINTS = ("-", "+")
_JOINT = "[-+]"

_NO_BREAK = frozenset({"pause"})
"""Sends press and release together."""


def press(name: str, layout: Layout | str = "us") -> bytes:
    """What the key sends when it goes down. `name` is one of `KEYS` or `ALIASES`, or a character that the layout has on a key."""
    return _codes(name, pick(layout))[-1]


def release(name: str, layout: Layout | str = "us") -> bytes:
    """What the key sends when it goes up."""
    return _up(name, press(name, layout))


def chord(text: str, layout: Layout | str = "us") -> bytes:
    """Keys pressed together and released: ``ctrl-alt-delete``, ``shift+f10``, ``x``. Minus and plus are ``minus`` and ``plus``, or stand last: ``ctrl--``."""
    if len(text) > 1 and text[-1] in _JOINTS and text[-2] in _JOINTS:
        return together([*re.split(_JOINT, text[:-2]), text[-1]], layout)
    return together([text] if text in _JOINTS else re.split(_JOINT, text), layout)


def together(names: Sequence[str], layout: Layout | str = "us") -> bytes:
    """Keys pressed in this order and released in reverse."""
    if len(names) > MAX_CHORD_KEYS:
        raise ConfigError(f"a key combination of {len(names)} keys; at most {MAX_CHORD_KEYS} are accepted")
    layout = pick(layout)
    pressed, released = b"", b""
    for name in names:
        for codes in _codes(name, layout):
            pressed += codes
            released = _up(name, codes) + released
    return pressed + released


def _up(name: str, make: bytes) -> bytes:
    return b"" if _known(name) in _NO_BREAK else undone(make)


def _known(name: str) -> str:
    """The one name of a key that has several."""
    if len(name) == 1:
        return name
    folded = name.casefold().replace("_", "").replace(" ", "")
    return ALIASES.get(folded, folded)


def _codes(name: str, layout: Layout) -> list[bytes]:
    """Make codes: Shift or AltGr first where a character needs them, the key itself last."""
    known = _known(name)
    if known in KEYS:
        return [KEYS[known]]
    stroke = layout.direct.get(known)
    if stroke is None:
        raise UnknownNameError("key", name, [*KEYS], source=f"keyboard layout {layout.name}")
    return [*reversed(stroke.modifiers()), bytes((stroke.code,))]
