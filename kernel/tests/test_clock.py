"""Virtual time under its three policies, and alarms."""

from __future__ import annotations

from functools import partial

import pytest
from ringone.api.errors import AssemblyError, DeviceError, SnapshotError
from ringone.clock import MAX_ALARMS, HostTime, ManualTime, ProgressTime, VirtualClock


class Number:
    """A host clock or progress counter that the test moves."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def __call__(self) -> int:
        return self.value


@pytest.fixture
def manual() -> VirtualClock:
    return VirtualClock(ManualTime())


def test_alarms_go_off_in_order_of_deadline_component_and_creation(manual: VirtualClock) -> None:
    log: list[str] = []
    for component, name, deadline in [("z", "first", 5), ("b", "2", 10), ("a", "later", 10), ("b", "1", 10), ("a", "made-last", 10)]:
        manual.timer(component, name, partial(log.append, name)).arm_at(deadline)
    manual.advance(10)
    assert log == ["first", "later", "made-last", "2", "1"]


def test_an_alarm_sees_its_deadline_as_the_time(manual: VirtualClock) -> None:
    seen: list[int] = []
    for deadline in (30, 10, 20):
        manual.timer("chip", str(deadline), lambda: seen.append(manual.now_ns())).arm_after(deadline)
    manual.advance(100)
    assert seen == [10, 20, 30]
    assert manual.now_ns() == manual.last_ns() == 100


def test_arming_again_replaces_and_cancelling_forgets(manual: VirtualClock) -> None:
    fired: list[int] = []
    timer = manual.timer("chip", "t", lambda: fired.append(manual.now_ns()))
    timer.arm_at(10)
    timer.arm_at(20)
    assert manual.next_deadline() == timer.deadline_ns == 20
    timer.cancel()
    timer.cancel()
    assert manual.next_deadline() is None is timer.deadline_ns
    manual.advance(50)
    assert fired == []


def test_arming_a_million_times_keeps_one_entry(manual: VirtualClock) -> None:
    timer = manual.timer("chip", "t", lambda: None)
    for deadline in range(10_000):
        timer.arm_at(deadline)
    assert len(manual._queue) == 1


def test_a_periodic_alarm_armed_from_its_callback_loses_no_period(manual: VirtualClock) -> None:
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(manual.now_ns())
        timer.arm_after(7)

    timer = manual.timer("chip", "tick", tick)
    timer.arm_at(7)
    manual.advance(50)
    assert ticks == [7, 14, 21, 28, 35, 42, 49]


def test_a_deadline_in_the_past_goes_off_at_once_and_time_does_not_fall(manual: VirtualClock) -> None:
    manual.advance(100)
    seen: list[int] = []
    manual.timer("chip", "t", lambda: seen.append(manual.now_ns())).arm_at(40)
    assert manual.now_ns() == 100
    assert manual.run_due() == 1
    assert seen == [100]


def test_time_waits_for_an_alarm_that_has_not_gone_off() -> None:
    progress = Number()
    clock = VirtualClock(ProgressTime(progress, 1000))
    clock.timer("chip", "t", lambda: None).arm_at(50)
    progress.value = 80
    assert clock.now_ns() == 50
    clock.run_due()
    assert clock.now_ns() == 80


def test_a_failing_alarm_names_its_component(manual: VirtualClock) -> None:
    manual.timer("pit", "counter0", lambda: [][1]).arm_at(1)
    with pytest.raises(DeviceError, match="pit failed in timer 'counter0'"):
        manual.advance(1)


def test_an_alarm_that_never_lets_time_pass_does_not_hang_the_loop(manual: VirtualClock) -> None:
    timer = manual.timer("chip", "mad", lambda: timer.arm_after(0))
    timer.arm_at(0)
    assert manual.run_due() == MAX_ALARMS
    with pytest.raises(DeviceError, match="again and again"):
        manual.advance(1)


def test_two_alarms_of_one_name_are_refused(manual: VirtualClock) -> None:
    manual.timer("chip", "t", lambda: None)
    with pytest.raises(AssemblyError, match="exists already"):
        manual.timer("chip", "t", lambda: None)


class TestHostTime:
    def test_it_stands_still_until_resumed_and_while_paused(self) -> None:
        host = Number(1_000_000)
        clock = VirtualClock(HostTime(host))
        host.value += 500
        assert clock.now_ns() == 0
        clock.source.resume()
        host.value += 30
        assert clock.now_ns() == 30
        clock.source.pause()
        host.value += 10_000
        assert clock.now_ns() == 30
        clock.source.resume()
        host.value += 5
        assert clock.now_ns() == 35

    def test_a_long_absence_does_not_end_in_a_burst_of_ticks(self) -> None:
        host, ticks = Number(), []
        clock = VirtualClock(HostTime(host, catch_up_ns=100))

        def tick() -> None:
            ticks.append(clock.now_ns())
            timer.arm_after(10)

        timer = clock.timer("pit", "tick", tick)
        timer.arm_at(10)
        clock.source.resume()
        host.value += 1_000_000
        while clock.run_due():
            pass
        assert ticks == list(range(10, 120, 10))

    def test_late_ticks_come_one_by_one(self) -> None:
        host, ticks = Number(), []
        clock = VirtualClock(HostTime(host))

        def tick() -> None:
            ticks.append(clock.now_ns())
            timer.arm_after(10)

        timer = clock.timer("pit", "tick", tick)
        timer.arm_at(10)
        clock.source.resume()
        host.value += 35
        assert clock.run_due() == 1
        assert clock.now_ns() == 20
        assert clock.run_due() == 1
        assert ticks == [10, 20]

    def test_a_small_delay_is_caught_up(self) -> None:
        host = Number()
        clock = VirtualClock(HostTime(host, catch_up_ns=100))
        clock.timer("pit", "tick", lambda: None).arm_at(10)
        clock.source.resume()
        host.value += 60
        clock.run_due()
        assert clock.now_ns() == 60

    def test_sleep_without_alarms_counts_in_full(self) -> None:
        host = Number()
        clock = VirtualClock(HostTime(host, catch_up_ns=100))
        clock.source.resume()
        host.value += 5_000
        clock.run_due()
        assert clock.now_ns() == 5_000


class TestProgressTime:
    def test_time_is_progress_times_the_rate_exactly(self) -> None:
        progress = Number(77)
        clock = VirtualClock(ProgressTime(progress, 3333))
        times = []
        for _ in range(6):
            progress.value += 100
            times.append(clock.now_ns())
        assert times == [333, 666, 999, 1333, 1666, 1999]

    @pytest.mark.parametrize("rate", [1, 999, 1000, 3333, 1_000_003])
    def test_the_progress_until_a_deadline_is_the_least_that_reaches_it(self, rate: int) -> None:
        progress = Number(5)
        time = ProgressTime(progress, rate)
        for deadline in (1, 7, 1000, 123_457):
            needed = time.progress_until(deadline)
            start, progress.value = progress.value, progress.value + needed
            assert time.read() >= deadline
            if needed:
                progress.value -= 1
                assert time.read() < deadline
            progress.value = start

    def test_a_halted_processor_skips_to_its_next_alarm(self) -> None:
        clock = VirtualClock(ProgressTime(Number(), 1000))
        seen: list[int] = []
        clock.timer("pit", "tick", lambda: seen.append(clock.now_ns())).arm_at(700)
        clock.advance(700)
        assert (seen, clock.now_ns()) == ([700], 700)

    def test_skipping_never_gives_progress_back(self) -> None:
        progress = Number()
        clock = VirtualClock(ProgressTime(progress, 1000))
        clock.timer("pit", "tick", lambda: None).arm_at(50)
        progress.value = 60
        clock.advance(0)
        assert clock.now_ns() == 60

    def test_a_restored_clock_continues_to_the_thousandth_of_a_nanosecond(self) -> None:
        def run(interrupted: bool) -> list[int]:
            progress = Number()
            clock = VirtualClock(ProgressTime(progress, 3337))
            seen = []
            for step in range(40):
                progress.value += 7
                if interrupted and step == 13:
                    state = clock.save()
                    progress = Number(12_345)
                    clock = VirtualClock(ProgressTime(progress, 3337))
                    clock.restore(state)
                seen.append(clock.now_ns())
            return seen

        assert run(interrupted=True) == run(interrupted=False)


def test_saved_deadlines_come_back_in_a_new_clock(manual: VirtualClock) -> None:
    manual.timer("a", "armed", lambda: None).arm_at(90)
    manual.timer("a", "idle", lambda: None)
    manual.advance(40)
    other = VirtualClock(ManualTime())
    fired: list[int] = []
    other.timer("a", "armed", lambda: fired.append(other.now_ns()))
    other.timer("a", "idle", lambda: fired.append(-1)).arm_at(1)
    other.restore(manual.save())
    assert other.now_ns() == 40
    other.advance(100)
    assert fired == [90]


def test_timers_of_another_machine_are_refused(manual: VirtualClock) -> None:
    state = manual.save()
    manual.timer("pit", "tick", lambda: None)
    with pytest.raises(SnapshotError, match=r"pit\.tick"):
        manual.restore(state)
