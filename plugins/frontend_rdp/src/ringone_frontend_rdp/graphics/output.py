"""Which way a picture goes to a client that has the graphics pipeline: without loss, or as H.264 while much of it moves, and exact again once it rests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np

from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.codecs.dirty import Rect
from ringone_frontend_rdp.config import Video
from ringone_frontend_rdp.graphics import h264, lossless, pdus
from ringone_frontend_rdp.graphics.dynamic import DynamicChannels
from ringone_frontend_rdp.graphics.h264 import H264Error
from ringone_frontend_rdp.graphics.lossless import Plan
from ringone_frontend_rdp.graphics.pdus import Codec
from ringone_frontend_rdp.graphics.pipeline import CHANNEL, SURFACE, Pipeline

NOTHING: Picture = np.zeros((0, 0, 3), np.uint8)
SETTLED_S = 0.5
"""Without a change for so long, a picture rests."""
BUSY_SHARE, BUSY_S = 0.4, 0.3
"""More than this share of the picture changes, for no less than this time: then it is worth a video."""
MS_PER_DAY = 24 * 60 * 60 * 1000

_log = logging.getLogger("ringone.rdp")


class GraphicsOutput:
    """`send` takes messages of the static channel of dynamic channels; `changed` is called when there may be something to draw."""

    def __init__(self, send: Callable[[bytes], None], changed: Callable[[], None], video: Video, now: Callable[[], float] = time.monotonic) -> None:
        self._channels = DynamicChannels(send)
        self.pipeline = Pipeline(lambda message: self._channels.send(number, message), changed)
        number = self._channels.create(CHANNEL, self.pipeline)
        self._video = video if h264.installed() else Video.LOSSLESS
        self._now = now
        self._epoch = 0
        self._forgotten = False
        self._shown = NOTHING
        self._encoder: h264.Encoder | None = None
        self._busy_since: float | None = None
        self._changed_at = 0.0
        self.lossy = False
        """What the client shows is not exact yet."""

    def start(self) -> None:
        self._channels.start()

    def receive(self, message: bytes) -> None:
        self._channels.receive(message)

    def draw_anew(self) -> None:
        """Counts from the next `fit` on: a picture may be on its way through `commands` in another thread."""
        self._forgotten = True

    def commands(self, picture: Picture) -> list[bytes]:
        """What is to be sent in a frame; nothing where the client shows `picture`. In any thread, one call at a time, behind `fit`."""
        if picture is self._shown and not self.lossy:
            return []
        plan = lossless.plan(self._shown, picture)
        if plan.tiles or plan.scroll is not None:
            self._note_change(plan)
            if self._is_for_video(picture):
                try:
                    video = self._avc420(picture)
                except H264Error as error:
                    _log.warning("no H.264 from now on: %s", error)
                    self._video = Video.LOSSLESS
                else:
                    self._shown, self.lossy = picture, True
                    return [video]
        elif self._now() - self._changed_at < SETTLED_S:
            return []
        self._shown = picture
        if self.lossy:
            self.lossy = False
            plan = lossless.plan(NOTHING, picture)
        return lossless.commands(SURFACE, plan)

    def fit(self, picture: Picture) -> None:
        """Make the client's surface as large as `picture`."""
        if self._forgotten or self._epoch != self.pipeline.epoch or self._shown.shape != picture.shape:
            self._forgotten, self._epoch = False, self.pipeline.epoch
            self._shown, self._encoder, self.lossy = NOTHING, None, False
        height, width, _ = picture.shape
        self.pipeline.resize(width, height)

    def send(self, commands: Sequence[bytes]) -> None:
        if commands:
            self.pipeline.send_frame(commands, time.time_ns() // 1_000_000 % MS_PER_DAY)

    def _note_change(self, plan: Plan) -> None:
        now = self._now()
        if plan.share <= BUSY_SHARE or now - self._changed_at > SETTLED_S:
            self._busy_since = None
        if plan.share > BUSY_SHARE and self._busy_since is None:
            self._busy_since = now
        self._changed_at = now

    def _is_for_video(self, picture: Picture) -> bool:
        caps = self.pipeline.caps
        if self._video is Video.LOSSLESS or caps is None or not caps.avc420 or self._shown.shape != picture.shape:
            return False
        return self._video is Video.AVC420 or (self._busy_since is not None and self._changed_at - self._busy_since >= BUSY_S)

    def _avc420(self, picture: Picture) -> bytes:
        height, width, _ = picture.shape
        if self._encoder is None:
            self._encoder = h264.Encoder(width, height)
        whole = Rect(0, 0, width, height)
        return pdus.wire_to_surface(SURFACE, Codec.AVC420, whole, pdus.avc420(whole, h264.QUANTIZER, self._encoder.encode(picture)))
