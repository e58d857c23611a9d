"""The server on a thread of the machine's process. What it computes holds up the guest, since one thread at a time runs Python."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from concurrent.futures import Future

from ringone.api.frontends import VmSession

from ringone_frontend_rdp.server import RdpServer, Seen, ServerSettings

_log = logging.getLogger("ringone.rdp")


class ServerThread:
    """Serves from the first moment on."""

    def __init__(self, session: VmSession, settings: ServerSettings, listening: socket.socket) -> None:
        self._running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        serving = self._serve(session, settings, listening)
        self._thread = threading.Thread(target=lambda: asyncio.run(serving), name=f"{session.config.name} RDP", daemon=True)
        self._thread.start()
        self._running.result()

    def seen(self) -> Seen:
        return self._server.seen

    def stop(self) -> None:
        """Tells every client."""
        loop, stop = self._running.result()
        if self._thread.is_alive():
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:  # the machine's end was quicker
                _log.debug("the RDP server has ended by itself")
        self._thread.join()

    async def _serve(self, session: VmSession, settings: ServerSettings, listening: socket.socket) -> None:
        stop = asyncio.Event()
        self._server = RdpServer(session, settings)
        self._running.set_result((asyncio.get_running_loop(), stop))
        await self._server.serve(listening, stop)
