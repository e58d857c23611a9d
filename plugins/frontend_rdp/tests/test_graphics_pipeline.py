"""What is agreed with a client about graphics, how frames are paced, and when pictures are H.264."""

from __future__ import annotations

import contextlib
import struct

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.errors import ConfigError
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.config import RdpOptions, Video
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.graphics import h264
from ringone_frontend_rdp.graphics.output import BUSY_S, SETTLED_S, GraphicsOutput
from ringone_frontend_rdp.graphics.pdus import CapsSet
from ringone_frontend_rdp.graphics.pipeline import MOST_FRAMES_UNDER_WAY, Pipeline

from plugins.frontend_rdp.tests import graphics_client as client
from plugins.frontend_rdp.tests.graphics_client import V8, V8_1, V10, Screen, acknowledge, caps_advertise

needs_h264 = pytest.mark.skipif(not h264.installed(), reason="needs the extra h264")
CAPS_CONFIRM, RESET_GRAPHICS, CREATE_SURFACE, DELETE_SURFACE, MAP_SURFACE = 0x13, 0x0E, 0x09, 0x0A, 0x0F
AVC420 = 0x0B


@attrs.define
class Ends:
    screen: Screen = attrs.field(factory=Screen)
    changes: int = 0
    pipeline: Pipeline = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pipeline = Pipeline(self.screen.receive, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def ready(self) -> Ends:
        self.pipeline.received(caps_advertise((V8, 0)))
        self.pipeline.resize(64, 64)
        return self

    def send(self, count: int) -> None:
        for _ in range(count):
            self.pipeline.send_frame([], 0)


@pytest.mark.parametrize(
    ("sets", "chosen", "avc420"),
    [
        ([(V8, 0)], V8, False),
        ([(V8, 0), (V8_1, 0)], V8_1, False),
        ([(V8, 0), (V8_1, 0x10)], V8_1, True),
        ([(V8_1, 0x10), (V10, 0x20)], V10, False),
        ([(V10, 0), (V8, 0)], V10, True),
        ([(V8, 0), (0x000B0000, 0)], V8, False),
    ],
    ids=["8", "8.1", "8.1-avc", "10-no-avc", "10-avc", "one-unknown"],
)
def test_newest_version_that_both_know_is_chosen(sets: list[tuple[int, int]], chosen: int, avc420: bool) -> None:
    ends = Ends()
    ends.pipeline.received(caps_advertise(*sets))
    assert ends.pipeline.caps == CapsSet(chosen, dict(sets)[chosen])
    assert ends.pipeline.caps.avc420 is avc420
    assert ends.screen.drawn == [CAPS_CONFIRM]


def test_surface_is_made_anew_at_another_size() -> None:
    ends = Ends().ready()
    ends.screen.drawn.clear()
    ends.pipeline.resize(64, 64)
    assert ends.screen.drawn == []
    ends.pipeline.resize(70, 50)
    assert ends.screen.drawn == [DELETE_SURFACE, RESET_GRAPHICS, CREATE_SURFACE, MAP_SURFACE]


def test_frames_wait_for_acknowledgements() -> None:
    ends = Ends().ready()
    ends.send(MOST_FRAMES_UNDER_WAY)
    assert not ends.pipeline.may_send
    ends.pipeline.received(acknowledge(ends.screen.frames[0]))
    assert ends.pipeline.may_send


def test_client_that_suspends_acknowledgements_is_not_waited_for_until_it_resumes() -> None:
    ends = Ends().ready()
    ends.send(1)
    ends.pipeline.received(acknowledge(1, 0xFFFFFFFF))
    ends.send(10)
    assert ends.pipeline.may_send
    ends.pipeline.received(acknowledge(11))
    ends.send(MOST_FRAMES_UNDER_WAY)
    assert not ends.pipeline.may_send


def test_capabilities_again_begin_everything_anew() -> None:
    ends = Ends().ready()
    ends.send(MOST_FRAMES_UNDER_WAY)
    epoch = ends.pipeline.epoch
    ends.screen.drawn.clear()
    ends.pipeline.received(caps_advertise((V8, 0)))
    assert ends.pipeline.may_send and ends.pipeline.epoch > epoch
    ends.pipeline.resize(64, 64)
    assert ends.screen.drawn == [CAPS_CONFIRM, RESET_GRAPHICS, CREATE_SURFACE, MAP_SURFACE]


def test_closed_channel_is_a_refusal() -> None:
    ends = Ends().ready()
    ends.pipeline.closed()
    assert ends.pipeline.refused and not ends.pipeline.ready
    assert ends.changes == 2


def test_cache_of_the_client_is_not_used() -> None:
    ends = Ends().ready()
    ends.pipeline.received(client.pdu(0x10, bytes(30)) + client.pdu(0x16, bytes(12)))
    assert ends.screen.drawn[-1] == 0x11


@pytest.mark.parametrize(
    "message",
    [
        b"\x0d",
        client.pdu(0x0D),
        struct.pack("<HHI", 0x0D, 0, 7),
        struct.pack("<HHI", 0x0D, 0, 9),
        client.pdu(0x01),
        client.pdu(0x12, b"\xff\xff"),
        caps_advertise(),
        caps_advertise((1, 0)),
        client.pdu(0x12, struct.pack("<HII", 1, V8, 0xFFFFFFFF)),
    ],
    ids=["cut", "empty", "too-short", "too-long", "not-a-client's", "many-sets", "no-set", "unknown-version", "long-set"],
)
def test_what_does_not_fit_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        Ends().pipeline.received(message)


@given(st.lists(st.one_of(st.binary(max_size=40), st.builds(client.pdu, st.sampled_from([0x0D, 0x10, 0x12, 0x16]), st.binary(max_size=40)))))
def test_nothing_but_protocol_errors_comes_of_anything(messages: list[bytes]) -> None:
    ends = Ends()
    with contextlib.suppress(ProtocolError):
        for message in messages:
            ends.pipeline.received(message)


# --- what pictures become


@attrs.define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@attrs.define
class Console:
    video: Video
    flags: int = 0
    clock: Clock = attrs.field(factory=Clock)
    output: GraphicsOutput = attrs.field(init=False)
    last: bytes = b""

    def __attrs_post_init__(self) -> None:
        self.output = GraphicsOutput(lambda message: None, lambda: None, self.video, self.clock)
        self.output.pipeline.received(caps_advertise((V10, self.flags)))
        self.show(0)

    def show(self, number: int) -> list[int]:
        """Codecs of a picture all of which is another one for another number."""
        picture = np.random.default_rng(number).integers(0, 255, (128, 129, 3), dtype=np.uint8)
        return self.draw(picture)

    def draw(self, picture: Picture) -> list[int]:
        self.output.fit(picture)
        return [struct.unpack_from("<H", command, 10)[0] for command in self.output.commands(picture) if command[0] == 1]


@needs_h264
def test_moving_picture_is_a_video_and_exact_once_it_rests() -> None:
    console = Console(Video.AVC420)
    assert console.show(1) == [AVC420]
    assert console.show(1) == []
    console.clock.now += SETTLED_S
    assert console.output.lossy
    assert AVC420 not in (codecs := console.show(1)) and len(codecs) == 6
    assert not console.output.lossy
    assert console.show(1) == []


@needs_h264
def test_video_begins_when_most_of_the_picture_has_moved_for_a_while() -> None:
    console = Console(Video.AUTO)
    assert AVC420 not in console.show(1)
    console.clock.now += 1.1 * BUSY_S
    assert console.show(2) == [AVC420]


@needs_h264
def test_changes_with_pauses_between_are_no_video() -> None:
    console = Console(Video.AUTO)
    for number in range(1, 5):
        console.clock.now += 2 * SETTLED_S
        assert AVC420 not in console.show(number)


@pytest.mark.parametrize(("video", "flags"), [(Video.LOSSLESS, 0), (Video.AVC420, 0x20)], ids=["not-wanted", "not-known"])
def test_there_is_no_video_where_one_side_does_not_want_it(video: Video, flags: int) -> None:
    console = Console(video, flags)
    for number in range(1, 4):
        console.clock.now += BUSY_S
        assert AVC420 not in console.show(number)


@needs_h264
def test_first_picture_of_a_size_is_exact() -> None:
    console = Console(Video.AVC420)
    assert AVC420 not in console.draw(np.ones((20, 21, 3), np.uint8))


def test_picture_is_drawn_anew_when_the_client_lost_it() -> None:
    console = Console(Video.LOSSLESS)
    assert console.show(0) == []
    console.output.draw_anew()
    assert len(console.show(0)) == 6


@needs_h264
@pytest.mark.parametrize("size", [(16, 16), (400, 720), (479, 641), (1, 1)])
def test_video_of_any_size_is_the_picture_with_its_edges_repeated(size: tuple[int, int]) -> None:
    import av

    height, width = size
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x // 4, y // 4, (x + y) // 8], axis=-1).astype(np.uint8)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [*decoder.decode(av.Packet(h264.Encoder(width, height).encode(picture))), *decoder.decode(None)]
    assert [(frame.height % 16, frame.width % 16, frame.color_range, frame.colorspace) for frame in frames] == [(0, 0, h264.FULL_RANGE, h264.BT709)]
    shown = frames[0].to_ndarray(format="rgb24")[:height, :width]
    assert np.abs(shown.astype(int) - picture).mean() < 3


@needs_h264
def test_library_without_the_codec_is_found_out_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "CODEC", "libnothing")
    console = Console(Video.AVC420)
    for number in range(1, 4):
        console.clock.now += BUSY_S
        assert AVC420 not in console.show(number)
    with pytest.raises(ConfigError, match="libnothing"):
        RdpFrontend(RdpOptions(video=Video.AVC420))


def test_video_without_its_library_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "installed", lambda: False)
    with pytest.raises(ConfigError, match=r"video=avc420.*ringone-frontend-rdp\[h264\]"):
        RdpFrontend(RdpOptions(video=Video.AVC420))
