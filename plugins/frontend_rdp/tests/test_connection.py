"""The protocol's core, driven by PDUs: what comes out of which, and what is refused."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone_frontend_rdp.connection import Activated, ChannelMessage, Closed, Connection, ErrorInfo, Inputs, OutputWanted, Refresh, Security, Stage
from ringone_frontend_rdp.credssp import Acceptor
from ringone_frontend_rdp.errors import AuthenticationError, ProtocolError
from ringone_frontend_rdp.input import KeyEvent
from ringone_frontend_rdp.x224 import Protocol

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.nla_client import OneUser

ANYBODY = Security(accepted=(Protocol.SSL,))
ALICE = Security(accepted=(Protocol.SSL,), password_fits=lambda user, password: (user, password) == ("alice", "secret"))
KEY_A = KeyEvent(0x1E, extended=False, extended1=False, released=False)


def connection(security: Security = ANYBODY) -> Connection:
    return Connection(security, 720, 400)


def said(connection: Connection, *pdus: bytes) -> bytes:
    for pdu in pdus:
        connection.receive(pdu)
    return connection.take_output()


def after_log_on(security: Security = ANYBODY, **info: str) -> Connection:
    made = connection(security)
    client.through_negotiation(made)
    said(made, client.connect_initial(), client.ERECT_DOMAIN, client.ATTACH_USER, client.join(client.IO_CHANNEL))
    made.receive(client.client_info(**info))
    return made


# --- negotiation


@pytest.mark.parametrize(
    ("accepted", "requested", "chosen"),
    [
        ((Protocol.SSL,), 0x01, Protocol.SSL),
        ((Protocol.SSL,), 0x0B, Protocol.SSL),
        ((Protocol.HYBRID_EX, Protocol.HYBRID, Protocol.SSL), 0x03, Protocol.HYBRID),
        ((Protocol.HYBRID_EX, Protocol.HYBRID, Protocol.SSL), 0x0B, Protocol.HYBRID_EX),
    ],
    ids=["tls", "tls-of-more", "nla", "nla-ex"],
)
def test_best_protection_that_both_have_is_chosen(accepted: tuple[Protocol, ...], requested: int, chosen: Protocol) -> None:
    made = connection(Security(accepted=accepted))
    assert said(made, client.connection_request(requested))[-8:] == struct.pack("<BBHI", 2, 3, 8, chosen)
    assert made.stage is Stage.TLS


@pytest.mark.parametrize(
    ("accepted", "requested", "code"),
    [((Protocol.SSL,), 0, 1), ((Protocol.SSL,), 2, 1), ((Protocol.HYBRID,), 0, 5), ((Protocol.HYBRID,), 1, 5)],
    ids=["rdp-security", "nla-only-client", "rdp-security-with-nla", "tls-only-client"],
)
def test_client_without_common_protection_is_told_what_is_needed(accepted: tuple[Protocol, ...], requested: int, code: int) -> None:
    made = connection(Security(accepted=accepted))
    assert said(made, client.connection_request(requested))[-8:] == struct.pack("<BBHI", 3, 0, 8, code)
    assert isinstance(made.take_events()[0], Closed)


def test_request_without_negotiation_is_refused() -> None:
    made = connection()
    assert said(made, client.tpkt(bytes((6, 0xE0, 0, 0, 0, 0, 0))))[-8:] == struct.pack("<BBHI", 3, 0, 8, 1)


def test_correlation_info_behind_the_request_is_passed_over() -> None:
    variable = struct.pack("<BBHI", 1, 8, 8, 1) + struct.pack("<BBH", 6, 0, 36) + bytes(32)
    made = connection()
    made.receive(client.tpkt(bytes((6 + len(variable), 0xE0, 0, 0, 0, 0, 0)) + variable))
    assert made.stage is Stage.TLS


def test_nothing_but_tls_may_follow_the_negotiation() -> None:
    made = connection()
    with pytest.raises(ProtocolError, match="before TLS"):
        made.receive(client.connection_request() + client.connect_initial())


# --- the way to a live session


def test_whole_conversation_ends_in_a_live_session() -> None:
    made = connection()
    client.through_negotiation(made)
    events = []
    for pdu in client.conversation():
        made.receive(pdu)
        events += made.take_events()
    assert events == [Activated(), Inputs([KEY_A]), Inputs([KEY_A]), Refresh(), OutputWanted(False), Closed("the client disconnected")]
    assert made.depth == 32


def test_conversation_may_come_byte_by_byte() -> None:
    made = connection()
    client.through_negotiation(made)
    for byte in b"".join(client.conversation()):
        made.receive(bytes((byte,)))
    assert Activated() in made.take_events()


def test_connect_response_echoes_what_was_requested() -> None:
    made = connection()
    client.through_negotiation(made, Protocol.SSL | Protocol.HYBRID)
    response = said(made, client.connect_initial())
    assert struct.pack("<HHIII", 0x0C01, 16, 0x00080004, 3, 0) in response
    assert response.index(b"\x03\x0c") < response.index(b"\x02\x0c\x0c\x00")


def test_demand_active_says_the_guests_size_and_the_sessions_depth() -> None:
    assert struct.pack("<HH6H", 2, 28, 32, 1, 1, 1, 720, 400) in after_log_on().take_output()


@pytest.mark.parametrize(("depths", "early_flags"), [(0x07, 0x02), (0x0F, 0x00)], ids=["cannot", "does-not-want"])
def test_client_without_32_bits_gets_16(depths: int, early_flags: int) -> None:
    made = connection()
    client.through_negotiation(made)
    made.receive(client.connect_initial(client.block(0xC001, client.core_data(depths, early_flags))))
    assert made.depth == 16


def test_server_synchronizes_at_once_after_confirm_active() -> None:
    made = after_log_on()
    made.take_output()
    reply = said(made, client.confirm_active())
    assert struct.pack("<HH", 1, client.USER) in reply
    assert struct.pack("<HHI", 4, 0, 0) in reply


def test_client_without_fast_path_output_is_refused() -> None:
    with pytest.raises(ProtocolError, match="fast-path"):
        after_log_on().receive(client.confirm_active(extra_flags=0))


def test_shutdown_request_is_denied_so_that_the_client_decides() -> None:
    made = client.active(connection())
    made.take_output()
    assert said(made, client.SHUTDOWN_REQUEST)[-4:-3] == bytes((37,))


def test_other_size_goes_through_deactivation_and_reactivation() -> None:
    made = client.active(connection())
    made.take_output()
    made.take_events()
    made.resize(640, 480)
    assert struct.pack("<HH6H", 2, 28, 32, 1, 1, 1, 640, 480) in made.take_output()
    said(made, client.FAST_PATH_KEY_A, client.SLOW_PATH_KEY_A, client.confirm_active(), *client.FINALIZATION)
    assert Activated() in made.take_events()


@pytest.mark.parametrize(
    ("early_flags", "pdus", "told"),
    [(1, 0, True), (0, 0, False), (0, 1, True), (0, 5, True)],
    ids=["said", "not-said", "connected", "active"],
)
def test_end_is_told_with_its_reason_to_who_understands_it(early_flags: int, pdus: int, told: bool) -> None:
    made = connection()
    client.through_negotiation(made)
    said(made, client.connect_initial(client.block(0xC001, client.core_data(early_flags=early_flags))), client.ATTACH_USER, client.client_info())
    said(made, *(client.confirm_active(), *client.FINALIZATION)[:pdus])
    made.close(ErrorInfo.RPC_INITIATED_DISCONNECT)
    goodbye = made.take_output()
    assert (struct.pack("<BBHI", 47, 0, 0, 1) in goodbye) == told
    assert goodbye.endswith(b"\x20\x80")


# --- channels


def chunk(total: int, flags: int, data: bytes, channel: int = client.CHANNEL_IDS["cliprdr"]) -> bytes:
    return client.send_data(struct.pack("<II", total, flags) + data, channel)


def test_what_comes_in_channels_that_nobody_listens_to_is_not_kept() -> None:
    made = client.active(connection())
    made.take_events()
    tracemalloc.start()
    try:
        for channel in client.CHANNEL_IDS.values():
            said(made, chunk(1 << 20, 1, bytes(1600), channel), *[chunk(1 << 20, 0, bytes(1600), channel)] * 300)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 << 10
    assert made.take_events() == []


def test_what_comes_in_a_channel_that_is_listened_to_comes_out_as_far_as_it_was_to_be_kept() -> None:
    made = client.active(connection())
    made.take_events()
    made.listen("cliprdr", 1 << 20, 2000)
    said(made, chunk(4800, 1, b"a" * 1600), *[chunk(4800, 0, b"b" * 1600)], chunk(4800, 2, b"c" * 1600), chunk(3, 3, b"end"))
    assert made.take_events() == [ChannelMessage("cliprdr", b"a" * 1600 + b"b" * 400), ChannelMessage("cliprdr", b"end")]


@pytest.mark.parametrize("channel", [*client.CHANNEL_IDS.values()], ids=[*client.CHANNEL_IDS])
def test_nothing_may_come_in_channels_before_the_logon(channel: int) -> None:
    made = connection()
    client.through_negotiation(made)
    said(made, client.connect_initial(), client.ATTACH_USER)
    with pytest.raises(ProtocolError, match=f"data on channel {channel} in stage CHANNELS"):
        made.receive(chunk(1, 3, b"x", channel))


# --- passwords


def test_right_password_lets_in() -> None:
    assert after_log_on(ALICE).user == "alice"


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("bob", "secret"), ("", "")], ids=["password", "user", "nothing"])
def test_wrong_password_is_told_and_kept_out_of_the_reason(user: str, password: str) -> None:
    made = connection(ALICE)
    client.through_negotiation(made)
    said(made, client.connect_initial(), client.ATTACH_USER)
    with pytest.raises(AuthenticationError) as raised:
        made.receive(client.client_info(user, password))
    assert "secret" not in str(raised.value)
    assert struct.pack("<BBHI", 47, 0, 0, ErrorInfo.SERVER_INSUFFICIENT_PRIVILEGES) in made.take_output()


def test_full_server_denies_who_comes() -> None:
    made = connection(Security(accepted=(Protocol.SSL,), has_room=lambda: False))
    client.through_negotiation(made)
    said(made, client.connect_initial(), client.ATTACH_USER)
    with pytest.raises(ProtocolError, match="as many clients"):
        made.receive(client.client_info())
    assert struct.pack("<BBHI", 47, 0, 0, ErrorInfo.SERVER_DENIED_CONNECTION) in made.take_output()


# --- what hostile clients send


@pytest.mark.parametrize(
    "blocks",
    [
        b"",
        struct.pack("<HH", 0xC001, 0),
        struct.pack("<HH", 0xC001, 3),
        struct.pack("<HH", 0xC001, 0xFFFF),
        client.block(0xC001, bytes(20)),
        client.block(0xC001, client.core_data()) * 2,
        client.block(0xC001, client.core_data()) + client.block(0xC003, struct.pack("<I", 32) + bytes(32 * 12)),
        client.block(0xC001, client.core_data()) + client.block(0xC003, struct.pack("<I", 0xFFFFFFFF)),
    ],
    ids=["no-core", "length-0", "length-3", "beyond-end", "short-core", "twice", "32-channels", "4G-channels"],
)
def test_malformed_client_data_is_refused(blocks: bytes) -> None:
    made = connection()
    client.through_negotiation(made)
    with pytest.raises(ProtocolError):
        made.receive(client.connect_initial(blocks))


@pytest.mark.parametrize(
    "pdu",
    [
        client.ERECT_DOMAIN,
        client.ATTACH_USER,
        client.FONT_LIST,
        client.confirm_active(),
        client.join(client.IO_CHANNEL),
        client.FAST_PATH_KEY_A,
        client.data_tpdu(b"\x2e\x00\x00\x06"),
        client.send_data(b"x", channel=2000),
    ],
    ids=["erect", "attach", "fonts", "confirm", "join", "fast-path", "from-server", "channel"],
)
def test_what_is_not_expected_before_the_connect_is_refused(pdu: bytes) -> None:
    made = connection()
    client.through_negotiation(made)
    with pytest.raises(ProtocolError):
        made.receive(pdu)


@pytest.mark.parametrize(
    "pdu",
    [
        client.control(3, struct.pack("<IHHH", 0, 0, 0, 0) + struct.pack("<HH", 65535, 0)),
        client.control(3, struct.pack("<IHHH", 0, 0, 0xFFFF, 0)),
        client.control(3, struct.pack("<IHHH", 0, 0, 0, 0) + struct.pack("<HHHH", 1, 0, 1, 3)),
        client.FONT_LIST,
        client.ATTACH_USER,
        client.send_data(struct.pack("<HHH", 0, 0x17, 0)),
    ],
    ids=["65535-sets", "descriptor", "set-of-3", "too-early", "attach-again", "length-0"],
)
def test_malformed_or_early_pdus_at_the_capabilities_are_refused(pdu: bytes) -> None:
    with pytest.raises(ProtocolError):
        after_log_on().receive(pdu)


@pytest.mark.parametrize(
    "pdu",
    [
        client.data_pdu(28, struct.pack("<HH", 0xFFFF, 0)),
        client.data_pdu(28, struct.pack("<HHIHHHH", 1, 0, 0, 99, 0, 0, 0)),
        client.confirm_active(),
        client.FONT_LIST,
        bytes((0x44, 4, 0, 0)),
        bytes((15 << 2, 4, 0, 0)),
        b"\x02\x04\x00\x00",
        b"\x03\x00\x00\x04",
    ],
    ids=["events", "event", "confirm-again", "fonts-again", "secured", "15-events", "first-byte", "empty"],
)
def test_malformed_or_late_pdus_of_a_live_session_are_refused(pdu: bytes) -> None:
    with pytest.raises(ProtocolError):
        client.active(connection()).receive(pdu)


def test_oversize_request_is_refused_before_it_has_come() -> None:
    with pytest.raises(ProtocolError, match="accepted"):
        connection().receive(b"\x03\x00\xff\xff")


PDUS = client.conversation()


def feed(pdus: list[bytes]) -> None:
    """Only one error may come out, and the buffer never keeps more than one PDU."""
    made = connection()
    client.through_negotiation(made)
    try:
        for pdu in pdus:
            made.receive(pdu)
            made.take_output()
            made.take_events()
    except ProtocolError:
        pass


@pytest.mark.parametrize("number", range(len(PDUS)))
def test_every_pdu_cut_at_every_byte_is_harmless(number: int) -> None:
    pdu = PDUS[number]
    body = pdu[4:]
    for size in range(len(body)):
        feed([*PDUS[:number], client.tpkt(body[:size]) if pdu[0] == 3 else bytes((pdu[0], 2 + size)) + pdu[2 : 2 + size], *PDUS[number + 1 :]])


@settings(max_examples=400, deadline=None)
@given(number=st.integers(0, len(PDUS) - 1), flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_harmless(number: int, flips: list[tuple[int, int]]) -> None:
    pdu = bytearray(PDUS[number])
    for place, value in flips:
        pdu[place % len(pdu)] = value
    feed([*PDUS[:number], bytes(pdu), *PDUS[number + 1 :]])


@settings(max_examples=200, deadline=None)
@given(order=st.lists(st.integers(0, len(PDUS) - 1), max_size=20))
def test_any_order_of_pdus_is_harmless(order: list[int]) -> None:
    feed([PDUS[number] for number in order])


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=600))
def test_noise_is_harmless_before_tls(data: bytes) -> None:
    made = connection()
    try:
        made.receive(data)
    except ProtocolError:
        return
    assert len(made._buffer) <= len(data)


@settings(max_examples=300, deadline=None)
@given(header=st.integers(0, 15), body=st.binary(max_size=300))
def test_noise_as_fast_path_input_is_harmless(header: int, body: bytes) -> None:
    made = client.active(connection())
    size = len(body) + 3
    try:
        made.receive(bytes((header << 2,)) + struct.pack(">H", 0x8000 | size) + body)
    except ProtocolError:
        return
    assert made.stage is Stage.ACTIVE


@settings(max_examples=300, deadline=None)
@given(kind=st.integers(0, 60), body=st.binary(max_size=300))
def test_noise_as_data_pdu_is_harmless(kind: int, body: bytes) -> None:
    made = client.active(connection())
    try:
        made.receive(client.data_pdu(kind, body))
    except ProtocolError:
        return
    assert made.stage is Stage.ACTIVE


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), der=st.booleans())
def test_noise_is_harmless_where_a_logon_is_due(data: bytes, der: bool) -> None:
    made = connection(Security(accepted=(Protocol.HYBRID,), acceptor=lambda: Acceptor(OneUser(), b"key")))
    client.through_negotiation(made, Protocol.HYBRID)
    try:
        made.receive(b"\x30\x82" + struct.pack(">H", len(data)) + data if der else data)
    except ProtocolError:
        return
    assert made.stage is Stage.CREDSSP
