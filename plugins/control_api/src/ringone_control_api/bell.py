"""Waking a coroutine from other threads, often and cheaply."""

from __future__ import annotations

import asyncio
import contextlib


class Bell:
    """Wakes the waiter from any thread. Between two answers it rings once, whoever pulls it how often."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._pulled = False

    def ring(self) -> None:
        if not self._pulled:
            self._pulled = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, at_most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), at_most_s)

    def answer(self) -> None:
        """Before looking: what comes from now on rings again."""
        self._rung.clear()
        self._pulled = False
