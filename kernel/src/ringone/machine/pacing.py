"""How virtual time and the processor keep step under each clock policy: how far a run may go, and what to do while the guest halts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from ringone.api.config import ClockConfig, ClockPolicy
from ringone.api.cpu import RunBudget
from ringone.clock import HostTime, ManualTime, ProgressTime, TimeSource, VirtualClock

HOST_SLICE_NS = 2_000_000
"""The loop comes back at least this often, with or without timers. Shorter than a tick of the usual guest, which arms the next in the handler of this one: an
alarm inside of the slice would end it early. Commands do not wait for it: each makes the processor leave guest code."""
HOST_SLICE_MIN_NS = 20_000
"""A guest that arms timers faster than they can be served still gets on."""
CATCH_UP_SLICE_NS = 250_000
"""Between alarms that are late: what a guest needs to handle a tick."""
VIRTUAL_SLICE_NS = 20_000_000
IDLE_CYCLE_NS = 16_000_000
"""How long an idle guest sleeps where deferrable alarms go off more often: to be woken costs the host more than what such a guest does then."""
IDLE_AFTER_NS = 1_000_000_000
"""A guest is idle that has not run for `BUSY_NS` between two halts for so long, and had no command."""
BUSY_NS = 2_000_000

_SLICE = RunBudget(host_ns=HOST_SLICE_NS)
_CATCH_UP_SLICE = RunBudget(host_ns=CATCH_UP_SLICE_NS)


class Sleep(Protocol):
    def __call__(self, timeout_s: float | None = None) -> None:
        """Until a command is there."""


class Pace(Protocol):
    @property
    def source(self) -> TimeSource: ...
    def budget(self, clock: VirtualClock) -> RunBudget:
        """Of the next run: until the next alarm, within a slice. Tells the clock's `horizon_ns`, so that an earlier alarm ends the run."""
        ...

    def idle(self, clock: VirtualClock, sleep: Sleep) -> None:
        """The processor halts; return when an alarm is due or `sleep` was disturbed."""
        ...


class HostPace:
    """Time is the host's; a halted guest sleeps until its next alarm.

    An idle guest sleeps longer, through alarms that are deferrable. Its time stands still at the first of them meanwhile, and is then made up for whenever the
    guest halts, so that it finds every alarm at its time and runs for the whole of a cycle's alarms at once.
    """

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.source = HostTime(monotonic_ns)
        self._monotonic_ns = monotonic_ns
        self._owed_ns = 0
        """How far the guest's time is behind for sleep's sake."""
        self._left_ns = self._busy_ns = monotonic_ns()
        """The host's times when `idle` was left last, and when the guest was last seen busy."""

    def budget(self, clock: VirtualClock) -> RunBudget:
        deadline = clock.next_deadline()
        now = clock.now_ns()
        if deadline is None or deadline >= now + HOST_SLICE_NS:
            clock.horizon_ns = now + HOST_SLICE_NS
            return _SLICE
        if deadline <= now:
            clock.horizon_ns = now + CATCH_UP_SLICE_NS
            return _CATCH_UP_SLICE
        delay = max(HOST_SLICE_MIN_NS, deadline - now)
        clock.horizon_ns = now + delay
        return RunBudget(host_ns=delay)

    def idle(self, clock: VirtualClock, sleep: Sleep) -> None:
        deadline = clock.next_deadline()
        if deadline is None:
            sleep()
            return
        left = deadline - clock.now_ns()
        if left <= 0:
            return
        host = self._monotonic_ns()
        if host - self._left_ns > BUSY_NS:
            self._busy_ns = host
        longer = self._longer(clock, deadline) if left <= IDLE_CYCLE_NS // 2 and host - self._busy_ns > IDLE_AFTER_NS else 0
        if self._owed_ns:
            made_up = min(left, self._owed_ns)
            self._owed_ns -= made_up
            left -= made_up
            self.source.shift(made_up)
        if left:
            longer = max(0, min(longer, IDLE_CYCLE_NS - left))
            sleep((left + longer) / 1e9)
            late = self.source.read() - deadline
            if late < longer:
                self._busy_ns = host
            if longer and late > 0:
                self._owed_ns = min(late, longer)
                self.source.shift(-self._owed_ns)
        self._left_ns = self._monotonic_ns()

    @staticmethod
    def _longer(clock: VirtualClock, deadline: int) -> int:
        """Than until the next alarm that an idle guest may sleep, in nanoseconds."""
        punctual = clock.next_punctual_deadline()
        return IDLE_CYCLE_NS if punctual is None else punctual - deadline


class ProgressPace:
    """Time is the guest's progress, exactly; what a halted guest waits for comes at once."""

    def __init__(self, progress: Callable[[], int], ns_per_1000_progress: int) -> None:
        self.source = ProgressTime(progress, ns_per_1000_progress)

    def budget(self, clock: VirtualClock) -> RunBudget:
        deadline = clock.next_deadline()
        end = clock.now_ns() + VIRTUAL_SLICE_NS
        clock.horizon_ns = end if deadline is None else min(deadline, end)
        return RunBudget(progress=max(1, self.source.progress_until(clock.horizon_ns)))

    def idle(self, clock: VirtualClock, sleep: Sleep) -> None:
        deadline = clock.next_deadline()
        if deadline is None:
            sleep()
        else:
            clock.advance(max(0, deadline - clock.now_ns()))


class ManualPace:
    """Time is set by whoever drives the machine."""

    def __init__(self) -> None:
        self.source = ManualTime()

    def budget(self, clock: VirtualClock) -> RunBudget:
        return RunBudget(host_ns=HOST_SLICE_NS)

    def idle(self, clock: VirtualClock, sleep: Sleep) -> None:
        sleep()


def make_pace(config: ClockConfig, progress: Callable[[], int]) -> Pace:
    match config.policy:
        case ClockPolicy.HOST:
            return HostPace()
        case ClockPolicy.DETERMINISTIC:
            return ProgressPace(progress, config.ns_per_1000_progress)
        case ClockPolicy.MANUAL:
            return ManualPace()
