"""Dynamic virtual channels ([MS-RDPEDYC], version 1) inside the static channel ``drdynvc``: named channels that the server opens, if the client wants them.

Compression, priorities and soft sync to UDP belong to later versions, which are not offered.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Protocol as Interface

import attrs

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import Reader

STATIC_CHANNEL = "drdynvc"
LARGEST_PDU = 1600
"""As many bytes as a chunk of a static channel takes."""
LARGEST_MESSAGE = 128 << 10
"""Of a client's, put together: twice the longest list of what its graphics cache holds."""
VERSION = 1
LENGTH_4_BYTES = 2
FIELD_SIZES = (1, 2, 4)


class Command(enum.IntEnum):
    CREATE = 1
    DATA_FIRST = 2
    DATA = 3
    CLOSE = 4
    CAPABILITIES = 5


class Listener(Interface):
    """What is at the server's end of a channel."""

    def opened(self) -> None: ...
    def received(self, message: bytes) -> None: ...
    def closed(self) -> None:
        """Also where the client does not want the channel at all."""


@attrs.define
class _Channel:
    name: str
    listener: Listener
    is_open: bool = False
    total: int = 0
    message: bytearray = attrs.field(factory=bytearray)


class DynamicChannels:
    """`send` takes one message of the static channel."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._ready = False
        self._channels: dict[int, _Channel] = {}

    def start(self) -> None:
        self._send(struct.pack("<BBH", Command.CAPABILITIES << 4, 0, VERSION))

    def create(self, name: str, listener: Listener) -> int:
        """The channel's number; the listener hears whether it opens."""
        number = len(self._channels) + 1
        self._channels[number] = _Channel(name, listener)
        if self._ready:
            self._send_create(number)
        return number

    def send(self, number: int, message: bytes) -> None:
        """Messages for channels that are not open go nowhere: the client may close one at any time."""
        if not self._channels[number].is_open:
            return
        if len(message) <= LARGEST_PDU - 2:
            self._send(struct.pack("<BB", Command.DATA << 4, number) + message)
            return
        first = LARGEST_PDU - 6
        self._send(struct.pack("<BBI", Command.DATA_FIRST << 4 | LENGTH_4_BYTES << 2, number, len(message)) + message[:first])
        header, step = struct.pack("<BB", Command.DATA << 4, number), LARGEST_PDU - 2
        for start in range(first, len(message), step):
            self._send(header + message[start : start + step])

    def receive(self, pdu: bytes) -> None:
        reader = Reader(pdu, "dynamic channel PDU")
        head = reader.u8()
        command, length_size, number_size = head >> 4, head >> 2 & 3, head & 3
        if command == Command.CAPABILITIES:
            self._capabilities(reader)
            return
        number = _number(reader, number_size)
        channel = self._channels.get(number)
        if channel is None or not self._ready:
            raise ProtocolError(f"dynamic channel {number} does not exist")
        match command:
            case Command.CREATE:
                self._created(channel, reader)
            case Command.DATA_FIRST:
                self._first(channel, _number(reader, length_size), reader)
            case Command.DATA:
                self._data(channel, reader)
            case Command.CLOSE:
                _close(channel)
            case _:
                raise ProtocolError(f"dynamic channel command {command} is none that a client of version {VERSION} sends")

    def _capabilities(self, reader: Reader) -> None:
        reader.u8()
        reader.u16()
        if self._ready:
            raise ProtocolError("dynamic channel capabilities twice")
        self._ready = True
        for number in self._channels:
            self._send_create(number)

    def _send_create(self, number: int) -> None:
        self._send(struct.pack("<BB", Command.CREATE << 4, number) + self._channels[number].name.encode() + b"\0")

    @staticmethod
    def _created(channel: _Channel, reader: Reader) -> None:
        if channel.is_open:
            raise ProtocolError(f"dynamic channel {channel.name} opened twice")
        if reader.u32() & 0x80000000:
            channel.listener.closed()
            return
        channel.is_open = True
        channel.listener.opened()

    @staticmethod
    def _first(channel: _Channel, total: int, reader: Reader) -> None:
        if not 0 < total <= LARGEST_MESSAGE:
            raise ProtocolError(f"dynamic channel {channel.name}: a message of {total} bytes; accepted: {LARGEST_MESSAGE}")
        if channel.total or not channel.is_open:
            raise ProtocolError(f"dynamic channel {channel.name}: a message begins where none may")
        channel.total = total
        _add(channel, reader.rest())

    @staticmethod
    def _data(channel: _Channel, reader: Reader) -> None:
        if not channel.is_open:
            raise ProtocolError(f"dynamic channel {channel.name} is not open")
        if channel.total:
            _add(channel, reader.rest())
        else:
            channel.listener.received(reader.rest())


def _add(channel: _Channel, data: bytes) -> None:
    channel.message += data
    if len(channel.message) > channel.total:
        raise ProtocolError(f"dynamic channel {channel.name}: more than the {channel.total} bytes of its message")
    if len(channel.message) == channel.total:
        message = bytes(channel.message)
        channel.message.clear()
        channel.total = 0
        channel.listener.received(message)


def _close(channel: _Channel) -> None:
    if channel.is_open:
        channel.is_open = False
        channel.total = 0
        channel.message.clear()
        channel.listener.closed()


def _number(reader: Reader, size: int) -> int:
    if size >= len(FIELD_SIZES):
        raise ProtocolError(f"{reader.what}: field size {size}")
    return int.from_bytes(reader.take(FIELD_SIZES[size]), "little")
