"""MCS (T.125) with GCC (T.124) inside, as far as RDP uses them ([MS-RDPBCGR] 2.2.1.3 to 2.2.1.9): the client's core data, channels, and the data in them.

The connect PDUs are BER, the others aligned PER; both are read where RDP leaves a choice and written as fixed templates. Conference roles, token management and
merging of domains do not exist here.
"""

from __future__ import annotations

import enum
import struct

import attrs

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import Reader

CONNECT_INITIAL = b"\x7f\x65"
CONNECT_RESPONSE = b"\x7f\x66"
BER_BOOLEAN, BER_INTEGER, BER_OCTET_STRING, BER_ENUMERATED, BER_SEQUENCE = 0x01, 0x02, 0x04, 0x0A, 0x30
LARGEST_CONNECT_INITIAL = 16 << 10

GCC_OBJECT_KEY = b"\x00\x05\x00\x14\x7c\x00\x01"
H221_CLIENT_KEY = b"Duca"
GCC_CREATE_RESPONSE = b"\x2a\x14\x76\x0a\x01\x01\x00\x01\xc0\x00McDn"

CS_CORE, CS_SECURITY, CS_NET = 0xC001, 0xC002, 0xC003
SC_CORE, SC_SECURITY, SC_NET = 0x0C01, 0x0C02, 0x0C03
RDP_VERSION_5_PLUS = 0x00080004
MOST_CHANNELS = 31

USER_BASE = 1001
IO_CHANNEL = 1003
FIRST_STATIC_CHANNEL = 1004

HAS_VALUE = 2
WHOLE_HIGH_PRIORITY = 0x70

SUPPORTED_DEPTHS_OFFSET = 138
CORE_WITH_EARLY_FLAGS = SUPPORTED_DEPTHS_OFFSET + 4
WANT_32BPP_SESSION = 0x0002
SUPPORT_32BPP = 0x0008


class Kind(enum.IntEnum):
    """Choices of DomainMCSPDU"""

    ERECT_DOMAIN = 1
    DISCONNECT_ULTIMATUM = 8
    ATTACH_USER = 10
    ATTACH_USER_CONFIRM = 11
    CHANNEL_JOIN = 14
    CHANNEL_JOIN_CONFIRM = 15
    SEND_DATA_REQUEST = 25
    SEND_DATA_INDICATION = 26


@attrs.frozen(kw_only=True)
class ClientData:
    """What the client says of itself before anything is agreed; sizes are wishes."""

    width: int
    height: int
    name: str
    early_flags: int
    supported_depths: int
    channels: tuple[str, ...]

    @property
    def wants_32bpp(self) -> bool:
        return bool(self.early_flags & WANT_32BPP_SESSION and self.supported_depths & SUPPORT_32BPP)


# --- connect


def parse_connect_initial(payload: bytes) -> ClientData:
    reader = Reader(payload, "MCS Connect-Initial")
    if reader.take(2) != CONNECT_INITIAL:
        raise ProtocolError("MCS Connect-Initial expected")
    reader = reader.part(_ber_length(reader), reader.what)
    for tag in (BER_OCTET_STRING, BER_OCTET_STRING, BER_BOOLEAN, BER_SEQUENCE, BER_SEQUENCE, BER_SEQUENCE):
        _ber(reader, tag)
    return _gcc_create_request(_ber(reader, BER_OCTET_STRING))


def _ber(reader: Reader, tag: int) -> bytes:
    reader.expect(tag, reader.u8(), "tag")
    return reader.take(_ber_length(reader))


def _ber_length(reader: Reader) -> int:
    first = reader.u8()
    if first < 0x80:
        return first
    if first not in (0x81, 0x82):
        raise ProtocolError(f"{reader.what}: BER length form {first:#x}")
    return int.from_bytes(reader.take(first & 0x7F), "big")


def _per_length(reader: Reader) -> int:
    first = reader.u8()
    return (first & 0x7F) << 8 | reader.u8() if first & 0x80 else first


def _gcc_create_request(data: bytes) -> ClientData:
    if not data.startswith(GCC_OBJECT_KEY):
        raise ProtocolError("GCC Create Request: another object key")
    _, key, rest = data.partition(H221_CLIENT_KEY)
    if not key:
        raise ProtocolError("GCC Create Request: no client key")
    reader = Reader(rest, "GCC Create Request")
    reader = reader.part(_per_length(reader), "GCC client data")
    blocks: dict[int, bytes] = {}
    while reader.remaining:
        kind, length = reader.u16(), reader.u16()
        if length < 4:
            raise ProtocolError(f"GCC client data: a block of {length} bytes")
        if blocks.setdefault(kind, content := reader.take(length - 4)) is not content:
            raise ProtocolError(f"GCC client data: block {kind:#x} twice")
    if CS_CORE not in blocks:
        raise ProtocolError("GCC client data: no core data")
    return _client_data(blocks[CS_CORE], blocks.get(CS_NET, bytes(4)))


def _client_data(core: bytes, network: bytes) -> ClientData:
    """Fields of the core data behind the first 128 bytes may be missing."""
    reader = Reader(core, "GCC core data")
    reader.u32()
    width, height = reader.u16(), reader.u16()
    reader.take(12)
    name = reader.take(32).decode("utf-16-le", "replace").partition("\0")[0]
    depths, early_flags = struct.unpack_from("<HH", core.ljust(CORE_WITH_EARLY_FLAGS, b"\0"), SUPPORTED_DEPTHS_OFFSET)
    return ClientData(width=width, height=height, name=name, early_flags=early_flags, supported_depths=depths, channels=_channels(network))


def _channels(network: bytes) -> tuple[str, ...]:
    reader = Reader(network, "GCC network data")
    count = reader.u32()
    if count > MOST_CHANNELS:
        raise ProtocolError(f"GCC network data: {count} channels; accepted: {MOST_CHANNELS}")
    names = []
    for _ in range(count):
        names.append(reader.take(8).partition(b"\0")[0].decode("ascii", "replace"))
        reader.u32()
    return tuple(names)


def connect_response(client: ClientData, requested_protocols: int) -> bytes:
    """The network block comes before the security block: some clients depend on it."""
    channels = range(FIRST_STATIC_CHANNEL, FIRST_STATIC_CHANNEL + len(client.channels))
    ids = struct.pack(f"<{len(channels)}H", *channels) + bytes(2 * (len(channels) % 2))
    blocks = (
        _block(SC_CORE, struct.pack("<III", RDP_VERSION_5_PLUS, requested_protocols, 0))
        + _block(SC_NET, struct.pack("<HH", IO_CHANNEL, len(channels)) + ids)
        + _block(SC_SECURITY, bytes(8))
    )
    gcc = GCC_OBJECT_KEY + GCC_CREATE_RESPONSE + per_length(len(blocks)) + blocks
    parameters = b"".join(_ber_integer(value) for value in (22, 3, 0, 1, 0, 1, 65528, 2))
    body = bytes((BER_ENUMERATED, 1, 0)) + _ber_integer(0) + _ber_element(bytes((BER_SEQUENCE,)), parameters) + _ber_element(bytes((BER_OCTET_STRING,)), gcc)
    return _ber_element(CONNECT_RESPONSE, body)


def _block(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, 4 + len(content)) + content


def _ber_element(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    return tag + (bytes((size,)) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")) + content


def _ber_integer(value: int) -> bytes:
    return _ber_element(bytes((BER_INTEGER,)), value.to_bytes(value.bit_length() // 8 + 1, "big"))


def per_length(size: int) -> bytes:
    return bytes((size,)) if size < 0x80 else (0x8000 | size).to_bytes(2, "big")


# --- the domain


@attrs.frozen
class ErectDomain:
    pass


@attrs.frozen
class AttachUser:
    pass


@attrs.frozen
class ChannelJoin:
    channel: int


@attrs.frozen
class SendData:
    channel: int
    data: bytes


@attrs.frozen
class Disconnect:
    pass


DomainPdu = ErectDomain | AttachUser | ChannelJoin | SendData | Disconnect


def parse_domain_pdu(payload: bytes) -> DomainPdu:
    reader = Reader(payload, "MCS domain PDU")
    kind = reader.u8() >> 2
    match kind:
        case Kind.ERECT_DOMAIN:
            return ErectDomain()
        case Kind.DISCONNECT_ULTIMATUM:
            return Disconnect()
        case Kind.ATTACH_USER:
            return AttachUser()
        case Kind.CHANNEL_JOIN:
            reader.u16_be()
            return ChannelJoin(reader.u16_be())
        case Kind.SEND_DATA_REQUEST:
            reader.u16_be()
            channel = reader.u16_be()
            reader.u8()
            return SendData(channel, reader.take(_per_length(reader)))
    raise ProtocolError(f"MCS domain PDU {kind} is none that a client sends")


def attach_user_confirm(user: int) -> bytes:
    return struct.pack(">BBH", Kind.ATTACH_USER_CONFIRM << 2 | HAS_VALUE, 0, user - USER_BASE)


def channel_join_confirm(user: int, channel: int) -> bytes:
    return struct.pack(">BBHHH", Kind.CHANNEL_JOIN_CONFIRM << 2 | HAS_VALUE, 0, user - USER_BASE, channel, channel)


def send_data(user: int, channel: int, data: bytes) -> bytes:
    return struct.pack(">BHHB", Kind.SEND_DATA_INDICATION << 2, user - USER_BASE, channel, WHOLE_HIGH_PRIORITY) + per_length(len(data)) + data


def disconnect_provider_ultimatum() -> bytes:
    """Reason: provider initiated."""
    return b"\x20\x80"
