"""A virtual X display with a real RDP client on it, and a console without a machine for it to show."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import attrs
import numpy as np
from ringone.api.config import MachineConfig
from ringone.api.console import Frame
from ringone_frontend_rdp.codecs import Picture

T = TypeVar("T")

PROGRAMS = ("Xvfb", "xwd", "xdotool")
DISPLAY_WIDTH, DISPLAY_HEIGHT = 1280, 1024
PATIENCE_S = 60.0
LAST_WORDS_S = 5.0
POLL_S = 0.05
XWD_HEADER_BYTES, XWD_PIXEL_BITS, XWD_LINE_BYTES, XWD_COLOURS = 0, 11, 12, 19
XWD_COLOUR_BYTES = 12


@attrs.define
class Console:
    """What the frontend uses of `ringone.api.frontends.VmSession`."""

    config: MachineConfig = attrs.field(factory=lambda: MachineConfig(name="console"))
    keys: bytearray = attrs.field(factory=bytearray)
    mouse: list[tuple[int, int, int, int]] = attrs.field(factory=list)
    _frame: Frame = attrs.field(factory=lambda: Frame(0, 640, 480, bytes(640 * 480 * 3)))

    def show(self, picture: Picture) -> None:
        height, width, _ = picture.shape
        self._frame = Frame(self._frame.generation + 1, width, height, picture.tobytes())

    def frame(self) -> Frame:
        return self._frame

    def frame_generation(self) -> int:
        return self._frame.generation

    def put_scancodes(self, codes: bytes) -> None:
        self.keys += codes

    def keyboard_pending(self) -> int:
        return 0

    def keyboard_leds(self) -> int:
        return 0

    def move_mouse(self, dx: int, dy: int, dz: int = 0, buttons: int = 0) -> None:
        self.mouse.append((dx, dy, dz, buttons))

    def request(self, command: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(command())
        return future


@attrs.define
class Desk:
    display: str
    home: Path
    _client: subprocess.Popen[bytes] | None = None

    def connect(self, command: str) -> None:
        arguments = command.split()
        self._client = subprocess.Popen(arguments, env=self._environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert self._client.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # rdesktop asks whether the certificate is trusted
            self._client.stdin.write(b"yes\n" * 4)
            self._client.stdin.close()

    def picture(self, width: int, height: int) -> Picture:
        """The upper left corner, where a client's window is without a window manager."""
        dump = self._dump()
        header = struct.unpack_from(">25I", dump)
        size, line = header[XWD_PIXEL_BITS] // 8, header[XWD_LINE_BYTES]
        rows = np.frombuffer(dump, np.uint8, offset=header[XWD_HEADER_BYTES] + XWD_COLOUR_BYTES * header[XWD_COLOURS]).reshape(-1, line)
        return rows[:height, : size * width].reshape(height, width, size)[:, :, 2::-1]

    def has_client(self) -> bool:
        return self._client is not None and self._client.poll() is None

    def exit_code(self) -> int:
        assert self._client is not None
        return self._client.wait(PATIENCE_S)

    def focus(self) -> None:
        """Asked again and again: xdotool's own waiting has no end."""
        wait_until(self._focused, lambda: f"no window of the client's takes the focus, the client {self.has_client()=}")

    def strike(self, keycodes: list[int]) -> None:
        """xdotool takes one digit for the key of that digit, more for a key code."""
        self.run("xdotool", "key", "--delay", "10", *(f"{code:03}" for code in keycodes))

    def chord(self, keys: str) -> None:
        self.run("xdotool", "key", keys)

    def type(self, text: str) -> None:
        self.focus()
        self.run("xdotool", "key", "--delay", "20", *({"\n": "Return", " ": "space"}.get(character, character) for character in text))

    def write(self, text: str) -> None:
        """Any characters of the X server's keyboard."""
        self.focus()
        self.run("xdotool", "type", "--delay", "20", "--", text)

    def act(self, *commands: str) -> None:
        """Commands of xdotool, each after the one before."""
        self.run("xdotool", *" ".join(commands).split())

    def disconnect(self) -> None:
        if self._client is not None:
            self._client.kill()
            self._client.wait(PATIENCE_S)

    def _focused(self) -> bool:
        windows = self._output("xdotool", "search", "--onlyvisible", "--name", "127.0.0.1|rdesktop").split()
        if not windows:
            return False
        self._output("xdotool", "windowfocus", windows[0])
        return self._output("xdotool", "getwindowfocus").split() == windows[:1]

    def _dump(self) -> bytes:
        """xwd fails where a window's size changes while it looks at it."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.run("xwd", "-root", "-silent")
            except subprocess.CalledProcessError:
                if time.monotonic() > end:
                    raise

    def run(self, *command: str) -> bytes:
        return subprocess.run(command, env=self._environment(), capture_output=True, check=True, timeout=PATIENCE_S).stdout

    def _output(self, *command: str) -> str:
        """What the program says, which fails while there is no window."""
        return subprocess.run(command, env=self._environment(), capture_output=True, check=False, text=True, timeout=PATIENCE_S).stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "DISPLAY": self.display, "HOME": str(self.home)}


@contextlib.contextmanager
def new_desk(home: Path, *options: str) -> Iterator[Desk]:
    """`options` are the X server's."""
    reading, writing = os.pipe()
    screen = f"{DISPLAY_WIDTH}x{DISPLAY_HEIGHT}x24"
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", screen, "-nolisten", "tcp", "-noreset", *options]
    with os.fdopen(reading) as numbers:
        server = subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(writing)
        try:
            assert select.select([numbers], [], [], PATIENCE_S)[0], "the X server does not start"
            desk = Desk(f":{numbers.readline().strip()}", home)
            try:
                yield desk
            finally:
                desk.disconnect()
        finally:
            _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(LAST_WORDS_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(PATIENCE_S)


def wait_until(happened: Callable[[], bool], failure: Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < end, failure()
        time.sleep(POLL_S)
