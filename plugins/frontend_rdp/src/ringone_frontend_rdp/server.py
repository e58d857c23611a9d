"""The server: it listens, decides who may stay, and looks at the machine's screen for all of its clients.

Everything here runs in one event loop. The machine's thread is asked for a frame at most `FRAMES_PER_S` times a second, and only while somebody looks.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs
from ringone.api.console import Frame
from ringone.api.errors import RingOneError
from ringone.api.remotedisplay import RemoteClient
from ringone.keyboard import Layout

from ringone_frontend_rdp import machine, picture
from ringone_frontend_rdp.attempts import Attempts, origin
from ringone_frontend_rdp.client import Client, Leave
from ringone_frontend_rdp.config import Video, WhenFull
from ringone_frontend_rdp.connection import Security
from ringone_frontend_rdp.listener import listen
from ringone_frontend_rdp.machine import Look, Machine, on_machine
from ringone_frontend_rdp.pace import READ_BYTES
from ringone_frontend_rdp.picture import Pixels

FRAMES_PER_S = 70
"""As often as VGA's text modes draw; none of its modes does so more often."""
LARGE_CHANGES_PER_S = 35
"""Where much of the picture changes each time: twice as often, and the guest and the client would pay for more than anybody sees."""
GUEST_SHARE = 0.1
"""How much of the machine's time may be spent on pictures: dear ones are taken less often."""
ENCODERS = 2
MOST_UNKNOWN = 64
"""Connections that have not got through the handshake."""
LARGEST_DESKTOP = 8192

_log = logging.getLogger("ringone.rdp")


@attrs.frozen(kw_only=True)
class ServerSettings:
    tls: ssl.SSLContext
    security: Security
    max_clients: int
    when_full: WhenFull
    view_only: bool
    layout: Layout
    clipboard: bool
    video: Video


@attrs.frozen
class Seen:
    """What is told about the server. Bytes are counted inside TLS."""

    clients: tuple[RemoteClient, ...] = ()
    clients_so_far: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class Screen:
    """The newest picture of the machine, looked at while it has viewers."""

    def __init__(self, session: Machine, painters: ThreadPoolExecutor, look: Callable[[], Look]) -> None:
        self.picture: Pixels | None = None
        self.viewers: set[asyncio.Event] = set()
        self.somebody_looks = asyncio.Event()
        self._session, self._look_at_machine = session, look
        self._painters = painters
        self._one_at_a_time = asyncio.Lock()
        self._generation: int | None = None
        self._cost_s = 0.0
        self._pause_s = 1 / FRAMES_PER_S
        self._recent_until = float("-inf")
        self._one_comes = asyncio.Lock()

    async def look(self) -> Pixels:
        async with self._one_at_a_time:
            seen = await on_machine(self._session, self._look_at_machine)
            frame, self._cost_s = seen.frame, seen.cost_s
            self._pause_s = 1 / FRAMES_PER_S
            if frame.generation != self._generation:
                old, new = self.picture, await asyncio.get_running_loop().run_in_executor(self._painters, _painted, frame)
                if old is not None and picture.differs_much(old, new):
                    self._pause_s = 1 / LARGE_CHANGES_PER_S
                self._generation, self.picture = frame.generation, new
                for viewer in self.viewers:
                    viewer.set()
            assert self.picture is not None
            return self.picture

    async def watch(self) -> None:
        """For as long as the machine can be asked."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            await self.somebody_looks.wait()
            await self.look()
            due = max(due + self._pause_s, clock() + self._cost_s / GUEST_SHARE)
            await asyncio.sleep(due - clock())

    async def recent(self) -> Pixels:
        """For those who come, and may come in hundreds: the machine is not asked for them more often than for viewers."""
        clock = asyncio.get_running_loop().time
        async with self._one_comes:
            if self.picture is None or clock() >= self._recent_until:
                await self.look()
                self._recent_until = clock() + max(1 / FRAMES_PER_S, self._cost_s / GUEST_SHARE)
            assert self.picture is not None
            return self.picture

    def add(self, viewer: asyncio.Event) -> None:
        self.viewers.add(viewer)
        self.somebody_looks.set()

    def remove(self, viewer: asyncio.Event) -> None:
        self.viewers.discard(viewer)
        if not self.viewers:
            self.somebody_looks.clear()


def _painted(frame: Frame) -> Pixels:
    return picture.pixels_of(frame)[:LARGEST_DESKTOP, :LARGEST_DESKTOP]


class RdpServer:
    """`seen` may be read from any thread. `look` is for the machine's thread, in place of `ringone_frontend_rdp.machine.look`."""

    def __init__(self, session: Machine, settings: ServerSettings, look: Callable[[], Look] | None = None) -> None:
        self.session = session
        self.settings = settings
        self.encoders = ThreadPoolExecutor(ENCODERS, "RDP encoder")
        self.screen = Screen(session, self.encoders, look or (lambda: machine.look(session)))
        self.attempts = Attempts()
        self.security = attrs.evolve(settings.security, has_room=self._has_room)
        self.sent_bytes = 0
        self.received_bytes = 0
        self._seen: tuple[RemoteClient, ...] = ()
        self._clients_so_far = 0
        self._clients: dict[Client, asyncio.Task[None]] = {}
        """In the order in which they came."""

    @property
    def seen(self) -> Seen:
        return Seen(self._seen, self._clients_so_far, self.sent_bytes, self.received_bytes)

    async def serve(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Until `stop` or the machine's end; every client has been told then."""
        accepting = asyncio.create_task(listen(listening, self._connected, READ_BYTES))
        watching = asyncio.create_task(self.screen.watch())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listening.close()
        why = Leave.MACHINE_ENDS if watching.done() and isinstance(watching.exception(), RingOneError) else Leave.SERVER_ENDS
        for client in self._clients:
            client.leave(why)
        for task in (watching, stopping):
            task.cancel()
        results = await asyncio.gather(watching, stopping, *self._clients.values(), return_exceptions=True)
        if isinstance(results[0], RingOneError):
            _log.info("the console ends: %s", results[0])
        elif isinstance(results[0], Exception):
            _log.error("the screen cannot be watched", exc_info=results[0])
        self.encoders.shutdown(wait=False, cancel_futures=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        client = Client(self, task, reader, writer)
        self._make_room()
        self._clients[client] = task
        try:
            await client.run()
        finally:
            del self._clients[client]
            self._count()

    def activated(self) -> None:
        """One more client sees the screen."""
        self._clients_so_far += 1
        self._count()

    def _count(self) -> None:
        self._seen = tuple(seen for client in self._clients if (seen := client.seen) is not None)

    def _make_room(self) -> None:
        """Among those who come from where most come from, the oldest of the ones that have got the least far leaves."""
        unknown = [client for client in self._clients if not client.admitted and not client.leaves]
        if len(unknown) >= MOST_UNKNOWN:
            ((crowded, _),) = Counter(origin(client.address) for client in unknown).most_common(1)
            min((client for client in unknown if origin(client.address) == crowded), key=lambda client: client.stage).leave(Leave.CROWDED_OUT)

    def _has_room(self) -> bool:
        admitted = [client for client in self._clients if client.admitted]
        if len(admitted) < self.settings.max_clients:
            return True
        if self.settings.when_full is WhenFull.REFUSE:
            return False
        admitted[0].leave(Leave.REPLACED)
        return True
