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
    """Time is the host's; a halted guest sleeps until its next alarm."""

    def __init__(self) -> None:
        self.source = HostTime(time.monotonic_ns)

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
        if left > 0:
            sleep(left / 1e9)


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
