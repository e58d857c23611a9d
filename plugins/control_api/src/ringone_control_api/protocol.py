"""HTTP for clients that may be slow or many: uvicorn's protocol with a bound on connections and on the time that a client may take."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64
REQUEST_S = 30.0
"""Until a request's head is complete, from the connection or from the head's first byte on."""
STALL_S = 30.0
"""That a client may leave an answer unread while more is to be sent."""


class BoundedProtocol(H11Protocol):
    """A client that is too slow, or one too many, loses its connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._request_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= MAX_CONNECTIONS:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._request_due = self.loop.call_later(REQUEST_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._request_due)
        _cancel(self._reading_due)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._request_due is None and self._waits_for_request():
            self._request_due = self.loop.call_later(REQUEST_S, self.transport.abort)
        super().data_received(data)
        if not self._waits_for_request():
            _cancel(self._request_due)
            self._request_due = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading_due = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._reading_due)

    def _waits_for_request(self) -> bool:
        return self.cycle is None or self.cycle.response_complete


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
