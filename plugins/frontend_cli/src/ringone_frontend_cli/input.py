"""Keys: from the bytes of a terminal (ECMA-48 sequences as xterm, rxvt and the Linux console send them) to set-1 scan codes of a US keyboard.

A terminal sends characters, not keys: releases, Caps Lock and lone modifiers never arrive, and characters that a US keyboard cannot type are dropped.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import attrs
from ringone import keyboard
from ringone.api.errors import UnknownNameError

ESC = 0x1B
ESC_TIMEOUT_S = 0.05
"""Longer than the bytes of one sequence are apart, shorter than a person is between two keys."""
MAX_SEQUENCE = 32


@attrs.frozen
class Key:
    """`name` is a character as typed, or a key of `ringone.keyboard`."""

    name: str
    shift: bool = False
    alt: bool = False
    ctrl: bool = False


CTRL_ALT_DELETE = Key("Delete", alt=True, ctrl=True)

_FINALS = {"A": "Up", "B": "Down", "C": "Right", "D": "Left", "F": "End", "H": "Home", "P": "F1", "Q": "F2", "R": "F3", "S": "F4", "M": "Enter"}
"""Of CSI and SS3 sequences."""
_LINUX_FUNCTION_KEYS = {"A": "F1", "B": "F2", "C": "F3", "D": "F4", "E": "F5"}
"""Behind ``ESC [ [``."""
_NUMBERS = {
    # first parameter of CSI ... ~
    **dict(enumerate(("Home", "Insert", "Delete", "End", "PageUp", "PageDown", "Home", "End"), start=1)),
    **dict(enumerate(("F1", "F2", "F3", "F4", "F5"), start=11)),
    **dict(enumerate(("F6", "F7", "F8", "F9", "F10"), start=17)),
    23: "F11",
    24: "F12",
}
_CONTROLS = {0x00: Key(" ", ctrl=True), 0x08: Key("Backspace"), 0x09: Key("Tab"), 0x0D: Key("Enter"), 0x7F: Key("Backspace")}


def scancodes(key: Key) -> bytes:
    """Press and release, with the modifiers around it; b"" for what the keyboard does not have."""
    held = [name for name, wanted in (("ctrl", key.ctrl), ("alt", key.alt), ("shift", key.shift)) if wanted]
    try:
        return keyboard.together([*held, key.name])
    except UnknownNameError:
        return b""


class KeyDecoder:
    """Bytes in any pieces to keys. While `waiting`, an ESC may still become a sequence; call `flush` when nothing came for `ESC_TIMEOUT_S`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._characters = codecs.getincrementaldecoder("utf-8")("ignore")

    @property
    def waiting(self) -> bool:
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Key]:
        self._buffer += data
        return list(self._decode(complete=False))

    def flush(self) -> list[Key]:
        """What is left is no sequence: Escape, or Alt with a character."""
        return list(self._decode(complete=True))

    def _decode(self, *, complete: bool) -> Iterator[Key]:
        buffer = self._buffer
        while buffer:
            if buffer[0] != ESC:
                yield from self._character(buffer.pop(0))
                continue
            length, key = _sequence(bytes(buffer))
            if length:
                del buffer[:length]
                if key is not None:
                    yield key
            elif complete or len(buffer) > MAX_SEQUENCE:
                yield from self._escaped()
            else:
                return

    def _escaped(self) -> Iterator[Key]:
        """An unfinished sequence was typed by hand."""
        del self._buffer[0]
        if not self._buffer or self._buffer[0] == ESC:
            yield Key("Escape")
        else:
            yield from (attrs.evolve(key, alt=True) for key in self._character(self._buffer.pop(0)))

    def _character(self, byte: int) -> Iterator[Key]:
        if byte in _CONTROLS:
            yield _CONTROLS[byte]
        elif byte < 0x20:
            yield Key(chr(byte + 0x40).lower(), ctrl=True)
        else:
            yield from (Key(character) for character in self._characters.decode(bytes((byte,))))


def _sequence(data: bytes) -> tuple[int, Key | None]:
    """Length of the sequence at the start of `data`, which begins with ESC, and its key (None for one without meaning here); length 0: more is needed."""
    if len(data) < 2:
        return 0, None
    if data[1] == ESC:
        length, key = _sequence(data[1:])
        return (length + 1, key and attrs.evolve(key, alt=True)) if length else (0, None)
    if data[1:2] == b"O":
        return _single_shift(data)
    if data[1:2] == b"[":
        return _control_sequence(data)
    keys = list(KeyDecoder().feed(data[1:2]))
    return 2, attrs.evolve(keys[0], alt=True) if keys else None


def _single_shift(data: bytes) -> tuple[int, Key | None]:
    if len(data) < 3:
        return 0, None
    name = _FINALS.get(chr(data[2]))
    return 3, Key(name) if name else None


def _control_sequence(data: bytes) -> tuple[int, Key | None]:
    if data[2:3] == b"[":
        return (4, _named(_LINUX_FUNCTION_KEYS.get(chr(data[3])), "")) if len(data) > 3 else (0, None)
    for index in range(2, len(data)):
        if 0x40 <= data[index] <= 0x7E:
            break
    else:
        return 0, None
    parameters = data[2:index].decode("latin-1").split(";")
    final = chr(data[index])
    modifiers = parameters[1] if len(parameters) > 1 else ""
    if final == "Z":
        return index + 1, Key("Tab", shift=True)
    if final == "~":
        return index + 1, _named(_NUMBERS.get(int(parameters[0]) if parameters[0].isdecimal() else 0), modifiers)
    return index + 1, _named(_FINALS.get(final), modifiers)


def _named(name: str | None, modifiers: str) -> Key | None:
    """`modifiers` is xterm's parameter: 1 plus Shift 1, Alt 2, Ctrl 4."""
    if name is None:
        return None
    bits = int(modifiers) - 1 if modifiers.isdecimal() and modifiers != "0" else 0
    return Key(name, shift=bool(bits & 1), alt=bool(bits & 2), ctrl=bool(bits & 4))
