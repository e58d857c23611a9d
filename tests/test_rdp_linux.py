"""Keys and mouse of real RDP clients in a real Linux: each key and button arrives as what it is, and a shell on the screen answers."""

from __future__ import annotations

import contextlib
import re
import shutil
import string
import struct
from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest
from _pytest.mark import ParameterSet
from ringone.plugins import PluginRegistry
from ringone_frontend_rdp.config import RdpOptions
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.input import FASTPATH_KBDFLAGS_RELEASE as RELEASE
from ringone_frontend_rdp.input import FastPath
from ringone_frontend_rdp.scancodes import BREAK, LOCKS

from guests.catalog import BY_NAME
from guests.console import Guest
from guests.initramfs import SHELL
from plugins.frontend_rdp.tests.desk import PROGRAMS, Desk, new_desk, wait_until
from plugins.frontend_rdp.tests.test_real_clients import KEYS, X_FIRST_KEYCODE
from plugins.frontend_rdp.tests.test_server import Peer

pytestmark = [
    pytest.mark.rdp_client,
    pytest.mark.guest,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"needs {', '.join(PROGRAMS)}"),
]

BOOT_S, LIMIT_S = 180, 60
CLIENTS = {
    "xfreerdp": "xfreerdp /v:127.0.0.1:{port} /cert:ignore /sec:tls /u:nobody /p:nothing",
    "xfreerdp3": "xfreerdp3 /v:127.0.0.1:{port} /cert:ignore /sec:tls /u:nobody /p:nothing -clipboard",
    "rdesktop": "rdesktop -u nobody -a 32 127.0.0.1:{port}",
}
PRINTABLE = string.digits + " " + string.ascii_letters + string.punctuation

# Linux's input-event-codes.h, and its struct input_event where long has 32 bits.
EVENT = struct.Struct("<8xHHi")
EV_KEY, EV_REL = 1, 2
KEY_A = 30
REL_X, REL_Y, REL_WHEEL = 0, 1, 8
RELEASED, PRESSED, REPEATED = range(3)
BUTTONS = {"1": 0x110, "2": 0x112, "3": 0x111, "8": 0x113, "9": 0x114}
"""X's numbers of left, middle, right, side and extra."""
WHEEL_UP, WHEEL_DOWN = "4", "5"
Event = tuple[int, int, int]


@attrs.frozen
class Linux:
    guest: Guest
    port: int

    def ask(self, command: str) -> str:
        """What the shell on the serial line says."""
        start = len(self.guest.serial)
        self.guest.send(f"{command}; echo asked-$?\n")
        return self.guest.wait_serial("\nasked-0", LIMIT_S, after=start)[start:]

    def unlock(self) -> None:
        for code, light in LOCKS.items():
            if self.guest.session.keyboard_leds() & light:
                self.guest.session.put_scancodes(bytes((code,)))
                wait_until(lambda light=light: not self.guest.session.keyboard_leds() & light, lambda: "a lock stays on", LIMIT_S)  # type: ignore[misc]
                self.guest.session.put_scancodes(bytes((code | BREAK,)))

    def watch(self, name: str) -> Watch:
        """The input device with this name."""
        listing = self.ask("cat /proc/bus/input/devices")
        found = re.search(rf'Name="{name}".*?Handlers=[^\n]*\b(event\d)', listing, re.DOTALL)
        assert found is not None, listing
        start = len(self.guest.serial)
        self.ask(f"""hexdump -v -e '16/1 "%02x" "\\n"' /dev/input/{found[1]} & until ls -l /proc/$!/fd | grep -q input; do usleep 100000; done""")
        return Watch(self, start)


@attrs.frozen
class Watch:
    """hexdump in the guest, which says on the serial line what an input device sends."""

    _linux: Linux
    _start: int

    def events(self) -> list[Event]:
        """Of keys and buttons and of movements. The first stands behind the shell's prompt."""
        lines = re.findall(r"[0-9a-f]{32}$", self._linux.guest.serial[self._start :], re.MULTILINE)
        events = [EVENT.unpack(bytes.fromhex(line)) for line in lines]
        return [event for event in events if event[0] in (EV_KEY, EV_REL) and event != (EV_KEY, event[1], REPEATED)]

    def end(self) -> None:
        self._linux.ask("kill $!")


@pytest.fixture(scope="module")
def linux(registry: PluginRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linux]:
    """One for all tests, with shells on the serial line and on the screen."""
    with pytest.MonkeyPatch.context() as patch, Guest(BY_NAME["linux-686"].machine(append="console=ttyS0 guest=shell"), registry).start() as guest:
        patch.setenv("RINGONE_HOME", str(tmp_path_factory.mktemp("home")))
        guest.wait_serial(SHELL, BOOT_S)
        guest.wait_serial("/ #", BOOT_S)
        guest.send("setsid sh -c 'exec sh -i <>/dev/tty1 >&0 2>&0' &\n")
        guest.wait_screen("/ #", LIMIT_S)
        frontend = RdpFrontend(RdpOptions(port="0"))
        frontend.start(guest.session)
        try:
            yield Linux(guest, frontend.port)
        finally:
            frontend.stop()


def every(*names: str) -> list[ParameterSet]:
    return [pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"needs {name}")) for name in names]


@pytest.fixture(params=every(*CLIENTS))
def desk(request: pytest.FixtureRequest, linux: Linux, tmp_path: Path) -> Iterator[Desk]:
    """With a client that shows the guest's screen and has the focus, and keys that do not repeat."""
    with new_desk(tmp_path, "-r") as desk:
        desk.connect(CLIENTS[request.param].format(port=linux.port))

        def shows() -> bool:
            frame = linux.guest.session.frame()
            return bool((desk.picture(frame.width, frame.height) == np.frombuffer(frame.pixels, np.uint8).reshape(frame.height, frame.width, 3)).all())

        wait_until(shows, lambda: f"the screen is not shown, {desk.has_client()=}", LIMIT_S)
        desk.focus()
        yield desk


def test_every_printable_character_reaches_a_shell_on_the_screen(linux: Linux, desk: Desk) -> None:
    linux.ask("printf '\\033[H\\033[J' >/dev/tty1")
    quoted = PRINTABLE.replace("'", "'\\''")
    start = len(linux.guest.serial)
    desk.write(f"echo '{quoted}' >/dev/ttyS0; echo '{quoted}'")
    desk.type("\n")
    linux.guest.wait_serial(PRINTABLE, LIMIT_S, after=start)
    wait_until(lambda: PRINTABLE in linux.guest.screen.replace("\n", ""), lambda: linux.guest.screen)


def hold_lock(linux: Linux, desk: Desk, number: int) -> None:
    """Until its light has changed: Linux 6.1 loses what a keyboard sends meanwhile."""
    lights = linux.guest.session.keyboard_leds()
    desk.act(f"keydown {X_FIRST_KEYCODE + number:03}")
    wait_until(lambda: linux.guest.session.keyboard_leds() != lights, lambda: f"the light of key {number} stays as it is", LIMIT_S)
    desk.act(f"keyup {X_FIRST_KEYCODE + number:03}")


@pytest.mark.parametrize("desk", every("xfreerdp", "xfreerdp3"), indirect=True)
def test_every_key_reaches_linux_as_what_it_is(linux: Linux, desk: Desk) -> None:
    """rdesktop keeps the lock keys to itself, and tells what they have made of the locks."""
    watch = linux.watch("AT Translated Set 2 keyboard")
    wanted: list[Event] = []
    try:
        for number in KEYS:
            if number in LOCKS:
                hold_lock(linux, desk, number)
            else:
                desk.strike([X_FIRST_KEYCODE + number])
            wanted += [(EV_KEY, number, how) for how in (PRESSED, RELEASED)]
            wait_until(lambda: watch.events() == wanted, lambda number=number: f"key {number}: {watch.events()[-4:]}", LIMIT_S)  # type: ignore[misc]  # noqa: B023
    finally:
        watch.end()
        linux.unlock()


def test_locks_come_in_step_however_many_differ(linux: Linux) -> None:
    """And what is typed right behind is not lost."""
    watch = linux.watch("AT Translated Set 2 keyboard")
    wanted: list[Event] = []
    try:
        with contextlib.closing(Peer(linux.port)) as peer:
            peer.log_on().read_picture()
            for locks in (0b111, 0b000, 0b111, 0b010, 0b101, 0b000):
                struck = [code for code, light in LOCKS.items() if (linux.guest.session.keyboard_leds() ^ locks) & light]
                peer.socket.sendall(bytes((3 << 2, 7, FastPath.SYNC << 5 | locks, 0, KEY_A, RELEASE, KEY_A)))
                wanted.extend((EV_KEY, code, how) for code in (*struck, KEY_A) for how in (PRESSED, RELEASED))
                wait_until(lambda: watch.events() == wanted, lambda: f"{watch.events()}, wanted: {wanted}", LIMIT_S)
                assert linux.guest.session.keyboard_leds() == locks
    finally:
        watch.end()
        linux.unlock()


def test_mouse_reaches_linux_with_five_buttons_and_a_wheel(linux: Linux, desk: Desk) -> None:
    desk.act("mousemove 100 100")
    watch = linux.watch("ImExPS/2 Generic Explorer Mouse")
    desk.act("mousemove 160 130", "sleep 0.2", "mousemove 150 180")

    def moved(axis: int) -> int:
        return sum(value for kind, code, value in watch.events() if (kind, code) == (EV_REL, axis))

    try:
        wait_until(lambda: (moved(REL_X), moved(REL_Y)) == (50, 80), lambda: f"{watch.events()}", LIMIT_S)
        start = len(watch.events())
        desk.act(*(f"click {button} sleep 0.1" for button in (*BUTTONS, WHEEL_UP, WHEEL_DOWN)))
        clicks = [(EV_KEY, code, how) for code in BUTTONS.values() for how in (PRESSED, RELEASED)]
        wanted = [*clicks, (EV_REL, REL_WHEEL, 1), (EV_REL, REL_WHEEL, -1)]
        wait_until(lambda: watch.events()[start:] == wanted, lambda: f"{watch.events()[start:]}", LIMIT_S)
    finally:
        watch.end()
