"""A logon by CredSSP: with pyspnego as the client, as it should be and bent in every way that an attacker would."""

from __future__ import annotations

import functools
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone_frontend_rdp import der
from ringone_frontend_rdp.credssp import Acceptor, TsRequest, encode_request, parse_request
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.ntlm import LogonError
from spnego._credssp_structures import NegoData, TSRequest

from plugins.frontend_rdp.tests.nla_client import KEY, Client, OneUser

PROTOCOLS = ("ntlm", "negotiate")
LOGON_FAILURE = bytes.fromhex("0204c000006d")


def acceptor(end_point: bytes = b"") -> Acceptor:
    return Acceptor(OneUser(), KEY, end_point=end_point)


def refused(client: Client, server: Acceptor | None = None) -> LogonError:
    server = server or acceptor()
    with pytest.raises(LogonError) as caught:
        client.log_on(server)
    assert not server.complete
    assert server.user == ""
    return caught.value


def authenticate_with(change: dict[int, bytes]) -> Client:
    """A client whose AUTHENTICATE_MESSAGE has other bytes at these offsets."""

    def bend(token: bytes) -> bytes:
        if token[8:9] != b"\x03":
            return token
        bent = bytearray(token)
        for offset, value in change.items():
            bent[offset : offset + len(value)] = value
        return bytes(bent)

    return Client(change=bend)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("user", ["alice", "ALICE", "OTHERDOM\\Alice"])
def test_the_right_password_logs_on(protocol: str, user: str) -> None:
    server = acceptor()
    Client(protocol=protocol, user=user).log_on(server)
    assert server.complete
    assert server.user == "alice"


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6, 7])
def test_every_version_binds_the_public_key(version: int) -> None:
    server = Acceptor(OneUser(), KEY, oldest_version=2)
    Client(version=version, nonce=bytes(range(32)) if version >= 5 else None).log_on(server)
    assert server.complete


@pytest.mark.parametrize("version", [-1, 0, 1, 2, 4])
def test_versions_without_a_nonce_are_refused_unless_asked_for(version: int) -> None:
    with pytest.raises(ProtocolError, match=f"CredSSP version {version}; accepted is 5"):
        Client(version=version).log_on(acceptor())


def test_a_version_that_changes_is_refused() -> None:
    client = Client()
    server = Acceptor(OneUser(), KEY, oldest_version=2)
    client.send(server, TSRequest(6, nego_tokens=NegoData(client.context.step() or b"")))
    with pytest.raises(ProtocolError, match="version 2 after version 6"):
        client.send(server, TSRequest(2, nego_tokens=NegoData(b"anything")))


@pytest.mark.parametrize("nonce", [None, b"", bytes(31)], ids=["none", "empty", "short"])
def test_a_binding_without_a_whole_nonce_is_refused(nonce: bytes | None) -> None:
    with pytest.raises(ProtocolError, match="nonce"):
        Client(nonce=nonce).log_on(acceptor())


def test_a_nonce_that_changes_is_refused() -> None:
    client, server = Client(), acceptor()
    client.send(server, TSRequest(6, nego_tokens=NegoData(client.context.step() or b""), client_nonce=bytes(32)))
    with pytest.raises(ProtocolError, match="second CredSSP nonce"):
        client.send(server, TSRequest(6, pub_key_auth=bytes(48), client_nonce=bytes(31) + b"1"))


def test_a_client_that_offers_too_little_is_told_at_once() -> None:
    server = acceptor()
    with pytest.raises(LogonError, match="EXTENDED_SESSION_SECURITY") as caught:
        server.receive(TSRequest(6, nego_tokens=NegoData(b"NTLMSSP\0\x01\0\0\0\x07\x82\x00\x62" + bytes(16))).pack())
    assert LOGON_FAILURE in caught.value.reply


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_password_is_answered_as_windows_does(protocol: str) -> None:
    error = refused(Client(protocol=protocol, password="wrong"))
    assert error.reply == encode_request(TsRequest(version=6, error_code=0xC000006D - (1 << 32)))
    assert LOGON_FAILURE in error.reply


def test_an_unknown_user_is_answered_like_a_wrong_password() -> None:
    assert refused(Client(user="mallory")).reply == refused(Client(password="wrong")).reply


@pytest.mark.parametrize(("version", "told"), [(2, False), (3, True), (4, True), (5, False), (6, True)])
def test_an_error_is_told_to_versions_that_know_errors(version: int, told: bool) -> None:
    client = Client(version=version, password="wrong")
    assert bool(refused(client, Acceptor(OneUser(), KEY, oldest_version=2)).reply) is told


def test_a_relay_with_another_certificate_is_refused() -> None:
    with pytest.raises(ProtocolError, match="another certificate"):
        Client(key=KEY[::-1]).log_on(acceptor())


def test_channel_bindings_are_compared_where_a_client_sends_them() -> None:
    Client(end_point=b"certificate").log_on(acceptor(b"certificate"))
    assert "relayed" in str(refused(Client(end_point=b"certificate"), acceptor(b"another one")))


def test_a_replayed_logon_is_refused() -> None:
    client = Client()
    client.log_on(acceptor())
    server = acceptor()
    server.receive(client.sent[0])
    with pytest.raises(LogonError, match="wrong password"):
        server.receive(client.sent[1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({60: b"\x00\x00\x00\x00"}, "NTLM without"),
        ({60: b"\x35\x82\x88\x22"}, "KEY_EXCHANGE"),
        ({20: b"\x18\x00\x18\x00"}, "older than NTLMv2"),
        ({20: b"\x00\x00\x00\x00"}, "older than NTLMv2"),
        ({36: b"\x00\x00"}, "anonymous"),
        ({72: bytes(16)}, "MIC"),
        ({64: b"\x01"}, "MIC"),
        ({12: b"\x01\x00"}, "MIC"),
    ],
    ids=["no-flags", "no-key-exchange", "ntlmv1", "no-response", "anonymous", "no-mic", "version-altered", "lm-altered"],
)
def test_a_logon_that_was_weakened_on_the_way_is_refused(change: dict[int, bytes], reason: str) -> None:
    assert reason in str(refused(authenticate_with(change)))


def test_a_challenge_that_was_altered_on_the_way_is_refused() -> None:
    """The client saw other flags than were sent: NTLM's own downgrade, which only the MIC shows."""

    def weaken(token: bytes) -> bytes:
        bent = bytearray(token)
        if token[8:9] == b"\x02":
            bent[20] &= ~0x04  # REQUEST_TARGET
        return bytes(bent)

    assert "MIC" in str(refused(Client(change_answer=weaken)))


def test_a_challenge_without_a_time_stamp_would_make_the_mic_go_and_is_noticed() -> None:
    def without_time_stamp(token: bytes) -> bytes:
        return token.replace(b"\x07\x00\x08\x00", b"\x55\x00\x08\x00") if token[8:9] == b"\x02" else token

    assert "without a MIC" in str(refused(Client(change_answer=without_time_stamp)))


def test_credentials_that_were_altered_are_refused() -> None:
    client, server = Client(), acceptor()
    client.prove(server)
    sealed = bytearray(client.context.wrap(b"credentials").data)
    sealed[-1] ^= 1
    with pytest.raises(ProtocolError, match="signature"):
        client.send(server, TSRequest(6, auth_info=bytes(sealed)))
    assert not server.complete


def test_credentials_that_come_twice_are_not_ours() -> None:
    """What stands behind the last request belongs to RDP."""
    client, server = Client(), acceptor()
    client.prove(server)
    last = TSRequest(6, auth_info=client.context.wrap(b"credentials").data).pack()
    assert server.receive(last + b"\x03\x00rest") == b""
    assert server.complete
    assert server.unread == b"\x03\x00rest"


def test_a_public_key_before_the_logon_is_refused() -> None:
    with pytest.raises(ProtocolError, match="neither a token"):
        acceptor().receive(TSRequest(6).pack())
    with pytest.raises(ProtocolError, match="before the logon"):
        acceptor().receive(TSRequest(6, pub_key_auth=bytes(48), client_nonce=bytes(32)).pack())


def test_credentials_before_the_logon_are_refused() -> None:
    server = acceptor()
    with pytest.raises(ProtocolError, match="neither a token"):
        server.receive(TSRequest(6, auth_info=bytes(64)).pack())
    assert not server.complete


def test_a_failed_logon_does_not_go_on() -> None:
    server = acceptor()
    refused(Client(password="wrong"), server)
    with pytest.raises(ProtocolError, match="failed"):
        Client().log_on(server)


def test_requests_may_come_byte_by_byte() -> None:
    client, server = Client(protocol="negotiate"), acceptor()
    whole = server.receive

    def slowly(data: bytes) -> bytes:
        return b"".join(whole(bytes((byte,))) for byte in data)

    server.receive = slowly  # type: ignore[method-assign]
    client.log_on(server)
    assert server.complete


def test_a_request_that_says_it_is_huge_is_refused_before_it_comes() -> None:
    with pytest.raises(ProtocolError, match="accepted are up to 65536"):
        acceptor().receive(b"\x30\x83\x01\x00\x00")
    with pytest.raises(ProtocolError, match="DER length of 4 bytes"):
        acceptor().receive(b"\x30\x84\x00\x00\x00\x01")
    with pytest.raises(ProtocolError, match="DER length"):
        acceptor().receive(b"\x30\x80")


def test_neither_password_nor_hash_is_in_logs_errors_or_representations(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="ringone_frontend_rdp")
    user = OneUser().find("alice")
    assert user is not None
    server = acceptor()
    Client(protocol="negotiate").log_on(server)
    failure = refused(Client(password="wrong"))
    said = f"{user!r} {server!r} {failure!r} {parse_request(TSRequest(6, auth_info=b'Secret').pack())!r}"
    said += "".join(record.getMessage() for record in caplog.records if record.name.startswith("ringone"))
    for secret in ("Säcret", "Secret", "wrong'", user.nt_hash.hex(), repr(user.nt_hash)):
        assert secret not in said


def test_requests_are_written_as_pyspnego_writes_them() -> None:
    ours = TsRequest(version=6, token=bytes(300), public_key=b"key", error_code=-5, nonce=bytes(32))
    theirs = TSRequest(6, nego_tokens=NegoData(bytes(300)), pub_key_auth=b"key", error_code=-5, client_nonce=bytes(32))
    assert encode_request(ours) == theirs.pack()
    assert parse_request(theirs.pack()) == ours


# --- Bad input


@functools.cache
def recorded(protocol: str) -> list[bytes]:
    client = Client(protocol=protocol)
    client.log_on(acceptor())
    return client.sent


def feed(messages: list[bytes]) -> None:
    """Recorded, so never a logon: the challenge is another one."""
    server = acceptor()
    try:
        for message in messages:
            server.receive(message)
    except ProtocolError:
        pass
    assert not server.complete


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_recorded_logon_cut_off_anywhere_is_a_protocol_error_at_most(protocol: str) -> None:
    for index, message in enumerate(recorded(protocol)):
        for end in range(0, len(message), 3):
            feed([*recorded(protocol)[:index], message[:end], bytes(64)])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_recorded_logon_with_altered_bytes_is_a_protocol_error_at_most(data: st.DataObject) -> None:
    messages = [bytearray(message) for message in recorded(data.draw(st.sampled_from(PROTOCOLS)))]
    for _ in range(data.draw(st.integers(1, 4))):
        message = data.draw(st.sampled_from(messages))
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    feed([bytes(message) for message in messages])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_logon_with_altered_tokens_never_succeeds_and_is_a_protocol_error_at_most(data: st.DataObject) -> None:
    """The client answers the real challenge; what it signs is altered behind its back."""
    changed = False

    def bend(token: bytes) -> bytes:
        nonlocal changed
        if not token or not data.draw(st.booleans()):
            return token
        bent = bytearray(token)
        bent[data.draw(st.integers(0, len(bent) - 1))] ^= data.draw(st.integers(1, 255))
        changed = True
        return bytes(bent)

    server = acceptor()
    try:
        Client(change=bend).log_on(server)
    except ProtocolError:
        assert changed
        return
    assert server.complete
    assert not changed


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_noise_is_a_protocol_error_at_most(pieces: list[bytes]) -> None:
    feed([b"\x30" + piece for piece in pieces])
    feed([der.encode(der.SEQUENCE, piece) for piece in pieces])
    feed([encode_request(TsRequest(version=6, token=piece)) for piece in pieces])
    feed([encode_request(TsRequest(version=6, token=b"NTLMSSP\0\x01\0\0\0" + piece)) for piece in pieces])
    feed([recorded("ntlm")[0], *(encode_request(TsRequest(version=6, token=b"NTLMSSP\0\x03\0\0\0" + piece)) for piece in pieces)])


@given(st.integers(-(1 << 31), (1 << 32) - 1))
def test_integers_come_back(value: int) -> None:
    assert der.integer(der.encode_integer(value)) == value


@given(st.integers(0, 70_000))
def test_lengths_come_back(size: int) -> None:
    assert der.only(der.OCTET_STRING, der.encode(der.OCTET_STRING, bytes(size))) == bytes(size)
