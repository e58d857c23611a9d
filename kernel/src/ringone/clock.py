"""Virtual time: integer nanoseconds since power-on, and the alarms that chips set in it.

Where time comes from is a policy. `HostTime` follows the host's monotonic clock while the machine runs, `ProgressTime` follows the guest's own progress (equal
runs see equal times), `ManualTime` stands still until it is set. Under every policy the clock never runs past an alarm that has not gone off: until then the
guest sees the time of the alarm, so no chip ever finds its own deadline in the past. Time never falls.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from ringone.api.errors import AssemblyError, BackendError, DeviceError, SnapshotError

CATCH_UP_NS = 100_000_000
"""How far `HostTime` may be behind before the rest is given up: a host that slept for an hour must not deliver an hour of timer ticks."""
MAX_ALARMS = 1000
"""Alarms that one `VirtualClock.run_due` lets off, so that the guest runs in between whatever it programmed."""


class TimeSource(Protocol):
    """A policy: raw time, before it is held back by alarms."""

    @property
    def catch_up_ns(self) -> int | None:
        """How far alarms may lag behind raw time before raw time is set back; None for never."""
        ...

    def read(self) -> int: ...
    def set(self, now_ns: int, remainder: int = 0) -> None:
        """Go on from that time; `remainder` as in `remainder`."""
        ...

    def remainder(self) -> int:
        """Thousandths of a nanosecond beyond `read`."""
        ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class HostTime:
    """Paced by the host's monotonic clock. Begins paused."""

    catch_up_ns: int | None

    def __init__(self, monotonic_ns: Callable[[], int], catch_up_ns: int = CATCH_UP_NS) -> None:
        self._monotonic_ns = monotonic_ns
        self._origin = 0
        self._paused_at: int | None = 0
        self.catch_up_ns = catch_up_ns

    def read(self) -> int:
        if self._paused_at is not None:
            return self._paused_at
        return self._monotonic_ns() - self._origin

    def set(self, now_ns: int, remainder: int = 0) -> None:
        if self._paused_at is not None:
            self._paused_at = now_ns
        else:
            self._origin = self._monotonic_ns() - now_ns

    def shift(self, by_ns: int) -> None:
        """Go on from so much later, or earlier, than now, while not paused."""
        self._origin -= by_ns

    def remainder(self) -> int:
        return 0

    def pause(self) -> None:
        if self._paused_at is None:
            self._paused_at = self._monotonic_ns() - self._origin

    def resume(self) -> None:
        if self._paused_at is not None:
            self._origin = self._monotonic_ns() - self._paused_at
            self._paused_at = None


class ProgressTime:
    """Derived from guest progress, exactly: 1,000 units take `ns_per_1000_progress`. A halted processor makes none, so idle time is skipped by `set`."""

    catch_up_ns: int | None = None

    def __init__(self, progress: Callable[[], int], ns_per_1000_progress: int) -> None:
        self._progress = progress
        self._rate = ns_per_1000_progress
        self._base = -progress() * ns_per_1000_progress
        """In thousandths of a nanosecond, so that no fraction is lost."""

    def read(self) -> int:
        return (self._base + self._progress() * self._rate) // 1000

    def set(self, now_ns: int, remainder: int = 0) -> None:
        self._base = now_ns * 1000 + remainder - self._progress() * self._rate

    def remainder(self) -> int:
        return (self._base + self._progress() * self._rate) % 1000

    def progress_until(self, time_ns: int) -> int:
        """The fewest progress units after which `read` has reached `time_ns`; 0 where it has already."""
        missing = time_ns * 1000 - self._base - self._progress() * self._rate
        return max(0, -(-missing // self._rate))

    def pause(self) -> None:
        """A paused guest makes no progress, so there is nothing to stop."""

    def resume(self) -> None:
        """See `pause`."""


class ManualTime:
    """Stands still until `set`."""

    catch_up_ns: int | None = None

    def __init__(self) -> None:
        self._now = 0

    def read(self) -> int:
        return self._now

    def set(self, now_ns: int, remainder: int = 0) -> None:
        self._now = now_ns

    def remainder(self) -> int:
        return 0

    def pause(self) -> None:
        """It always stands still."""

    def resume(self) -> None:
        """See `pause`."""


_Entry = tuple[int, str, int, "VirtualTimer"]


class VirtualTimer:
    """A component's alarm; see `ringone.api.devices.Timer`."""

    __slots__ = ("_queue", "clock", "component", "deadline_ns", "deferrable", "fire", "name", "round", "sequence")

    def __init__(
        self, clock: VirtualClock, queue: list[_Entry], component: str, sequence: int, name: str, fire: Callable[[], None], *, deferrable: bool = False
    ) -> None:
        self.clock = clock
        self._queue = queue
        self.component = component
        self.sequence = sequence
        self.name = name
        self.fire = fire
        self.deferrable = deferrable
        self.deadline_ns: int | None = None
        self.round = 0
        """The call of `VirtualClock.run_due` that let it off last."""

    def arm_at(self, deadline_ns: int) -> None:
        if self.deadline_ns is not None:
            self._leave()
        self.deadline_ns = deadline_ns
        insort(self._queue, (deadline_ns, self.component, self.sequence, self))
        clock = self.clock
        if deadline_ns < clock.horizon_ns:
            clock.horizon_ns = 0
            clock.interrupt()

    def arm_after(self, delay_ns: int) -> None:
        self.arm_at(self.clock.now_ns() + delay_ns)

    def cancel(self) -> None:
        if self.deadline_ns is not None:
            self._leave()
            self.deadline_ns = None

    def _leave(self) -> None:
        queue = self._queue
        del queue[bisect_left(queue, (self.deadline_ns, self.component, self.sequence, self))]


def _nobody_runs() -> None:
    """There is no processor to interrupt."""


@attrs.frozen(kw_only=True)
class ClockState:
    """`timers` has a deadline or None for every alarm of the machine, by ``component.name``."""

    now_ns: int
    source_ns: int
    remainder: int
    timers: Mapping[str, int | None]


class VirtualClock:
    """Time and alarms of one machine."""

    def __init__(self, source: TimeSource) -> None:
        self.source = source
        self._read = source.read
        self._queue: list[_Entry] = []
        self._timers: dict[str, VirtualTimer] = {}
        self._now = 0
        self._firing = False
        self._rounds = 0
        self.horizon_ns = 0
        """Until when the processor is meant to run, 0 while it does not. An alarm that is armed for earlier calls `interrupt`, once."""
        self.interrupt: Callable[[], None] = _nobody_runs

    def now_ns(self) -> int:
        """Virtual time. Inside an alarm's callback it is the alarm's deadline."""
        if not self._firing:
            now = self._read()
            queue = self._queue
            if queue and queue[0][0] < now:
                now = queue[0][0]
            if now > self._now:
                self._now = now
        return self._now

    def last_ns(self) -> int:
        """The time that was read last, for log records: any thread may ask, and no source is consulted."""
        return self._now

    def timer(self, component: str, name: str, fire: Callable[[], None], *, deferrable: bool = False) -> VirtualTimer:
        key = f"{component}.{name}"
        if key in self._timers:
            raise AssemblyError(f"the timer {name!r} exists already", component=component)
        timer = self._timers[key] = VirtualTimer(self, self._queue, component, len(self._timers), name, fire, deferrable=deferrable)
        return timer

    def next_deadline(self) -> int | None:
        """Of the alarm that goes off next."""
        return self._queue[0][0] if self._queue else None

    def next_punctual_deadline(self) -> int | None:
        """Of the alarm that goes off next among those that are not deferrable."""
        return next((deadline for deadline, _, _, timer in self._queue if not timer.deferrable), None)

    def run_due(self) -> int:
        """Let off every alarm that is due, in order, and say how many went off.

        What they arm for a time that has come already goes off as well, up to `MAX_ALARMS`. Where the source is the host's time, an alarm goes off once a
        call: a guest that was away gets its ticks one by one, with time between them to handle each, instead of a burst of which it would see one.
        """
        queue = self._queue
        if not queue:
            return 0
        raw = self._read()
        if queue[0][0] > raw:
            return 0
        source = self.source
        catch_up_ns = source.catch_up_ns
        if catch_up_ns is not None and raw - queue[0][0] > catch_up_ns:
            raw = max(queue[0][0], self._now) + catch_up_ns
            source.set(raw)
        self._rounds = this_round = self._rounds + 1
        fired = 0
        while queue and queue[0][0] <= raw and fired < MAX_ALARMS:
            timer = queue[0][3]
            if catch_up_ns is not None:
                if timer.round == this_round:
                    break
                timer.round = this_round
            del queue[0]
            self._let_off(timer)
            fired += 1
        if fired == MAX_ALARMS and catch_up_ns is not None:
            source.set(self._now)
        return fired

    def _let_off(self, timer: VirtualTimer) -> None:
        deadline = timer.deadline_ns
        timer.deadline_ns = None
        if deadline is not None and deadline > self._now:
            self._now = deadline
        self._firing = True
        try:
            timer.fire()
        except (DeviceError, BackendError):
            raise
        except Exception as error:
            raise DeviceError(timer.component, f"timer {timer.name!r}") from error
        finally:
            self._firing = False

    def advance(self, duration_ns: int) -> None:
        """Take the source step by step to now plus `duration_ns`, letting off alarms on the way: for tests, and for idle time that is skipped."""
        end = self.now_ns() + duration_ns
        while self._queue and self._queue[0][0] <= end:
            before = self._now
            self._go_to(max(before, self._queue[0][0]))
            if self.run_due() == MAX_ALARMS and self._queue and self._queue[0][0] <= before:
                timer = self._queue[0][3]
                raise DeviceError(timer.component, f"timer {timer.name!r}: it goes off again and again at {before} ns")
        self._go_to(end)
        self.now_ns()

    def _go_to(self, time_ns: int) -> None:
        if self.source.read() < time_ns:
            self.source.set(time_ns)

    def save(self) -> ClockState:
        return ClockState(
            now_ns=self.now_ns(),
            source_ns=self.source.read(),
            remainder=self.source.remainder(),
            timers={key: timer.deadline_ns for key, timer in sorted(self._timers.items())},
        )

    def restore(self, state: ClockState) -> None:
        if state.timers.keys() != self._timers.keys():
            different = sorted(state.timers.keys() ^ self._timers.keys())
            raise SnapshotError(f"the saved timers are of another machine: {', '.join(different[:5])} differ")
        if not 0 <= state.now_ns <= state.source_ns or not 0 <= state.remainder < 1000:
            raise SnapshotError(f"saved time {state.now_ns} ns (source {state.source_ns} ns, remainder {state.remainder}) is not possible")
        self._now = state.now_ns
        self.source.set(state.source_ns, state.remainder)
        for key, deadline in state.timers.items():
            self._timers[key].cancel()
            if deadline is not None:
                self._timers[key].arm_at(deadline)
