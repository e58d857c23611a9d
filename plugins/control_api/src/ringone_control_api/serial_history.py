"""What a guest has said on a serial port, kept for those who ask later.

Bytes are counted from the machine's power-on: the first has position 0, and positions only grow, through resets and through going back to a snapshot too, as on
a terminal's paper. The oldest bytes are forgotten beyond a bound.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

LIMIT_BYTES = 4 << 20


class SerialHistory:
    """`append` may be called on the machine's thread, everything from any."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._start = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def end(self) -> int:
        """The position that the next byte will have."""
        with self._lock:
            return self._start + len(self._kept)

    def append(self, data: bytes) -> None:
        with self._lock:
            self._kept += data
            too_many = len(self._kept) - self._limit_bytes
            if too_many > self._limit_bytes // 4:
                del self._kept[:too_many]
                self._start += too_many
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def read(self, position: int) -> tuple[int, bytes]:
        """What was said from `position` on, and the position of its first byte, which is later where the bytes before are forgotten."""
        with self._lock:
            start = max(self._start, min(position, self._start + len(self._kept)))
            return start, bytes(self._kept[start - self._start :])

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """`listener` is called after every `append`, on its thread, and must not block; the returned function ends that."""
        with self._lock:
            self._listeners.append(listener)

        def forget() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return forget
