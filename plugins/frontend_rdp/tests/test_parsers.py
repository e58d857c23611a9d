"""Every parser of what clients send, given noise and bent messages: a value comes out, or one `ProtocolError`, and a message is never read beyond its end."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone_frontend_rdp import credssp, der, mcs, share, wire, x224
from ringone_frontend_rdp.capabilities import parse_client_sets
from ringone_frontend_rdp.client_info import parse_client_info
from ringone_frontend_rdp.clipboard import Clipboard
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.input import parse_fast_path, parse_slow_path
from ringone_frontend_rdp.negotiation import Negotiation
from ringone_frontend_rdp.ntlm import NtlmAcceptor
from ringone_frontend_rdp.static_channels import Assembler
from ringone_frontend_rdp.wire import Reader

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.nla_client import OneUser

EXAMPLES = int(os.environ.get("RINGONE_FUZZ_EXAMPLES", "0"))
"""More than the fast suite's: `make fuzz`."""

DATA_HEADERS = 7
SEND_DATA_HEADERS = DATA_HEADERS + 8
CLIENT_INFO = client.client_info()[SEND_DATA_HEADERS:]
CONFIRM_ACTIVE = client.confirm_active()[SEND_DATA_HEADERS:]
SPNEGO_INIT = bytes.fromhex("601c06062b0601050502a0123010a00e300c060a2b06010401823702020a")
NEGOTIATE = b"NTLMSSP\0" + struct.pack("<II", 1, 0xE20882B7) + bytes(24)
TS_REQUEST = credssp.encode_request(credssp.TsRequest(version=6, token=NEGOTIATE, nonce=bytes(32)))


def sets(data: bytes) -> object:
    return parse_client_sets(Reader(data, "sets"), 2)


def slow_path(data: bytes) -> object:
    return parse_slow_path(Reader(data, "input"))


def negotiation(data: bytes) -> object:
    return Negotiation(NtlmAcceptor(OneUser(), b"")).receive(data)


def ntlm_challenge(data: bytes) -> object:
    return NtlmAcceptor(OneUser(), b"").challenge(data)


def ntlm_authenticate(data: bytes) -> object:
    acceptor = NtlmAcceptor(OneUser(), b"")
    acceptor.challenge(NEGOTIATE)
    return acceptor.authenticate(data)


def one_element(data: bytes) -> object:
    return der.only(der.SEQUENCE, data)


def chunk(data: bytes) -> object:
    return Assembler("test", 4096, 4096).receive(data)


def clipboard(data: bytes) -> object:
    return Clipboard(list[bytes]().append).receive(data)


def frame(data: bytes) -> object:
    return wire.pdu_size(data, 4096)


AUTHENTICATE = b"NTLMSSP\0" + struct.pack("<I", 3) + struct.pack("<HHI", 0, 0, 88) + struct.pack("<HHI", 48, 48, 88) + struct.pack("<HHI", 0, 0, 88)
AUTHENTICATE += struct.pack("<HHI", 10, 10, 136) + struct.pack("<HHI", 0, 0, 88) + struct.pack("<HHI", 16, 16, 146) + struct.pack("<I", 0xE20882B7) + bytes(24)
AUTHENTICATE += bytes(16) + b"\1\1" + bytes(30) + "alice".encode("utf-16-le") + bytes(16)

PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "frame": (frame, client.ATTACH_USER),
    "X.224 request": (x224.parse_connection_request, client.connection_request()),
    "X.224 data": (x224.parse_data, client.ATTACH_USER),
    "MCS connect": (mcs.parse_connect_initial, client.connect_initial()[DATA_HEADERS:]),
    "MCS domain": (mcs.parse_domain_pdu, client.SLOW_PATH_KEY_A[DATA_HEADERS:]),
    "client info": (parse_client_info, CLIENT_INFO),
    "share": (share.parse, CONFIRM_ACTIVE + client.FONT_LIST[SEND_DATA_HEADERS:]),
    "capabilities": (sets, CONFIRM_ACTIVE[26:]),
    "slow-path input": (slow_path, struct.pack("<HHIHHHHIHHHH", 2, 0, 0, 4, 0, 0x1E, 0, 0, 0x8001, 0x800, 7, 9)),
    "fast-path input": (parse_fast_path, bytes((2 << 2, 12, 0, 0x1E, 2 << 5, 1, 0x80, 7, 0, 9, 0, 0))),
    "DER": (one_element, b"\x30\x81\x04\x02\x02\x01\x00"),
    "CredSSP": (credssp.parse_request, TS_REQUEST),
    "SPNEGO": (negotiation, SPNEGO_INIT),
    "NTLM negotiate": (ntlm_challenge, NEGOTIATE),
    "NTLM authenticate": (ntlm_authenticate, AUTHENTICATE),
    "channel chunk": (chunk, struct.pack("<II", 4, 3) + b"data"),
    "clipboard": (clipboard, struct.pack("<HHII", 2, 0, 36, 13) + bytes(32)),
}
REFUSES = {"NTLM authenticate"}
"""Parsers whose message of the table is whole and yet proves nothing."""


def is_harmless(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except ProtocolError as error:
        assert str(error)


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_bent_below_is_whole(name: str) -> None:
    parse, message = PARSERS[name]
    if name in REFUSES:
        with pytest.raises(ProtocolError, match="wrong password"):
            parse(message)
    else:
        parse(message)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=EXAMPLES or 60, derandomize=not EXAMPLES, deadline=None, database=None)
@given(data=st.binary(max_size=400))
def test_noise_is_harmless(name: str, data: bytes) -> None:
    is_harmless(PARSERS[name][0], data)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=EXAMPLES or 100, derandomize=not EXAMPLES, deadline=None, database=None)
@given(data=st.data())
def test_bent_messages_are_harmless(name: str, data: st.DataObject) -> None:
    parse, message = PARSERS[name]
    bent = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)) | st.integers(0, 255))
    is_harmless(parse, bytes(bent[: data.draw(st.integers(0, len(bent)))]) if data.draw(st.booleans()) else bytes(bent))


@pytest.mark.parametrize("name", PARSERS)
def test_every_beginning_is_harmless(name: str) -> None:
    parse, message = PARSERS[name]
    for size in range(len(message)):
        is_harmless(parse, message[:size])
