"""The server on real sockets: TLS, limits of time, size and number, and clients that behave badly while another one does not notice."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import spnego
from ringone.api.console import Frame
from ringone.api.errors import ConfigError, DriverError, StateError
from ringone.api.remotedisplay import RemoteClient
from ringone_frontend_rdp.attempts import FREE, Attempts
from ringone_frontend_rdp.client import HANDSHAKE_S, NEGOTIATION_S, PERSON_S, REACTIVATION_S, TLS_S, Client
from ringone_frontend_rdp.config import Authentication, RdpOptions, SecurityMethod, WhenFull, ports
from ringone_frontend_rdp.connection import ErrorInfo
from ringone_frontend_rdp.fastpath import Bitmap
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.users import UserDatabase
from ringone_frontend_rdp.x224 import Protocol
from spnego._credssp_structures import NegoData, TSRequest

from plugins.frontend_rdp.tests import rdp_client as client

LIMIT_S = 20


class Machine:
    """A session that is as real as a console needs it."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(name="test")
        self.generation = 1
        self.size = (640, 480)
        self.codes = b""

    def request(self, call: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(call())
        return future

    def frame_generation(self) -> int:
        return self.generation

    def frame(self) -> Frame:
        width, height = self.size
        return Frame(self.generation, width, height, bytes((self.generation % 256,)) * (width * height * 3))

    def put_scancodes(self, codes: bytes) -> None:
        self.codes += codes

    def keyboard_pending(self) -> int:
        return 0

    def keyboard_leds(self) -> int:
        return 0

    def move_mouse(self, *_: int) -> None:
        pass


class Peer:
    """A client on a socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)

    def start_tls(self, protocols: Protocol = Protocol.SSL) -> Peer:
        self.socket.sendall(client.connection_request(protocols))
        assert self.socket.recv(64)[11] == 2
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        return self

    def log_on(self, **info: str) -> Peer:
        self.start_tls()
        for pdu in client.conversation():
            self.socket.sendall(client.client_info(**info) if pdu == client.client_info() else pdu)
            if pdu is client.FONT_LIST:
                break
        return self

    def read_until(self, wanted: Callable[[bytes], bool]) -> bytes:
        """PDUs until one that is wanted."""
        while True:
            head = self._take(2)
            size = struct.unpack(">H", self._take(2))[0] if head[0] == 3 else (head[1] & 0x7F) << 8 | self._take(1)[0]
            body = self._take(size - (4 if head[0] == 3 else 3))
            if wanted(head[:1] + body):
                return body

    def read_picture(self) -> bytes:
        return self.read_until(lambda pdu: pdu[0] == 0)

    def is_closed(self) -> bool:
        """By the server, some time."""
        with contextlib.suppress(OSError):
            while self.socket.recv(65536):
                pass
        return True

    def close(self) -> None:
        self.socket.close()

    def _take(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            more = self.socket.recv(size - len(taken))
            if not more:
                raise EOFError
            taken += more
        return taken


@pytest.fixture
def guest() -> Machine:
    return Machine()


@pytest.fixture
def serve(guest: Machine, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path_factory.getbasetemp() / "rdp-home"))
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> int:
            frontend = RdpFrontend(RdpOptions(**{"port": "0", "process": False, **options}))
            frontend.start(guest)  # type: ignore[arg-type]
            stack.callback(frontend.stop)
            return frontend.port

        yield start


@pytest.fixture
def connect(serve: Callable[..., int]) -> Iterator[Callable[[int], Peer]]:
    with contextlib.ExitStack() as stack:

        def new(port: int) -> Peer:
            peer = Peer(port)
            stack.callback(peer.close)
            return peer

        yield new


Serve = Callable[..., int]
Connect = Callable[[int], Peer]


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_client_gets_the_picture_and_what_changes_of_it(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve()).log_on()
    peer.read_picture()
    guest.generation += 1
    peer.read_picture()


def test_keys_reach_the_guest_and_come_up_when_the_client_vanishes(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve()).log_on()
    peer.socket.sendall(client.FAST_PATH_KEY_A)
    eventually(lambda: guest.codes == b"\x1e")
    peer.close()
    eventually(lambda: guest.codes == b"\x1e\x9e")


def test_other_size_is_announced(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve()).log_on()
    peer.read_picture()
    guest.size, guest.generation = (800, 600), 2
    announced = struct.pack("<HH6H", 2, 28, 32, 1, 1, 1, 800, 600)
    assert announced in peer.read_until(lambda pdu: announced in pdu)


@pytest.mark.parametrize(
    "answered", [[], [client.confirm_active()], [client.confirm_active(), *client.FINALIZATION[:-1]]], ids=["not", "confirmed", "not-to-the-end"]
)
def test_who_does_not_take_another_size_gives_its_place_back(
    serve: Serve, connect: Connect, guest: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answered: list[bytes]
) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.REACTIVATION_S", 0.3)
    caplog.set_level(logging.INFO)
    port = serve(max_clients=1)
    peer = connect(port).log_on()
    peer.read_picture()
    peer.socket.sendall(client.FAST_PATH_KEY_A)
    guest.size, guest.generation = (800, 600), 2
    announced = struct.pack("<HH6H", 2, 28, 32, 1, 1, 1, 800, 600)
    peer.read_until(lambda pdu: announced in pdu)
    peer.socket.sendall(b"".join(answered))
    assert is_told(peer, ErrorInfo.LOGON_TIMEOUT)
    eventually(lambda: guest.codes == b"\x1e\x9e")
    eventually(lambda: "disconnected: too slow in stage" in caplog.text)
    connect(port).log_on().read_picture()


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The time limits that clients get, one after the other."""
    noted: list[float | None] = []
    limit = Client._may_take

    def note(self: Client, seconds: float | None) -> None:
        noted.append(seconds)
        limit(self, seconds)

    monkeypatch.setattr(Client, "_may_take", note)
    return noted


def test_who_asks_its_user_for_a_password_has_time_for_it(serve: Serve, connect: Connect, limits: list[float | None]) -> None:
    connect(serve()).log_on().read_picture()
    assert limits == [NEGOTIATION_S, TLS_S, PERSON_S, HANDSHAKE_S, None]


def test_who_takes_another_size_may_take_its_time_from_then_on(serve: Serve, connect: Connect, guest: Machine, limits: list[float | None]) -> None:
    peer = connect(serve()).log_on()
    peer.read_picture()
    guest.size, guest.generation = (800, 600), 2
    announced = struct.pack("<HH6H", 2, 28, 32, 1, 1, 1, 800, 600)
    peer.read_until(lambda pdu: announced in pdu)
    assert limits[-2:] == [None, REACTIVATION_S]
    peer.socket.sendall(client.confirm_active() + b"".join(client.FINALIZATION))
    peer.read_picture()
    assert limits[-2:] == [REACTIVATION_S, None]


def test_suppressed_output_comes_again_when_it_is_wanted(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve()).log_on()
    peer.read_picture()
    peer.socket.sendall(client.SUPPRESS_OUTPUT + client.ALLOW_OUTPUT)
    peer.read_picture()


def test_view_only_console_takes_no_keys(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve(view_only=True)).log_on()
    peer.socket.sendall(client.FAST_PATH_KEY_A + client.REFRESH_RECT)
    peer.read_picture()
    assert guest.codes == b""


def test_several_share_a_console_up_to_the_limit(serve: Serve, connect: Connect) -> None:
    port = serve(max_clients=2)
    first, second = (connect(port).log_on() for _ in range(2))
    first.read_picture()
    second.read_picture()
    with pytest.raises((EOFError, OSError)):
        connect(port).log_on().read_picture()
    first.socket.sendall(client.REFRESH_RECT)
    first.read_picture()
    first.close()

    def gets_in() -> bool:
        with contextlib.suppress(EOFError, OSError):
            connect(port).log_on().read_picture()
            return True
        return False

    eventually(gets_in)


def test_one_more_takes_over_and_the_first_is_told(serve: Serve, connect: Connect, guest: Machine) -> None:
    port = serve(max_clients=1, when_full=WhenFull.TAKE_OVER)
    first = connect(port).log_on()
    first.read_picture()
    first.socket.sendall(client.FAST_PATH_KEY_A)
    eventually(lambda: guest.codes == b"\x1e")
    second = connect(port).log_on()
    second.read_picture()
    assert is_told(first, ErrorInfo.DISCONNECTED_BY_OTHER_CONNECTION)
    eventually(lambda: guest.codes == b"\x1e\x9e")
    second.socket.sendall(client.REFRESH_RECT)
    second.read_picture()


def test_who_does_not_get_in_takes_nothing_over(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    users = tmp_path / "users"
    UserDatabase(users).set_password("alice", "secret")
    port = serve(max_clients=1, when_full=WhenFull.TAKE_OVER, auth=Authentication.USERS, users=users)
    first = connect(port).log_on()
    first.read_picture()
    with pytest.raises((EOFError, OSError)):
        connect(port).log_on(password="wrong").read_picture()
    first.socket.sendall(client.REFRESH_RECT)
    first.read_picture()


def test_the_endpoint_says_who_looks(guest: Machine, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path))
    UserDatabase().set_password("alice", "secret")
    frontend = RdpFrontend(RdpOptions(port="0", process=False, auth=Authentication.USERS))
    frontend.start(guest)  # type: ignore[arg-type]
    try:
        endpoint = frontend.endpoint()
        assert (endpoint.address, endpoint.port, len(endpoint.fingerprint), endpoint.clients) == ("127.0.0.1", frontend.port, 95, ())
        peer = connect(frontend.port).log_on()
        picture = peer.read_picture()
        assert frontend.endpoint().clients == (RemoteClient(address="127.0.0.1", user="alice"),)
        assert frontend.endpoint().sent_bytes > len(picture)
        assert frontend.endpoint().received_bytes > len(client.client_info())
        peer.close()
        eventually(lambda: frontend.endpoint().clients == ())
        assert frontend.endpoint().clients_so_far == 1
    finally:
        frontend.stop()


def test_wrong_passwords_lock_an_address_out(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    users = tmp_path / "users"
    UserDatabase(users).set_password("alice", "secret")
    port = serve(auth=Authentication.USERS, users=users)
    for _ in range(FREE):
        with contextlib.suppress(EOFError, OSError):
            connect(port).log_on(password="wrong").read_picture()
            raise AssertionError("let in")
    assert connect(port).socket.recv(1) == b""


@pytest.mark.parametrize("security", [SecurityMethod.TLS, SecurityMethod.NLA], ids=["tls", "nla"])
def test_guessing_over_many_connections_at_once_is_guessing_all_the_same(
    serve: Serve, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture, security: SecurityMethod
) -> None:
    caplog.set_level(logging.INFO)
    users = tmp_path / "users"
    UserDatabase(users).set_password("alice", "secret")
    port = serve(auth=Authentication.USERS, users=users, security=security)
    guess = guess_by_nla if security is SecurityMethod.NLA else guess_by_tls
    guesses = [guess(connect(port)) for _ in range(3 * FREE)]
    for finish in guesses:
        finish()
    eventually(lambda: caplog.text.count("disconnected:") == len(guesses))
    assert caplog.text.count("WARNING") == FREE
    assert caplog.text.count("disconnected: locked out") == len(guesses) - FREE


def guess_by_tls(peer: Peer) -> Callable[[], None]:
    """Up to the password, which is left to the caller."""
    peer.start_tls()
    for pdu in (client.connect_initial(), client.ATTACH_USER):
        peer.socket.sendall(pdu)
    peer.read_until(lambda pdu: pdu[4:5] == b"\x2e")
    return lambda: peer.socket.sendall(client.client_info(password="wrong"))


def guess_by_nla(peer: Peer) -> Callable[[], None]:
    peer.start_tls(Protocol.HYBRID)
    context = spnego.client("alice", "wrong", protocol="ntlm")
    peer.socket.sendall(TSRequest(6, nego_tokens=NegoData(context.step() or b"")).pack())
    tokens = TSRequest.unpack(peer.socket.recv(65536)).nego_tokens
    assert tokens is not None
    proof = TSRequest(6, nego_tokens=NegoData(context.step(tokens[0].nego_token) or b""), pub_key_auth=bytes(48), client_nonce=bytes(32)).pack()
    return lambda: peer.socket.sendall(proof)


@pytest.mark.parametrize("sent", [b"", b"\x03", b"GET / HTTP/1.0\r\n\r\n", client.connection_request()], ids=["nothing", "a-byte", "http", "no-tls"])
def test_who_does_not_get_on_is_dropped(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.NEGOTIATION_S", 0.2)
    monkeypatch.setattr("ringone_frontend_rdp.client.TLS_S", 0.2)
    peer = connect(serve())
    peer.socket.sendall(sent)
    assert peer.is_closed()


def test_who_stops_in_mid_handshake_is_dropped(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.HANDSHAKE_S", 0.2)
    peer = connect(serve()).start_tls()
    peer.socket.sendall(client.connect_initial()[:-1])
    assert peer.is_closed()


def test_client_that_reads_nothing_is_dropped_and_others_do_not_notice(serve: Serve, connect: Connect, guest: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.STALLED_S", 0.5)
    port = serve()
    stalled, reading = (connect(port).log_on() for _ in range(2))
    stalled.socket.sendall(client.FAST_PATH_KEY_A)

    def noise() -> Frame:
        width, height = guest.size
        return Frame(guest.generation, width, height, bytes(hash((guest.generation, n)) % 256 for n in range(997)) * (width * height * 3 // 997 + 1))

    def frame() -> Frame:
        made = noise()
        return Frame(made.generation, made.width, made.height, made.pixels[: made.width * made.height * 3])

    monkeypatch.setattr(guest, "frame", frame)
    end = time.monotonic() + LIMIT_S
    while b"\x9e" not in guest.codes:
        assert time.monotonic() < end
        guest.generation += 1
        reading.read_picture()


def test_idle_connections_keep_nobody_out(serve: Serve, connect: Connect) -> None:
    port = serve()
    for _ in range(150):
        connect(port)
    connect(port).log_on().read_picture()


def test_who_has_got_far_is_not_crowded_out(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.server.MOST_UNKNOWN", 8)
    port = serve()
    slow = connect(port).start_tls()
    slow.socket.sendall(client.connect_initial())
    slow.read_until(lambda pdu: True)
    crowd = [connect(port) for _ in range(24)]
    assert crowd[0].is_closed()
    for pdu in client.conversation()[1:-5]:
        slow.socket.sendall(pdu)
    slow.read_picture()


def test_who_crowds_in_mid_handshake_leaves_at_once(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.server.MOST_UNKNOWN", 8)
    monkeypatch.setattr("ringone_frontend_rdp.client.LAST_WORDS_S", 3600)
    caplog.set_level(logging.INFO)
    port = serve()
    for _ in range(24):
        peer = connect(port)
        peer.socket.sendall(client.connection_request())
        assert peer.socket.recv(64)[11] == 2
    eventually(lambda: caplog.text.count("disconnected: too many connections") == 16)


def test_many_come_and_go(serve: Serve, connect: Connect) -> None:
    port = serve()
    for _ in range(20):
        peer = connect(port).log_on()
        peer.read_picture()
        peer.socket.sendall(client.DISCONNECT)
        assert peer.is_closed()


def is_told(peer: Peer, why: ErrorInfo) -> bool:
    """And that this is the end."""
    peer.read_until(lambda pdu: pdu.endswith(struct.pack("<BBHI", 47, 0, 0, why)))
    return peer.read_until(lambda pdu: True).endswith(b"\x20\x80") and peer.is_closed()


def test_end_of_the_console_is_told(guest: Machine, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path))
    frontend = RdpFrontend(RdpOptions(port="0", process=False))
    frontend.start(guest)  # type: ignore[arg-type]
    peer = connect(frontend.port).log_on()
    peer.read_picture()
    frontend.stop()
    assert is_told(peer, ErrorInfo.RPC_INITIATED_DISCONNECT)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (StateError("the machine is off"), ErrorInfo.LOGOFF_BY_USER),
        (RuntimeError("a fault of the machine's"), ErrorInfo.RPC_INITIATED_DISCONNECT),
    ],
    ids=["end", "fault"],
)
def test_end_of_the_machine_is_told(serve: Serve, connect: Connect, guest: Machine, monkeypatch: pytest.MonkeyPatch, fault: Exception, why: ErrorInfo) -> None:
    peer = connect(serve()).log_on()
    peer.read_picture()

    def ended() -> Frame:
        raise fault

    monkeypatch.setattr(guest, "frame", ended)
    assert is_told(peer, why)


@pytest.mark.parametrize(
    ("fault", "why"),
    [(MemoryError(), ErrorInfo.OUT_OF_MEMORY), (RuntimeError(), ErrorInfo.GRAPHICS_SUBSYSTEM_FAILED)],
    ids=["memory", "other"],
)
def test_fault_of_the_servers_ends_one_connection_and_is_told(
    serve: Serve, connect: Connect, guest: Machine, monkeypatch: pytest.MonkeyPatch, fault: Exception, why: ErrorInfo
) -> None:
    port = serve()
    peer, other = (connect(port).log_on() for _ in range(2))
    peer.read_picture()
    other.read_picture()

    def failing(*_: object) -> list[Bitmap]:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr("ringone_frontend_rdp.picture.updates", failing)
        peer.socket.sendall(client.REFRESH_RECT)
        assert is_told(peer, why)
    other.socket.sendall(client.REFRESH_RECT)
    other.read_picture()


def test_who_breaks_the_protocol_is_told(serve: Serve, connect: Connect) -> None:
    peer = connect(serve()).log_on()
    peer.socket.sendall(client.confirm_active())
    assert is_told(peer, ErrorInfo.DATA_PDU_SEQUENCE)


def test_first_free_port_of_a_range_is_taken(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        assert serve(port=f"{first}-{first + 20}") > first
        with pytest.raises(DriverError, match="in use"):
            serve(port=str(first))


@pytest.mark.parametrize("text", ["", "x", "-1", "5-", "70000", "10-5", "0-5", "٣", "5,", "5,0", "5000;5001"])
def test_bad_ports_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="accepted"):
        ports(text)


@pytest.mark.parametrize(
    "options",
    [{"address": "0.0.0.0"}, {"address": "::"}, {"certificate": Path("c.pem")}, {"security": SecurityMethod.NLA}],
    ids=["everywhere", "everywhere-v6", "no-key", "nla-without-users"],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="accepted"):
        RdpFrontend(RdpOptions(**options))


def test_waiting_grows_with_every_wrong_password_and_ends() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(FREE - 1):
        attempts.failed("a")
    assert not attempts.locked_out("a")
    attempts.failed("a")
    assert attempts.locked_out("a") and not attempts.locked_out("b")
    now[0] = 6
    assert not attempts.locked_out("a")
    attempts.failed("a")
    now[0] = 12
    assert attempts.locked_out("a")
    now[0] = 17
    assert not attempts.locked_out("a")
    attempts.succeeded("a")
    attempts.failed("a")
    assert not attempts.locked_out("a")


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("?", "?", True),
    ],
)
def test_addresses_that_one_guesser_has_count_as_one(first: str, second: str, one: bool) -> None:
    attempts = Attempts()
    for _ in range(FREE):
        attempts.failed(first)
    assert attempts.locked_out(first)
    assert attempts.locked_out(second) == one


def test_protocol_numbers_are_those_of_the_wire() -> None:
    assert [int(each) for each in (Protocol.SSL, Protocol.HYBRID, Protocol.HYBRID_EX)] == [1, 2, 8]


CLIPBOARD = client.CHANNEL_IDS["cliprdr"]


def in_channel(message: bytes) -> bytes:
    return client.send_data(struct.pack("<II", len(message), 3) + message, CLIPBOARD)


def test_clipboards_text_is_typed_when_its_key_is_struck(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve(clipboard=True, layout="de")).log_on()
    peer.socket.sendall(in_channel(struct.pack("<HHII", 2, 0, 36, 13) + bytes(32)))
    peer.socket.sendall(bytes((3 << 2, 8, 0, 0x1D, 0, 0x38, 0, 0x2F)))
    peer.read_until(lambda pdu: struct.pack("<HHII", 4, 0, 4, 13) in pdu)
    text = "zZ".encode("utf-16-le") + bytes(2)
    peer.socket.sendall(in_channel(struct.pack("<HHI", 5, 1, len(text)) + text))
    typed = bytes.fromhex("1d38 b89d 1595 2a1595aa")
    eventually(lambda: len(guest.codes) >= len(typed))
    assert guest.codes == typed


def test_key_of_the_clipboard_is_the_guests_where_there_is_none(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve()).log_on()
    peer.socket.sendall(bytes((3 << 2, 8, 0, 0x1D, 0, 0x38, 0, 0x2F)))
    eventually(lambda: guest.codes == bytes((0x1D, 0x38, 0x2F)))


@pytest.mark.parametrize("options", [{}, {"clipboard": True, "view_only": True}], ids=["off", "view-only"])
def test_clipboard_that_is_off_is_passed_over(serve: Serve, connect: Connect, options: dict[str, Any]) -> None:
    peer = connect(serve(**options)).log_on()
    peer.socket.sendall(in_channel(b"nonsense") + in_channel(struct.pack("<HHI", 99, 0, 0)) + client.REFRESH_RECT)
    peer.read_picture()


def test_text_too_long_to_be_typed_is_passed_over(serve: Serve, connect: Connect, guest: Machine, caplog: pytest.LogCaptureFixture) -> None:
    peer = connect(serve(clipboard=True)).log_on()
    peer.socket.sendall(in_channel(struct.pack("<HHII", 2, 0, 36, 13) + bytes(32)))
    peer.socket.sendall(bytes((3 << 2, 8, 0, 0x1D, 0, 0x38, 0, 0x2F)))
    peer.read_until(lambda pdu: struct.pack("<HHII", 4, 0, 4, 13) in pdu)
    text = struct.pack("<HHI", 5, 1, 1 << 20) + b"x\0" * (1 << 19)
    for start in range(0, len(text), 1600):
        flags = (1 if start == 0 else 0) | (2 if start + 1600 >= len(text) else 0)
        peer.socket.sendall(client.send_data(struct.pack("<II", len(text), flags) + text[start : start + 1600], CLIPBOARD))
    eventually(lambda: "the client's clipboard has 1048576 bytes" in caplog.text)
    peer.socket.sendall(client.FAST_PATH_KEY_A)
    eventually(lambda: guest.codes.endswith(b"\x1e"))
