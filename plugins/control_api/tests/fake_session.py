"""A machine that is only as real as typing and waiting need it: a screen, a clock, a keyboard that a guest empties, a BIOS with its buffer."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from ringone.api.console import TextScreen
from ringone.api.events import MachineState, StateChanged

T = TypeVar("T")

PALETTE = tuple((85 * (n & 3), 85 * (n & 3), 85 * (n >> 2)) for n in range(16))
RING = range(0x1E, 0x3E, 2)
"""Offsets of the BIOS's buffer."""


def text_screen(text: str, *, columns: int = 80, rows: int = 25, cursor: tuple[int, int] | None = (0, 0)) -> TextScreen:
    lines = [line.encode("cp437").ljust(columns)[:columns] for line in text.split("\n")]
    codes = b"".join(lines).ljust(columns * rows)
    return TextScreen(columns, rows, b"".join(bytes((code, 7)) for code in codes), cursor, PALETTE)


class FakeSession:
    """Every call that comes through `request` lets the guest go on for `step_ns`; `tick` is what happens then."""

    def __init__(self, *, step_ns: int = 1_000_000, tick: Callable[[FakeSession], None] = lambda session: None) -> None:
        self.state = MachineState.RUNNING
        self.screen: TextScreen | None = text_screen("")
        self.generation = 1
        self.now_ns = 0
        self.calls = 0
        self.observers: list[Callable[[object], None]] = []
        self._step_ns = step_ns
        self._tick = tick

    def request(self, call: Callable[[], T]) -> Future[T]:
        self.calls += 1
        if self.state is MachineState.RUNNING:
            self.now_ns += self._step_ns
            self._tick(self)
        future: Future[T] = Future()
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        return future

    def subscribe(self, observer: Callable[[object], None]) -> Callable[[], None]:
        self.observers.append(observer)
        return lambda: self.observers.remove(observer)

    def enter(self, state: MachineState) -> None:
        old, self.state = self.state, state
        for observer in self.observers:
            observer(StateChanged(old, state))

    def show(self, screen: TextScreen | None) -> None:
        self.screen = screen
        self.generation += 1

    def text_screen(self) -> TextScreen | None:
        return self.screen

    def frame_generation(self) -> int:
        return self.generation

    def virtual_ns(self) -> int:
        return self.now_ns


class Typewriter(FakeSession):
    """Takes `pace` bytes of a set-1 stream each time it goes on."""

    def __init__(self, pace: int) -> None:
        super().__init__(tick=lambda session: self._take())
        self.queue = b""
        self.taken = b""
        self.longest_queue = 0
        self._pace = pace

    def put_scancodes(self, codes: bytes) -> None:
        self.queue += codes
        self.longest_queue = max(self.longest_queue, len(self.queue))

    def keyboard_pending(self) -> int:
        return len(self.queue)

    def read_memory(self, address: int, size: int) -> bytes:
        assert (address, size) == (0x41A, 4)
        return struct.pack("<HH", RING[0], RING[0])

    def _take(self) -> None:
        taken, self.queue = self.queue[: self._pace], self.queue[self._pace :]
        self.taken += taken


class BiosTypewriter(Typewriter):
    """Its BIOS puts make codes into the ring buffer and drops those for which there is no room; a slow program reads one at a time."""

    def __init__(self, pace: int) -> None:
        super().__init__(pace)
        self.read = b""
        self._ring: dict[int, int] = {}
        self._head = self._tail = 0

    def read_memory(self, address: int, size: int) -> bytes:
        assert (address, size) == (0x41A, 4)
        return struct.pack("<HH", RING[self._head], RING[self._tail])

    def _take(self) -> None:
        before = len(self.taken)
        super()._take()
        for code in self.taken[before:]:
            following = (self._tail + 1) % len(RING)
            if code < 0x80 and code != 0x2A and following != self._head:
                self._ring[self._tail] = code
                self._tail = following
        if self._head != self._tail and self.calls % 3 == 0:
            self.read += bytes((self._ring[self._head],))
            self._head = (self._head + 1) % len(RING)


def as_session(fake: FakeSession) -> Any:
    return fake
