"""A real guest as a video: what is in the file is what the screen showed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from ringone.api.config import Recording
from ringone_frontend_rdp.recorder import Recorder
from ringone_frontend_rdp.recording import on_canvas

from guests.console import Guest
from guests.demo.build import build
from guests.demo.machine import machine
from tests.conftest import Boot

av = pytest.importorskip("av")

pytestmark = pytest.mark.guest

LIMIT_S = 60
WIDTH, HEIGHT = 1024, 768
BLOCK = 16
MOST_DIFFERENCE = 25
"""Of 255, on the average of any block of pixels: letters have soft edges in a video, and the guest's cursor blinks. Other letters differ by more."""
SCREENSHOTS = os.environ.get("RINGONE_SCREENSHOTS")
"""A folder for what is in the videos."""
Picture = npt.NDArray[np.uint8]


def video(path: Path) -> list[Picture]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def screen(guest: Guest) -> Picture:
    frame = guest.session.frame()
    return on_canvas(np.frombuffer(frame.pixels, np.uint8).reshape(frame.height, frame.width, 3), WIDTH, HEIGHT)


def difference(one: Picture, other: Picture) -> float:
    """Of the blocks that differ most."""
    blocks = np.abs(one.astype(int) - other).reshape(HEIGHT // BLOCK, BLOCK, WIDTH // BLOCK, BLOCK * 3)
    return float(blocks.mean((1, 3)).max())


def keep_screenshot(picture: Picture, name: str) -> None:
    """Only where they are wanted."""
    if SCREENSHOTS:
        Image.fromarray(picture).save(Path(SCREENSHOTS) / f"{name}.png", optimize=True)


def record(guest: Guest, file: Path) -> Recorder:
    recorder = Recorder(Recording(file=file))
    recorder.start(guest.session)
    return recorder


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_the_boot_and_the_report_of_the_demo_guest_are_in_the_video(make_guest: Boot, tmp_path: Path, suffix: str) -> None:
    guest = make_guest(machine(build()))
    recorder = record(guest, tmp_path / f"video.{suffix}")
    guest.start()
    guest.wait_serial("the keyboard answers an echo", LIMIT_S)
    guest.type("x")
    guest.wait_serial("Enter powers off.\n", LIMIT_S)
    guest.type("hello ring one")
    guest.wait_screen("hello ring one", LIMIT_S)
    shown = screen(guest)
    recorder.stop()
    frames = video(tmp_path / f"video.{suffix}")
    keep_screenshot(frames[-1], f"recorded-{suffix}")
    assert difference(frames[-1], shown) < MOST_DIFFERENCE
    assert difference(frames[0], shown) > MOST_DIFFERENCE
    guest.type("\n")
    guest.wait_power_off(LIMIT_S)
