"""Client Info PDU ([MS-RDPBCGR] 2.2.1.11): who the client says it is. Under TLS alone, this is where its password comes."""

from __future__ import annotations

import attrs

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import Reader

SEC_INFO_PKT = 0x0040
INFO_UNICODE = 0x0010
LONGEST_FIELD = 1024


@attrs.frozen
class ClientInfo:
    domain: str
    user: str
    password: str = attrs.field(repr=False)


def parse_client_info(data: bytes) -> ClientInfo:
    reader = Reader(data, "Client Info PDU")
    if not reader.u16() & SEC_INFO_PKT:
        raise ProtocolError("Client Info PDU expected")
    reader.u16()
    reader.u32()
    flags = reader.u32()
    sizes = [reader.u16() for _ in range(5)]
    if max(sizes) > LONGEST_FIELD:
        raise ProtocolError(f"Client Info PDU: a field of {max(sizes)} bytes; accepted: {LONGEST_FIELD}")
    codec, terminator = ("utf-16-le", 2) if flags & INFO_UNICODE else ("cp1252", 1)
    domain, user, password, *_ = [reader.take(size + terminator)[:size].decode(codec, "replace") for size in sizes]
    return ClientInfo(domain, user, password)
