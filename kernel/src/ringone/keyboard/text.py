"""From text to keystrokes. All of it is looked at before anything is typed: what the layout cannot type is refused by name."""

from __future__ import annotations

import unicodedata
from typing import NoReturn

from ringone.api.errors import UnsupportedError
from ringone.keyboard.layouts import LAYOUTS, Layout, Stroke, pick

_CONTROLS = {"\n": b"\x1c\x9c", "\t": b"\x0f\x8f", "\b": b"\x0e\x8e", "\x7f": b"\x0e\x8e", "\x1b": b"\x01\x81"}
"""Enter, Tab, Backspace, Escape."""
_LAST_CTRL_LETTER = 0x1A


def strokes(text: str, layout: Layout | str = "us") -> list[bytes]:
    """The scan codes that type each character. Line ends of any kind are Enter; ``\\x03`` and its like are Ctrl with a letter."""
    layout = pick(layout)
    known: dict[str, bytes] = {}
    typed = []
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for position, character in enumerate(text):
        if character not in known:
            known[character] = _codes(character, layout) or _refuse(character, text, position, layout)
        typed.append(known[character])
    return typed


def _codes(character: str, layout: Layout) -> bytes:
    """Empty for what the layout cannot type."""
    if character in _CONTROLS:
        return _CONTROLS[character]
    if 0 < ord(character) <= _LAST_CTRL_LETTER:
        letter = layout.direct[chr(ord(character) + 0x60)]
        return b"\x1d" + letter.codes() + b"\x9d"
    return b"".join(map(Stroke.codes, layout.strokes(character)))


def _refuse(character: str, text: str, position: int, layout: Layout) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    able = [other.name for other in LAYOUTS.values() if other.strokes(character)]
    raise UnsupportedError(
        f"keyboard layout {layout.name} cannot type {character!r} (U+{ord(character):04X} {unicodedata.name(character, 'without a name')}), "
        f"line {line}, column {column}; layouts that can: {', '.join(able) or 'none'}"
    )
