"""The frontend: a server on a thread of its own, for as long as the machine has one."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future

import uvicorn
from ringone.api.errors import DriverError
from ringone.api.frontends import VmSession

from ringone_control_api.app import create_app
from ringone_control_api.config import ControlApiOptions
from ringone_control_api.protocol import BoundedProtocol
from ringone_control_api.served import ServedMachine
from ringone_control_api.unix_socket import UnixSocket

KEEP_ALIVE_S = 75
LAST_ANSWERS_S = 3
"""For requests that are under way when the machine ends."""


class ControlApi:
    """`ringone.api.frontends.Frontend`"""

    def __init__(self, options: ControlApiOptions) -> None:
        self._options = options

    def start(self, session: VmSession) -> None:
        self._socket = UnixSocket(self._options.socket)
        self._machine = ServedMachine(session, self._options.log)
        self._server = _Server(self._machine)
        self._thread = threading.Thread(target=self._serve, name=f"{session.config.name} control API", daemon=True)
        self._thread.start()
        try:
            self._server.listening.result()
        except BaseException as error:
            self.stop()
            raise DriverError(f"{self._options.socket}: the control API cannot be served: {type(error).__name__}: {error}") from error

    def stop(self) -> None:
        """Answers what is under way and ends every stream."""
        self._machine.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        try:
            self._server.run([self._socket.socket])
        except BaseException as error:
            if self._server.listening.done():
                raise
            self._server.listening.set_exception(error)


class _Server(uvicorn.Server):
    def __init__(self, machine: ServedMachine) -> None:
        app = create_app()
        app.state.machine = machine
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=LAST_ANSWERS_S,
            )
        )
        self.listening: Future[None] = Future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set_result(None)
