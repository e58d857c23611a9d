"""The way to the machine's thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

import attrs
from ringone.api.console import Frame

T = TypeVar("T")


class Machine(Protocol):
    """What the server uses of a `ringone.api.frontends.VmSession`. All but `request` is for the machine's thread, which `request` leads to."""

    def request(self, call: Callable[[], T]) -> Future[T]: ...
    def frame(self) -> Frame: ...
    def put_scancodes(self, codes: bytes) -> None: ...
    def keyboard_pending(self) -> int: ...
    def keyboard_leds(self) -> int: ...
    def move_mouse(self, dx: int, dy: int, dz: int = 0, buttons: int = 0) -> None: ...


@attrs.frozen
class Look:
    """A frame, and how long the machine's thread was busy with it."""

    frame: Frame
    cost_s: float


def look(machine: Machine) -> Look:
    started = time.perf_counter()
    frame = machine.frame()
    return Look(frame, time.perf_counter() - started)


async def on_machine(machine: Machine, call: Callable[[], T]) -> T:
    """Carry out `call` on the machine's thread; the event loop goes on meanwhile."""
    return await asyncio.wrap_future(machine.request(call))
