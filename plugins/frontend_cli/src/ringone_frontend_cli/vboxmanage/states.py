"""A machine's states as VBoxManage names them."""

from __future__ import annotations

import enum

from ringone.api.events import MachineState


class State(enum.Enum):
    """For programs and for people."""

    POWERED_OFF = ("poweroff", "powered off")
    SAVED = ("saved", "saved")
    ABORTED = ("aborted", "aborted")
    RUNNING = ("running", "running")
    PAUSED = ("paused", "paused")
    STUCK = ("gurumeditation", "guru meditation")
    STARTING = ("starting", "starting")

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]


OF_MACHINE = {
    MachineState.POWERED_OFF: State.POWERED_OFF,
    MachineState.RUNNING: State.RUNNING,
    MachineState.PAUSED: State.PAUSED,
    MachineState.STUCK: State.STUCK,
    MachineState.ABORTED: State.ABORTED,
}
ONLINE = frozenset({State.RUNNING, State.PAUSED, State.STUCK, State.STARTING})
