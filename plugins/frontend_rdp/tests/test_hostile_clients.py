"""Clients that do harm to real sockets: bent sessions, hundreds of idle connections, storms, and a client that is killed. Others do not notice."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import re
import select
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ringone.api.frontends import VmSession
from ringone_frontend_rdp import pace, picture, server
from ringone_frontend_rdp.config import Authentication, RdpOptions, WhenFull
from ringone_frontend_rdp.fastpath import Bitmap
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.users import UserDatabase
from ringone_frontend_rdp.x224 import Protocol

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.desk import wait_until
from plugins.frontend_rdp.tests.graphics_client import acknowledge
from plugins.frontend_rdp.tests.recordings import SESSIONS
from plugins.frontend_rdp.tests.test_graphics_server import ACCEPT, DRDYNVC, OPEN
from plugins.frontend_rdp.tests.test_graphics_server import log_on as graphics_log_on
from plugins.frontend_rdp.tests.test_server import Machine, Peer

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120
STORM_S = 300
LEAK_KB = 16 << 10
BENT = 12
AT_ONCE = 50
TAKE_OVERS = 12
HANDSHAKE_S = 2
PASSWORDS = ("hunter2", "secret")
"""Of the recorded sessions, and of our own."""

VICTIM = """
import sys, time
from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.test_server import Peer
peer = Peer(int(sys.argv[1])).log_on()
peer.read_picture()
peer.socket.sendall(client.FAST_PATH_KEY_A)
print("down", flush=True)
time.sleep(600)
"""


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def serve(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path))
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> int:
            frontend = RdpFrontend(RdpOptions(port="0", process=False, **options))
            frontend.start(cast(VmSession, machine))
            stack.callback(frontend.stop)
            return frontend.port

        yield start


def bend(pdus: list[bytes], chance: random.Random) -> list[bytes]:
    bent = list(pdus)
    number = chance.randrange(len(bent))
    data = bytearray(bent[number])
    data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
    bent[number] = bytes(data)
    other = chance.randrange(len(bent))
    bent[number], bent[other] = bent[other], bent[number]
    return bent


@pytest.mark.rdp_client
@pytest.mark.parametrize("name", SESSIONS)
def test_bent_sessions_disturb_nobody(name: str, serve: Callable[..., int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    chance = random.Random(name)
    port = serve()
    good = Peer(port).log_on()
    good.read_picture()
    monkeypatch.setattr("ringone_frontend_rdp.client.HANDSHAKE_S", HANDSHAKE_S)  # a bent length may promise bytes that never come
    for _ in range(BENT):
        bad = Peer(port).start_tls()
        with contextlib.suppress(OSError):
            for pdu in [*bend(SESSIONS[name], chance), b"\x02 the end", b"\xff" * 9]:
                bad.socket.sendall(pdu)
            assert bad.is_closed()
        bad.close()
        good.socket.sendall(client.REFRESH_RECT)
        good.read_picture()
    good.close()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not any(password in caplog.text for password in PASSWORDS)


@pytest.mark.rdp_client
@pytest.mark.parametrize("storm", ["idle", "reconnects", "resizes"])
def test_what_comes_and_goes_leaves_nothing_behind(storm: str) -> None:
    """Five hundred idle sockets besides a good client, fifty connections one after the other, sixty sizes; each twice, the second time counted."""
    command = [sys.executable, "-m", "plugins.frontend_rdp.tests.storms", storm]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STORM_S, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    before, after = counts["before"], counts["after"]
    assert after["threads"] <= before["threads"]
    assert after["descriptors"] == before["descriptors"]
    assert after["kilobytes"] < before["kilobytes"] + LEAK_KB
    assert counts["stopped"]["threads"] == counts["bare"]["threads"]
    assert counts["stopped"]["descriptors"] <= counts["bare"]["descriptors"]


def test_connections_that_come_all_at_once_are_not_more_than_may_be_unknown(
    serve: Callable[..., int], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.NEGOTIATION_S", 3600)
    port, may_go_on = serve(), threading.Event()
    request = machine.request

    def held(call: Callable[[], Any]) -> Any:
        assert may_go_on.wait(PATIENCE_S)
        return request(call)

    monkeypatch.setattr(machine, "request", held)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(contextlib.closing(Peer(port))) for _ in range(AT_ONCE)]
        may_go_on.set()
        peers += [stack.enter_context(contextlib.closing(Peer(port))) for _ in range(server.MOST_UNKNOWN)]
        closed: set[int] = set()
        with selectors.DefaultSelector() as selector:
            for number, peer in enumerate(peers):
                selector.register(peer.socket, selectors.EVENT_READ, number)

            def dropped() -> int:
                closed.update(key.data for key, _ in selector.select(0))
                return len(closed)

            wait_until(lambda: dropped() >= AT_ONCE, lambda: f"{dropped()} of {len(peers)} are dropped", PATIENCE_S)
            assert dropped() == AT_ONCE


def test_who_sends_one_byte_after_the_other_is_dropped(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.NEGOTIATION_S", 0.3)
    with contextlib.closing(Peer(serve())) as peer, pytest.raises(OSError):
        for byte in client.connection_request(cookie=b"Cookie: " + bytes(200)):
            peer.socket.sendall(bytes((byte,)))
            time.sleep(0.02)


def test_connections_do_not_ask_the_machine_for_a_picture_each(
    serve: Callable[..., int], machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "FRAMES_PER_S", 1 / 3600)
    caplog.set_level(logging.INFO)
    requests = []
    request = machine.request

    def noted(call: Callable[[], Any]) -> Any:
        requests.append(call)
        return request(call)

    monkeypatch.setattr(machine, "request", noted)
    port = serve()
    for _ in range(AT_ONCE):
        with contextlib.closing(Peer(port)) as peer:
            peer.socket.sendall(client.connection_request())
            assert peer.socket.recv(64)[11] == 2
    wait_until(lambda: caplog.text.count("disconnected:") == AT_ONCE, lambda: caplog.text, PATIENCE_S)
    assert len(requests) == 1


HANDSHAKE = client.conversation()[: client.conversation().index(client.FONT_LIST) + 1]


def test_who_stops_at_any_stage_is_dropped(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """In the middle of each PDU, and some before their logon's; others come and go meanwhile."""
    monkeypatch.setattr("ringone_frontend_rdp.client.HANDSHAKE_S", HANDSHAKE_S)
    caplog.set_level(logging.INFO)
    port = serve(max_clients=64)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(contextlib.closing(Peer(port))) for _ in HANDSHAKE]
        for number, peer in enumerate(peers):
            peer.start_tls()
            peer.socket.sendall(b"".join(HANDSHAKE[:number]) + HANDSHAKE[number][:-1])
        good = stack.enter_context(contextlib.closing(Peer(port)))
        good.log_on().read_picture()
        assert all(peer.is_closed() for peer in peers)
        good.socket.sendall(client.REFRESH_RECT)
        good.read_picture()
    wait_until(lambda: caplog.text.count("disconnected: too slow") == len(peers), lambda: caplog.text, PATIENCE_S)
    stages = Counter(re.findall(r"too slow in stage (\w+)", caplog.text))
    assert stages == {"CONNECT": 1, "CHANNELS": len(HANDSHAKE) - 6, "CAPABILITIES": 1, "FINALIZATION": 4}


@pytest.mark.parametrize("sent", [b"", b"\x30", b"\x30\x82\xff\x00" + bytes(99)], ids=["nothing", "a-byte", "a-part"])
def test_who_stops_in_a_logon_is_dropped(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.PERSON_S" if not sent else "ringone_frontend_rdp.client.HANDSHAKE_S", 0.3)
    with contextlib.closing(Peer(serve(auth=Authentication.USERS))) as peer:
        peer.start_tls(Protocol.HYBRID).socket.sendall(sent)
        assert peer.is_closed()


CLIENT_HELLO = bytes.fromhex("16 0301 0200 01 0001fc 0303") + bytes(0x1FA)
GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "rdp": HANDSHAKE[0],
    "zeros": bytes(70000),
    "alert": bytes.fromhex("15 0303 0002 0228"),
    "hello": CLIENT_HELLO,
    "half-a-hello": CLIENT_HELLO[:99],
    "long-record": bytes.fromhex("16 0301 ffff") + bytes(0xFFFF),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_tls_ends_one_connection(garbage: str, serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """In place of the handshake, and behind it."""
    monkeypatch.setattr("ringone_frontend_rdp.client.TLS_S", 0.5)
    caplog.set_level(logging.INFO)
    port = serve()
    with contextlib.closing(Peer(port)) as early, contextlib.closing(Peer(port)) as late, contextlib.closing(Peer(port)) as good:
        good.log_on().read_picture()
        early.socket.sendall(client.connection_request())
        assert early.socket.recv(64)[11] == 2
        late.log_on().read_picture()
        below = socket.socket(fileno=late.socket.detach())
        below.settimeout(PATIENCE_S)
        late.socket = below
        for peer in (early, late):
            with contextlib.suppress(OSError):
                peer.socket.sendall(GARBAGE[garbage])
            if garbage == "half-a-hello":
                peer.close()
            else:
                assert peer.is_closed()
        wait_until(lambda: caplog.text.count("disconnected:") == 2, lambda: caplog.text, PATIENCE_S)
        good.socket.sendall(client.REFRESH_RECT)
        good.read_picture()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_session_may_come_in_a_tls_record_for_each_byte(serve: Callable[..., int]) -> None:
    with contextlib.closing(Peer(serve()).start_tls()) as peer:
        for byte in b"".join(HANDSHAKE):
            peer.socket.sendall(bytes((byte,)))
        peer.read_picture()


def test_length_that_reaches_into_the_next_records_is_found_out(serve: Callable[..., int]) -> None:
    with contextlib.closing(Peer(serve()).start_tls()) as peer:
        for pdu in HANDSHAKE:
            lying = pdu[:3] + bytes((pdu[3] + 1,)) + pdu[4:] if pdu is client.ATTACH_USER else pdu
            with contextlib.suppress(OSError):
                peer.socket.sendall(lying)
        assert peer.is_closed()


def test_of_all_who_take_over_at_once_one_stays(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path))
    caplog.set_level(logging.INFO)
    frontend = RdpFrontend(RdpOptions(port="0", process=False, max_clients=1, when_full=WhenFull.TAKE_OVER))
    frontend.start(cast(VmSession, machine))
    try:
        peers = [Peer(frontend.port) for _ in range(TAKE_OVERS)]
        threads = [threading.Thread(target=log_on_or_fail, args=(peer,)) for peer in peers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        wait_until(lambda: caplog.text.count("disconnected: another client takes over") == TAKE_OVERS - 1, lambda: caplog.text, PATIENCE_S)
        wait_until(lambda: len(frontend.endpoint().clients) == 1, lambda: f"{frontend.endpoint().clients}", PATIENCE_S)
        for peer in peers:
            peer.close()
        with contextlib.closing(Peer(frontend.port)) as last:
            last.log_on().read_picture()
    finally:
        frontend.stop()


def log_on_or_fail(peer: Peer) -> None:
    with contextlib.suppress(OSError):
        peer.log_on()


def test_client_that_goes_while_its_picture_is_made_disturbs_nobody(
    serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun, may_end = threading.Event(), threading.Event()
    updates = picture.updates

    def slowly(*arguments: Any) -> list[Bitmap]:
        if not begun.is_set():
            begun.set()
            may_end.wait(PATIENCE_S)
        return updates(*arguments)

    monkeypatch.setattr(picture, "updates", slowly)
    port = serve()
    try:
        with contextlib.closing(Peer(port)) as peer:
            peer.log_on()
            assert begun.wait(PATIENCE_S)
        wait_until(lambda: "127.0.0.1: disconnected:" in caplog.text, lambda: caplog.text, PATIENCE_S)
        with contextlib.closing(Peer(port)) as good:
            good.log_on().read_picture()
            may_end.set()
            good.socket.sendall(client.REFRESH_RECT)
            good.read_picture()
    finally:
        may_end.set()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


CONTROL = "\n\r\x1b[2J\x00\x7f\u2028\u202e"


def test_logs_have_neither_passwords_nor_what_would_forge_them(serve: Callable[..., int], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    users = tmp_path / "users"
    UserDatabase(users).set_password("alice", "hunter2")
    port = serve(auth=Authentication.USERS, users=users)
    names = struct.pack("<I", 2) + b"\n\x1b[2J\r\n\0" + bytes(4) + b"cliprdr\0" + bytes(4)
    blocks = client.block(0xC001, client.core_data()[:20] + CONTROL.encode("utf-16-le").ljust(32, b"\0") + client.core_data()[52:]) + client.block(
        0xC003, names
    )
    for user, password in [(CONTROL, "swordfish"), ("alice" + CONTROL, "swordfish"), ("alice", "swordfish"), ("alice", "hunter2")]:
        with contextlib.closing(Peer(port)) as peer, contextlib.suppress(OSError):
            peer.start_tls()
            for pdu in (client.connect_initial(blocks), client.ATTACH_USER, client.client_info(user, password), client.send_data(b"\n\x1b[2J", 1004)):
                peer.socket.sendall(pdu)
            if password == "swordfish":
                assert peer.is_closed()
    wait_until(lambda: caplog.text.count("disconnected:") == 4, lambda: caplog.text, PATIENCE_S)
    messages = [record.getMessage() for record in caplog.records if record.name == "ringone.rdp"]
    assert all(message.isprintable() for message in messages), messages
    assert not any(secret in caplog.text for secret in ("swordfish", "hunter2"))


FLOODS = {
    "keys": bytes((2 << 2, 6, 0, 0x1E, 1, 0x1E)) * 2000,
    "locks": bytes((1 << 2, 3, 0x63)) * 4000,
    "refresh": client.REFRESH_RECT * 400,
    "all": (client.FAST_PATH_KEY_A + client.SUPPRESS_OUTPUT + client.ALLOW_OUTPUT + client.SHUTDOWN_REQUEST + client.join(1003)) * 200,
}


ADVERTISE = OPEN[2]
CLOSE_AND_OPEN = (b"\x40\x01", ACCEPT)
STORMS = {"capabilities": (ADVERTISE,), "channels": CLOSE_AND_OPEN, "acknowledgements": (b"\x30\x01" + acknowledge(1),)}


@pytest.mark.rdp_client
@pytest.mark.parametrize("storm", STORMS)
def test_storms_in_the_graphics_channel_are_ended_too(
    storm: str, serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.pace.LONGEST_FLOOD_S", 0.5)
    monkeypatch.setattr("ringone_frontend_rdp.client.LAST_WORDS_S", 0.2)
    caplog.set_level(logging.INFO)
    port = serve()
    with contextlib.closing(Peer(port)) as good, contextlib.closing(Peer(port)) as bad:
        good.log_on().read_picture()
        graphics = graphics_log_on(bad)
        graphics.say(*OPEN)
        flooding = threading.Thread(target=send_without_end, args=(bad, b"".join(map(in_graphics_channel, STORMS[storm])) * 200))
        flooding.start()
        end = time.monotonic() + PATIENCE_S
        while flooding.is_alive() and time.monotonic() < end:
            good.socket.sendall(client.REFRESH_RECT)
            good.read_picture()
        wait_until(lambda: "disconnected: for 0.5 seconds, more than" in caplog.text, lambda: caplog.text, PATIENCE_S)
        flooding.join(PATIENCE_S)
        assert not flooding.is_alive()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def in_graphics_channel(pdu: bytes) -> bytes:
    return client.send_data(struct.pack("<II", len(pdu), 3) + pdu, DRDYNVC)


def send_without_end(peer: Peer, data: bytes) -> None:
    """Until the connection is closed, reading what comes. All by one thread: OpenSSL does not let two use a connection at the same time."""
    peer.socket.setblocking(False)
    unsent = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        while True:
            select.select([peer.socket], [peer.socket], [], PATIENCE_S)
            unsent = unsent or data
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                unsent = unsent[peer.socket.send(unsent) :]
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if not peer.socket.recv(65536):
                    break


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_disturb_neither_the_machine_nor_others(
    flood: str, serve: Callable[..., int], machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone who sends as fast as he can, and reads what comes."""
    monkeypatch.setattr("ringone_frontend_rdp.pace.LONGEST_FLOOD_S", 0.5)
    monkeypatch.setattr("ringone_frontend_rdp.client.LAST_WORDS_S", 0.2)
    caplog.set_level(logging.INFO)
    requests = 0
    request = machine.request

    def counted(call: Callable[[], Any]) -> Any:
        nonlocal requests
        requests += 1
        return request(call)

    monkeypatch.setattr(machine, "request", counted)
    port = serve()
    with contextlib.closing(Peer(port)) as good, contextlib.closing(Peer(port)) as bad:
        good.log_on().read_picture()
        bad.log_on().read_picture()
        started, before = time.monotonic(), requests
        flooding = threading.Thread(target=send_without_end, args=(bad, FLOODS[flood]))
        flooding.start()
        while flooding.is_alive() and time.monotonic() < started + PATIENCE_S:
            good.socket.sendall(client.REFRESH_RECT)
            good.read_picture()
        wait_until(lambda: "for 0.5 seconds, more than the server takes from one client" in caplog.text, lambda: caplog.text, PATIENCE_S)
        flooding.join(PATIENCE_S)
        assert not flooding.is_alive()
        assert requests - before < (time.monotonic() - started) * (server.FRAMES_PER_S + 2 / pace.REQUEST_S) + 100
        good.socket.sendall(client.REFRESH_RECT)
        good.read_picture()


def test_killed_client_gives_back_its_keys_and_its_place(serve: Callable[..., int], machine: Machine) -> None:
    port = serve(max_clients=1)
    with subprocess.Popen([sys.executable, "-c", VICTIM, str(port)], cwd=ROOT, stdout=subprocess.PIPE) as victim:
        try:
            assert victim.stdout is not None
            assert victim.stdout.readline() == b"down\n"
            wait_until(lambda: machine.codes == b"\x1e", lambda: f"{machine.codes!r}", PATIENCE_S)
            victim.send_signal(signal.SIGKILL)
            wait_until(lambda: machine.codes == b"\x1e\x9e", lambda: f"{machine.codes!r}", PATIENCE_S)
        finally:
            victim.kill()

    def gets_in() -> bool:
        with contextlib.suppress(EOFError, OSError), contextlib.closing(Peer(port)) as peer:
            peer.log_on().read_picture()
            return True
        return False

    wait_until(gets_in, lambda: "the place is still taken", PATIENCE_S)
