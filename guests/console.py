"""A machine with what a person would have in front of it: a serial terminal and a screen to wait at, and two keyboards to type on.

Waiting is in wall time and generous; it ends early where the machine ends, since what has not been said by then never will be.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

import attrs
from ringone.api.config import DriverConfig, MachineConfig, SerialPort
from ringone.api.events import MachineState
from ringone.api.frontends import VmSession
from ringone.machine import create_session
from ringone.plugins import PluginRegistry

ENDED = (MachineState.POWERED_OFF, MachineState.STUCK, MachineState.ABORTED)
COM1 = SerialPort(slot=0, io_base=0x3F8, irq=4)
POLL_S = 0.1

_PLAIN = {
    "`1234567890-=": 0x29,
    "qwertyuiop[]": 0x10,
    "asdfghjkl;'": 0x1E,
    "\\zxcvbnm,./": 0x2B,
}
_SHIFTED = dict(zip('~!@#$%^&*()_+{}:"|<>?', "`1234567890-=[];'\\,./", strict=True))
_OTHERS = {"\n": 0x1C, " ": 0x39, "\t": 0x0F, "\x1b": 0x01, "\b": 0x0E}
LEFT_SHIFT, LEFT_CTRL, BREAK = 0x2A, 0x1D, 0x80


def _keys() -> dict[str, int]:
    keys = dict(_OTHERS)
    for row, first in _PLAIN.items():
        code = first
        for character in row:
            keys[character] = code
            code = 0x02 if code == 0x29 else code + 1
    return keys


KEYS = _keys()
"""Character to set-1 make code on a US keyboard, without Shift."""


def scancodes(text: str) -> bytes:
    """Set-1 codes that type `text`; control characters are typed with Ctrl."""
    codes = bytearray()
    for character in text:
        modifier = 0
        if character not in KEYS and ord(character) < 0x20:
            modifier, character = LEFT_CTRL, chr(ord(character) + 0x60)
        elif character.isupper() or character in _SHIFTED:
            modifier, character = LEFT_SHIFT, _SHIFTED.get(character, character.lower())
        key = KEYS[character]
        stroke = bytes((key, key | BREAK))
        codes += bytes((modifier, *stroke, modifier | BREAK)) if modifier else stroke
    return bytes(codes)


class Line:
    """A serial line whose other end is this process; meets `ringone.api.drivers.CharStream`."""

    def __init__(self, listener: Callable[[bytes], None] = lambda data: None) -> None:
        self._listener = listener
        self._lock = threading.Condition()
        self._said = bytearray()
        self._typed = bytearray()
        self._received: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        with self._lock:
            self._said += data
            self._lock.notify_all()
        self._listener(data)

    def attach(self, received: Callable[[], None]) -> None:
        self._received = received

    def read(self, size: int) -> bytes:
        with self._lock:
            data = bytes(self._typed[:size])
            del self._typed[:size]
        return data

    def close(self) -> None:
        """Nothing is held."""

    @property
    def said(self) -> bytes:
        with self._lock:
            return bytes(self._said)

    def wait_for_more(self, timeout_s: float) -> None:
        with self._lock:
            before = len(self._said)
            self._lock.wait_for(lambda: len(self._said) > before, timeout_s)

    def type(self, session: VmSession, data: bytes) -> None:
        with self._lock:
            self._typed += data
        session.request(self._received).result()


class Guest:
    """A started machine. Use it as a context manager."""

    def __init__(self, config: MachineConfig, registry: PluginRegistry, *, listener: Callable[[bytes], None] = lambda data: None) -> None:
        self.line = Line(listener)
        com1 = DriverConfig(slot="com1.stream", instance=self.line)
        self.session: VmSession = create_session(attrs.evolve(config, serial_ports=(COM1,), drivers=(*config.drivers, com1)), registry)

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.session.close()

    def start(self) -> Guest:
        self.session.start()
        return self

    @property
    def serial(self) -> str:
        return self.line.said.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "")

    @property
    def screen(self) -> str:
        screen = self.session.text_screen()
        return "" if screen is None else screen.text()

    def type(self, text: str) -> None:
        """On the keyboard."""
        self.session.put_scancodes(scancodes(text))

    def send(self, text: str) -> None:
        """On the serial line."""
        self.line.type(self.session, text.encode())

    def wait_serial(self, text: str, timeout_s: float, *, after: int = 0) -> str:
        return self._wait("the serial line", lambda: self.serial, text, timeout_s, after)

    def wait_screen(self, text: str, timeout_s: float) -> str:
        return self._wait("the screen", lambda: self.screen, text, timeout_s, 0)

    def wait_power_off(self, timeout_s: float) -> None:
        state = self.session.wait(timeout_s)
        if state is not MachineState.POWERED_OFF:
            raise AssertionError(f"the machine is in state {state.value} and not powered off after {timeout_s} s{self._story()}")

    def _wait(self, where: str, read: Callable[[], str], text: str, timeout_s: float, after: int) -> str:
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self.session.state in ENDED
            content = read()
            if text in content[after:]:
                return content
            if ended or time.monotonic() > deadline:
                why = f"ended ({self.session.state.value})" if ended else f"took more than {timeout_s} s"
                raise AssertionError(f"{text!r} did not come on {where}: the machine {why}{self._story()}")
            self.line.wait_for_more(POLL_S)

    def _story(self) -> str:
        error = self.session.error
        return f"\n{'' if error is None else f'error: {error}'}\n--- serial\n{self.serial[-3000:]}\n--- screen\n{self.screen}"
