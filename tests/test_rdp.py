"""The console over RDP with real clients, FreeRDP 2 and 3, Remmina and rdesktop, which draw on a virtual X display: what they show is compared by the pixel."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from _pytest.mark import ParameterSet
from PIL import Image
from ringone.api.events import MachineState
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.config import Authentication, RdpOptions, SecurityMethod
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.graphics import h264
from ringone_frontend_rdp.picture import pixels_of
from ringone_frontend_rdp.users import UserDatabase

from guests import colours
from guests.catalog import BY_NAME
from guests.console import Guest
from guests.demo.build import build
from guests.demo.machine import machine
from plugins.frontend_rdp.tests.desk import PROGRAMS, Desk, new_desk, wait_until
from tests.conftest import Boot

pytestmark = [
    pytest.mark.rdp_client,
    pytest.mark.guest,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"needs {', '.join(PROGRAMS)}"),
]

FREERDPS = ("xfreerdp", "xfreerdp3")

needs_xfreerdp = pytest.mark.skipif(not shutil.which("xfreerdp"), reason="needs xfreerdp")

LIMIT_S = 60
POLL_S = 0.2
KEY_PATIENCE_S = 2
SCREENSHOTS = os.environ.get("RINGONE_SCREENSHOTS")
"""A folder for what the clients show: the pictures of docs/how-to/connect-with-rdp.md."""
PNG_COLOURS = 128
USER, PASSWORD = "alice", "secret"
LOGGED_ON = 0
SWITCHED_OFF = 1
LOGON_FAILURE = 134
NOT_LET_IN = 131
NOTHING_IN_COMMON = 133


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with new_desk(tmp_path) as desk:
        yield desk


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


def largest(difference: npt.NDArray[np.int_]) -> float:
    """Of any channel of any pixel."""
    return float(difference.max())


def mean(difference: npt.NDArray[np.int_]) -> float:
    return float(difference.mean())


def used_colours(pixels: bytes) -> set[bytes]:
    return {pixels[at : at + 3] for at in range(0, len(pixels), 3)}


@attrs.frozen
class Likeness:
    """How a picture is compared, and how far it may be from the machine's."""

    measure: Callable[[npt.NDArray[np.int_]], float]
    limit: float


EXACT = Likeness(largest, 0)
RGB565 = Likeness(largest, 7)
H264 = Likeness(mean, 3)
LOGON = "/v:127.0.0.1:{port} /u:alice /cert:ignore -clipboard"
"""FreeRDP 3 has a file system for its clipboard, with which it waits for itself for ever if it is killed at the wrong moment."""
FREERDP = {
    "tls": ("/sec:tls", EXACT),
    "16bpp": ("/bpp:16", RGB565),
    "nla": ("/sec:nla", EXACT),
    "default": ("", EXACT),
    "gfx": ("/gfx", EXACT),
    "avc420": ("/gfx:AVC420", H264),
}
CLIENTS = {
    **{f"{program}-{way}": (f"{program} {LOGON} /p:secret {options}", likeness) for program in FREERDPS for way, (options, likeness) in FREERDP.items()},
    "rdesktop-32bpp": ("rdesktop -u alice -p secret -a 32 127.0.0.1:{port}", EXACT),
    "rdesktop-16bpp": ("rdesktop -u alice -p secret -a 16 127.0.0.1:{port}", RGB565),
}


REMMINA_SIZE = 1000, 700
REMMINA = f"""[remmina]
name=127.0.0.1
protocol=RDP
server=127.0.0.1:{{port}}
username={USER}
security={{security}}
cert_ignore=1
colordepth=32
viewmode=1
window_width={REMMINA_SIZE[0]}
window_height={REMMINA_SIZE[1]}
"""


def with_client(name: str, *more: object) -> ParameterSet:
    """A test's parameters, the client's name first; it is skipped where there is no such client."""
    program = name.split("-")[0]
    return pytest.param(name, *more, id="-".join((name, *map(str, more))), marks=pytest.mark.skipif(not shutil.which(program), reason=f"needs {program}"))


def wait_until_shown(desk: Desk, guest: Guest, likeness: Likeness = EXACT) -> None:
    """The cursor blinks: what is compared may be one blink old, so several looks are allowed."""

    def difference() -> float:
        wanted = pixels_of(guest.session.frame())
        height, width, _ = wanted.shape
        return likeness.measure(np.abs(desk.picture(width, height).astype(int) - wanted))

    wait_until(lambda: difference() <= likeness.limit, lambda: f"the picture differs by {difference()} of {likeness.limit}, {desk.has_client()=}", LIMIT_S)


@pytest.fixture
def show_colours(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], tmp_path: Path) -> Callable[[str], Guest]:
    """A guest whose picture moves, on a client's display. It is served by this process, where `videos` sees what is encoded."""

    def show(client: str) -> Guest:
        guest = boot(colours.machine(colours.write_image(tmp_path / "colours.img")))
        guest.wait_serial(colours.MOVES, LIMIT_S)
        desk.connect(CLIENTS[client][0].format(port=serve(guest, process=False).port))
        return guest

    return show


@pytest.fixture
def videos(monkeypatch: pytest.MonkeyPatch) -> deque[Picture]:
    """The newest pictures that went to a client as H.264."""
    coded: deque[Picture] = deque(maxlen=64)
    encode = h264.Encoder.encode

    def note(encoder: h264.Encoder, picture: Picture) -> bytes:
        coded.append(picture)
        return encode(encoder, picture)

    monkeypatch.setattr(h264.Encoder, "encode", note)
    return coded


def place_of(picture: Picture, screen: Picture) -> tuple[int, int] | None:
    """Where the whole of `picture` is on the screen, found by its most varied row."""
    varied = int(np.argmax((picture[:, 1:] != picture[:, :-1]).any(axis=2).sum(axis=1)))
    height, width, _ = picture.shape
    for y in range(varied, len(screen)):
        at = screen[y].tobytes().find(picture[varied].tobytes())
        top, left = y - varied, at // 3
        if at >= 0 and at % 3 == 0 and np.array_equal(screen[top : top + height, left : left + width], picture):
            return top, left
    return None


def keep_screenshot(picture: Picture, name: str) -> None:
    """Only where they are wanted."""
    if SCREENSHOTS:
        Image.fromarray(picture).quantize(PNG_COLOURS).save(Path(SCREENSHOTS) / f"{name}.png", optimize=True)


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


@pytest.mark.parametrize("name", [with_client(name) for name in CLIENTS])
def test_client_shows_the_screen_and_types(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], name: str) -> None:
    command, likeness = CLIENTS[name]
    guest = demo(boot)
    desk.connect(command.format(port=serve(guest).port))
    wait_until_shown(desk, guest, likeness)
    desk.type("hello ring one")
    guest.wait_screen("hello ring one", LIMIT_S)
    wait_until_shown(desk, guest, likeness)
    frame = guest.session.frame()
    keep_screenshot(desk.picture(frame.width, frame.height), name)
    desk.type("\n")
    guest.wait_power_off(LIMIT_S)


@pytest.mark.parametrize("security", ["tls", "nla"])
@pytest.mark.skipif(not shutil.which("remmina"), reason="needs remmina")
def test_remmina_shows_the_screen_and_types(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], tmp_path: Path, security: str) -> None:
    guest = demo(boot)
    profile = tmp_path / "console.remmina"
    profile.write_text(REMMINA.format(port=serve(guest).port, security=security))
    desk.run("remmina", "--update-profile", str(profile), "--set-option", f"password={PASSWORD}")
    desk.connect(f"remmina --connect {profile}")

    def shows() -> bool:
        """Somewhere in Remmina's window; the guest's cursor blinks."""
        return place_of(pixels_of(guest.session.frame()), desk.picture(*REMMINA_SIZE)) is not None

    def takes_keys() -> bool:
        """What is struck before Remmina's drawing area has the focus is lost, and nothing shows when it has."""
        desk.type("x")
        with contextlib.suppress(AssertionError):
            guest.wait_serial("powers off.\nx", KEY_PATIENCE_S)
        return "powers off.\nx" in guest.serial

    wait_until(shows, lambda: f"the screen is not shown, {desk.has_client()=}", LIMIT_S)
    desk.focus()
    desk.act(f"mousemove {REMMINA_SIZE[0] // 2} {REMMINA_SIZE[1] // 2} click 1")  # or a button of Remmina's may have the focus within its window
    wait_until(takes_keys, lambda: "no key arrives", LIMIT_S)
    desk.type("hello ring one")
    guest.wait_screen("hello ring one", LIMIT_S)
    wait_until(shows, lambda: "what was typed is not shown", LIMIT_S)
    keep_screenshot(desk.picture(*REMMINA_SIZE), f"remmina-{security}")
    desk.type("\n")
    guest.wait_power_off(LIMIT_S)


@pytest.mark.parametrize("client", [with_client(name) for name in CLIENTS])
def test_desktop_follows_the_guest_into_graphics_and_back(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], client: str) -> None:
    guest = boot(BY_NAME["grub-cdrom"].machine())
    guest.wait_screen("GNU GRUB", LIMIT_S)
    desk.connect(CLIENTS[client][0].format(port=serve(guest).port))
    wait_until_shown(desk, guest, CLIENTS[client][1])
    text_size = guest.session.frame().width
    guest.type("c")
    for command in ("insmod all_video", "insmod videotest", "videotest 800x600"):
        tell_grub(guest, command)
    end = time.monotonic() + LIMIT_S
    while guest.session.frame().width == text_size:
        assert time.monotonic() < end, "the guest stayed in its text mode"
        time.sleep(POLL_S)
    wait_until_shown(desk, guest, CLIENTS[client][1])
    assert guest.session.frame().width == 800
    desk.type(" ")
    while guest.session.frame().width != text_size:
        assert time.monotonic() < end, "the guest stayed in its graphics mode"
        time.sleep(POLL_S)
    wait_until_shown(desk, guest, CLIENTS[client][1])


@pytest.mark.parametrize("client", [with_client(f"{program}-{way}") for program in FREERDPS for way in ("avc420", "default")])
def test_what_moves_is_a_video_and_what_rests_is_exact(desk: Desk, show_colours: Callable[[str], Guest], videos: deque[Picture], client: str) -> None:
    guest = show_colours(client)

    def shows_a_video() -> bool:
        """No two pictures of it are as much alike as a picture and its video; none would differ at all if it came without loss."""
        shown = desk.picture(colours.WIDTH, colours.HEIGHT).astype(int)
        differences = [np.abs(shown - picture) for picture in list(videos)]
        return any(0 < mean(difference) <= H264.limit for difference in differences) and all(map(largest, differences))

    wait_until(shows_a_video, lambda: f"{len(videos)} pictures went out as H.264, {desk.has_client()=}", LIMIT_S)
    keep_screenshot(desk.picture(colours.WIDTH, colours.HEIGHT), f"{client.split('-')[0]}-video")
    desk.type("x")
    guest.wait_serial(colours.RESTS, LIMIT_S)
    wait_until_shown(desk, guest, EXACT)


@pytest.mark.parametrize("client", [with_client(f"{program}-gfx") for program in FREERDPS])
def test_client_without_h264_gets_what_moves_without_loss(desk: Desk, show_colours: Callable[[str], Guest], videos: deque[Picture], client: str) -> None:
    """Its pictures have the guest's colours and no others."""
    guest = show_colours(client)
    shown: set[bytes] = set()

    def has_moved() -> bool:
        picture = desk.picture(colours.WIDTH, colours.HEIGHT)
        if picture.any(axis=2).all():
            shown.add(picture.tobytes())
        return len(shown) > 20

    wait_until(has_moved, lambda: f"{len(shown)} pictures were seen, {desk.has_client()=}", LIMIT_S)
    wanted = used_colours(guest.session.frame().pixels)
    assert len(wanted) == colours.COLOURS
    assert [len(used_colours(picture) - wanted) for picture in shown] == [0] * len(shown)
    assert not videos


@pytest.mark.parametrize(
    ("client", "password", "security", "exit_code"),
    [
        with_client("xfreerdp", "secret", "nla", LOGGED_ON),
        with_client("xfreerdp", "secret", "tls", LOGGED_ON),
        with_client("xfreerdp", "wrong", "nla", LOGON_FAILURE),
        with_client("xfreerdp", "wrong", "tls", NOT_LET_IN),
        with_client("xfreerdp3", "wrong", "nla", LOGON_FAILURE),
        with_client("xfreerdp3", "wrong", "tls", NOT_LET_IN),
    ],
)
def test_exit_code_says_whether_the_password_is_right(
    boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], client: str, password: str, security: str, exit_code: int
) -> None:
    """FreeRDP 3.10 cancels a connection of `+auth-only` that has succeeded, and ends with 131 for that."""
    frontend = serve(demo(boot))
    desk.connect(f"{client} {LOGON} /p:{password} /sec:{security} +auth-only".format(port=frontend.port))
    assert desk.exit_code() == exit_code
    assert frontend.endpoint().clients_so_far == (password == PASSWORD)


@pytest.mark.parametrize("client", [with_client("xfreerdp"), with_client("xfreerdp3")])
def test_end_of_the_console_is_told(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend], client: str) -> None:
    guest = demo(boot)
    frontend = serve(guest)
    desk.connect(CLIENTS[f"{client}-nla"][0].format(port=frontend.port))
    wait_until_shown(desk, guest)
    frontend.stop()
    assert desk.exit_code() == SWITCHED_OFF


@needs_xfreerdp
def test_keys_of_a_view_only_console_reach_nobody(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend]) -> None:
    guest = demo(boot)
    desk.connect(CLIENTS["xfreerdp-nla"][0].format(port=serve(guest, view_only=True).port))
    wait_until_shown(desk, guest)
    desk.type("\n")
    guest.type("typed here")
    guest.wait_screen("typed here", LIMIT_S)
    assert guest.session.state is MachineState.RUNNING


@needs_xfreerdp
def test_tls_only_server_turns_a_client_away_that_insists_on_nla(boot: Boot, desk: Desk, serve: Callable[..., RdpFrontend]) -> None:
    port = serve(demo(boot), security=SecurityMethod.TLS).port
    desk.connect(CLIENTS["xfreerdp-nla"][0].format(port=port))
    assert desk.exit_code() == NOTHING_IN_COMMON
