"""The console over RDP with the real clients of Debian: xfreerdp and rdesktop draw on a virtual X display, and what they show is compared pixel by pixel."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from PIL import Image, ImageChops
from ringone.api.events import MachineState
from ringone_frontend_rdp.config import Authentication, RdpOptions, SecurityMethod
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.users import UserDatabase

from guests.catalog import BY_NAME
from guests.console import Guest
from guests.demo.build import build
from guests.demo.machine import machine
from tests.conftest import Boot

PROGRAMS = ("Xvfb", "xfreerdp", "rdesktop", "xdotool", "import")
pytestmark = [
    pytest.mark.rdp_client,
    pytest.mark.guest,
    pytest.mark.skipif(not all(shutil.which(program) for program in PROGRAMS), reason=f"needs {', '.join(PROGRAMS)}"),
]

DISPLAY_SIZE = (1280, 900)
LIMIT_S = 60
POLL_S = 0.2
EXACT, RGB565 = 0, 7
USER, PASSWORD = "alice", "secret"
LOGON_FAILURE = 134
NOT_LET_IN = 131
NOTHING_IN_COMMON = 133

CLIENTS = {
    "xfreerdp-tls": ("xfreerdp /v:127.0.0.1:{port} /u:alice /p:secret /cert:ignore /sec:tls", EXACT),
    "xfreerdp-tls-16bpp": ("xfreerdp /v:127.0.0.1:{port} /u:alice /p:secret /cert:ignore /sec:tls /bpp:16", RGB565),
    "xfreerdp-nla": ("xfreerdp /v:127.0.0.1:{port} /u:alice /p:secret /cert:ignore /sec:nla", EXACT),
    "xfreerdp-default": ("xfreerdp /v:127.0.0.1:{port} /u:alice /p:secret /cert:ignore", EXACT),
    "xfreerdp-gfx": ("xfreerdp /v:127.0.0.1:{port} /u:alice /p:secret /cert:ignore /gfx", EXACT),
    "rdesktop-32bpp": ("rdesktop -u alice -p secret -a 32 127.0.0.1:{port}", EXACT),
    "rdesktop-16bpp": ("rdesktop -u alice -p secret -a 16 127.0.0.1:{port}", RGB565),
}


@attrs.define
class Desk:
    """A display with one client on it."""

    display: str
    home: Path
    client: subprocess.Popen[bytes] | None = None

    def connect(self, command: str, port: int) -> None:
        self.client = subprocess.Popen(
            command.format(port=port).split(), env=self._environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert self.client.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # rdesktop asks whether the certificate is trusted
            self.client.stdin.write(b"yes\n" * 4)
            self.client.stdin.close()

    def type(self, text: str) -> None:
        window = self._xdotool("search", "--onlyvisible", "--name", "127.0.0.1|rdesktop").split()[0]
        self._xdotool("windowfocus", "--sync", window)
        for character in text:
            self._xdotool("key", {"\n": "Return", " ": "space"}.get(character, character))

    def picture(self, width: int, height: int) -> Image.Image:
        shot = subprocess.run(("import", "-window", "root", "png:-"), env=self._environment(), capture_output=True, check=True, timeout=LIMIT_S).stdout
        return Image.open(io.BytesIO(shot)).convert("RGB").crop((0, 0, width, height))

    def exit_code(self) -> int:
        assert self.client is not None
        return self.client.wait(LIMIT_S)

    def close(self) -> None:
        if self.client is not None:
            self.client.kill()
            self.client.wait()

    def _xdotool(self, *arguments: str) -> str:
        return subprocess.run(("xdotool", *arguments), env=self._environment(), capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "DISPLAY": self.display, "HOME": str(self.home)}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    size = "x".join(map(str, DISPLAY_SIZE))
    reading, writing = os.pipe()
    arguments = ("Xvfb", "-displayfd", str(writing), "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset")
    server = subprocess.Popen(arguments, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as number:
        desk = Desk(f":{number.readline().strip()}", tmp_path)
    try:
        yield desk
    finally:
        desk.close()
        server.terminate()
        server.wait()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RdpFrontend]]:
    """A guest's console on a port of the host's choice, for the user alice."""
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "home"))
    users = tmp_path / "users"
    UserDatabase(users).set_password(USER, PASSWORD)
    with contextlib.ExitStack() as stack:

        def start(guest: Guest, **options: object) -> RdpFrontend:
            frontend = RdpFrontend(RdpOptions(**{"port": "0", "auth": Authentication.USERS, "users": users, **options}))  # type: ignore[arg-type]
            frontend.start(guest.session)
            stack.callback(frontend.stop)
            return frontend

        yield start


def difference(desk: Desk, guest: Guest) -> int:
    """The largest one of any channel of any pixel."""
    frame = guest.session.frame()
    wanted = Image.frombytes("RGB", (frame.width, frame.height), frame.pixels)
    extremes = ImageChops.difference(wanted, desk.picture(frame.width, frame.height)).getextrema()
    return max(high for _, high in extremes)  # type: ignore[misc]


def wait_until_shown(desk: Desk, guest: Guest, tolerance: int = EXACT) -> None:
    """The cursor blinks: what is compared may be one blink old, so several looks are allowed."""
    end = time.monotonic() + LIMIT_S
    while (found := difference(desk, guest)) > tolerance:
        assert time.monotonic() < end, f"the client's picture differs by {found}; accepted: {tolerance}"
        assert desk.client is not None and desk.client.poll() is None, "the client ended"
        time.sleep(POLL_S)


def demo(boot: Boot) -> Guest:
    guest = boot(machine(build()))
    guest.wait_serial("the keyboard answers an echo", LIMIT_S)
    guest.type("x")
    guest.wait_serial("Enter powers off.\n", LIMIT_S)
    return guest


def tell_grub(guest: Guest, command: str) -> None:
    """GRUB takes keys from the BIOS's buffer, which has room for 15."""
    typed = "grub> "
    guest.wait_screen(typed.rstrip(), LIMIT_S)
    for start in range(0, len(command), 8):
        piece = command[start : start + 8]
        guest.type(piece)
        typed += piece
        guest.wait_screen(typed.rstrip(), LIMIT_S)
    guest.type("\n")


@pytest.mark.parametrize("name", CLIENTS)
def test_client_shows_the_screen_and_types(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], name: str) -> None:
    command, tolerance = CLIENTS[name]
    guest = demo(boot)
    desk.connect(command, serve(guest).port)
    wait_until_shown(desk, guest, tolerance)
    desk.type("hello ring one")
    guest.wait_screen("hello ring one", LIMIT_S)
    wait_until_shown(desk, guest, tolerance)
    desk.type("\n")
    guest.wait_power_off(LIMIT_S)


def test_desktop_follows_the_guest_into_graphics_and_back(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend]) -> None:
    guest = boot(BY_NAME["grub-cdrom"].machine())
    guest.wait_screen("GNU GRUB", LIMIT_S)
    desk.connect(CLIENTS["xfreerdp-tls"][0], serve(guest).port)
    wait_until_shown(desk, guest)
    text_size = guest.session.frame().width
    guest.type("c")
    for command in ("insmod all_video", "insmod videotest", "videotest 800x600"):
        tell_grub(guest, command)
    end = time.monotonic() + LIMIT_S
    while guest.session.frame().width == text_size:
        assert time.monotonic() < end, "the guest stayed in its text mode"
        time.sleep(POLL_S)
    wait_until_shown(desk, guest)
    assert guest.session.frame().width == 800
    desk.type(" ")
    while guest.session.frame().width != text_size:
        assert time.monotonic() < end, "the guest stayed in its graphics mode"
        time.sleep(POLL_S)
    wait_until_shown(desk, guest)


@pytest.mark.parametrize(("security", "exit_code"), [("nla", LOGON_FAILURE), ("tls", NOT_LET_IN)])
def test_wrong_password_is_told(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], security: str, exit_code: int) -> None:
    port = serve(demo(boot)).port
    desk.connect("xfreerdp /v:127.0.0.1:{port} /u:alice /p:wrong /cert:ignore /sec:" + security, port)
    assert desk.exit_code() == exit_code


def test_keys_of_a_view_only_console_reach_nobody(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend]) -> None:
    guest = demo(boot)
    desk.connect(CLIENTS["xfreerdp-nla"][0], serve(guest, view_only=True).port)
    wait_until_shown(desk, guest)
    desk.type("\n")
    guest.type("typed here")
    guest.wait_screen("typed here", LIMIT_S)
    assert guest.session.state is MachineState.RUNNING


def test_tls_only_server_turns_a_client_away_that_insists_on_nla(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend]) -> None:
    port = serve(demo(boot), security=SecurityMethod.TLS).port
    desk.connect(CLIENTS["xfreerdp-nla"][0], port)
    assert desk.exit_code() == NOTHING_IN_COMMON
