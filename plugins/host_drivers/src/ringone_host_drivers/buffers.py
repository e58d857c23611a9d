"""The two queues of a character stream: host to guest, filled by a reader thread, and guest to host, drained by a writer thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ringone.api.drivers import DriverContext

RECEIVE_LIMIT_BYTES = 64 * 1024
SEND_LIMIT_BYTES = 1024 * 1024

log = logging.getLogger("ringone.host-drivers")


class ReceiveBuffer:
    """Bytes on their way to the guest. A full buffer makes the reader wait, so the host's flow control holds its peer back."""

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._data = bytearray()
        self._room = threading.Condition()
        self._received: Callable[[], None] | None = None
        self._closed = False

    def attach(self, received: Callable[[], None]) -> None:
        with self._room:
            self._received = received
            waiting = bool(self._data)
        if waiting:
            self._context.call_soon(received)

    def feed(self, data: bytes) -> bool:
        """From the reader's thread; False once the buffer is closed."""
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._data) < RECEIVE_LIMIT_BYTES)
            if self._closed:
                return False
            was_empty = not self._data
            self._data += data
            received = self._received
        if was_empty and received is not None:
            self._context.call_soon(received)
        return True

    def pump(self, read: Callable[[], bytes]) -> None:
        """Feed what `read` gives, on the reader's thread, until it gives nothing or fails or the buffer is closed."""
        while True:
            try:
                data = read()
            except OSError:
                return
            if not data or not self.feed(data):
                return

    def read(self, size: int) -> bytes:
        with self._room:
            data = bytes(self._data[:size])
            del self._data[:size]
            self._room.notify()
        return data

    def close(self) -> None:
        with self._room:
            self._closed = True
            self._room.notify_all()


class SendQueue:
    """Bytes on their way to the host, written by a thread of its own so that a slow peer never holds up the guest."""

    def __init__(self, name: str, write: Callable[[bytes], None]) -> None:
        self._name = name
        self._write = write
        self._data = bytearray()
        self._changed = threading.Condition()
        self._closed = False
        self._dropping = False
        self._thread = threading.Thread(target=self._drain, name=f"{name} output", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        with self._changed:
            if len(self._data) + len(data) > SEND_LIMIT_BYTES:
                if not self._dropping:
                    log.warning("%s: the host does not take the guest's output; dropping it beyond %d bytes", self._name, SEND_LIMIT_BYTES)
                self._dropping = True
                return
            self._dropping = False
            self._data += data
            self._changed.notify()

    def _drain(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._data or self._closed)
                if not self._data:
                    return
                chunk = bytes(self._data)
                self._data.clear()
            try:
                self._write(chunk)
            except OSError as error:
                log.warning("%s: cannot write the guest's output: %s", self._name, error)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is queued, for at most `timeout_s` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
