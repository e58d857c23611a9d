"""The listening socket. Connections are taken no faster than the guest can bear; the others wait in the system's queue."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable

import attrs

CONNECTIONS_PER_S = 100
"""A handshake that is begun costs up to a millisecond."""
AT_ONCE = 600
TRIED_AGAIN_S = 1
"""Where the host has no more descriptors, say."""

_log = logging.getLogger("ringone.rdp")


@attrs.define
class Turnstile:
    """`AT_ONCE` may pass without waiting, after that so many in a second."""

    _now: Callable[[], float] = time.monotonic
    _passed_until: float = attrs.field(default=float("-inf"), init=False)

    def pass_one(self) -> float:
        """How long the next one is to wait."""
        now = self._now()
        self._passed_until = max(self._passed_until, now - AT_ONCE / CONNECTIONS_PER_S) + 1 / CONNECTIONS_PER_S
        return max(0.0, self._passed_until - now)


async def listen(listening: socket.socket, connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], limit: int) -> None:
    """Until it is cancelled. `limit` bytes that nobody reads yet stop the reading from a connection's socket."""
    loop = asyncio.get_running_loop()
    turnstile = Turnstile()
    listening.setblocking(False)

    def protocol() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit), connected)

    while True:
        try:
            connection, _ = await loop.sock_accept(listening)
            await loop.connect_accepted_socket(protocol, connection)
        except OSError as error:
            _log.warning("a connection cannot be taken: %s", error)
            await asyncio.sleep(TRIED_AGAIN_S)
        await asyncio.sleep(turnstile.pass_one())
