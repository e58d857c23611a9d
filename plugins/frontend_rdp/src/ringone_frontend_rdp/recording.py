"""The machine's screen as a video file (MP4 with H.264), for as long as the frontend runs, whether anybody is connected or not.

The video has one size. Pictures of the guest's that are smaller stand in its middle, larger ones are made smaller; black is around them. The file is written in
fragments of a second: it can be played up to the last one even where its end was never written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from ringone.api.errors import DriverError

from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.graphics import h264

WIDTH, HEIGHT = 1024, 768
FRAMES_PER_S = 25
STILL_S = 1
"""So long after the last one, the same picture is recorded again: what is in the file is never much older."""
KEY_FRAME_EVERY = 250
MILLISECONDS = Fraction(1, 1000)
CONTAINER = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000", "flush_packets": "1"}
CODEC_OPTIONS = {"preset": "superfast", "tune": "zerolatency", "crf": "23"}

_log = logging.getLogger("ringone.rdp")


class Screen(Protocol):
    """Sets what is added whenever there is another picture."""

    picture: Picture | None

    def add(self, viewer: asyncio.Event) -> None: ...
    def remove(self, viewer: asyncio.Event) -> None: ...


class Recording:
    """One call at a time; what goes wrong with the file is a `DriverError`. A file that is there already is not overwritten."""

    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        self._failures = (OSError, av.FFmpegError)
        self._last: tuple[Picture, int] | None = None
        with self._failing():
            self._bytes = path.open("xb", buffering=0)
        self._file = av.open(self._bytes, "w", format="mp4", options=CONTAINER)
        self._stream = self._file.add_stream(h264.CODEC, rate=FRAMES_PER_S, options=CODEC_OPTIONS)
        self._stream.width, self._stream.height, self._stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        self._stream.codec_context.time_base = MILLISECONDS
        self._stream.codec_context.gop_size = KEY_FRAME_EVERY
        h264.mark_colours(self._stream.codec_context)

    def add(self, picture: Picture, seconds: float) -> None:
        """`seconds` since the recording's beginning."""
        frame = h264.video_frame(on_canvas(picture))
        frame.time_base = MILLISECONDS
        frame.pts = round(seconds * 1000) if self._last is None else max(round(seconds * 1000), self._last[1] + 1)
        self._last = picture, frame.pts
        with self._failing():
            self._file.mux(self._stream.encode(frame))

    def close(self, seconds: float) -> None:
        """The last picture is shown until then."""
        try:
            with self._failing():
                if self._last is not None:
                    self.add(self._last[0], seconds)
                    self._file.mux(self._stream.encode(None))
                self._file.close()
        finally:
            self._bytes.close()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            raise DriverError(f"record={self._path}: {error.strerror or error}") from error


@contextlib.asynccontextmanager
async def recorded(screen: Screen, recording: Recording) -> AsyncIterator[None]:
    """What `screen` shows goes into a file meanwhile. Where that fails later on, the recording ends and nothing else."""
    changed = asyncio.Event()
    screen.add(changed)
    task = asyncio.create_task(_record(recording, screen, changed))
    try:
        yield
    finally:
        screen.remove(changed)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _record(recording: Recording, screen: Screen, changed: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with ThreadPoolExecutor(1, "RDP recording") as thread:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), STILL_S)
                changed.clear()
                if screen.picture is not None:
                    await loop.run_in_executor(thread, recording.add, screen.picture, loop.time() - begun)
                await asyncio.sleep(1 / FRAMES_PER_S)
        except DriverError as error:
            _log.error("the recording ends: %s", error)
        finally:
            thread.submit(_close, recording, loop.time() - begun)


def _close(recording: Recording, seconds: float) -> None:
    try:
        recording.close(seconds)
    except DriverError as error:
        _log.error("the end of the recording is lost: %s", error)


def on_canvas(picture: Picture) -> Picture:
    height, width, _ = picture.shape
    if width > WIDTH or height > HEIGHT:
        scale = max(width / WIDTH, height / HEIGHT)
        picture = h264.scaled(picture, max(1, int(width / scale)), max(1, int(height / scale)))
        height, width, _ = picture.shape
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    canvas[top : top + height, left : left + width] = picture
    return canvas
