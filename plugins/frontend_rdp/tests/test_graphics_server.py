"""The server with clients that have the graphics pipeline, that do not want it after all, and that say nothing of it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import attrs
import numpy as np
import pytest
from ringone_frontend_rdp.config import Video

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.graphics_client import V8, Screen, acknowledge, caps_advertise
from plugins.frontend_rdp.tests.test_server import Connect, Machine, Peer, Serve, connect, guest, serve

__all__ = ["connect", "guest", "serve"]

CHANNELS = ("rdpdr", "drdynvc", "cliprdr")
DRDYNVC = 1005
KNOWS_GRAPHICS = 0x0107
CAPABILITIES = bytes.fromhex("50000100")
ACCEPT, REFUSE = bytes.fromhex("100100000000"), bytes.fromhex("1001010000c0")
OPEN = (CAPABILITIES, ACCEPT, b"\x30\x01" + caps_advertise((V8, 0)))


@attrs.define
class GraphicsClient:
    peer: Peer
    screen: Screen = attrs.field(factory=Screen)
    _message: bytearray = attrs.field(factory=bytearray)
    _total: int = 0

    def say(self, *pdus: bytes) -> None:
        for pdu in pdus:
            self.peer.socket.sendall(client.send_data(struct.pack("<II", len(pdu), 3) + pdu, DRDYNVC))

    def read_until(self, wanted: Callable[[], bool]) -> None:
        """Frames are acknowledged as they come."""
        while not wanted():
            body = self.peer.read_until(lambda pdu: pdu[0] == 3 and pdu[4] >> 2 == 26 and pdu[7:9] == struct.pack(">H", DRDYNVC))
            shown = len(self.screen.frames)
            self._hear(body[19:] if body[9] & 0x80 else body[18:])
            for frame in self.screen.frames[shown:]:
                self.say(b"\x30\x01" + acknowledge(frame))

    def _hear(self, pdu: bytes) -> None:
        match pdu[0] >> 4:
            case 2:
                (self._total,) = struct.unpack_from("<I", pdu, 2)
                self._message[:] = pdu[6:]
            case 3 if self._total:
                self._message += pdu[2:]
            case 3:
                self.screen.receive(pdu[2:])
        if self._total and len(self._message) == self._total:
            self._total = 0
            self.screen.receive(bytes(self._message))


def log_on(peer: Peer) -> GraphicsClient:
    peer.start_tls()
    names = struct.pack("<I", len(CHANNELS)) + b"".join(name.encode().ljust(8, b"\0") + bytes(4) for name in CHANNELS)
    blocks = client.block(0xC001, client.core_data(early_flags=KNOWS_GRAPHICS)) + client.block(0xC002, bytes(8)) + client.block(0xC003, names)
    for pdu in client.conversation():
        peer.socket.sendall(client.connect_initial(blocks) if pdu == client.connect_initial() else pdu)
        if pdu is client.FONT_LIST:
            break
    return GraphicsClient(peer)


def shows(seen: GraphicsClient, guest: Machine) -> Callable[[], bool]:
    def is_shown() -> bool:
        width, height = guest.size
        return seen.screen.picture.shape == (height, width, 3) and bool((seen.screen.picture == guest.generation % 256).all()) and bool(seen.screen.frames)

    return is_shown


def test_pictures_come_through_the_pipeline_and_follow_the_guest(serve: Serve, connect: Connect, guest: Machine) -> None:
    seen = log_on(connect(serve()))
    seen.say(*OPEN)
    seen.read_until(shows(seen, guest))
    for number in range(2, 9):
        guest.generation = number
        seen.read_until(shows(seen, guest))
    guest.size, guest.generation = (800, 601), 9
    seen.read_until(shows(seen, guest))


def test_client_that_asks_for_everything_again_gets_it(serve: Serve, connect: Connect, guest: Machine) -> None:
    seen = log_on(connect(serve()))
    seen.say(*OPEN)
    seen.read_until(shows(seen, guest))
    for again in (client.REFRESH_RECT, client.send_data(struct.pack("<II", len(OPEN[2]), 3) + OPEN[2], DRDYNVC)):
        seen.screen.picture = np.zeros_like(seen.screen.picture)
        seen.peer.socket.sendall(again)
        seen.read_until(shows(seen, guest))


def test_client_that_acknowledges_nothing_gets_no_more_than_a_few_frames(serve: Serve, connect: Connect, guest: Machine) -> None:
    port = serve()
    seen, other = log_on(connect(port)), log_on(connect(port))
    for each in (seen, other):
        each.say(*OPEN)
    other.read_until(shows(other, guest))
    for number in range(2, 12):
        guest.generation = number
        other.read_until(shows(other, guest))
    seen.read_until(lambda: len(seen.screen.frames) == 2)
    seen.read_until(shows(seen, guest))
    assert len(seen.screen.frames) <= 4


def test_client_that_refuses_the_pipeline_gets_bitmaps(serve: Serve, connect: Connect) -> None:
    seen = log_on(connect(serve()))
    seen.say(CAPABILITIES, REFUSE)
    seen.peer.read_picture()


def test_client_that_says_nothing_of_the_pipeline_gets_bitmaps_until_it_does(
    serve: Serve, connect: Connect, guest: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.client.GRAPHICS_S", 0.1)
    seen = log_on(connect(serve()))
    seen.peer.read_picture()
    seen.say(*OPEN)
    seen.read_until(shows(seen, guest))


def test_pipeline_is_not_offered_where_bitmaps_are_wanted(serve: Serve, connect: Connect) -> None:
    log_on(connect(serve(video=Video.BITMAPS))).peer.read_picture()


@pytest.mark.parametrize("sent", [b"\xff", ACCEPT, b"\x30\x01" + bytes(9)], ids=["no-command", "too-early", "not-open"])
def test_nonsense_in_the_channel_ends_the_connection(serve: Serve, connect: Connect, sent: bytes) -> None:
    seen = log_on(connect(serve()))
    seen.say(sent)
    assert seen.peer.is_closed()
