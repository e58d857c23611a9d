"""The server in a process of its own: what passes between it and the machine's, and what becomes of one when the other ends."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone.api.console import Frame
from ringone.api.errors import StateError
from ringone.api.remotedisplay import RemoteClient
from ringone_frontend_rdp import process
from ringone_frontend_rdp.config import Authentication, RdpOptions
from ringone_frontend_rdp.connection import ErrorInfo
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.process import FrameParts
from ringone_frontend_rdp.users import UserDatabase

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.desk import wait_until
from plugins.frontend_rdp.tests.test_server import Machine, Peer, is_told

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tests look into /proc")

Serve = Callable[..., RdpFrontend]


@pytest.fixture
def guest() -> Machine:
    return Machine()


@pytest.fixture
def serve(guest: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path))
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> RdpFrontend:
            frontend = RdpFrontend(RdpOptions(port="0", **options))
            frontend.start(guest)  # type: ignore[arg-type]
            stack.callback(frontend.stop)
            return frontend

        yield start


@pytest.fixture
def connect() -> Iterator[Callable[[RdpFrontend], Peer]]:
    with contextlib.ExitStack() as stack:

        def new(frontend: RdpFrontend) -> Peer:
            peer = Peer(frontend.port)
            stack.callback(peer.close)
            return peer

        yield new


Connect = Callable[[RdpFrontend], Peer]


def process_of(frontend: RdpFrontend) -> subprocess.Popen[bytes]:
    started = frontend._server._process  # type: ignore[union-attr]
    assert isinstance(started, subprocess.Popen)
    return started


def test_pictures_go_out_and_keys_come_in(serve: Serve, connect: Connect, guest: Machine) -> None:
    peer = connect(serve()).log_on()
    peer.read_picture()
    guest.generation = 2
    peer.read_picture()
    peer.socket.sendall(client.FAST_PATH_KEY_A)
    wait_until(lambda: guest.codes.startswith(b"\x1e"), lambda: repr(guest.codes))


def test_the_endpoint_says_who_looks(serve: Serve, connect: Connect) -> None:
    UserDatabase().set_password("alice", "secret")
    frontend = serve(auth=Authentication.USERS)
    peer = connect(frontend).log_on()
    picture = peer.read_picture()
    endpoint = frontend.endpoint()
    assert endpoint.clients == (RemoteClient(address="127.0.0.1", user="alice"),)
    assert endpoint.sent_bytes > len(picture)
    peer.close()
    wait_until(lambda: frontend.endpoint().clients == (), lambda: str(frontend.endpoint()))
    assert frontend.endpoint().clients_so_far == 1


def test_what_the_server_logs_is_in_the_machines_log(serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    peer = connect(serve()).log_on()
    peer.read_picture()
    peer.close()
    wait_until(lambda: "disconnected: the client closed the connection" in caplog.text, lambda: caplog.text)
    assert {record.name for record in caplog.records if "disconnected" in record.message} == {"ringone.rdp"}


def test_its_end_is_told_to_clients_and_leaves_no_process(serve: Serve, connect: Connect) -> None:
    frontend = serve()
    peer = connect(frontend).log_on()
    peer.read_picture()
    server = process_of(frontend)
    frontend.stop()
    assert is_told(peer, ErrorInfo.RPC_INITIATED_DISCONNECT)
    assert server.returncode == 0


def test_it_may_end_before_it_has_begun(serve: Serve) -> None:
    frontend = serve()
    server = process_of(frontend)
    frontend.stop()
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [(StateError("the machine is off"), ErrorInfo.LOGOFF_BY_USER), (RuntimeError("a fault of the machine's"), ErrorInfo.LOGOFF_BY_USER)],
    ids=["end", "fault"],
)
def test_the_machines_end_is_told(serve: Serve, connect: Connect, guest: Machine, monkeypatch: pytest.MonkeyPatch, fault: Exception, why: ErrorInfo) -> None:
    peer = connect(serve()).log_on()
    peer.read_picture()

    def ended() -> Frame:
        raise fault

    monkeypatch.setattr(guest, "frame", ended)
    assert is_told(peer, why)


def test_a_killed_server_is_noticed_and_the_machine_goes_on(serve: Serve, guest: Machine, caplog: pytest.LogCaptureFixture) -> None:
    frontend = serve()
    process_of(frontend).kill()
    wait_until(lambda: "the RDP server has ended with exit code -9" in caplog.text, lambda: caplog.text)
    frontend.stop()


def test_nobody_waits_for_a_server_that_hangs(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(process, "STOP_S", 1)
    frontend = serve()
    peer = connect(frontend).log_on()
    peer.read_picture()
    seen = frontend.endpoint()
    process_of(frontend).send_signal(signal.SIGSTOP)
    assert frontend.endpoint() == seen
    frontend.stop()
    assert "the RDP server does not end, and is killed" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "what?",
        "{}",
        '{"call": "look"}',
        '{"seen": {"clients": [{}], "clients_so_far": 1, "sent_bytes": 1, "received_bytes": 1}}',
        '{"call": "move_mouse", "arguments": [0, 0, 0, "x"]}',
        '{"call": "put_scancodes", "arguments": ["' + "1e" * 5000 + '"]}',
        '{"log": ["root", 30, ""]}',
        "[" * 100_000,
        " " * (1 << 20),
    ],
    ids=["words", "nothing", "no arguments", "no client", "no number", "too many keys", "other logs", "nested", "long"],
)
def test_a_server_that_talks_nonsense_is_killed(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    (tmp_path / "line").write_text(line)
    monkeypatch.setattr(process, "CHILD", ("-c", f"import time; print(open({str(tmp_path / 'line')!r}).read(), flush=True); time.sleep(600)"))
    frontend = serve()
    wait_until(lambda: "is not understood, and is killed" in caplog.text, lambda: caplog.text)
    frontend.stop()


def test_nobody_waits_for_a_server_that_hangs_in_the_midst_of_an_answer(
    serve: Serve, guest: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "STOP_S", 1)
    guest.size = (1600, 1200)
    frontend = serve()
    server = frontend._server
    assert isinstance(server, process.ServerProcess)
    wait_until(server._has_told.is_set, lambda: "it does not begin")
    process_of(frontend).send_signal(signal.SIGSTOP)
    threading.Thread(target=lambda: server._say(process.Answer(bytes(1 << 22))), daemon=True).start()
    wait_until(server._one_at_a_time.locked, lambda: "nothing is said")
    assert frontend.endpoint().clients_so_far == 0
    frontend.stop()
    assert "the RDP server does not end, and is killed" in caplog.text


def test_it_ends_when_it_is_told_nonsense(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    frontend = serve()
    process_of(frontend).stdin.write(b"nonsense\n.")  # type: ignore[union-attr]
    process_of(frontend).stdin.flush()  # type: ignore[union-attr]
    wait_until(lambda: "the RDP server has ended with exit code 0" in caplog.text, lambda: caplog.text)
    assert "the machine's process is not understood" in caplog.text


WITHOUT_END = """
import os, sys, time
from plugins.frontend_rdp.tests.test_server import Machine
from ringone_frontend_rdp.config import RdpOptions
from ringone_frontend_rdp.frontend import RdpFrontend
frontend = RdpFrontend(RdpOptions(port="0"))
frontend.start(Machine())
print(frontend._server._process.pid, flush=True)
time.sleep(600)
"""


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    environment = {**os.environ, "RINGONE_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", WITHOUT_END], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not is_alive(server), lambda: "it is still there")


def is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_an_interrupt_at_the_terminal_is_for_the_machine(serve: Serve, connect: Connect) -> None:
    frontend = serve()
    peer = connect(frontend).log_on()
    peer.read_picture()
    process_of(frontend).send_signal(signal.SIGINT)
    peer.socket.sendall(client.REFRESH_RECT)
    peer.read_picture()


def test_pixels_are_painted_where_the_frame_arrives() -> None:
    frame = Frame(3, 2, 1, painted)
    parts = pickle.loads(pickle.dumps(FrameParts.of(frame)))
    assert parts.frame().pixels == b"\x01\x02\x03\x04\x05\x06"
    assert attrs.evolve(parts.frame(), generation=4).generation == 4


def painted() -> bytes:
    return bytes(range(1, 7))


def test_a_large_picture_arrives_whole(serve: Serve, connect: Connect, guest: Machine) -> None:
    guest.size = (1600, 1200)
    peer = connect(serve()).log_on()
    assert peer.read_picture()
