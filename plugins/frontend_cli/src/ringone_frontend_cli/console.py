"""The person at the terminal: raw keys, the menu behind Ctrl-], and who reads what.

With a screen, keys go to the guest's keyboard. With a serial line on standard input and output, the host driver ``stdio`` keeps reading descriptor 0, which is
then a pipe that receives what was typed except for the menu's keys. Either needs a POSIX terminal; elsewhere a run is watched without one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ringone.api.errors import ConfigError, DeviceError, RingOneError, StateError
from ringone.api.events import MachineState
from ringone.api.frontends import VmSession

from ringone_frontend_cli import terminal
from ringone_frontend_cli.endings import Ending, Endings, EndKind, MachineWatch
from ringone_frontend_cli.input import CTRL_ALT_DELETE, ESC_TIMEOUT_S, Key, KeyDecoder, scancodes

ESCAPE_BYTE = 0x1D
ESCAPE_KEY = Key("]", ctrl=True)
FRAME_S = 0.04
PICTURE_S = 0.2
"""Between looks at the guest's screen, in text and in graphics modes."""
IDLE_S = 0.5
FALLBACK_SIZE = (80, 24)

MENU_LINE = " p pause/resume  r reset  b power button  q power off  s screenshot  d Ctrl-Alt-Del  ? help  Ctrl-] send "
HELP_LINE = " Ctrl-] opens this menu; Ctrl-] again sends Ctrl-] to the guest; any other key goes back "


class Console(Protocol):
    """`connected` surrounds the machine's life; `serve` stays with it until its run ends."""

    def connected(self) -> contextlib.AbstractContextManager[None]: ...
    def serve(self, session: VmSession, watch: MachineWatch, endings: Endings) -> Ending: ...


class Unattended:
    """Nobody: the run ends by itself, by its timeout or by a signal."""

    def connected(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def serve(self, session: VmSession, watch: MachineWatch, endings: Endings) -> Ending:
        while True:
            ending = endings.wait(IDLE_S)
            if ending is not None:
                return ending


class Menu:
    """What the key behind Ctrl-] does; `choose` returns what there is to say about it. `send` passes Ctrl-] to the guest."""

    def __init__(self, session: VmSession, watch: MachineWatch, endings: Endings, send: Callable[[], None]) -> None:
        self._session = session
        self._watch = watch
        self._endings = endings
        self._send = send
        self._actions: dict[str, Callable[[], str]] = {
            "p": self._pause,
            "r": self._reset,
            "b": self._power_button,
            "q": self._power_off,
            "s": self._screenshot,
            "d": self._ctrl_alt_delete,
            "?": lambda: HELP_LINE,
            "\x1d": self._pass_on,
        }

    def choose(self, key: str) -> str:
        action = self._actions.get(key)
        if action is None:
            return ""
        try:
            return action()
        except (RingOneError, OSError) as error:
            return f" {error} "

    def _pause(self) -> str:
        if self._session.state is MachineState.PAUSED:
            self._session.resume()
            return ""
        self._session.pause()
        return " paused; Ctrl-] p resumes "

    def _reset(self) -> str:
        self._watch.reset_machine()
        return ""

    def _power_button(self) -> str:
        self._session.press_power_button()
        return " power button pressed "

    def _power_off(self) -> str:
        self._endings.put(EndKind.POWERED_OFF, "by the user")
        return ""

    def _screenshot(self) -> str:
        return f" saved {save_screenshot(self._session)} "

    def _ctrl_alt_delete(self) -> str:
        self._session.put_scancodes(scancodes(CTRL_ALT_DELETE))
        return ""

    def _pass_on(self) -> str:
        self._send()
        return ""


def save_screenshot(session: VmSession) -> Path:
    """A PNG in the current folder, under a name that is not taken."""
    from PIL import Image

    frame = session.frame()
    stem = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', session.config.name)}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 0
    while True:
        path = Path(f"{stem}{f'-{number}' if number else ''}.png")
        try:
            with path.open("xb") as file:
                Image.frombytes("RGB", (frame.width, frame.height), frame.pixels).save(file, "PNG")
            return path
        except FileExistsError:
            number += 1


class ScreenConsole:
    """The guest's screen and keyboard. `last_warning` gives what was logged meanwhile, for the status line."""

    def __init__(self, last_warning: Callable[[], str] = lambda: "") -> None:
        self._last_warning = last_warning
        self._decoder = KeyDecoder()
        self._in_menu = False
        self._generation = -1
        self._next_look = 0.0
        self._size = _terminal_size()
        self._painter = terminal.Painter(*self._size, terminal.TrueColours() if _has_true_colours() else terminal.FewColours())

    def connected(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def serve(self, session: VmSession, watch: MachineWatch, endings: Endings) -> Ending:
        menu = Menu(session, watch, endings, lambda: session.put_scancodes(scancodes(ESCAPE_KEY)))
        with raw_terminal(0):
            write_all(1, terminal.ENTER)
            try:
                while (ending := endings.wait(0)) is None:
                    self._take_keys(session, menu, endings)
                    with contextlib.suppress(DeviceError):  # it has aborted the machine, which ends the run
                        self._show(session)
                return ending
            finally:
                with contextlib.suppress(OSError):
                    write_all(1, terminal.LEAVE)

    def _take_keys(self, session: VmSession, menu: Menu, endings: Endings) -> None:
        ready, _, _ = select.select([0], [], [], ESC_TIMEOUT_S if self._decoder.waiting else FRAME_S)
        if ready:
            keys = self._decoder.feed(read_terminal(0, endings))
        else:
            keys = self._decoder.flush()
        for key in keys:
            self._press(key, session, menu)

    def _press(self, key: Key, session: VmSession, menu: Menu) -> None:
        if self._in_menu:
            self._in_menu = False
            self._painter.status = menu.choose("\x1d" if key == ESCAPE_KEY else key.name)
        elif key == ESCAPE_KEY:
            self._in_menu = True
            self._painter.status = MENU_LINE
        else:
            if session.state is MachineState.RUNNING:
                self._painter.status = ""
            with contextlib.suppress(StateError):
                session.put_scancodes(scancodes(key))
        self._generation = -1

    def _show(self, session: VmSession) -> None:
        size, warning = _terminal_size(), self._last_warning()
        if size != self._size:
            self._size = size
            self._painter.resize(*size)
            self._generation = -1
        if warning:
            self._painter.status = f" {warning} "
            self._generation = -1
        if self._generation >= 0 and time.monotonic() < self._next_look:
            return
        generation = session.frame_generation()
        if generation == self._generation:
            return
        self._generation = generation
        screen = session.text_screen()
        drawn = self._painter.picture(session.frame()) if screen is None else self._painter.text(screen)
        self._next_look = time.monotonic() + (PICTURE_S if screen is None else 0)
        write_all(1, drawn)


class LineConsole:
    """A serial line or debug console on standard input and output: what is typed goes through a pipe to the machine's ``stdio`` driver."""

    def __init__(self) -> None:
        self._in_menu = False
        self._keyboard = -1
        self._to_driver = -1

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        self._keyboard = os.dup(0)
        from_keyboard, self._to_driver = os.pipe()
        os.set_blocking(self._to_driver, False)
        os.dup2(from_keyboard, 0)
        os.close(from_keyboard)
        try:
            yield
        finally:
            os.close(self._to_driver)
            os.dup2(self._keyboard, 0)
            os.close(self._keyboard)

    def serve(self, session: VmSession, watch: MachineWatch, endings: Endings) -> Ending:
        menu = Menu(session, watch, endings, lambda: self._send(bytes((ESCAPE_BYTE,))))
        with raw_terminal(self._keyboard):
            while (ending := endings.wait(0)) is None:
                ready, _, _ = select.select([self._keyboard], [], [], FRAME_S)
                if ready:
                    self._take(read_terminal(self._keyboard, endings), menu)
            return ending

    def _take(self, data: bytes, menu: Menu) -> None:
        while data:
            if self._in_menu:
                self._in_menu = False
                key, data = data[:1], data[1:]
                self._say(menu.choose(key.decode("latin-1")))
            else:
                typed, escape, data = data.partition(bytes((ESCAPE_BYTE,)))
                self._send(typed)
                if escape:
                    self._in_menu = True
                    self._say(MENU_LINE)

    def _send(self, data: bytes) -> None:
        try:
            os.write(self._to_driver, data)
        except BlockingIOError:
            write_all(1, "\a")

    def _say(self, text: str) -> None:
        if text:
            write_all(1, f"\r\n[{text.strip()}]\r\n")


@contextlib.contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Every key arrives at once, Ctrl-C included; output is left as it was. What was typed and not read is forgotten at the end."""
    import termios

    saved, mode = termios.tcgetattr(descriptor), termios.tcgetattr(descriptor)
    mode[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INLCR | termios.IGNCR | termios.INPCK | termios.ISTRIP | termios.IXON)
    mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSANOW, mode)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)
            termios.tcsetattr(descriptor, termios.TCSANOW, saved)


def has_terminal() -> bool:
    """Whether standard input and output are a terminal that can be put into raw mode."""
    return importlib.util.find_spec("termios") is not None and os.isatty(0) and os.isatty(1)


def require_terminal() -> None:
    if importlib.util.find_spec("termios") is None:
        raise ConfigError("--display terminal needs a POSIX terminal, which this host does not have; accepted here: none")
    if not has_terminal():
        raise ConfigError("--display terminal: standard input and output are no terminal; use --display none")


def read_terminal(descriptor: int, endings: Endings) -> bytes:
    """What was typed. A terminal that is gone ends the run."""
    try:
        data = os.read(descriptor, 4096)
    except OSError:
        data = b""
    if not data:
        endings.interrupt(signal.SIGHUP, "the terminal is gone")
    return data


def write_all(descriptor: int, text: str) -> None:
    view = memoryview(text.encode())
    while view:
        view = view[os.write(descriptor, view) :]


def _terminal_size() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return FALLBACK_SIZE
    return (size.columns, size.lines) if size.columns and size.lines else FALLBACK_SIZE


def _has_true_colours() -> bool:
    return os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
