"""Share control and share data PDUs ([MS-RDPBCGR] 2.2.8.1.1): the frame of everything between Demand Active and the end."""

from __future__ import annotations

import enum
import struct

import attrs

from ringone_frontend_rdp import capabilities
from ringone_frontend_rdp.capabilities import ClientCapabilities
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import Reader

PROTOCOL_VERSION = 0x10
STREAM_LOW = 1
COMPRESSED = 0x20
SOURCE_DESCRIPTOR = b"RDP\0"
LONGEST_DESCRIPTOR = 1024


class Control(enum.IntEnum):
    """pduType"""

    DEMAND_ACTIVE = 1
    CONFIRM_ACTIVE = 3
    DEACTIVATE_ALL = 6
    DATA = 7


class Data(enum.IntEnum):
    """pduType2"""

    UPDATE = 2
    CONTROL = 20
    POINTER = 27
    INPUT = 28
    SYNCHRONIZE = 31
    REFRESH_RECT = 33
    SUPPRESS_OUTPUT = 35
    SHUTDOWN_REQUEST = 36
    SHUTDOWN_DENIED = 37
    FONT_LIST = 39
    FONT_MAP = 40
    PERSISTENT_KEY_LIST = 43
    SET_ERROR_INFO = 47


@attrs.frozen
class ConfirmActive:
    capabilities: ClientCapabilities


@attrs.frozen
class DataPdu:
    kind: int
    body: Reader


def parse(data: bytes) -> list[ConfirmActive | DataPdu]:
    """All PDUs of one piece of channel data. The last one ends with it: aardwolf counts six bytes more than it sends."""
    reader = Reader(data, "share control PDU")
    found: list[ConfirmActive | DataPdu] = []
    while reader.remaining:
        total = reader.u16()
        if total < 6:
            raise ProtocolError(f"share control PDU of {total} bytes")
        body = reader.part(min(total - 2, reader.remaining), "share control PDU")
        kind = body.u16() & 0x0F
        body.u16()
        match kind:
            case Control.CONFIRM_ACTIVE:
                found.append(_confirm_active(body))
            case Control.DATA:
                found.append(_data(body))
            case _:
                raise ProtocolError(f"share control PDU {kind} is none that a client sends")
    return found


def _confirm_active(reader: Reader) -> ConfirmActive:
    reader.what = "Confirm Active"
    reader.u32()
    reader.u16()
    descriptor, _sets_size = reader.u16(), reader.u16()
    if descriptor > LONGEST_DESCRIPTOR:
        raise ProtocolError(f"Confirm Active: a source descriptor of {descriptor} bytes")
    reader.take(descriptor)
    count = reader.u16()
    reader.u16()
    return ConfirmActive(capabilities.parse_client_sets(reader, count))


def _data(reader: Reader) -> DataPdu:
    reader.take(6)
    reader.u16()
    kind, compression = reader.u8(), reader.u8()
    reader.u16()
    if compression & COMPRESSED:
        raise ProtocolError(f"data PDU {kind} is compressed, which was not agreed")
    return DataPdu(kind, Reader(reader.rest(), f"data PDU {kind}"))


def control(kind: Control, source: int, body: bytes) -> bytes:
    return struct.pack("<HHH", 6 + len(body), PROTOCOL_VERSION | kind, source) + body


def data(kind: Data, share: int, source: int, body: bytes) -> bytes:
    header = struct.pack("<IBBHBBH", share, 0, STREAM_LOW, 4 + len(body), kind, 0, 0)
    return control(Control.DATA, source, header + body)


def demand_active(share: int, source: int, width: int, height: int, depth: int) -> bytes:
    count, sets = capabilities.server_sets(width, height, depth)
    body = struct.pack("<IHH", share, len(SOURCE_DESCRIPTOR), 4 + len(sets)) + SOURCE_DESCRIPTOR + struct.pack("<HH", count, 0) + sets + bytes(4)
    return control(Control.DEMAND_ACTIVE, source, body)


def deactivate_all(share: int, source: int) -> bytes:
    return control(Control.DEACTIVATE_ALL, source, struct.pack("<IHB", share, 1, 0))
