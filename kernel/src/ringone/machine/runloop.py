"""The loop that owns the guest: commands, due alarms, the processor, and sleep while it halts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringone.api.cpu import ExitReason
from ringone.api.events import MachineState

if TYPE_CHECKING:
    from ringone.machine.commands import CommandQueue
    from ringone.machine.machine import Machine


class RunLoop:
    """`run` returns when the command queue is closed.

    Whatever a plugin raises while the guest runs aborts the machine and leaves the loop serving commands, so that the machine can be looked at.
    """

    def __init__(self, machine: Machine, commands: CommandQueue) -> None:
        self._machine = machine
        self._commands = commands

    def run(self) -> None:
        machine, commands = self._machine, self._commands
        while not commands.closed:
            commands.run_pending()
            machine.events.deliver()
            if machine.state is not MachineState.RUNNING:
                commands.wait()
                continue
            try:
                self._step()
            except BaseException as error:
                machine.abort(error)
        commands.run_pending()

    def _step(self) -> None:
        machine, parts = self._machine, self._machine.parts
        parts.clock.run_due()
        if not machine.attend():
            return
        reason = machine.execute(parts.pace.budget(parts.clock)).reason
        if not machine.attend():
            return
        if reason is ExitReason.HALT:
            parts.pace.idle(parts.clock, self._commands.wait)
        elif reason is ExitReason.SHUTDOWN:
            machine.triple_fault()
