"""One client: its socket, its time limits, its input, and the pump that brings it the guest's picture at its own pace. One that reads slowly gets fewer frames,
never a queue of them."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import socket
from typing import TYPE_CHECKING

from ringone.api.errors import RingOneError
from ringone.api.remotedisplay import RemoteClient

from ringone_frontend_rdp import clipboard, fastpath, pace, picture
from ringone_frontend_rdp.clipboard import Clipboard, PasteKey
from ringone_frontend_rdp.codecs.planar import AlphaPlane
from ringone_frontend_rdp.config import Video
from ringone_frontend_rdp.connection import Activated, ChannelMessage, Closed, Connection, ErrorInfo, Inputs, OutputWanted, Refresh, Stage, StartTls
from ringone_frontend_rdp.errors import AuthenticationError, ProtocolError
from ringone_frontend_rdp.graphics import dynamic
from ringone_frontend_rdp.graphics.output import SETTLED_S, GraphicsOutput
from ringone_frontend_rdp.guest_input import GuestInput
from ringone_frontend_rdp.input import CharacterEvent, InputEvent, KeyEvent
from ringone_frontend_rdp.machine import on_machine
from ringone_frontend_rdp.picture import Pixels

if TYPE_CHECKING:
    from ringone_frontend_rdp.server import RdpServer

NEGOTIATION_S = 5
TLS_S = 10
PERSON_S = 120
"""Behind TLS a client may ask its user whether the certificate is the right one, and for a password."""
HANDSHAKE_S = 20
"""From what the client says next until the screen is shown."""
REACTIVATION_S = 20
"""How long a client may take to answer another size of the desktop."""
STALLED_S = 30
LAST_WORDS_S = 2
GRAPHICS_S = 5
"""How long a client that knows the graphics pipeline may take to open it; from then on it gets bitmaps until it does."""
TYPING_S = 0.02
LEDS_S = 0.02
DYNAMIC_BYTES = 64 << 10
"""Of a PDU of the dynamic channels, which no known client makes larger than 1600."""
OUTPUT_HIGH_WATER = 64 << 10
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

_log = logging.getLogger("ringone.rdp")


class Leave(enum.Enum):
    """Why the server sends a client away that has done nothing wrong: what is logged, and what it is told."""

    SERVER_ENDS = "the remote display is switched off", ErrorInfo.RPC_INITIATED_DISCONNECT
    MACHINE_ENDS = "the machine is switched off", ErrorInfo.LOGOFF_BY_USER
    REPLACED = "another client takes over", ErrorInfo.DISCONNECTED_BY_OTHER_CONNECTION
    CROWDED_OUT = "too many connections of clients that nobody knows yet", ErrorInfo.SERVER_DENIED_CONNECTION


class Client:
    """One connection, from its first byte to its last."""

    def __init__(self, server: RdpServer, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """`task` is the one that `run` runs in."""
        self._server, self._task = server, task
        self._reader, self._writer = reader, writer
        self.address = str((writer.get_extra_info("peername") or ("?",))[0])
        self._connection: Connection | None = None
        self._input = GuestInput(server.session, server.settings.layout)
        self._clipboard: Clipboard | None = None
        self._paste_key = PasteKey()
        self._typing: asyncio.Task[None] | None = None
        self._limit = asyncio.timeout(None)
        self._wake = asyncio.Event()
        self._shown = picture.NOTHING
        self._graphics: GraphicsOutput | None = None
        self._waits_for_graphics = False
        self._wanted = True
        self._pace = pace.Pace()
        self._redrawing: asyncio.TimerHandle | None = None
        self._redrawn_at = float("-inf")
        self._server_is_trusted = False
        self._activated = False
        self._ended = ""
        self._farewell = ErrorInfo.RPC_INITIATED_DISCONNECT
        self._told_to_leave: Leave | None = None

    @property
    def stage(self) -> Stage:
        return Stage.NEGOTIATION if self._connection is None else self._connection.stage

    @property
    def leaves(self) -> bool:
        return self._told_to_leave is not None

    @property
    def admitted(self) -> bool:
        return Stage.CAPABILITIES <= self.stage < Stage.CLOSED and not self.leaves

    @property
    def seen(self) -> RemoteClient | None:
        """Who it is, once it has got through the handshake."""
        if self._connection is None or not self._activated:
            return None
        return RemoteClient(address=self.address, user=self._connection.user)

    def leave(self, why: Leave) -> None:
        """What the first one says who calls this is what the client is told."""
        self._told_to_leave = self._told_to_leave or why
        self._task.cancel()

    async def run(self) -> None:
        pump = asyncio.create_task(self._keep_showing())
        try:
            await self._converse()
        except AuthenticationError as error:
            self._server.attempts.failed(self.address)
            self._ended = f"not let in: {error}"
            _log.warning("%s: %s", self.address, self._ended)
        except ProtocolError as error:
            self._ended, self._farewell = str(error), ErrorInfo.DATA_PDU_SEQUENCE
        except OSError as error:
            self._ended = self._ended or str(error) or type(error).__name__
        except RingOneError as error:  # of the machine's, which has ended
            self._ended, self._farewell = str(error), ErrorInfo.LOGOFF_BY_USER
        except asyncio.CancelledError:
            self._ended, self._farewell = (self._told_to_leave or Leave.SERVER_ENDS).value
        except Exception as error:
            self._ended = "a fault of the server's"
            self._farewell = ErrorInfo.OUT_OF_MEMORY if isinstance(error, MemoryError) else ErrorInfo.GRAPHICS_SUBSYSTEM_FAILED
            _log.exception("%s: the server failed", self.address)
        finally:
            pump.cancel()
            if self._typing is not None:
                self._typing.cancel()
            if self._redrawing is not None:
                self._redrawing.cancel()
            self._server.screen.remove(self._wake)
            await self._part()
            await asyncio.gather(pump, return_exceptions=True)
            _log.info("%s: disconnected: %s", self.address, self._ended)

    async def _converse(self) -> None:
        _keep_alive(self._writer)
        self._check_attempts()
        self._connection = await self._connect()
        try:
            async with self._limit:
                self._may_take(NEGOTIATION_S)
                await self._listen(self._connection)
        except TimeoutError as error:
            if not self._limit.expired():
                raise
            self._farewell = ErrorInfo.LOGON_TIMEOUT
            raise TimeoutError(f"too slow in stage {self._connection.stage.name}") from error

    def _check_attempts(self) -> None:
        if self._server.attempts.locked_out(self.address):
            raise ProtocolError("locked out after too many wrong passwords")

    def _may_take(self, seconds: float | None) -> None:
        """From now on, until the client is through its present stage."""
        self._limit.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    async def _listen(self, connection: Connection) -> None:
        while not self._ended:
            data = await self._reader.read(pace.READ_BYTES)
            if not data:
                self._ended = "the client closed the connection"
                return
            if connection.stage > Stage.TLS and not self._server_is_trusted:
                self._server_is_trusted = True
                self._may_take(HANDSHAKE_S)
            self._server.received_bytes += len(data)
            pdus = connection.pdus_read
            if connection.stage < Stage.CAPABILITIES:
                self._check_attempts()  # others from the same address may have guessed meanwhile
            try:
                connection.receive(data)
            finally:
                self._flush()
            work_s = pace.PDU_S * (connection.pdus_read - pdus) + await self._handle_events(connection)
            await self._drain()
            await asyncio.sleep(self._pace.spend(work_s, len(data)))

    async def _connect(self) -> Connection:
        height, width, _ = (await self._server.screen.recent()).shape
        connection = Connection(self._server.security, width, height)
        if self._server.settings.video is not Video.BITMAPS:
            connection.listen(dynamic.STATIC_CHANNEL, DYNAMIC_BYTES, DYNAMIC_BYTES)
        if self._takes_clipboard:
            connection.listen(clipboard.STATIC_CHANNEL, clipboard.LARGEST_MESSAGE, clipboard.KEPT)
        return connection

    @property
    def _takes_clipboard(self) -> bool:
        return self._server.settings.clipboard and not self._server.settings.view_only

    async def _handle_events(self, connection: Connection) -> float:
        """How much work they make."""
        work_s = 0.0
        epoch = self._epoch
        for event in connection.take_events():
            match event:
                case StartTls():
                    self._may_take(TLS_S)
                    await self._writer.start_tls(self._server.settings.tls)
                    self._writer.transport.set_write_buffer_limits(OUTPUT_HIGH_WATER)
                    connection.tls_established()
                    self._may_take(PERSON_S)
                case Activated():
                    self._begin()
                case Inputs(events):
                    if not self._server.settings.view_only:
                        work_s += pace.REQUEST_S + pace.EVENT_S * len(events)
                        await self._take_input(events)
                case Refresh():
                    self._draw_anew_soon()
                case OutputWanted(wanted):
                    self._wanted = wanted
                    self._draw_anew_soon()
                case ChannelMessage(dynamic.STATIC_CHANNEL, message):
                    work_s += pace.MESSAGE_S
                    if self._graphics is not None:
                        self._graphics.receive(message)
                        self._flush()
                case ChannelMessage(clipboard.STATIC_CHANNEL, message):
                    work_s += pace.MESSAGE_S
                    self._hear_clipboard(message)
                case Closed(reason):
                    self._ended = reason
        return work_s if self._epoch == epoch else work_s + pace.REDRAW_S

    @property
    def _epoch(self) -> int:
        return 0 if self._graphics is None else self._graphics.pipeline.epoch

    def _begin(self) -> None:
        assert self._connection is not None
        self._may_take(None)
        if not self._activated:
            self._activated = True
            self._server.attempts.succeeded(self.address)
            self._server.activated()
            client, name = self._connection.client, self._connection.user or "nobody by name"
            _log.info("%s: connected: %s, %s, %d bpp", self.address, name, self._connection.protocol.name, self._connection.depth)
            assert client is not None
            self._server.screen.add(self._wake)
            if self._takes_clipboard and clipboard.STATIC_CHANNEL in client.channels:
                self._open_clipboard(self._connection)
            if self._connection.wants_graphics and self._server.settings.video is not Video.BITMAPS:
                self._open_graphics(self._connection)
        self._draw_anew()

    def _open_graphics(self, connection: Connection) -> None:
        self._graphics = GraphicsOutput(lambda message: connection.send_message(dynamic.STATIC_CHANNEL, message), self._wake.set, self._server.settings.video)
        self._waits_for_graphics = True
        asyncio.get_running_loop().call_later(GRAPHICS_S, self._wait_no_longer)
        self._graphics.start()
        self._flush()

    def _wait_no_longer(self) -> None:
        self._waits_for_graphics = False
        self._wake.set()

    def _draw_anew_soon(self) -> None:
        """Because the client asks for it: at once, but not before the last time is `REDRAW_S` ago."""
        if self._redrawing is None:
            self._redrawing = asyncio.get_running_loop().call_at(self._redrawn_at + pace.REDRAW_S, self._redraw)

    def _redraw(self) -> None:
        self._redrawing = None
        self._redrawn_at = asyncio.get_running_loop().time()
        self._draw_anew()

    def _draw_anew(self) -> None:
        self._shown = picture.NOTHING
        if self._graphics is not None:
            self._graphics.draw_anew()
        self._wake.set()

    # --- input

    async def _take_input(self, events: list[InputEvent]) -> None:
        paste = False
        if self._clipboard is not None:
            if self._typing is not None and any(isinstance(event, KeyEvent | CharacterEvent) and not event.released for event in events):
                self._typing.cancel()
            events, paste = self._paste_key.take(events)
        await on_machine(self._server.session, lambda: self._input.handle(events))
        while self._input.waits:
            await asyncio.sleep(LEDS_S)
            await on_machine(self._server.session, self._input.go_on)
        if paste and self._clipboard is not None:
            self._clipboard.ask()
            self._flush()

    def _open_clipboard(self, connection: Connection) -> None:
        self._clipboard = Clipboard(lambda message: connection.send_message(clipboard.STATIC_CHANNEL, message))
        self._clipboard.start()
        self._flush()

    def _hear_clipboard(self, message: bytes) -> None:
        if self._clipboard is None:
            return
        text = self._clipboard.receive(message)
        self._flush()
        if text and (self._typing is None or self._typing.done()):
            self._typing = asyncio.create_task(self._type(text))

    async def _type(self, text: str) -> None:
        """As fast as the guest reads, until a key is struck."""
        with contextlib.suppress(RingOneError):
            await on_machine(self._server.session, self._input.release_all)
            while text:
                typed = await on_machine(self._server.session, lambda rest=text: self._input.type_some(rest))  # type: ignore[misc]
                text = text[typed:]
                await asyncio.sleep(TYPING_S)

    # --- output

    async def _keep_showing(self) -> None:
        """What goes wrong with it comes out where the client is listened to."""
        try:
            await self._pump()
        except Exception as error:
            self._reader.set_exception(error)

    async def _pump(self) -> None:
        while True:
            await self._woken()
            connection, new = self._connection, self._server.screen.picture
            if connection is None or connection.stage is not Stage.ACTIVE or not self._wanted or new is None:
                continue
            if self._graphics is not None and not self._graphics.pipeline.refused:
                if self._graphics.pipeline.ready:
                    await self._draw_graphics(connection, self._graphics, new)
                    continue
                if self._waits_for_graphics:
                    continue
            height, width, _ = new.shape
            assert connection.capabilities is not None
            if (width, height) != (connection.width, connection.height) and connection.capabilities.desktop_resize:
                connection.resize(width, height)
                self._may_take(REACTIVATION_S)
                self._flush()
                await self._drain()
                continue
            await self._draw(connection, picture.fitted(new, connection.width, connection.height))

    async def _woken(self) -> None:
        """There is something to draw, or a picture that the client has with losses rests."""
        rests = SETTLED_S if self._graphics is not None and self._graphics.lossy else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rests):
                await self._wake.wait()
        self._wake.clear()

    async def _draw_graphics(self, connection: Connection, graphics: GraphicsOutput, new: Pixels) -> None:
        """Acknowledgements wake the pump again."""
        if not graphics.pipeline.may_send:
            return
        self._shown = picture.NOTHING
        connection.height, connection.width, _ = new.shape
        graphics.fit(new)
        epoch = graphics.pipeline.epoch
        commands = await asyncio.get_running_loop().run_in_executor(self._server.encoders, graphics.commands, new)
        if connection.stage is not Stage.ACTIVE:
            return
        if graphics.pipeline.epoch == epoch:
            graphics.send(commands)
        self._flush()
        await self._drain()

    async def _draw(self, connection: Connection, new: Pixels) -> None:
        old, self._shown = self._shown, new
        loop = asyncio.get_running_loop()
        assert connection.capabilities is not None
        alpha = AlphaPlane.LEFT_OUT if connection.capabilities.skip_alpha else AlphaPlane.OPAQUE
        encoded = await loop.run_in_executor(self._server.encoders, picture.updates, old, new, connection.depth, alpha)
        for pdu in fastpath.bitmap_updates(encoded):
            if connection.stage is not Stage.ACTIVE:
                return
            self._write(pdu)
            await self._drain()

    def _flush(self) -> None:
        assert self._connection is not None
        if output := self._connection.take_output():
            self._write(output)

    def _write(self, output: bytes) -> None:
        self._server.sent_bytes += len(output)
        self._writer.write(output)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(STALLED_S):  # wait_for of Python 3.11 loses a cancellation that comes with the end of what it waits for
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise TimeoutError("the client reads nothing") from None

    async def _part(self) -> None:
        if self._connection is not None:
            if self._connection.capabilities is not None:
                with contextlib.suppress(RingOneError):
                    self._server.session.request(self._input.release_all)
            self._connection.close(self._farewell)
            self._flush()
        self._writer.close()
        if self._told_to_leave is Leave.CROWDED_OUT:  # nothing was said yet, and who crowds does not wait
            self._writer.transport.abort()
            return
        try:
            await asyncio.wait_for(self._writer.wait_closed(), LAST_WORDS_S)
        except (OSError, TimeoutError, asyncio.CancelledError):
            self._writer.transport.abort()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
