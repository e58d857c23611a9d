"""A video file, H.264 in MP4 or VP9 in WebM, as its name says.

The video has one size. Pictures that are smaller stand in its middle, larger ones are made smaller; black is around them. The file is written in pieces of a
second: it can be played up to the last one even where its end was never written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import attrs
import numpy as np
from ringone.api.config import Recording
from ringone.api.errors import ConfigError, DriverError

from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.graphics import h264

if TYPE_CHECKING:
    import av

SIDES = range(16, 4097, 2)
FRAMES_PER_S = range(1, 61)
KEY_FRAME_EVERY = 250
MILLISECONDS = Fraction(1, 1000)


@attrs.frozen
class Kind:
    """Container and codec by FFmpeg's names, with their options."""

    container: str
    codec: str
    container_options: Mapping[str, str]
    codec_options: Mapping[str, str]


KINDS: Mapping[str, Kind] = {
    ".mp4": Kind(
        "mp4",
        h264.CODEC,
        {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000", "flush_packets": "1"},
        {"preset": "superfast", "tune": "zerolatency", "crf": "23"},
    ),
    ".webm": Kind(
        "webm",
        "libvpx-vp9",
        {"cluster_time_limit": "1000", "flush_packets": "1"},
        {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "crf": "24", "b": "0"},
    ),
}
"""By the file's suffix."""


def check(wanted: Recording) -> Kind:
    """Raises `ConfigError` for a video that cannot be made here."""
    h264.require("recording")
    if wanted.file is None or wanted.file.suffix.lower() not in KINDS:
        raise ConfigError(f"recording into {wanted.file}; accepted: files whose names end with {', '.join(KINDS)}")
    if wanted.width not in SIDES or wanted.height not in SIDES:
        raise ConfigError(f"a recording of {wanted.width}x{wanted.height}; accepted: even numbers from {SIDES[0]} to {SIDES[-1]}")
    if wanted.fps not in FRAMES_PER_S:
        raise ConfigError(f"a recording of {wanted.fps} pictures a second; accepted: {FRAMES_PER_S[0]} to {FRAMES_PER_S[-1]}")
    kind = KINDS[wanted.file.suffix.lower()]
    _require_codec(kind.codec)
    return kind


def _require_codec(name: str) -> None:
    import av

    try:
        av.Codec(name, "w")
    except ValueError as error:
        raise ConfigError(f"recording: PyAV has no {name}; accepted with the one of: pip install 'ringone-frontend-rdp[h264]'") from error


class VideoFile:
    """One call at a time; what goes wrong with the file is a `DriverError`. A file that is there already is not overwritten, and one without pictures is
    taken away."""

    def __init__(self, wanted: Recording) -> None:
        kind = check(wanted)
        import av

        assert wanted.file is not None
        self._path = wanted.file
        self._size = wanted.width, wanted.height
        self._failures = (OSError, av.FFmpegError)
        self._last: tuple[Picture, int] | None = None
        with self._failing():
            self._bytes = self._path.open("xb", buffering=0)
        try:
            self._file = av.open(self._bytes, "w", format=kind.container, options=dict(kind.container_options))
            self._stream = self._new_stream(kind, wanted.fps)
        except BaseException:
            self._discard()
            raise

    def add(self, picture: Picture, seconds: float) -> None:
        """`seconds` since the video's beginning."""
        frame = h264.video_frame(on_canvas(picture, *self._size))
        frame.time_base = MILLISECONDS
        frame.pts = round(seconds * 1000) if self._last is None else max(round(seconds * 1000), self._last[1] + 1)
        self._last = picture, frame.pts
        with self._failing():
            self._file.mux(self._stream.encode(frame))

    def close(self, seconds: float) -> None:
        """The last picture is shown until then."""
        if self._last is None:
            self._discard()
            return
        try:
            with self._failing():
                self.add(self._last[0], seconds)
                self._file.mux(self._stream.encode(None))
                self._file.close()
        finally:
            self._bytes.close()

    def _new_stream(self, kind: Kind, fps: int) -> av.VideoStream:
        import av

        stream = self._file.add_stream(kind.codec, rate=fps, options=dict(kind.codec_options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MILLISECONDS
        stream.codec_context.gop_size = KEY_FRAME_EVERY
        h264.mark_colours(stream.codec_context)
        return stream

    def _discard(self) -> None:
        self._bytes.close()
        self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            raise DriverError(f"recording into {self._path}: {error.strerror or error}") from error


def on_canvas(picture: Picture, width: int, height: int) -> Picture:
    rows, columns, _ = picture.shape
    if columns > width or rows > height:
        scale = max(columns / width, rows / height)
        picture = h264.scaled(picture, max(1, int(columns / scale)), max(1, int(rows / scale)))
        rows, columns, _ = picture.shape
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + rows, left : left + columns] = picture
    return canvas
