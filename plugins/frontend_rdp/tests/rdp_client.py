"""The client's side of the protocol's core, only as far as tests speak it: PDUs of the shapes that FreeRDP 2.11 sends."""

from __future__ import annotations

import struct

from ringone_frontend_rdp.connection import Connection, StartTls
from ringone_frontend_rdp.x224 import Protocol

CHANNELS = ("rdpdr", "rdpsnd", "cliprdr")
IO_CHANNEL = 1003
CHANNEL_IDS = {name: 1004 + number for number, name in enumerate(CHANNELS)}
USER = 1004 + len(CHANNELS)
SHARE_ID = 0x000103EA


def tpkt(payload: bytes) -> bytes:
    return struct.pack(">BBH", 3, 0, 4 + len(payload)) + payload


def data_tpdu(payload: bytes) -> bytes:
    return tpkt(b"\x02\xf0\x80" + payload)


def connection_request(protocols: int = Protocol.SSL, cookie: bytes = b"Cookie: mstshash=alice\r\n") -> bytes:
    variable = cookie + struct.pack("<BBHI", 1, 0, 8, protocols)
    return tpkt(bytes((6 + len(variable), 0xE0, 0, 0, 0, 0, 0)) + variable)


def block(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, 4 + len(content)) + content


def core_data(depths: int = 0x0F, early_flags: int = 0x07) -> bytes:
    name = "tester".encode("utf-16-le").ljust(32, b"\0")
    fixed = struct.pack("<IHHHHII", 0x00080004, 1024, 768, 0xCA01, 0xAA03, 0x409, 2600) + name + bytes(76)
    return fixed + struct.pack("<HHIHHH", 0xCA01, 1, 0, 24, depths, early_flags) + bytes(64 + 2 + 4 + 2)


def connect_initial(blocks: bytes | None = None) -> bytes:
    if blocks is None:
        channels = struct.pack("<I", len(CHANNELS)) + b"".join(name.encode().ljust(8, b"\0") + bytes(4) for name in CHANNELS)
        blocks = block(0xC001, core_data()) + block(0xC002, bytes(8)) + block(0xC003, channels)
    gcc = b"\x00\x05\x00\x14\x7c\x00\x01\x81\x2a\x00\x08\x00\x10\x00\x01\xc0\x00Duca" + struct.pack(">H", 0x8000 | len(blocks)) + blocks
    parameters = b"\x30\x00" * 3
    body = b"\x04\x01\x01\x04\x01\x01\x01\x01\xff" + parameters + b"\x04\x82" + struct.pack(">H", len(gcc)) + gcc
    return data_tpdu(b"\x7f\x65\x82" + struct.pack(">H", len(body)) + body)


ERECT_DOMAIN = data_tpdu(b"\x04\x01\x00\x01\x00")
ATTACH_USER = data_tpdu(b"\x28")
DISCONNECT = data_tpdu(b"\x21\x80")


def join(channel: int) -> bytes:
    return data_tpdu(struct.pack(">BHH", 14 << 2, USER - 1001, channel))


def send_data(data: bytes, channel: int = IO_CHANNEL) -> bytes:
    return data_tpdu(struct.pack(">BHHBH", 25 << 2, USER - 1001, channel, 0x70, 0x8000 | len(data)) + data)


def client_info(user: str = "alice", password: str = "secret") -> bytes:
    fields = [text.encode("utf-16-le") for text in ("", user, password, "", "")]
    body = struct.pack("<II5H", 0, 0x0010, *(len(field) for field in fields)) + b"".join(field + b"\0\0" for field in fields)
    return send_data(struct.pack("<HH", 0x40, 0) + body)


def control(kind: int, body: bytes) -> bytes:
    return send_data(struct.pack("<HHH", 6 + len(body), 0x10 | kind, USER) + body)


def data_pdu(kind: int, body: bytes) -> bytes:
    return control(7, struct.pack("<IBBHBBH", SHARE_ID, 0, 1, 4 + len(body), kind, 0, 0) + body)


def confirm_active(extra_flags: int = 0x0001, drawing_flags: int = 0x08, resize: int = 1) -> bytes:
    general = struct.pack("<9HBB", 4, 0, 0x0200, 0, 0, extra_flags, 0, 0, 0, 0, 0)
    bitmap = struct.pack("<9HBBHH", 32, 1, 1, 1, 1024, 768, 0, resize, 1, 0, drawing_flags, 1, 0)
    sets = block(1, general) + block(2, bitmap)
    return control(3, struct.pack("<IHHH", SHARE_ID, 0x03EA, 6, 4 + len(sets)) + b"MSTSC\0" + struct.pack("<HH", 2, 0) + sets)


SYNCHRONIZE = data_pdu(31, struct.pack("<HH", 1, USER))
COOPERATE = data_pdu(20, struct.pack("<HHI", 4, 0, 0))
REQUEST_CONTROL = data_pdu(20, struct.pack("<HHI", 1, 0, 0))
FONT_LIST = data_pdu(39, struct.pack("<HHHH", 0, 0, 3, 50))
REFRESH_RECT = data_pdu(33, struct.pack("<BBBB4H", 1, 0, 0, 0, 0, 0, 99, 99))
SUPPRESS_OUTPUT = data_pdu(35, bytes(4))
ALLOW_OUTPUT = data_pdu(35, struct.pack("<BBBB4H", 1, 0, 0, 0, 0, 0, 99, 99))
SHUTDOWN_REQUEST = data_pdu(36, b"")
FINALIZATION = (SYNCHRONIZE, COOPERATE, REQUEST_CONTROL, FONT_LIST)

SLOW_PATH_KEY_A = data_pdu(28, struct.pack("<HHIHHHH", 1, 0, 0, 4, 0, 0x1E, 0))
FAST_PATH_KEY_A = bytes((1 << 2, 4, 0x00, 0x1E))


def conversation() -> list[bytes]:
    """From TLS to the live session, and a bit of that."""
    return [
        connect_initial(),
        ERECT_DOMAIN,
        ATTACH_USER,
        *(join(channel) for channel in (USER, IO_CHANNEL, *range(1004, 1004 + len(CHANNELS)))),
        client_info(),
        confirm_active(),
        *FINALIZATION,
        SLOW_PATH_KEY_A,
        FAST_PATH_KEY_A,
        REFRESH_RECT,
        SUPPRESS_OUTPUT,
        SHUTDOWN_REQUEST,
        DISCONNECT,
    ]


def through_negotiation(connection: Connection, protocols: int = Protocol.SSL) -> bytes:
    """Returns what was said in clear."""
    connection.receive(connection_request(protocols))
    assert connection.take_events() == [StartTls()]
    confirmed = connection.take_output()
    connection.tls_established()
    return confirmed


def active(connection: Connection) -> Connection:
    through_negotiation(connection)
    for pdu in conversation():
        connection.receive(pdu)
        if pdu is FONT_LIST:
            return connection
    raise AssertionError
