"""A machine as the API serves it: its session, and what is kept around it for those who ask."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from ringone.api.errors import StateError, UnknownNameError
from ringone.api.events import StateChanged
from ringone.api.frontends import VmSession
from ringone.api.snapshot import MachineKeeper

from ringone_control_api.event_hub import EventHub
from ringone_control_api.keyboard import Typist
from ringone_control_api.machine_calls import on_machine
from ringone_control_api.screen import Pictures
from ringone_control_api.serial_history import SerialHistory
from ringone_control_api.waiting import ENDED

T = TypeVar("T")


class ServedMachine:
    """`close` ends every stream, so that nobody keeps the server from ending."""

    def __init__(self, session: VmSession, log: Path | None) -> None:
        self.session = session
        self.log = log
        self.typist = Typist(session)
        self.pictures = Pictures()
        self.events = EventHub()
        self.serial: Mapping[int, SerialHistory] = {slot: SerialHistory() for slot in session.serial_lines}
        self.reason = ""
        """Why the machine is in its state, where somebody said so."""
        self.closed = False
        self._started = time.monotonic()
        self._forget: list[Callable[[], None]] = [line.listen(self.serial[slot].append) for slot, line in session.serial_lines.items()]
        self._forget.append(session.subscribe(self._observe))

    def _observe(self, event: object) -> None:
        if isinstance(event, StateChanged):
            self.reason = event.reason
        self.events.publish(event)

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def keeper(self) -> MachineKeeper:
        if self.session.keeper is None:
            raise StateError(f"{self.session.config.name!r} has no place on disk, and so no snapshots and no saved state")
        return self.session.keeper

    def history(self, slot: int) -> SerialHistory:
        if slot not in self.serial:
            raise UnknownNameError("serial port", str(slot), [str(known) for known in self.serial])
        return self.serial[slot]

    async def call(self, call: Callable[[], T]) -> T:
        return await on_machine(self.session, call)

    @property
    def ended(self) -> bool:
        return self.session.state in ENDED

    def close(self) -> None:
        self.closed = True
        for forget in self._forget:
            with contextlib.suppress(StateError):  # the session is closed, and nobody calls any more
                forget()
        self.events.close()
        for history in self.serial.values():
            history.append(b"")  # wakes those who follow it


def _served(request: Request) -> ServedMachine:
    machine: ServedMachine = request.app.state.machine
    return machine


Served = Annotated[ServedMachine, Depends(_served)]
