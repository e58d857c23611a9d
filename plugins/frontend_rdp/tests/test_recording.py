"""What the machine shows is in the file, at its time; a full disk ends the recording and nothing else."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest
from ringone.api.errors import ConfigError, DriverError
from ringone.api.frontends import VmSession
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.config import RdpOptions
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.graphics import h264
from ringone_frontend_rdp.recording import HEIGHT, WIDTH, Recording, on_canvas

from plugins.frontend_rdp.tests.desk import Console

av = pytest.importorskip("av")

T = TypeVar("T")

LIMIT_S = 60


def flat(height: int, width: int, colour: tuple[int, int, int]) -> Picture:
    return np.full((height, width, 3), colour, np.uint8)


def video(path: Path) -> list[tuple[float, Picture]]:
    with av.open(str(path)) as file:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


def middle(picture: Picture) -> list[int]:
    return cast(list[int], (picture[HEIGHT // 2, WIDTH // 2] > 127).astype(int).tolist())


def test_pictures_of_all_sizes_are_shown_at_their_time(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "video.mp4")
    recording.add(flat(400, 720, (255, 0, 0)), 0)
    recording.add(flat(768, 1024, (0, 255, 0)), 1.25)
    recording.add(flat(1201, 1601, (0, 0, 255)), 2)
    recording.close(9)
    frames = video(tmp_path / "video.mp4")
    assert [seconds for seconds, _ in frames] == [0, 1.25, 2, 9]
    assert [middle(picture) for _, picture in frames] == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert all(picture.shape == (HEIGHT, WIDTH, 3) for _, picture in frames)


def test_recording_without_pictures_is_closed_cleanly(tmp_path: Path) -> None:
    Recording(tmp_path / "video.mp4").close(1)
    assert (tmp_path / "video.mp4").exists()


def test_what_was_recorded_can_be_played_though_the_end_is_missing(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "video.mp4")
    for second in range(20):
        recording.add(flat(768, 1024, (10 * second, 0, 0)), second)
    played = (tmp_path / "video.mp4").read_bytes()
    recording.close(20)
    (tmp_path / "cut.mp4").write_bytes(played)
    assert len(video(tmp_path / "cut.mp4")) > 10


@pytest.mark.parametrize(
    ("size", "shown"),
    [((HEIGHT, WIDTH), (HEIGHT, WIDTH)), ((400, 721), (400, 721)), ((2 * HEIGHT, 8), (HEIGHT, 4)), ((1, 9000), (1, WIDTH)), ((1200, 1600), (HEIGHT, WIDTH))],
    ids=["same", "smaller", "higher", "wider", "larger"],
)
def test_pictures_keep_their_shape(size: tuple[int, int], shown: tuple[int, int]) -> None:
    rows, columns = np.nonzero(on_canvas(flat(*size, (255, 255, 255)))[:, :, 0])
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == shown


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Console], RdpFrontend]:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "ringone"))

    def started(console: Console) -> RdpFrontend:
        frontend = RdpFrontend(RdpOptions(port="0", record=tmp_path / "video.mp4"))
        frontend.start(cast(VmSession, console))
        return frontend

    return started


def test_frontend_records_though_nobody_is_connected(start: Callable[[Console], RdpFrontend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[Picture] = []
    add = Recording.add

    def noted(recording: Recording, picture: Picture, seconds: float) -> None:
        added.append(picture)
        add(recording, picture, seconds)

    monkeypatch.setattr(Recording, "add", noted)
    console = Console()
    console.show(flat(400, 720, (255, 0, 0)))
    frontend = start(console)
    eventually(lambda: len(added) > 0)
    console.show(flat(400, 720, (0, 0, 255)))
    eventually(lambda: added[-1][0, 0, 2] > 0)
    frontend.stop()
    shown = [middle(picture) for _, picture in video(tmp_path / "video.mp4")]
    assert shown == sorted(shown, reverse=True)
    assert (shown[0], shown[-1]) == ([1, 0, 0], [0, 0, 1])


class Machine(Console):
    """One that can be switched off."""

    is_on = True

    def request(self, command: Callable[[], T]) -> Future[T]:
        if self.is_on:
            return super().request(command)
        refused: Future[T] = Future()
        refused.set_exception(DriverError("the machine is off"))
        return refused


def test_recording_ends_with_the_machine(start: Callable[[Console], RdpFrontend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[float] = []
    close = Recording.close

    def noted(recording: Recording, seconds: float) -> None:
        close(recording, seconds)
        closed.append(seconds)

    monkeypatch.setattr(Recording, "close", noted)
    machine = Machine()
    frontend = start(machine)
    eventually(lambda: (tmp_path / "video.mp4").stat().st_size > 0)
    machine.is_on = False
    eventually(lambda: bool(closed))
    frontend.stop()
    assert len(video(tmp_path / "video.mp4")) > 1


def test_file_that_is_there_is_not_overwritten(start: Callable[[Console], RdpFrontend], tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_text("precious")
    with pytest.raises(DriverError, match=r"video\.mp4: File exists"):
        start(Console())
    assert (tmp_path / "video.mp4").read_text() == "precious"


def test_full_disk_ends_the_recording_alone(start: Callable[[Console], RdpFrontend], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: Any) -> None:
        raise DriverError(f"record=video.mp4: {errno.ENOSPC}")

    monkeypatch.setattr(Recording, "add", full)
    with caplog.at_level(logging.ERROR, "ringone.rdp"):
        frontend = start(Console())
        eventually(lambda: "the recording ends" in caplog.text)
        assert frontend.endpoint().port == frontend.port
        frontend.stop()


def test_recording_without_its_library_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(h264, "installed", lambda: False)
    with pytest.raises(ConfigError, match=r"record.*ringone-frontend-rdp\[h264\]"):
        RdpFrontend(RdpOptions(record=tmp_path / "video.mp4"))


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
