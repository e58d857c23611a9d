"""How other threads reach the machine's thread: a queue of functions, an interrupt for a running processor, and futures for the answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import TIMEOUT_MAX
from typing import TypeVar

from ringone.api.errors import StateError

T = TypeVar("T")


class CommandQueue:
    """Functions to be run by the machine's thread, in order. While a processor is connected, each one makes it leave guest code."""

    def __init__(self) -> None:
        self.pending: deque[Callable[[], None]] = deque()
        """What `run_pending` will run. Only its emptiness is of interest to others."""
        self._changed = threading.Lock()
        self._sleep = threading.Lock()
        """Held while nothing is queued: a halted guest waits for it, and a plain lock costs it a fraction of a condition variable."""
        self._sleep.acquire()
        self._interrupt: Callable[[], None] | None = None
        self.closed = False

    def post(self, command: Callable[[], None]) -> None:
        """Run `command` soon; it must not raise. After `close` it is dropped."""
        self._add(command)

    def request(self, command: Callable[[], T]) -> Future[T]:
        """Run `command` soon; its result or exception goes to the future. After `close` that is a `StateError`."""
        future: Future[T] = Future()
        if not self._add(lambda: _answer(future, command)):
            future.set_exception(StateError("the machine is closed"))
        return future

    def run_pending(self) -> None:
        """Run what is queued; what those commands queue themselves waits for the next call. On the machine's thread."""
        for _ in range(len(self.pending)):
            self.pending.popleft()()

    def wait(self, timeout_s: float | None = None) -> None:
        """Sleep until a command is queued or the queue is closed, at most `timeout_s` seconds. On the machine's thread."""
        if not self.pending and not self.closed:
            self._sleep.acquire(True, -1 if timeout_s is None else min(timeout_s, TIMEOUT_MAX))

    def connect(self, interrupt: Callable[[], None] | None) -> None:
        """`interrupt` makes the processor's `run` return soon; None once there is no processor. Never called after it has been replaced."""
        with self._changed:
            self._interrupt = interrupt

    def close(self) -> None:
        """Accept nothing more; what is queued still runs."""
        with self._changed:
            self.closed = True
            self._wake()

    def _add(self, command: Callable[[], None]) -> bool:
        with self._changed:
            if self.closed:
                return False
            self.pending.append(command)
            self._wake()
        return True

    def _wake(self) -> None:
        if self._sleep.locked():
            self._sleep.release()
        if self._interrupt is not None:
            self._interrupt()


def _answer(future: Future[T], command: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = command()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
