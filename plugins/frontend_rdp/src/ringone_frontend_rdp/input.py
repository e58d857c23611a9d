"""Keyboard and mouse events ([MS-RDPBCGR] 2.2.8.1), which clients send in either of two forms: slow path, inside the share layer, and fast path, without it."""

from __future__ import annotations

import enum

import attrs

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import LONG_LENGTH, Reader

KBDFLAGS_EXTENDED, KBDFLAGS_EXTENDED1, KBDFLAGS_RELEASE = 0x0100, 0x0200, 0x8000

FASTPATH_KBDFLAGS_RELEASE, FASTPATH_KBDFLAGS_EXTENDED, FASTPATH_KBDFLAGS_EXTENDED1 = 0x01, 0x02, 0x04
MOST_SLOW_PATH_EVENTS = 255


class SlowPath(enum.IntEnum):
    """messageType"""

    SYNC = 0
    UNUSED = 2
    SCANCODE = 4
    UNICODE = 5
    MOUSE = 0x8001
    MOUSEX = 0x8002


class FastPath(enum.IntEnum):
    """eventCode"""

    SCANCODE = 0
    MOUSE = 1
    MOUSEX = 2
    SYNC = 3
    UNICODE = 4
    QOE_TIMESTAMP = 6


@attrs.frozen
class KeyEvent:
    code: int
    extended: bool
    extended1: bool
    released: bool


@attrs.frozen
class CharacterEvent:
    """A UTF-16 code unit that the client's user has typed, on whatever keys."""

    unit: int
    released: bool


@attrs.frozen
class MouseEvent:
    """`flags` are PTRFLAGS."""

    flags: int
    x: int
    y: int


@attrs.frozen
class SideButtonEvent:
    """`flags` are PTRXFLAGS."""

    flags: int
    x: int
    y: int


@attrs.frozen
class SynchronizeEvent:
    """The client has the focus. `locks`: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock."""

    locks: int


InputEvent = KeyEvent | CharacterEvent | MouseEvent | SideButtonEvent | SynchronizeEvent


def parse_slow_path(reader: Reader) -> list[InputEvent]:
    reader.what = "slow-path input"
    count = reader.u16()
    reader.u16()
    if count > MOST_SLOW_PATH_EVENTS:
        raise ProtocolError(f"slow-path input: {count} events; accepted: {MOST_SLOW_PATH_EVENTS}")
    events: list[InputEvent] = []
    for _ in range(count):
        reader.u32()
        kind = reader.u16()
        first, second, third = reader.u16(), reader.u16(), reader.u16()
        match kind:
            case SlowPath.SCANCODE:
                events.append(KeyEvent(second & 0xFF, bool(first & KBDFLAGS_EXTENDED), bool(first & KBDFLAGS_EXTENDED1), bool(first & KBDFLAGS_RELEASE)))
            case SlowPath.MOUSE:
                events.append(MouseEvent(first, second, third))
            case SlowPath.SYNC:
                events.append(SynchronizeEvent(second & 7))
            case SlowPath.UNICODE:
                events.append(CharacterEvent(second, bool(first & KBDFLAGS_RELEASE)))
            case SlowPath.MOUSEX:
                events.append(SideButtonEvent(first, second, third))
            case SlowPath.UNUSED:
                pass
            case _:
                raise ProtocolError(f"slow-path input: event {kind:#x}")
    return events


def parse_fast_path(pdu: bytes) -> list[InputEvent]:
    reader = Reader(pdu, "fast-path input")
    header = reader.u8()
    if header >> 6:
        raise ProtocolError("fast-path input with security that was not agreed")
    if reader.u8() & LONG_LENGTH:
        reader.u8()
    count = header >> 2 & 0x0F or reader.u8()
    events: list[InputEvent] = []
    for _ in range(count):
        event = reader.u8()
        code, flags = event >> 5, event & 0x1F
        match code:
            case FastPath.SCANCODE:
                key = reader.u8()
                extended, extended1 = bool(flags & FASTPATH_KBDFLAGS_EXTENDED), bool(flags & FASTPATH_KBDFLAGS_EXTENDED1)
                events.append(KeyEvent(key, extended, extended1, bool(flags & FASTPATH_KBDFLAGS_RELEASE)))
            case FastPath.MOUSE:
                events.append(MouseEvent(reader.u16(), reader.u16(), reader.u16()))
            case FastPath.MOUSEX:
                events.append(SideButtonEvent(reader.u16(), reader.u16(), reader.u16()))
            case FastPath.SYNC:
                events.append(SynchronizeEvent(flags & 7))
            case FastPath.UNICODE:
                events.append(CharacterEvent(reader.u16(), bool(flags & FASTPATH_KBDFLAGS_RELEASE)))
            case FastPath.QOE_TIMESTAMP:
                reader.take(4)
            case _:
                raise ProtocolError(f"fast-path input: event {code}")
    return events
