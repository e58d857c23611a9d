"""How an idle guest sleeps: through several ticks at once, of which it notices nothing, and through no other alarm."""

from __future__ import annotations

import attrs
import pytest
from ringone.clock import CATCH_UP_NS, VirtualClock
from ringone.machine.pacing import IDLE_AFTER_NS, IDLE_CYCLE_NS, HostPace

MS = 1_000_000
TICK = 4 * MS
HANDLER_NS = 100_000
A_WHILE = 2 * IDLE_AFTER_NS


@attrs.define
class Host:
    """Whose time passes while a guest sleeps or runs. `disturb_at` is when a command comes."""

    now_ns: int = 12345
    sleeps: int = 0
    disturb_at: int | None = None
    reading_ns: int = 0
    """What a look at the clock takes."""
    stops_ns: int = 0
    """How long it stands still in the next sleep."""

    def monotonic_ns(self) -> int:
        self.now_ns += self.reading_ns
        return self.now_ns

    def sleep(self, timeout_s: float | None = None) -> None:
        assert timeout_s is not None and timeout_s > 0
        self.sleeps += 1
        end = self.now_ns + round(timeout_s * 1e9)
        if self.disturb_at is not None and self.now_ns < self.disturb_at < end:
            end, self.disturb_at = self.disturb_at, None
        self.now_ns = end + self.stops_ns
        self.stops_ns = 0


class Ticking:
    """A guest that halts between the ticks of a one-shot timer, and arms the next for a period after the time that it reads. `behind_ns` is how far its time is
    behind the host's at each tick."""

    def __init__(self, period_ns: int = TICK) -> None:
        self.host = Host()
        self.pace = HostPace(self.host.monotonic_ns)
        self.clock = VirtualClock(self.pace.source)
        self.clock.source.resume()
        self.start = self.host.now_ns
        self.period_ns = period_ns
        self.handler_ns = HANDLER_NS
        self.ticks: list[int] = []
        self.behind_ns: list[int] = []
        self._timer = self.clock.timer("pit", "tick", self._tick, deferrable=True)
        self._timer.arm_at(period_ns)

    def _tick(self) -> None:
        now = self.clock.now_ns()
        self.ticks.append(now)
        self.behind_ns.append(self.host.now_ns - self.start - now)
        self._timer.arm_after(self.period_ns)

    def run_for(self, duration_ns: int) -> None:
        end = self.host.now_ns + duration_ns
        while self.host.now_ns < end:
            self.step()

    def step(self) -> None:
        if self.clock.run_due():
            self.host.now_ns += self.handler_ns
        self.pace.idle(self.clock, self.host.sleep)

    def sleeps_in(self, duration_ns: int) -> int:
        before = self.host.sleeps
        self.run_for(duration_ns)
        return self.host.sleeps - before


@pytest.fixture
def guest() -> Ticking:
    """Idle for long enough."""
    ticking = Ticking()
    ticking.run_for(A_WHILE)
    return ticking


def test_an_idle_guest_wakes_once_for_several_ticks(guest: Ticking) -> None:
    assert guest.sleeps_in(A_WHILE) == pytest.approx(A_WHILE / IDLE_CYCLE_NS, rel=0.05)


def test_it_finds_each_tick_at_its_time(guest: Ticking) -> None:
    guest.run_for(A_WHILE)
    assert guest.ticks == [TICK * number for number in range(1, len(guest.ticks) + 1)]
    assert len(guest.ticks) == pytest.approx(2 * A_WHILE / TICK, rel=0.01)


def test_its_time_is_behind_by_less_than_a_cycle_and_catches_up(guest: Ticking) -> None:
    guest.behind_ns.clear()
    guest.run_for(A_WHILE)
    assert IDLE_CYCLE_NS - 2 * TICK < max(guest.behind_ns) <= IDLE_CYCLE_NS
    assert min(guest.behind_ns) < 5 * HANDLER_NS


def test_no_time_is_lost(guest: Ticking) -> None:
    guest.host.reading_ns = 1000
    guest.run_for(10 * A_WHILE)
    guest.behind_ns.clear()
    guest.run_for(A_WHILE)
    assert min(guest.behind_ns) < 5 * HANDLER_NS


def test_little_of_what_a_host_stood_still_is_made_up_for(guest: Ticking) -> None:
    ticks = len(guest.ticks)
    guest.host.stops_ns = 3600 * 1000 * MS
    while guest.host.stops_ns:
        guest.step()
    guest.run_for(A_WHILE)
    assert len(guest.ticks) - ticks <= (A_WHILE + CATCH_UP_NS) / TICK + 2 * IDLE_CYCLE_NS / TICK


def test_before_it_is_idle_every_tick_comes_in_time() -> None:
    guest = Ticking()
    assert guest.sleeps_in(IDLE_AFTER_NS) == pytest.approx(IDLE_AFTER_NS / TICK, rel=0.01)
    assert max(guest.behind_ns) == 0


@pytest.mark.parametrize("after_ns", [MS, 5 * MS, 13 * MS, 40 * MS])
def test_another_alarm_is_not_late(guest: Ticking, after_ns: int) -> None:
    rang: list[int] = []
    alarm = guest.clock.timer("disk", "done", lambda: rang.append(guest.host.now_ns - guest.start))
    wanted = guest.clock.now_ns() + after_ns
    now = guest.host.now_ns - guest.start
    alarm.arm_at(wanted)
    guest.run_for(60 * MS)
    assert 0 <= rang[0] - max(now, wanted) <= 5 * HANDLER_NS


def test_a_command_is_not_kept_waiting_and_ticks_come_in_time_for_a_while(guest: Ticking) -> None:
    called = guest.host.disturb_at = guest.host.now_ns + 10 * MS
    while guest.host.disturb_at is not None:
        guest.step()
    assert guest.host.now_ns == called
    assert guest.clock.now_ns() <= called - guest.start
    guest.run_for(20 * MS)
    guest.behind_ns.clear()
    guest.run_for(IDLE_AFTER_NS // 2)
    assert max(guest.behind_ns) == 0
    guest.run_for(A_WHILE)
    assert guest.sleeps_in(A_WHILE) == pytest.approx(A_WHILE / IDLE_CYCLE_NS, rel=0.05)


def test_a_guest_that_works_has_its_ticks_in_time(guest: Ticking) -> None:
    guest.handler_ns = 3 * MS
    guest.run_for(100 * MS)
    guest.behind_ns.clear()
    guest.run_for(A_WHILE)
    assert max(guest.behind_ns) == 0


@pytest.mark.parametrize("period_ns", [IDLE_CYCLE_NS // 2 + MS, IDLE_CYCLE_NS, 55 * MS, 1000 * MS])
def test_a_slow_tick_comes_in_time(period_ns: int) -> None:
    guest = Ticking(period_ns)
    guest.run_for(5 * IDLE_AFTER_NS)
    assert max(guest.behind_ns) == 0


def test_time_does_not_fall(guest: Ticking) -> None:
    times = []
    end = guest.host.now_ns + A_WHILE
    while guest.host.now_ns < end:
        guest.run_for(1)
        times.append(guest.clock.now_ns())
    assert times == sorted(times)


def test_a_clock_that_is_set_back_goes_on(guest: Ticking) -> None:
    guest.run_for(10 * IDLE_AFTER_NS)
    guest.clock.restore(attrs.evolve(guest.clock.save(), now_ns=MS, source_ns=MS, timers={"pit.tick": TICK}))
    guest.ticks.clear()
    guest.run_for(A_WHILE)
    assert guest.ticks == [TICK * number for number in range(1, len(guest.ticks) + 1)]
    assert len(guest.ticks) == pytest.approx(A_WHILE / TICK, rel=0.01)
