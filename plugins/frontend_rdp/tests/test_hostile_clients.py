"""Clients that do harm to real sockets: bent sessions, hundreds of idle connections, storms, and a client that is killed. Others do not notice."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ringone.api.frontends import VmSession
from ringone_frontend_rdp import pace, server
from ringone_frontend_rdp.config import RdpOptions
from ringone_frontend_rdp.frontend import RdpFrontend

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.desk import wait_until
from plugins.frontend_rdp.tests.recordings import SESSIONS
from plugins.frontend_rdp.tests.test_server import Machine, Peer

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120
STORM_S = 300
LEAK_KB = 16 << 10
BENT = 12
AT_ONCE = 50
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
            frontend = RdpFrontend(RdpOptions(port="0", **options))
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


@pytest.mark.parametrize("storm", ["idle", "reconnects", "resizes"])
def test_what_comes_and_goes_leaves_nothing_behind(storm: str) -> None:
    """Five hundred idle sockets besides a good client, fifty connections one after the other, sixty sizes; each twice, the second time counted."""
    command = [sys.executable, "-m", "plugins.frontend_rdp.tests.storms", storm]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STORM_S, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    before, after = counts["before"], counts["after"]
    assert (after["threads"], after["descriptors"]) == (before["threads"], before["descriptors"])
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


FLOODS = {
    "keys": bytes((2 << 2, 6, 0, 0x1E, 1, 0x1E)) * 2000,
    "locks": bytes((1 << 2, 3, 0x63)) * 4000,
    "refresh": client.REFRESH_RECT * 400,
    "suppress": (client.SUPPRESS_OUTPUT + client.ALLOW_OUTPUT) * 200,
    "shutdown": client.SHUTDOWN_REQUEST * 400,
    "all": (client.FAST_PATH_KEY_A + client.REFRESH_RECT + client.SHUTDOWN_REQUEST + client.join(1003)) * 200,
}


def send_without_end(peer: Peer, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer.socket.sendall(data)


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_disturb_neither_the_machine_nor_others(
    flood: str, serve: Callable[..., int], machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone who sends as fast as he can, and reads what comes."""
    monkeypatch.setattr("ringone_frontend_rdp.pace.LONGEST_FLOOD_S", 2)
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
        reading, flooding = threading.Thread(target=bad.is_closed), threading.Thread(target=send_without_end, args=(bad, FLOODS[flood]))
        reading.start()
        flooding.start()
        while flooding.is_alive() and time.monotonic() < started + PATIENCE_S:
            good.socket.sendall(client.REFRESH_RECT)
            good.read_picture()
        wait_until(lambda: "for 2 seconds, more than the server takes from one client" in caplog.text, lambda: caplog.text, PATIENCE_S)
        for thread in (reading, flooding):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
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
