"""H.264 by PyAV, which the extra ``h264`` brings: needed by nobody who does not ask for it, and imported only then."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np
from ringone.api.errors import ConfigError

from ringone_frontend_rdp.codecs import Picture

if TYPE_CHECKING:
    import av

CODEC: Final = "libx264"
QUANTIZER = 20
MACROBLOCK = 16
BT709 = 1
FULL_RANGE = 2
ENDLESS = 1 << 30
FRAME_NUMBERS = Fraction(1, 60)


class H264Error(Exception):
    """PyAV is of no use here after all."""


def installed() -> bool:
    """Whether it can be used is found out where it is."""
    return importlib.util.find_spec("av") is not None


def require(option: str) -> None:
    """`option` is what needs it."""
    if not installed():
        raise ConfigError(f"{option}: PyAV is not installed; accepted with it: pip install 'ringone-frontend-rdp[h264]'")
    try:
        Encoder(MACROBLOCK, MACROBLOCK)
    except H264Error as error:
        raise ConfigError(f"{option}: PyAV has no {CODEC}: {error}; accepted with the one of: pip install 'ringone-frontend-rdp[h264]'") from error


class Encoder:
    """Pictures of one size, each coded by what it differs from the one before; colours are BT.709 in full range, as the graphics pipeline has them."""

    def __init__(self, width: int, height: int) -> None:
        with _usable():
            self._open(width, height)

    def encode(self, picture: Picture) -> bytes:
        """An access unit; what is beyond the picture's edges repeats them, and is to be cut off."""
        with _usable():
            frame = video_frame(np.pad(picture, self._padding, "edge"))
            frame.pts = self._count
            self._count += 1
            return b"".join(bytes(packet) for packet in self._context.encode(frame))

    def _open(self, width: int, height: int) -> None:
        import av

        self._padding = ((0, -height % MACROBLOCK), (0, -width % MACROBLOCK), (0, 0))
        context = av.CodecContext.create(CODEC, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = width + -width % MACROBLOCK, height + -height % MACROBLOCK
        context.pix_fmt = "yuv420p"
        context.time_base = FRAME_NUMBERS
        context.gop_size = ENDLESS
        context.thread_count = 1
        mark_colours(context)
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": str(QUANTIZER)}
        context.open()
        self._context = context
        self._count = 0


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    """Wheels are whole; the PyAV of a distribution may be without x264, or not fit its FFmpeg."""
    try:
        import av
    except ImportError as error:
        raise H264Error(str(error)) from error
    try:
        yield
    except (av.FFmpegError, OSError, ValueError) as error:
        raise H264Error(str(error)) from error


def mark_colours(context: av.VideoCodecContext) -> None:
    """As `video_frame` makes them; players show others where they are not told."""
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = BT709, BT709, BT709, FULL_RANGE


def scaled(picture: Picture, width: int, height: int) -> Picture:
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(width=width, height=height)
    return np.asarray(frame.to_ndarray(), np.uint8)


def video_frame(picture: Picture) -> av.VideoFrame:
    import av
    from av.video.reformatter import ColorRange, Colorspace

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG)
