"""``--record``: however a run ends, the video of it is whole; what cannot be recorded is told before anything is made."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ringone_frontend_cli.main import run_command_line
from ringone_frontend_rdp.graphics import h264

av = pytest.importorskip("av")

RINGONE = (sys.executable, "-m", "ringone_frontend_cli.main")
LIMIT_S = 60
POWER_OFF = bytes.fromhex("ba0406 b80020 ef f4")
"""SLP_EN into PIIX4's PMCNTRL."""
RESTLESS = bytes.fromhex("31c0 8ed8 fb b81300 cd10 8b1e6c04 83c304 f4 3b1e6c04 75f9 b042 baf803 ee b0fe e664 f4")
"""Goes to a graphics mode, waits for four ticks of the BIOS's clock, says B on COM1, and resets the machine by the keyboard controller."""


def floppy(folder: Path, code: bytes) -> Path:
    image = folder / "guest.img"
    image.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1440 << 10, b"\0"))
    return image


def shapes(path: Path) -> list[tuple[int, ...]]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24").shape for frame in file.decode(video=0)]


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: object) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen([*RINGONE, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["video.mp4", "video.webm"], ids=["mp4", "webm"])
def test_the_video_is_whole_when_the_guest_powers_off(tmp_path: Path, name: str) -> None:
    arguments = ["run", "--fda", floppy(tmp_path, POWER_OFF), "--throw-away", "--display", "none", "--record", tmp_path / name]
    assert run_command_line([str(word) for word in arguments]) == 0
    found = shapes(tmp_path / name)
    assert len(found) > 1
    assert set(found) == {(768, 1024, 3)}


def test_the_video_goes_on_through_resets_and_is_whole_after_ctrl_c(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    pytest.importorskip("termios", reason="signals are POSIX")
    serial, video = tmp_path / "com1", tmp_path / "video.mp4"
    process = start("run", "--fda", floppy(tmp_path, RESTLESS), "--throw-away", "--display", "none", "--serial", f"file:{serial}", "--record", video)
    end = time.monotonic() + LIMIT_S
    while not (serial.exists() and serial.read_bytes().count(b"B") >= 3):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 130
    assert len(shapes(video)) > 6
    with av.open(str(video)) as file:
        seconds = [float(frame.time) for frame in file.decode(video=0)]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("video.avi", r"recording into .*video\.avi; accepted: files whose names end with \.mp4, \.webm"),
        ("guest.img", r"recording into .*guest\.img: it is there already; accepted: the name of a file that is not"),
        ("none/video.mp4", r"recording into .*video\.mp4: there is no folder .*none"),
    ],
    ids=["suffix", "there", "folder"],
)
def test_a_video_that_cannot_be_made_is_one_line_before_anything_is(tmp_path: Path, name: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    image = floppy(tmp_path, POWER_OFF)
    arguments = ["run", "--fda", str(image), "--display", "none", "--serial", f"file:{tmp_path / 'com1'}", "--record", str(tmp_path / name)]
    assert run_command_line(arguments) == 2
    assert re.fullmatch(f"ringone: error: {said}\n", capfd.readouterr().err)
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize("command", ["run", "startvm"])
def test_without_the_extra_nothing_is_made(tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "installed", lambda: False)
    file = Path(__file__).parents[3] / "docs/tutorials/first-device/metronome.vbox"
    described = {"run": [], "startvm": [str(file)]}[command]
    assert run_command_line([command, *described, "--display", "none", "--record", str(tmp_path / "video.mp4")]) == 2
    assert re.fullmatch(r"ringone: error: recording: PyAV is not installed; .*pip install 'ringone-frontend-rdp\[h264\]'\n", capfd.readouterr().err)
    assert not any(tmp_path.iterdir())


def test_a_machine_file_in_the_foreground_is_recorded_as_it_says(tmp_path: Path) -> None:
    source = (Path(__file__).parents[3] / "docs/tutorials/first-device/metronome.vbox").read_text()
    hardware = '<Hardware><Memory RAMSize="4"/><VideoCapture enabled="true" file="a.mp4" horzRes="640" vertRes="480"/></Hardware>'
    before, _, rest = re.sub(r"(?s)<ExtraData>.*</ExtraData>", "", source).partition("<Hardware>")
    file = tmp_path / "test.vbox"
    file.write_text(before + hardware + rest.partition("</Hardware>")[2])
    for number in (1, 2):
        assert run_command_line(["startvm", str(file), "--display", "none", "--timeout", "0.5"]) == 124
        assert len(list(tmp_path.glob("a*.mp4"))) == number
    assert {shape for video in tmp_path.glob("a*.mp4") for shape in shapes(video)} == {(480, 640, 3)}
