"""Character streams over TCP and Unix-domain sockets, as server (one peer at a time, the next may come when it has gone) or as client."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import attrs
from ringone.api.drivers import DriverContext
from ringone.api.errors import DriverError
from ringone.api.options import option

from ringone_host_drivers.buffers import ReceiveBuffer, SendQueue

_CHUNK = 4096
CLOSING_S = 1.0
"""How long `close` waits for the thread of a host whose ``accept`` is not woken by it."""


@attrs.frozen(kw_only=True)
class TcpOptions:
    port: int = option(help="TCP port", validator=attrs.validators.in_(range(1, 65536)))
    host: str = option("127.0.0.1", help="address to listen on or to connect to")
    server: bool = option(True, help="listen (on) or connect (off)")


@attrs.frozen(kw_only=True)
class UnixOptions:
    path: Path = option(help="path of the socket")
    server: bool = option(True, help="listen (on) or connect (off)")


class SocketStream:
    """A stream whose peer may come and go. What the guest says while nobody listens is lost, as on a real line."""

    def __init__(self, context: DriverContext, sock: socket.socket, *, listening: bool, cleanup: Callable[[], None] = lambda: None) -> None:
        self._socket = sock
        self._cleanup = cleanup
        self._peer: socket.socket | None = None if listening else sock
        self._closed = False
        self._receive = ReceiveBuffer(context)
        self._send = SendQueue(context.component, self._write)
        target = self._serve if listening else self._pump_client
        self._thread = threading.Thread(target=target, name=f"{context.component} socket", daemon=True)
        self._thread.start()

    def _write(self, data: bytes) -> None:
        peer = self._peer
        if peer is not None:
            with contextlib.suppress(ConnectionError):
                peer.sendall(data)

    def _serve(self) -> None:
        while not self._closed:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self._peer = peer
            if not self._closed:
                self._pump(peer)
            self._peer = None
            peer.close()

    def _pump_client(self) -> None:
        self._pump(self._socket)

    def _pump(self, peer: socket.socket) -> None:
        self._receive.pump(lambda: peer.recv(_CHUNK))

    def write(self, data: bytes) -> None:
        self._send.put(data)

    def attach(self, received: Callable[[], None]) -> None:
        self._receive.attach(received)

    def read(self, size: int) -> bytes:
        return self._receive.read(size)

    def close(self) -> None:
        self._closed = True
        self._receive.close()
        self._send.close()
        for sock in (self._peer, self._socket):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        self._thread.join(CLOSING_S)
        self._cleanup()


def open_tcp(context: DriverContext, options: TcpOptions) -> SocketStream:
    where = f"{options.host}:{options.port}"
    try:
        if options.server:
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            sock = socket.create_server((options.host, options.port), family=family)
        else:
            sock = socket.create_connection((options.host, options.port), timeout=5)
            sock.settimeout(None)
    except OSError as error:
        verb = "listen on" if options.server else "connect to"
        raise DriverError(f"{context.component}: cannot {verb} TCP {where}: {error.strerror or error}") from error
    return SocketStream(context, sock, listening=options.server)


def open_unix(context: DriverContext, options: UnixOptions) -> SocketStream:
    if not hasattr(socket, "AF_UNIX"):
        raise DriverError(f"{context.component}: this host has no Unix-domain sockets; use driver tcp")
    sock = socket.socket(socket.AF_UNIX)
    path = options.path
    try:
        if options.server:
            _remove_stale(path)
            sock.bind(str(path))
            path.chmod(0o600)
            sock.listen(1)
        else:
            sock.connect(str(path))
    except OSError as error:
        sock.close()
        verb = "listen on" if options.server else "connect to"
        raise DriverError(f"{context.component}: cannot {verb} Unix socket {path}: {error.strerror or error}") from error
    cleanup = (lambda: path.unlink(missing_ok=True)) if options.server else (lambda: None)
    return SocketStream(context, sock, listening=options.server, cleanup=cleanup)


def _remove_stale(path: Path) -> None:
    """Remove a socket that a dead process left; one that answers is in use and stays."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
