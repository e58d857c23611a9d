"""The client's clipboard ([MS-RDPECLIP]), as far as a machine without guest additions can use it: its text, asked for when it is to be typed.

Only Unicode text is taken. The guest has no clipboard that a client could ask for, and files are refused.
"""

from __future__ import annotations

import enum
import logging
import struct
from collections.abc import Callable, Sequence

import attrs

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.input import InputEvent, KeyEvent, SynchronizeEvent
from ringone_frontend_rdp.wire import Reader

STATIC_CHANNEL = "cliprdr"
MOST_TYPED = 64 << 10
"""Characters. A guest takes some hundred in a second."""
LARGEST_MESSAGE = 0xFFFFFFFF
"""A client's user may have copied anything."""
KEPT = 4 * MOST_TYPED + (1 << 10)
"""Bytes of a message: a text whose characters are all line ends has four for each."""

CB_RESPONSE_OK, CB_RESPONSE_FAIL = 0x0001, 0x0002
CB_CAPSTYPE_GENERAL, GENERAL_VERSION = 1, 1
CF_UNICODETEXT = 13
SHORT_NAME = 32
"""Bytes of a format's name. Longer names are not offered."""

_log = logging.getLogger("ringone.rdp")


class Message(enum.IntEnum):
    """msgType"""

    MONITOR_READY = 1
    FORMAT_LIST = 2
    FORMAT_LIST_RESPONSE = 3
    FORMAT_DATA_REQUEST = 4
    FORMAT_DATA_RESPONSE = 5
    TEMP_DIRECTORY = 6
    CLIP_CAPS = 7
    FILECONTENTS_REQUEST = 8
    FILECONTENTS_RESPONSE = 9
    LOCK_CLIPDATA = 10
    UNLOCK_CLIPDATA = 11


class Clipboard:
    """`send` takes one message of the static channel."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._has_text = False
        self._asked = False

    def start(self) -> None:
        general = struct.pack("<HHII", CB_CAPSTYPE_GENERAL, 12, GENERAL_VERSION, 0)
        self._send(_message(Message.CLIP_CAPS, 0, struct.pack("<HH", 1, 0) + general))
        self._send(_message(Message.MONITOR_READY, 0))

    def ask(self) -> None:
        """For the text; it comes out of `receive`."""
        if not self._has_text:
            _log.info("the client's clipboard has no text")
        elif not self._asked:
            self._asked = True
            self._send(_message(Message.FORMAT_DATA_REQUEST, 0, struct.pack("<I", CF_UNICODETEXT)))

    def receive(self, message: bytes) -> str | None:
        """The text that was asked for. Bytes behind a message's end are passed over: some clients pad."""
        reader = Reader(message, "clipboard message")
        kind, flags, size = reader.u16(), reader.u16(), reader.u32()
        if size > reader.remaining and len(message) == KEPT:
            self._pass_over(kind, size)
            return None
        body = reader.part(size, f"clipboard message {kind}")
        match kind:
            case Message.FORMAT_LIST:
                self._has_text = CF_UNICODETEXT in _formats(body)
                self._send(_message(Message.FORMAT_LIST_RESPONSE, CB_RESPONSE_OK))
            case Message.FORMAT_DATA_RESPONSE:
                return self._text(flags, body)
            case Message.FORMAT_DATA_REQUEST:
                self._send(_message(Message.FORMAT_DATA_RESPONSE, CB_RESPONSE_FAIL))
            case Message.FILECONTENTS_REQUEST:
                self._send(_message(Message.FILECONTENTS_RESPONSE, CB_RESPONSE_FAIL, struct.pack("<I", body.u32())))
            case Message.FORMAT_LIST_RESPONSE | Message.TEMP_DIRECTORY | Message.CLIP_CAPS | Message.LOCK_CLIPDATA | Message.UNLOCK_CLIPDATA:
                pass
            case _:
                raise ProtocolError(f"clipboard message {kind} is none that a client sends")
        return None

    def _pass_over(self, kind: int, size: int) -> None:
        """A message whose end was not kept."""
        if kind != Message.FORMAT_DATA_RESPONSE:
            raise ProtocolError(f"clipboard message {kind} of {size} bytes; accepted: {KEPT}")
        self._asked = False
        _log.warning("the client's clipboard has %d bytes; at most %d characters are typed", size, MOST_TYPED)

    def _text(self, flags: int, body: Reader) -> str | None:
        asked, self._asked = self._asked, False
        if not asked:
            return None
        if not flags & CB_RESPONSE_OK:
            _log.info("the client does not give its clipboard's text")
            return None
        text = body.rest().decode("utf-16-le", "replace").partition("\0")[0].replace("\r\n", "\n").replace("\r", "\n")
        if len(text) > MOST_TYPED:
            _log.warning("the client's clipboard has %d characters; at most %d are typed", len(text), MOST_TYPED)
            return None
        return "".join(character for character in text if character.isprintable() or character in "\t\n")


def _formats(body: Reader) -> set[int]:
    formats = set()
    while body.remaining:
        formats.add(body.u32())
        body.take(SHORT_NAME)
    return formats


def _message(kind: Message, flags: int, body: bytes = b"") -> bytes:
    return struct.pack("<HHI", kind, flags, len(body)) + body


@attrs.define
class PasteKey:
    """Ctrl+Alt+V, which the guest does not see; AltGr is no Alt."""

    CTRL, RIGHT_CTRL, ALT, V = (0x1D, False), (0x1D, True), (0x38, False), (0x2F, False)

    _down: set[tuple[int, bool]] = attrs.field(factory=set, init=False)
    _struck: bool = attrs.field(default=False, init=False)

    def take(self, events: Sequence[InputEvent]) -> tuple[list[InputEvent], bool]:
        """What is left for the guest, and whether the key was struck."""
        left: list[InputEvent] = []
        struck = False
        for event in events:
            if isinstance(event, SynchronizeEvent):
                self._down.clear()
                self._struck = False
            if isinstance(event, KeyEvent) and (event.code, event.extended) == self.V and self._is_ours(event):
                struck |= not event.released and not self._struck
                self._struck = not event.released
                continue
            if isinstance(event, KeyEvent) and (key := (event.code, event.extended)) in (self.CTRL, self.RIGHT_CTRL, self.ALT):
                (self._down.discard if event.released else self._down.add)(key)
            left.append(event)
        return left, struck

    def _is_ours(self, event: KeyEvent) -> bool:
        return self._struck or (not event.released and self.ALT in self._down and bool(self._down & {self.CTRL, self.RIGHT_CTRL}))
