"""One client's connection as the protocol sees it ([MS-RDPBCGR] 1.3.1.1): bytes in, events and bytes out, no sockets, no clocks, no threads.

The order of the stages is the order of the members of `Stage`. What does not belong to a stage, and what breaks a limit, is a `ProtocolError`; after one the
connection is to be closed. Only `start` of TLS is left to the caller: when `StartTls` comes out, everything before it is to be sent in clear, everything after
it through TLS.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Protocol as Interface

import attrs

from ringone_frontend_rdp import finalization, licensing, mcs, share, static_channels, wire, x224
from ringone_frontend_rdp.capabilities import ClientCapabilities
from ringone_frontend_rdp.client_info import parse_client_info
from ringone_frontend_rdp.errors import AuthenticationError, ProtocolError
from ringone_frontend_rdp.input import InputEvent, parse_fast_path, parse_slow_path
from ringone_frontend_rdp.ntlm import LogonError
from ringone_frontend_rdp.x224 import Protocol, Refusal

SHARE_ID = 0x000103EA
SUPPORT_ERRINFO_PDU = 0x0001
SUPPORT_DYNVC_GFX_PROTOCOL = 0x0100
USER_AUTH_SUCCESS = bytes(4)


class Stage(enum.IntEnum):
    NEGOTIATION = 1
    TLS = 2
    CREDSSP = 3
    CONNECT = 4
    CHANNELS = 5
    CAPABILITIES = 6
    FINALIZATION = 7
    ACTIVE = 8
    CLOSED = 9


LARGEST_PDU = {Stage.NEGOTIATION: x224.LARGEST_REQUEST, Stage.CONNECT: mcs.LARGEST_CONNECT_INITIAL, Stage.CHANNELS: 16 << 10}
LARGEST_OTHER_PDU = 0xFFFF


class ErrorInfo(enum.IntEnum):
    """Why the server ends a connection: ERRINFO codes, [MS-RDPBCGR] 2.2.5.1.1."""

    RPC_INITIATED_DISCONNECT = 0x01
    LOGON_TIMEOUT = 0x04
    DISCONNECTED_BY_OTHER_CONNECTION = 0x05
    OUT_OF_MEMORY = 0x06
    SERVER_DENIED_CONNECTION = 0x07
    SERVER_INSUFFICIENT_PRIVILEGES = 0x09
    LOGOFF_BY_USER = 0x0C
    DATA_PDU_SEQUENCE = 0x10CB
    """One of many that say that the client breaks the protocol; clients do not tell them apart."""
    GRAPHICS_SUBSYSTEM_FAILED = 0x112F
    """After which FreeRDP connects again where it was told to (``+auto-reconnect``)."""


class CredSsp(Interface):
    """NLA's server side, without a socket."""

    @property
    def complete(self) -> bool: ...
    @property
    def user(self) -> str: ...
    @property
    def unread(self) -> bytes: ...
    def receive(self, data: bytes) -> bytes: ...


@attrs.frozen
class StartTls:
    pass


@attrs.frozen
class Activated:
    """The client may be drawn to, at the desktop's size, from nothing."""


@attrs.frozen
class Inputs:
    events: list[InputEvent]


@attrs.frozen
class Refresh:
    """The client wants everything drawn again."""


@attrs.frozen
class OutputWanted:
    wanted: bool


@attrs.frozen
class ChannelMessage:
    """Of a static channel."""

    channel: str
    message: bytes


@attrs.frozen
class Closed:
    reason: str


Event = StartTls | Activated | Inputs | Refresh | OutputWanted | ChannelMessage | Closed


@attrs.frozen(kw_only=True)
class Security:
    """What a client must do to be let in. `accepted` are the protections, best first. `acceptor` makes NLA's server side; `password_fits` is asked where the
    protection is TLS alone, None if anybody may come; `has_room` of everybody who has shown who he is."""

    accepted: tuple[Protocol, ...]
    acceptor: Callable[[], CredSsp] | None = None
    password_fits: Callable[[str, str], bool] | None = None
    has_room: Callable[[], bool] = lambda: True

    def choose(self, requested: int) -> Protocol | Refusal:
        for protocol in self.accepted:
            if requested & protocol:
                return protocol
        return Refusal.SSL_REQUIRED_BY_SERVER if Protocol.SSL in self.accepted else Refusal.HYBRID_REQUIRED_BY_SERVER


class Connection:
    def __init__(self, security: Security, width: int, height: int) -> None:
        self.stage = Stage.NEGOTIATION
        self.width, self.height = width, height
        self.user = ""
        self.protocol = Protocol.SSL
        self.client: mcs.ClientData | None = None
        self.capabilities: ClientCapabilities | None = None
        self.pdus_read = 0
        self._security = security
        self._requested = 0
        self._credssp: CredSsp | None = None
        self._attached = False
        self._reactivating = False
        self._assemblers: dict[str, static_channels.Assembler] = {}
        self._buffer = bytearray()
        self._out = bytearray()
        self._events: list[Event] = []

    # --- what the caller does

    def receive(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and self.stage is not Stage.CLOSED:
            if self.stage is Stage.TLS:
                raise ProtocolError("more than one PDU before TLS")
            if self.stage is Stage.CREDSSP:
                self._receive_credssp()
                if self.stage is Stage.CREDSSP:
                    return
                continue
            size = wire.pdu_size(self._buffer, LARGEST_PDU.get(self.stage, LARGEST_OTHER_PDU))
            if size is None or size > len(self._buffer):
                return
            pdu = bytes(self._buffer[:size])
            del self._buffer[:size]
            self.pdus_read += 1
            self._receive_pdu(pdu)

    def tls_established(self) -> None:
        if self.protocol is Protocol.SSL:
            self.stage = Stage.CONNECT
            return
        assert self._security.acceptor is not None
        self._credssp = self._security.acceptor()
        self.stage = Stage.CREDSSP

    def resize(self, width: int, height: int) -> None:
        """Deactivation-reactivation at another size. Only while active; nothing may be drawn until `Activated` comes again."""
        self.width, self.height = width, height
        self._reactivating = True
        self._send(share.deactivate_all(SHARE_ID, self._user_id))
        self._demand_active()

    def listen(self, channel: str, limit: int, kept: int) -> None:
        """To a static channel, should the client have it, for messages of at most `limit` bytes, of which the first `kept` count. Nothing is kept of what comes
        in the other channels."""
        self._assemblers[channel] = static_channels.Assembler(channel, limit, kept)

    def send_message(self, channel: str, message: bytes) -> None:
        """On a static channel that the client has."""
        assert self.client is not None
        number = mcs.FIRST_STATIC_CHANNEL + self.client.channels.index(channel)
        for chunk in static_channels.chunks(message):
            self._out += x224.data(mcs.send_data(self._user_id, number, chunk))

    def close(self, why: ErrorInfo) -> None:
        """Tell the client, where it can be told. FreeRDP 3 understands error information once it is connected, and does not say so; before that it takes it for
        a fault of the transport and tries again."""
        if Stage.CHANNELS < self.stage < Stage.CLOSED:
            assert self.client is not None
            if self.client.early_flags & SUPPORT_ERRINFO_PDU or self.capabilities is not None:
                self._send_data(share.Data.SET_ERROR_INFO, struct.pack("<I", why))
            self._out += x224.data(mcs.disconnect_provider_ultimatum())
        self.stage = Stage.CLOSED

    def take_output(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    @property
    def wants_graphics(self) -> bool:
        """The client knows the graphics pipeline, and has the channels and colours for it."""
        client = self.client
        return client is not None and bool(client.early_flags & SUPPORT_DYNVC_GFX_PROTOCOL) and "drdynvc" in client.channels and self.depth == 32

    @property
    def depth(self) -> int:
        return 32 if self.client is not None and self.client.wants_32bpp else 16

    # --- stages

    def _receive_pdu(self, pdu: bytes) -> None:
        if pdu[0] != wire.TPKT_VERSION:
            self._fast_path(pdu)
        elif self.stage is Stage.NEGOTIATION:
            self._negotiate(x224.parse_connection_request(pdu))
        elif self.stage is Stage.CONNECT:
            self.client = mcs.parse_connect_initial(x224.parse_data(pdu))
            self._out += x224.data(mcs.connect_response(self.client, self._requested))
            self.stage = Stage.CHANNELS
        else:
            self._domain_pdu(mcs.parse_domain_pdu(x224.parse_data(pdu)))

    def _negotiate(self, request: x224.ConnectionRequest) -> None:
        choice = self._security.choose(request.protocols)
        if isinstance(choice, Refusal):
            self._out += x224.refusal(choice)
            self.stage = Stage.CLOSED
            self._events.append(Closed(f"refused: {choice.name}; the client offers {request.protocols:#x}"))
            return
        self.protocol, self._requested = choice, request.protocols
        self._out += x224.connection_confirm(choice)
        self._events.append(StartTls())
        self.stage = Stage.TLS

    def _receive_credssp(self) -> None:
        assert self._credssp is not None
        data = bytes(self._buffer)
        self._buffer.clear()
        try:
            self._out += self._credssp.receive(data)
        except LogonError as error:
            self._out += error.reply
            self.stage = Stage.CLOSED
            raise
        if not self._credssp.complete:
            return
        self.user = self._credssp.user
        self._buffer += self._credssp.unread
        self._credssp = None
        if self.protocol is Protocol.HYBRID_EX:
            self._out += USER_AUTH_SUCCESS
        self.stage = Stage.CONNECT

    def _domain_pdu(self, pdu: mcs.DomainPdu) -> None:
        match pdu:
            case mcs.Disconnect():
                self._close("the client disconnected")
            case mcs.ErectDomain():
                self._require(self.stage is Stage.CHANNELS, "Erect Domain Request")
            case mcs.AttachUser():
                self._require(self.stage is Stage.CHANNELS and not self._attached, "Attach User Request")
                self._attached = True
                self._out += x224.data(mcs.attach_user_confirm(self._user_id))
            case mcs.ChannelJoin(channel):
                self._require(self._attached and (channel == self._user_id or self._is_channel(channel)), f"Channel Join Request for {channel}")
                self._out += x224.data(mcs.channel_join_confirm(self._user_id, channel))
            case mcs.SendData(channel, data):
                self._require(self._attached and self._is_channel(channel), f"data on channel {channel}")
                if channel == mcs.IO_CHANNEL:
                    self._io_data(data)
                else:
                    self._channel_data(channel, data)

    def _io_data(self, data: bytes) -> None:
        if self.stage is Stage.CHANNELS:
            self._log_on(data)
            return
        for pdu in share.parse(data):
            if isinstance(pdu, share.ConfirmActive):
                self._confirm_active(pdu)
            elif self.stage is Stage.CAPABILITIES:
                self._require(self._reactivating, f"data PDU {pdu.kind}")
            else:
                self._data_pdu(pdu)

    def _channel_data(self, channel: int, data: bytes) -> None:
        assert self.client is not None
        self._require(self.stage >= Stage.CAPABILITIES, f"data on channel {channel}")
        name = self.client.channels[channel - mcs.FIRST_STATIC_CHANNEL]
        assembler = self._assemblers.get(name)
        if assembler is not None and (message := assembler.receive(data)) is not None:
            self._events.append(ChannelMessage(name, message))

    def _log_on(self, data: bytes) -> None:
        info = parse_client_info(data)
        if self.protocol is Protocol.SSL and self._security.password_fits is not None:
            if not self._security.password_fits(info.user, info.password):
                self._deny(ErrorInfo.SERVER_INSUFFICIENT_PRIVILEGES)
                raise AuthenticationError("wrong user or password")
            self.user = info.user
        if not self._security.has_room():
            self._deny(ErrorInfo.SERVER_DENIED_CONNECTION)
            raise ProtocolError("as many clients as may be are connected")
        self._send(licensing.valid_client())
        self._demand_active()

    def _deny(self, why: ErrorInfo) -> None:
        self.stage = Stage.CAPABILITIES
        self.close(why)

    def _demand_active(self) -> None:
        self._send(share.demand_active(SHARE_ID, self._user_id, self.width, self.height, self.depth))
        self.stage = Stage.CAPABILITIES

    def _confirm_active(self, pdu: share.ConfirmActive) -> None:
        self._require(self.stage is Stage.CAPABILITIES, "Confirm Active")
        if not pdu.capabilities.fastpath_output:
            raise ProtocolError("the client draws no fast-path updates")
        self.capabilities = pdu.capabilities
        self._send_data(share.Data.SYNCHRONIZE, finalization.synchronize(self._user_id))
        self._send_data(share.Data.CONTROL, finalization.cooperate())
        self.stage = Stage.FINALIZATION

    def _data_pdu(self, pdu: share.DataPdu) -> None:
        match pdu.kind:
            case share.Data.CONTROL:
                if finalization.control_action(pdu.body) == finalization.CTRLACTION_REQUEST_CONTROL:
                    self._send_data(share.Data.CONTROL, finalization.granted(self._user_id))
            case share.Data.FONT_LIST:
                self._require(self.stage is Stage.FINALIZATION, "Font List")
                self._send_data(share.Data.FONT_MAP, finalization.font_map())
                self.stage = Stage.ACTIVE
                self._events.append(Activated())
            case share.Data.INPUT:
                self._input(parse_slow_path(pdu.body))
            case share.Data.REFRESH_RECT:
                pdu.body.take(8 * pdu.body.part(4, "Refresh Rect").u8())
                self._events.append(Refresh())
            case share.Data.SUPPRESS_OUTPUT:
                self._events.append(OutputWanted(bool(pdu.body.u8())))
            case share.Data.SHUTDOWN_REQUEST:
                self._send_data(share.Data.SHUTDOWN_DENIED, b"")

    def _fast_path(self, pdu: bytes) -> None:
        self._require(self._reactivating or self.stage >= Stage.FINALIZATION, "fast-path input")
        self._input(parse_fast_path(pdu))

    def _input(self, events: list[InputEvent]) -> None:
        if self._events and isinstance(last := self._events[-1], Inputs):
            last.events.extend(events)
        elif events:
            self._events.append(Inputs(events))

    # --- helpers

    @property
    def _user_id(self) -> int:
        return mcs.FIRST_STATIC_CHANNEL + self._channel_count

    @property
    def _channel_count(self) -> int:
        return 0 if self.client is None else len(self.client.channels)

    def _is_channel(self, channel: int) -> bool:
        return mcs.IO_CHANNEL <= channel < mcs.FIRST_STATIC_CHANNEL + self._channel_count

    def _send(self, data: bytes) -> None:
        self._out += x224.data(mcs.send_data(self._user_id, mcs.IO_CHANNEL, data))

    def _send_data(self, kind: share.Data, body: bytes) -> None:
        self._send(share.data(kind, SHARE_ID, self._user_id, body))

    def _close(self, reason: str) -> None:
        self.stage = Stage.CLOSED
        self._events.append(Closed(reason))

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise ProtocolError(f"{what} in stage {self.stage.name}")
