"""Any picture, of any size, is the same on the screens of the real clients; every key they have arrives."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from ringone.api.console import Frame
from ringone.api.errors import StateError
from ringone.api.frontends import VmSession
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.config import RdpOptions, WhenFull
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.scancodes import PAUSE

from plugins.frontend_rdp.tests.desk import PROGRAMS, Console, Desk, new_desk, wait_until
from plugins.frontend_rdp.tests.test_server import Peer

pytestmark = [pytest.mark.rdp_client, pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"needs {', '.join(PROGRAMS)}")]

EXACT, RGB565 = 0, 7
CLIPBOARD_OWNER = """
import tkinter
window = tkinter.Tk()
window.geometry("8x8+1200+1000")
window.clipboard_append("Zx 1!")
window.update()
print("copied", flush=True)
window.mainloop()
"""
CTRL_AND_ALT, TYPED = bytes.fromhex("1d 38 b8 9d"), bytes.fromhex("2a 2c ac aa 2d ad 39 b9 02 82 2a 02 82 aa")
XFREERDP = "xfreerdp /v:127.0.0.1:{port} /cert:ignore /sec:tls /u:nobody /p:nothing"
XFREERDP3 = XFREERDP.replace("xfreerdp", "xfreerdp3") + " -clipboard"
CLIENTS = {
    "xfreerdp": (XFREERDP, EXACT),
    "xfreerdp-16bpp": (XFREERDP + " /bpp:16", RGB565),
    "xfreerdp3": (XFREERDP3, EXACT),
    "xfreerdp3-16bpp": (XFREERDP3 + " /bpp:16", RGB565),
    "rdesktop": ("rdesktop -u nobody -a 32 127.0.0.1:{port}", EXACT),
    "rdesktop-16bpp": ("rdesktop -u nobody -a 16 127.0.0.1:{port}", RGB565),
}

SIZES = {"VGA text": (720, 400), "VBE": (1024, 768), "CGA": (320, 200), "odd": (641, 479), "one tile": (200, 200)}

X_FIRST_KEYCODE = 8
KEY_PATIENCE_S = 2
EXTENDED_KEYS = {96: 0x1C, 97: 0x1D, 98: 0x35, 99: 0x37, 100: 0x38, 102: 0x47, 103: 0x48, 104: 0x49, 105: 0x4B, 106: 0x4D, 107: 0x4F, 108: 0x50, 109: 0x51}
EXTENDED_KEYS |= {110: 0x52, 111: 0x53, 125: 0x5B, 126: 0x5C, 127: 0x5D}
PAUSE_KEY = 119
KEYS = {
    **{code: bytes((code, code | 0x80)) for code in range(1, 89) if code not in (84, 85)},
    **{code: bytes((0xE0, set1, 0xE0, set1 | 0x80)) for code, set1 in EXTENDED_KEYS.items()},
    PAUSE_KEY: PAUSE,
}
"""Numbers of Linux's input-event-codes.h, which are those of set 1 for the keys of the PC/XT keyboard, and what the keys send."""


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def port(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "ringone"))
    frontend = RdpFrontend(RdpOptions(port="0", clipboard=True))
    frontend.start(cast(VmSession, console))
    yield frontend.port
    frontend.stop()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with new_desk(tmp_path) as desk:
        yield desk


def drawings(width: int, height: int) -> Iterator[Picture]:
    """Noise, shades, stripes and dots: what run lengths and differences go wrong with."""
    generator = np.random.default_rng(width)
    noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    shades = np.stack([x, y, x + y], axis=-1).astype(np.uint8)
    stripes = np.where((x // 5 + y // 3 & 1)[:, :, None] == 0, noise[:1], noise[:, :1])
    yield noise
    yield shades
    yield stripes
    yield np.where(generator.random((height, width, 1)) < 0.001, noise, stripes)


def wait_until_shown(desk: Desk, picture: Picture, tolerance: int) -> None:
    height, width, _ = picture.shape

    def difference() -> int:
        return int(np.abs(desk.picture(width, height).astype(int) - picture).max())

    wait_until(lambda: difference() <= tolerance, lambda: f"{width}x{height}: the screen differs by {difference()}, the client {desk.has_client()=}")


def struck(console: Console, desk: Desk, number: int, wanted: bytes) -> bytes:
    console.keys.clear()
    desk.strike([X_FIRST_KEYCODE + number])
    with contextlib.suppress(AssertionError):
        wait_until(lambda: len(console.keys) >= len(wanted), lambda: "", KEY_PATIENCE_S)
    return bytes(console.keys)


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_show_what_the_machine_shows(console: Console, port: int, desk: Desk, client: str) -> None:
    """In the size they connect with and in all that follow."""
    command, tolerance = CLIENTS[client]
    if not shutil.which(command.split()[0]):
        pytest.skip(f"needs {command.split()[0]}")
    connected = False
    for size in SIZES.values():
        for picture in drawings(*size):
            console.show(picture)
            if not connected:
                desk.connect(command.format(port=port))
                connected = True
            wait_until_shown(desk, picture, tolerance)


@pytest.mark.skipif(not shutil.which("xfreerdp"), reason="needs xfreerdp")
def test_every_key_of_the_keyboard_arrives(console: Console, port: int, desk: Desk) -> None:
    picture = next(drawings(*SIZES["VGA text"]))
    console.show(picture)
    desk.connect(XFREERDP.format(port=port))
    wait_until_shown(desk, picture, EXACT)
    desk.focus()
    console.keys.clear()
    missed = {number: arrived.hex(" ") for number, codes in KEYS.items() if (arrived := struck(console, desk, number, codes)) != codes}
    assert not missed


@pytest.mark.skipif(not shutil.which("xfreerdp") or importlib.util.find_spec("tkinter") is None, reason="needs xfreerdp and tkinter")
def test_text_of_the_clipboard_is_typed(console: Console, port: int, desk: Desk) -> None:
    picture = next(drawings(*SIZES["VGA text"]))
    console.show(picture)
    with subprocess.Popen([sys.executable, "-c", CLIPBOARD_OWNER], env={**os.environ, "DISPLAY": desk.display}, stdout=subprocess.PIPE) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"copied\n"
            desk.connect(XFREERDP.format(port=port) + " +clipboard")
            wait_until_shown(desk, picture, EXACT)
            desk.focus()

            def typed() -> bool:
                """The client may not have said yet that there is a text."""
                console.keys.clear()
                desk.chord("ctrl+alt+v")
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: TYPED in console.keys, lambda: "", KEY_PATIENCE_S)
                return bytes(console.keys) == CTRL_AND_ALT + TYPED

            wait_until(typed, lambda: console.keys.hex(" "))
        finally:
            owner.kill()


def switch_off(frontend: RdpFrontend, patch: pytest.MonkeyPatch) -> None:
    frontend.stop()


def end_machine(frontend: RdpFrontend, patch: pytest.MonkeyPatch) -> None:
    def ended(_: Console) -> Frame:
        raise StateError("the machine is off")

    patch.setattr(Console, "frame", ended)


def take_over(frontend: RdpFrontend, patch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Peer(frontend.port).log_on()) as peer:
        peer.read_picture()


@pytest.mark.parametrize(("end", "exit_code"), [(switch_off, 1), (take_over, 5), (end_machine, 12)], ids=["switched-off", "taken-over", "machine-off"])
@pytest.mark.parametrize("client", ["xfreerdp", "xfreerdp3", "rdesktop"])
def test_exit_code_says_why_the_connection_was_ended(
    console: Console, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str, end: Callable[..., None], exit_code: int
) -> None:
    if not shutil.which(client):
        pytest.skip(f"needs {client}")
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "ringone"))
    frontend = RdpFrontend(RdpOptions(port="0", max_clients=1, when_full=WhenFull.TAKE_OVER))
    frontend.start(cast(VmSession, console))
    try:
        (picture, *_) = drawings(640, 480)
        console.show(picture)
        desk.connect(CLIENTS[client][0].format(port=frontend.port))
        wait_until_shown(desk, picture, EXACT)
        end(frontend, monkeypatch)
        assert desk.exit_code() == exit_code
    finally:
        frontend.stop()
