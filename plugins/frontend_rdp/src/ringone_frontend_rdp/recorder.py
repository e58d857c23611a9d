"""The recorder: a thread that looks at the machine's screen and writes what it sees into a video file, whether anybody is connected or not."""

from __future__ import annotations

import logging
import threading
import time

from ringone.api.config import Recording
from ringone.api.console import Frame
from ringone.api.errors import DriverError, RingOneError
from ringone.api.frontends import VmSession

from ringone_frontend_rdp import picture, recording
from ringone_frontend_rdp.recording import VideoFile

STILL_S = 1
"""So long after the last one, the same picture is recorded again: what is in the file is never much older."""
GUEST_SHARE = 0.1
"""How much of the machine's time may be spent on pictures: dear ones are taken less often."""

_log = logging.getLogger("ringone.recorder")


class Recorder:
    """`ringone.api.frontends.RecorderFrontend`"""

    def __init__(self, wanted: Recording) -> None:
        recording.check(wanted)
        self._wanted = wanted
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error = ""

    def start(self, session: VmSession) -> None:
        video = VideoFile(self._wanted)
        self._session = session
        self._generation: int | None = None
        self._cost_s = 0.0
        self._thread = threading.Thread(target=self._run, args=(video,), name=f"{session.config.name} recorder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The file is whole afterwards."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def error(self) -> str:
        return self._error

    # --- the thread

    def _run(self, video: VideoFile) -> None:
        begun = time.monotonic()
        try:
            self._record(video, begun)
        except DriverError as error:
            self._fail(error)
        except Exception as error:
            _log.exception("the recording ends")
            self._error = f"{type(error).__name__}: {error}"
        try:
            video.close(time.monotonic() - begun)
        except DriverError as error:
            self._fail(error)

    def _record(self, video: VideoFile, begun: float) -> None:
        """Until it is stopped, with one more look then, or the machine is gone."""
        recorded = -float(STILL_S)
        shown = picture.NOTHING
        stopped = False
        while True:
            now = time.monotonic() - begun
            try:
                frame = self._session.request(self._frame).result()
            except RingOneError as error:
                _log.info("the machine shows nothing any more: %s", error)
                return
            changed = frame.generation != self._generation
            if changed:
                self._generation, shown = frame.generation, picture.pixels_of(frame)
            if changed or now - recorded >= STILL_S:
                video.add(shown, now)
                recorded = now
            if stopped:
                return
            spent = time.monotonic() - begun - now
            stopped = self._stop.wait(max(1 / self._wanted.fps - spent, self._cost_s / GUEST_SHARE))

    def _frame(self) -> Frame:
        started = time.perf_counter()
        frame = self._session.frame()
        self._cost_s = time.perf_counter() - started
        return frame

    def _fail(self, error: DriverError) -> None:
        if not self._error:
            self._error = str(error)
            _log.error("the recording ends: %s", error)
