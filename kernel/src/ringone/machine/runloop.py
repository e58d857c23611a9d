"""The loop that owns the guest: commands, due alarms, the processor, and sleep while it halts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringone.api.cpu import ExitReason
from ringone.api.events import MachineState

if TYPE_CHECKING:
    from ringone.machine.commands import CommandQueue
    from ringone.machine.machine import Machine


_RUNNING = MachineState.RUNNING
_HALT = ExitReason.HALT
_SHUTDOWN = ExitReason.SHUTDOWN


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
            if machine.state is not _RUNNING:
                commands.wait()
                continue
            try:
                self._run_guest()
            except BaseException as error:
                machine.abort(error)
        commands.run_pending()

    def _run_guest(self) -> None:
        """Until there is something else to do. An idle guest comes by hundreds of times a second with cold caches: each call and each object counts."""
        machine, commands = self._machine, self._commands
        clock, pace = machine.parts.clock, machine.parts.pace
        while True:
            clock.run_due()
            if not machine.attend():
                return
            reason = machine.execute(pace.budget(clock)).reason
            if not machine.attend():
                return
            if reason is _HALT:
                pace.idle(clock, commands.wait)
            elif reason is _SHUTDOWN:
                machine.triple_fault()
                return
            if commands.pending or commands.closed:
                return
