"""A machine that tests share: booted once, put back to its checkpoint before each of them."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from ringone.api.errors import DriverError, LockedError, RingOneError
from ringone.api.events import MachineState

from pytest_ringone.evidence import Capture, capture
from pytest_ringone.plan import Disks, MachinePlan

if TYPE_CHECKING:
    from ringone.client import Event, Machine

MAX_EVENTS = 1000


class SharedMachine:
    """Starts with the first `rewind`. Where its process has died, the next `rewind` boots again."""

    def __init__(self, plan: MachinePlan) -> None:
        self.plan = plan
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        """Of the running test."""
        self.serial_start = 0
        """Where the running test's serial output begins."""
        self.not_ready: Capture | None = None
        """The machine when it should have been ready and was not."""
        self._hopeless: RingOneError | None = None
        """Why it did not get ready, which it will not do for the next test either."""
        self._machine: Machine | None = None
        self._checkpoint = 0
        self._state = MachineState.RUNNING
        self._life = contextlib.ExitStack()

    def rewind(self) -> Machine:
        """The machine as it was when it was ready."""
        if self._hopeless is not None:
            raise self._hopeless
        machine = self._machine
        if machine is not None:
            try:
                self._go_back(machine)
            except DriverError:
                self.close()
                machine = None
        if machine is None:
            machine = self._boot()
        self.events.clear()
        self.serial_start = machine.serial.position
        return machine

    def close(self) -> None:
        """Leave nothing behind."""
        self._machine = None
        self._life.close()

    def _go_back(self, machine: Machine) -> None:
        machine.roll_back(self._checkpoint)
        if machine.state is not self._state:
            machine.resume()

    def _boot(self) -> Machine:
        with contextlib.ExitStack() as life:
            machine = life.enter_context(self._started(life))
            self._listen(machine)
            try:
                self._wait_until_ready(machine)
            except RingOneError as error:
                self.not_ready = capture(machine, 0)
                self._hopeless = error
                raise
            self._checkpoint = machine.take_checkpoint()
            self._state = machine.state
            machine.roll_back(self._checkpoint)
            self._life = life.pop_all()
        self._machine = machine
        return machine

    def _started(self, life: contextlib.ExitStack) -> Machine:
        from ringone.client import Machine
        from ringone.client.copies import copy_machine
        from ringone.client.places import STAY, answers, place_of

        plan = self.plan
        if plan.disks is Disks.KEEP:
            place = place_of(plan.machine, plan.home, STAY)
            if answers(place.socket):
                raise LockedError(f"{plan.id!r} runs already; with disks={plan.disks.value}, tests need the machine for themselves, in one worker")
            return Machine(place)
        folder = Path(life.enter_context(tempfile.TemporaryDirectory(prefix="ringone-")))
        return Machine(place_of(copy_machine(plan.machine, folder, home=plan.home, snapshot=plan.snapshot), folder, STAY))

    def _wait_until_ready(self, machine: Machine) -> None:
        plan = self.plan
        if plan.ready:
            machine.screen.wait_for(plan.ready, plan.timeout_s, clock="wall")
        if plan.ready_serial:
            machine.serial.wait_for(plan.ready_serial, plan.timeout_s, clock="wall")

    def _listen(self, machine: Machine) -> None:
        def listen() -> None:
            with contextlib.suppress(RingOneError):  # the machine has ended
                self.events.extend(machine.events())

        threading.Thread(target=listen, name=f"events of {self.plan.id}", daemon=True).start()
