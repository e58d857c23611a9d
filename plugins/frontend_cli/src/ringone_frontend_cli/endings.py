"""How a run can end, and the one place where whoever ends it says so first."""

from __future__ import annotations

import enum
import logging
import queue
import time

import attrs
from ringone.api.events import MachineReset, MachineState, MediumFull, StateChanged
from ringone.api.frontends import VmSession

_log = logging.getLogger("ringone.run")


class EndKind(enum.Enum):
    POWERED_OFF = "powered off"
    UNTIL = "the text appeared"
    INSTRUCTIONS = "the instructions were executed"
    RESET = "the guest was reset"
    TIMEOUT = "timeout"
    PAUSED = "paused"
    STUCK = "stuck"
    ABORTED = "aborted"
    FAILED = "failed"
    """It never started."""
    INTERRUPTED = "interrupted"


EXIT_CODES = {
    EndKind.POWERED_OFF: 0,
    EndKind.UNTIL: 0,
    EndKind.INSTRUCTIONS: 0,
    EndKind.RESET: 0,
    EndKind.TIMEOUT: 124,
    EndKind.PAUSED: 1,
    EndKind.STUCK: 1,
    EndKind.ABORTED: 1,
    EndKind.FAILED: 1,
}
SIGNAL_EXIT_BASE = 128
"""An interrupted run ends with this plus the signal's number: 130 for Ctrl-C."""


@attrs.frozen
class Ending:
    kind: EndKind
    detail: str = ""
    exit_code: int = 0


class Endings:
    """The first ending counts. Safe to use from any thread and from signal handlers."""

    def __init__(self, timeout_s: float | None = None) -> None:
        self._queue: queue.SimpleQueue[Ending] = queue.SimpleQueue()
        self._timeout_s = timeout_s
        self._deadline: float | None = None

    def start_clock(self) -> None:
        if self._timeout_s is not None:
            self._deadline = time.monotonic() + self._timeout_s

    def put(self, kind: EndKind, detail: str = "") -> None:
        self._queue.put(Ending(kind, detail, EXIT_CODES[kind]))

    def interrupt(self, signal_number: int, name: str) -> None:
        self._queue.put(Ending(EndKind.INTERRUPTED, name, SIGNAL_EXIT_BASE + signal_number))

    def wait(self, at_most_s: float) -> Ending | None:
        """The ending, or None when there is none within `at_most_s` seconds."""
        left = at_most_s if self._deadline is None else self._deadline - time.monotonic()
        try:
            return self._queue.get(timeout=max(0.0, min(at_most_s, left)))
        except queue.Empty:
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return Ending(EndKind.TIMEOUT, f"after {self._timeout_s:g} s", EXIT_CODES[EndKind.TIMEOUT])
            return None


class MachineWatch:
    """Observer of a machine that turns its events into endings.

    Somebody at a console (`attended`) can resume a machine that paused because the host has no room; otherwise the pause is the end.
    """

    def __init__(self, session: VmSession, endings: Endings, *, no_reboot: bool, attended: bool) -> None:
        self._session = session
        self._endings = endings
        self._no_reboot = no_reboot
        self._attended = attended
        self._resetting = False

    def reset_machine(self) -> None:
        """A reset from outside, which ends no run."""
        self._resetting = True
        try:
            self._session.reset()
        finally:
            self._resetting = False

    def __call__(self, event: object) -> None:
        match event:
            case StateChanged(new=MachineState.POWERED_OFF):
                self._endings.put(EndKind.POWERED_OFF, event.reason)
            case StateChanged(new=MachineState.STUCK):
                self._endings.put(EndKind.STUCK, event.reason)
            case StateChanged(new=MachineState.ABORTED):
                self._endings.put(EndKind.ABORTED, explain(self._session.error) or event.reason)
            case MediumFull() if self._attended:
                _log.warning("paused: no room for %s: %s; Ctrl-] p resumes", event.component, event.message)
            case MediumFull():
                self._endings.put(EndKind.PAUSED, f"no room for {event.component}: {event.message}")
            case MachineReset() if self._no_reboot and not self._resetting:
                self._endings.put(EndKind.STUCK if event.cause == "triple fault" else EndKind.RESET, event.cause)
                self._session.power_off()


def explain(error: BaseException | None) -> str:
    """The error in one line, with what caused it where it does not say so itself."""
    if error is None:
        return ""
    text, cause = str(error), error.__cause__
    if cause is not None and str(cause) not in text:
        text += f" ({type(cause).__name__}: {cause})"
    return " ".join(text.split())
