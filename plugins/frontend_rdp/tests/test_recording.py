"""What the machine shows is in the video, at its time; whatever ends it, the file can be played, or there is none."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
import numpy as np
import pytest
from ringone.api.config import Recording
from ringone.api.errors import ConfigError, DriverError
from ringone.api.frontends import VmSession
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.graphics import h264
from ringone_frontend_rdp.plugin import ringone_frontends
from ringone_frontend_rdp.recorder import Recorder
from ringone_frontend_rdp.recording import VideoFile, on_canvas

from plugins.frontend_rdp.tests.desk import Console

av = pytest.importorskip("av")

T = TypeVar("T")

LIMIT_S = 60
WIDTH, HEIGHT = 1024, 768
KINDS = pytest.mark.parametrize("name", ["video.mp4", "video.webm"], ids=["mp4", "webm"])


def flat(height: int, width: int, colour: tuple[int, int, int]) -> Picture:
    return np.full((height, width, 3), colour, np.uint8)


def video(path: Path) -> list[tuple[float, Picture]]:
    with av.open(str(path)) as file:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


def middle(picture: Picture) -> list[int]:
    return cast(list[int], (picture[picture.shape[0] // 2, picture.shape[1] // 2] > 127).astype(int).tolist())


# --- The file ----------------------------------------------------------------------------------------------------------------------------------------------


@KINDS
def test_pictures_of_all_sizes_are_shown_at_their_time(tmp_path: Path, name: str) -> None:
    recording = VideoFile(Recording(file=tmp_path / name))
    recording.add(flat(400, 720, (255, 0, 0)), 0)
    recording.add(flat(768, 1024, (0, 255, 0)), 1.25)
    recording.add(flat(1201, 1601, (0, 0, 255)), 2)
    recording.close(9)
    frames = video(tmp_path / name)
    assert [seconds for seconds, _ in frames] == [0, 1.25, 2, 9]
    assert [middle(picture) for _, picture in frames] == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert all(picture.shape == (HEIGHT, WIDTH, 3) for _, picture in frames)


@KINDS
def test_colours_are_those_of_the_screen(tmp_path: Path, name: str) -> None:
    picture = flat(480, 640, (0, 0, 0))
    for number, colour in enumerate(((255, 255, 255), (170, 0, 0), (0, 170, 0), (0, 0, 170), (170, 85, 0), (16, 16, 16))):
        picture[:, 100 * number : 100 * number + 90] = colour
    recording = VideoFile(Recording(file=tmp_path / name, width=640, height=480))
    recording.add(picture, 0)
    recording.close(1)
    assert np.abs(video(tmp_path / name)[-1][1].astype(int) - picture).mean() < 3


@KINDS
def test_what_was_recorded_can_be_played_though_the_end_is_missing(tmp_path: Path, name: str) -> None:
    recording = VideoFile(Recording(file=tmp_path / name))
    for second in range(20):
        recording.add(flat(768, 1024, (10 * second, 0, 0)), second)
    played = (tmp_path / name).read_bytes()
    recording.close(20)
    (tmp_path / f"cut-{name}").write_bytes(played)
    assert len(video(tmp_path / f"cut-{name}")) > 15


def test_a_video_without_pictures_leaves_no_file(tmp_path: Path) -> None:
    VideoFile(Recording(file=tmp_path / "video.mp4")).close(1)
    assert not any(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_text("precious")
    with pytest.raises(DriverError, match=r"video\.mp4: File exists"):
        VideoFile(Recording(file=tmp_path / "video.mp4"))
    assert (tmp_path / "video.mp4").read_text() == "precious"


@pytest.mark.parametrize(
    ("size", "shown"),
    [((HEIGHT, WIDTH), (HEIGHT, WIDTH)), ((400, 721), (400, 721)), ((2 * HEIGHT, 8), (HEIGHT, 4)), ((1, 9000), (1, WIDTH)), ((1200, 1600), (HEIGHT, WIDTH))],
    ids=["same", "smaller", "higher", "wider", "larger"],
)
def test_pictures_keep_their_shape(size: tuple[int, int], shown: tuple[int, int]) -> None:
    rows, columns = np.nonzero(on_canvas(flat(*size, (255, 255, 255)), WIDTH, HEIGHT)[:, :, 0])
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == shown


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file": Path("video.avi")}, r"video\.avi; accepted: files whose names end with \.mp4, \.webm"),
        ({"file": None}, r"accepted: files whose names end"),
        ({"width": 1023}, "1023x768; accepted: even numbers from 16 to 4096"),
        ({"height": 1 << 20}, "1024x1048576; accepted"),
        ({"fps": 0}, "0 pictures a second; accepted: 1 to 60"),
    ],
    ids=["suffix", "none", "odd", "large", "fps"],
)
def test_what_cannot_be_recorded_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Recorder(attrs.evolve(Recording(file=tmp_path / "video.mp4"), **changes))
    assert not any(tmp_path.iterdir())


def test_recording_without_its_library_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(h264, "installed", lambda: False)
    (spec,) = ringone_frontends()
    assert spec.recorder is not None
    with pytest.raises(ConfigError, match=r"^recording: PyAV is not installed.*ringone-frontend-rdp\[h264\]"):
        spec.recorder(Recording(file=tmp_path / "video.mp4"))


# --- The machine -------------------------------------------------------------------------------------------------------------------------------------------


class Machine(Console):
    """One that can be switched off."""

    is_on = True

    def request(self, command: Callable[[], T]) -> Future[T]:
        if self.is_on:
            return super().request(command)
        refused: Future[T] = Future()
        refused.set_exception(DriverError("the machine is off"))
        return refused


def start(console: Console, file: Path) -> Recorder:
    recorder = Recorder(Recording(file=file))
    recorder.start(cast(VmSession, console))
    return recorder


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[Picture]:
    """What has come to be recorded."""
    pictures: list[Picture] = []
    add = VideoFile.add

    def noted(recording: VideoFile, picture: Picture, seconds: float) -> None:
        add(recording, picture, seconds)
        pictures.append(picture)

    monkeypatch.setattr(VideoFile, "add", noted)
    return pictures


@KINDS
def test_the_screen_is_recorded_through_changes_of_its_mode(tmp_path: Path, name: str, added: list[Picture]) -> None:
    console = Console()
    console.show(flat(400, 720, (255, 0, 0)))
    recorder = start(console, tmp_path / name)
    eventually(lambda: len(added) > 0)
    console.show(flat(600, 800, (0, 0, 255)))
    eventually(lambda: added[-1].shape == (600, 800, 3))
    recorder.stop()
    frames = [picture for _, picture in video(tmp_path / name)]
    shown = [middle(picture) for picture in frames]
    assert shown == sorted(shown, reverse=True)
    assert (shown[0], shown[-1]) == ([1, 0, 0], [0, 0, 1])
    assert frames[-1][: (HEIGHT - 600) // 2].mean() < 4
    assert recorder.error() == ""


def test_the_last_picture_is_the_one_at_its_end(tmp_path: Path, added: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringone_frontend_rdp.recorder.GUEST_SHARE", 1e-9)
    console = Console()
    recorder = start(console, tmp_path / "video.mp4")
    eventually(lambda: len(added) == 1)
    console.show(flat(480, 640, (255, 0, 0)))
    recorder.stop()
    assert middle(video(tmp_path / "video.mp4")[-1][1]) == [1, 0, 0]


def test_a_screen_at_rest_is_recorded_too(tmp_path: Path, added: list[Picture]) -> None:
    recorder = start(Console(), tmp_path / "video.mp4")
    eventually(lambda: len(added) > 2)
    recorder.stop()
    assert video(tmp_path / "video.mp4")[-1][0] >= 2


def test_the_video_is_whole_when_the_machine_is_gone(tmp_path: Path, added: list[Picture]) -> None:
    machine = Machine()
    recorder = start(machine, tmp_path / "video.mp4")
    eventually(lambda: len(added) > 0)
    machine.is_on = False
    recorder.stop()
    assert len(video(tmp_path / "video.mp4")) > 1
    assert recorder.error() == ""


def test_a_machine_that_shows_nothing_leaves_no_file(tmp_path: Path) -> None:
    machine = Machine()
    machine.is_on = False
    start(machine, tmp_path / "video.mp4").stop()
    assert not any(tmp_path.iterdir())


def test_a_full_disk_ends_the_recording_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: Any) -> None:
        raise DriverError(f"recording into video.mp4: {os.strerror(errno.ENOSPC)}")

    monkeypatch.setattr(VideoFile, "add", full)
    with caplog.at_level(logging.ERROR, "ringone.recorder"):
        recorder = start(Console(), tmp_path / "video.mp4")
        eventually(lambda: recorder.error() != "")
        recorder.stop()
    assert recorder.error() == "recording into video.mp4: No space left on device"
    assert [record.getMessage() for record in caplog.records] == [f"the recording ends: {recorder.error()}"]


KILLED = """
import os, sys, time
from pathlib import Path
from ringone.api.config import Recording
from ringone_frontend_rdp.recorder import Recorder
from plugins.frontend_rdp.tests.desk import Console
Recorder(Recording(file=Path(sys.argv[1]))).start(Console())
time.sleep(60)
"""


@KINDS
def test_a_killed_process_leaves_a_video_that_can_be_played(tmp_path: Path, name: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / name)], cwd=Path(__file__).parents[3])
    try:
        eventually(lambda: (tmp_path / name).exists() and playable(tmp_path / name) > 2)
    finally:
        process.kill()
        process.wait()
    assert playable(tmp_path / name) > 2


def playable(path: Path) -> int:
    """How many pictures there are to see."""
    try:
        return len(video(path))
    except (av.FFmpegError, IndexError):
        return 0


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
