"""X.224 class 0 as RDP uses it ([MS-RDPBCGR] 2.2.1.1 and 2.2.1.2): one request that negotiates how the rest is protected, then data."""

from __future__ import annotations

import enum
import struct

import attrs

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import TPKT_HEADER, Reader, tpkt

CONNECTION_REQUEST, CONNECTION_CONFIRM, DATA = 0xE0, 0xD0, 0xF0
TYPE_RDP_NEG_REQ, TYPE_RDP_NEG_RSP, TYPE_RDP_NEG_FAILURE = 1, 2, 3
EXTENDED_CLIENT_DATA_SUPPORTED, DYNVC_GFX_PROTOCOL_SUPPORTED = 0x01, 0x02
LARGEST_REQUEST = 512
END_OF_TRANSMISSION = 0x80
NEGOTIATION_SIZE = 8


class Protocol(enum.IntFlag):
    """What protects the connection; none of them is Standard RDP Security."""

    SSL = 0x01
    HYBRID = 0x02
    HYBRID_EX = 0x08


class Refusal(enum.IntEnum):
    """RDP_NEG_FAILURE codes"""

    SSL_REQUIRED_BY_SERVER = 1
    SSL_NOT_ALLOWED_BY_SERVER = 2
    HYBRID_REQUIRED_BY_SERVER = 5


@attrs.frozen
class ConnectionRequest:
    """`protocols` is as the client sent it, with bits that we do not know; 0 where it wants Standard RDP Security."""

    protocols: int


def parse_connection_request(pdu: bytes) -> ConnectionRequest:
    reader = Reader(pdu, "X.224 Connection Request")
    reader.take(TPKT_HEADER)
    reader.expect(reader.remaining, reader.u8() + 1, "length indicator")
    reader.expect(CONNECTION_REQUEST, reader.u8() & 0xF0, "code")
    reader.take(5)
    variable = reader.rest()
    if variable[:1] and variable[0] != TYPE_RDP_NEG_REQ:  # a routing token or a cookie, both of which end with a line
        _, line_end, variable = variable.partition(b"\r\n")
        if not line_end:
            raise ProtocolError("X.224 Connection Request: cookie or routing token without an end")
    if not variable:
        return ConnectionRequest(0)
    reader = Reader(variable, "RDP_NEG_REQ")
    reader.expect(TYPE_RDP_NEG_REQ, reader.u8(), "type")
    reader.u8()
    reader.expect(NEGOTIATION_SIZE, reader.u16(), "length")
    return ConnectionRequest(reader.u32())


def connection_confirm(protocol: Protocol) -> bytes:
    return _confirm(TYPE_RDP_NEG_RSP, EXTENDED_CLIENT_DATA_SUPPORTED | DYNVC_GFX_PROTOCOL_SUPPORTED, protocol)


def refusal(code: Refusal) -> bytes:
    return _confirm(TYPE_RDP_NEG_FAILURE, 0, code)


def _confirm(kind: int, flags: int, value: int) -> bytes:
    variable = struct.pack("<BBHI", kind, flags, NEGOTIATION_SIZE, value)
    return tpkt(struct.pack(">BBHHB", 6 + len(variable), CONNECTION_CONFIRM, 0, 0x1234, 0) + variable)


def data(payload: bytes) -> bytes:
    return tpkt(bytes((2, DATA, END_OF_TRANSMISSION)) + payload)


def parse_data(pdu: bytes) -> bytes:
    reader = Reader(pdu, "X.224 Data")
    reader.take(TPKT_HEADER)
    reader.expect(2, reader.u8(), "length indicator")
    reader.expect(DATA, reader.u8(), "code")
    reader.u8()
    return reader.rest()
