"""Bytes cross between the guest's side of a stream and its host end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from ringone.api.errors import DriverError
from ringone.api.media import MediumFormatSpec
from ringone_host_drivers import files, sockets
from ringone_host_drivers.buffers import RECEIVE_LIMIT_BYTES, SEND_LIMIT_BYTES, ReceiveBuffer, SendQueue
from ringone_host_drivers.clock import HostWallClock, WallClockOptions


class Context:
    """Runs what the driver asks for at once, as if the caller were the machine's thread."""

    component = "com1.stream"

    def __init__(self) -> None:
        self.calls = 0
        self.media_formats: Mapping[str, MediumFormatSpec] = {}

    def call_soon(self, function: Callable[[], None]) -> None:
        self.calls += 1
        function()

    def emit(self, event: object) -> None:
        raise AssertionError(event)


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


def read_until(stream: sockets.SocketStream | files.DescriptorStream, size: int) -> bytes:
    data = bytearray()

    def complete() -> bool:
        data.extend(stream.read(size - len(data)))
        return len(data) >= size

    eventually(complete)
    return bytes(data)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_file_holds_what_the_guest_wrote_at_once(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    stream = files.FileStream(Context(), files.FileOptions(path=path))
    stream.write(b"Linux version\n")
    assert path.read_bytes() == b"Linux version\n"
    stream.close()


def test_append_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_bytes(b"old\n")
    stream = files.FileStream(Context(), files.FileOptions(path=path, append=True))
    stream.write(b"new\n")
    stream.close()
    assert path.read_bytes() == b"old\nnew\n"


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"com1\.stream: cannot open .*serial\.log"):
        files.FileStream(Context(), files.FileOptions(path=tmp_path / "missing" / "serial.log"))


def test_tcp_server_carries_both_directions_and_takes_the_next_peer() -> None:
    port = free_port()
    stream = sockets.open_tcp(Context(), sockets.TcpOptions(port=port))
    for greeting in (b"first", b"second"):
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as peer:
            peer.sendall(greeting)
            assert read_until(stream, len(greeting)) == greeting
            stream.write(b"login: ")
            assert peer.recv(16) == b"login: "
    stream.close()


def test_a_tcp_port_in_use_is_named() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(DriverError, match=f"cannot listen on TCP 127.0.0.1:{port}"):
        sockets.open_tcp(Context(), sockets.TcpOptions(port=port))


def test_unix_socket_is_private_and_removed_with_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "com1.sock"
    stream = sockets.open_unix(Context(), sockets.UnixOptions(path=path))
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
        peer.sendall(b"x")
        assert read_until(stream, 1) == b"x"
    stream.close()
    assert not path.exists()


def test_a_socket_left_by_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "com1.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    sockets.open_unix(Context(), sockets.UnixOptions(path=path)).close()


def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "com1.sock"
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(path))
        owner.listen()
        with pytest.raises(DriverError, match="cannot listen on Unix socket"):
            sockets.open_unix(Context(), sockets.UnixOptions(path=path))


def test_descriptors_carry_both_directions() -> None:
    to_guest, from_test = os.pipe()
    from_guest, to_test = os.pipe()
    stream = files.DescriptorStream(Context(), "x", to_guest, to_test, owned=True)
    os.write(from_test, b"root\n")
    assert read_until(stream, 5) == b"root\n"
    stream.write(b"# ")
    assert os.read(from_guest, 8) == b"# "
    os.close(from_test)
    stream.close()
    os.close(from_guest)


def test_received_is_called_once_for_input_that_waits() -> None:
    context = Context()
    buffer = ReceiveBuffer(context)
    heard: list[int] = []
    buffer.attach(lambda: heard.append(1))
    buffer.feed(b"a")
    buffer.feed(b"b")
    assert heard == [1]
    assert buffer.read(10) == b"ab"
    buffer.feed(b"c")
    assert heard == [1, 1]


def test_input_before_attach_is_announced_on_attach() -> None:
    buffer = ReceiveBuffer(Context())
    buffer.feed(b"early")
    heard: list[int] = []
    buffer.attach(lambda: heard.append(1))
    assert heard == [1]


def test_a_closed_buffer_lets_its_reader_go() -> None:
    buffer = ReceiveBuffer(Context())
    buffer.feed(bytes(RECEIVE_LIMIT_BYTES))
    buffer.close()
    assert buffer.feed(b"more") is False


def test_a_peer_that_takes_nothing_costs_bounded_memory() -> None:
    blocked = threading.Event()

    def send(data: bytes) -> None:
        blocked.wait(10)

    queue = SendQueue("x", send)
    for _ in range(2 * SEND_LIMIT_BYTES // 65536):
        queue.put(bytes(65536))
    assert len(queue._data) <= SEND_LIMIT_BYTES
    blocked.set()
    queue.close()


def test_the_wall_clock_can_be_fixed() -> None:
    assert HostWallClock(Context(), WallClockOptions(base_unix_ns=5)).base_ns() == 5


def test_the_wall_clock_can_run_beside_the_hosts() -> None:
    hour_ms = 3_600_000
    ahead = HostWallClock(Context(), WallClockOptions(offset_ms=hour_ms)).base_ns()
    assert ahead - HostWallClock(Context(), WallClockOptions()).base_ns() > (hour_ms - 60_000) * 1_000_000
