"""What the machine's thread does with a guest: time, halts, shutdown, and plugins that fail."""

from __future__ import annotations

import pytest
from ringone.api.config import ClockConfig, ClockPolicy, CpuConfig
from ringone.api.errors import BackendError, DeviceError, StateError
from ringone.api.events import MachineReset, MachineState, MediumFull, StateChanged
from ringone.machine import Session

from .breadboard import (
    FAIL,
    HALT_FOR_EVER,
    HOST_CLOCK,
    MEDIUM_FULL,
    POWER_OFF,
    RESET,
    SPIN,
    TICK_NS,
    TRIPLE_FAULT,
    WAIT_FOR_TICKS,
    Bench,
    count,
    eventually,
    order,
    out,
    say,
    ticks_then,
)

OFF, RUNNING, PAUSED, STUCK, ABORTED = MachineState


def test_a_halted_guest_wakes_for_its_timer_under_the_host_clock(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_TICKS, clock=HOST_CLOCK)
    eventually(lambda: count(session) >= 5)
    assert session.virtual_ns() >= 5 * TICK_NS


def test_a_halted_guest_skips_to_its_timer_under_the_deterministic_clock(bench: Bench) -> None:
    session = bench.started(ticks_then(1000, POWER_OFF))
    assert session.wait() is OFF
    assert count(session) == 1000
    assert 1000 * TICK_NS < session.virtual_ns() < 1001 * TICK_NS
    assert session.statistics()["EM/Instructions"] < 10_000


def test_a_running_guest_is_interrupted_at_the_exact_instruction(bench: Bench) -> None:
    session = bench.started("B0 01 E6 40 FB" + "90" * 2500 + order(POWER_OFF))
    assert session.wait() is OFF
    assert count(session) == 2


def test_an_idle_guest_costs_nothing(bench: Bench) -> None:
    session = bench.started(HALT_FOR_EVER, clock=HOST_CLOCK)
    exits = session.statistics()["EM/Exits"]
    session.wait(0.3)
    assert session.statistics()["EM/Exits"] <= exits + 5


def test_time_stands_still_under_the_manual_clock_until_it_is_moved(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_TICKS, clock=ClockConfig(policy=ClockPolicy.MANUAL))
    eventually(lambda: session.statistics()["EM/Instructions"] >= 4)
    assert session.virtual_ns() == 0 and count(session) == 0


def test_virtual_time_stands_still_while_paused(bench: Bench) -> None:
    session = bench.started(SPIN, clock=HOST_CLOCK)
    eventually(lambda: session.virtual_ns() > 0)
    session.pause()
    stopped_at = session.virtual_ns()
    session.wait(0.05)
    assert session.virtual_ns() == stopped_at


@pytest.mark.parametrize("ticks", [3, 40])
def test_two_runs_are_equal_bit_for_bit_whatever_happens_on_the_host(ticks: int, bench: Bench) -> None:
    def run(*, disturbed: bool) -> tuple[str, int]:
        session = bench.started(ticks_then(ticks, POWER_OFF))
        while disturbed and session.state is RUNNING:
            session.frame()
        session.wait()
        return session.state_hash(), session.virtual_ns()

    assert run(disturbed=False) == run(disturbed=True)


# --- What guests do to themselves --------------------------------------------------------------------------------------------------------------------------


def test_a_triple_fault_resets_the_machine(bench: Bench) -> None:
    session = bench.started(TRIPLE_FAULT)
    eventually(lambda: bench.events.count(MachineReset("triple fault")) >= 3)
    assert session.state is RUNNING


def test_a_triple_fault_can_leave_the_machine_stuck_until_it_is_reset(bench: Bench) -> None:
    session = bench.started(TRIPLE_FAULT, triple_fault_reset=False)
    assert session.wait() is STUCK
    with pytest.raises(StateError, match="it is gurumeditation"):
        session.resume()
    session.reset()
    assert session.wait() is STUCK
    session.power_off()
    assert session.state is OFF


def test_the_guest_can_reset_itself(bench: Bench) -> None:
    session = bench.started(out(0xE9, 1) + order(RESET))
    eventually(lambda: bench.events.count(MachineReset("the guest asked for it")) >= 3)
    session.power_off()


# --- What plugins do -----------------------------------------------------------------------------------------------------------------------------------------


def test_a_chip_that_fails_aborts_its_machine_and_is_named(bench: Bench) -> None:
    session = bench.started(order(FAIL))
    assert session.wait() is ABORTED
    assert isinstance(session.error, DeviceError)
    assert session.error.component == "servant" and "port 0x0080" in session.error.access
    assert isinstance(session.error.__cause__, ZeroDivisionError)
    assert "servant" in [event.reason for event in bench.events if isinstance(event, StateChanged)][-1]


def test_a_processor_that_fails_aborts_its_machine(bench: Bench) -> None:
    session = bench.started(SPIN, cpu=CpuConfig(backend="tiny", options={"broken": "on"}))
    assert session.wait() is ABORTED
    assert isinstance(session.error, BackendError)
    assert str(session.error) == "CPU backend tiny: RuntimeError: the processor melted"


def test_a_chip_that_fails_at_reset_aborts_its_machine(bench: Bench) -> None:
    session = bench.started(say(b"unresettable") + order(MEDIUM_FULL))
    eventually(lambda: session.state is PAUSED)
    with pytest.raises(DeviceError, match="device servant failed in reset"):
        session.reset()
    assert session.state is ABORTED


def test_an_aborted_machine_can_be_looked_at_but_not_used(bench: Bench) -> None:
    session = bench.started(out(0xE9, 1) + order(FAIL))
    session.wait()
    assert session.read_memory(0x1000, 2) == b"\xb0\x01"
    assert session.frame().width == 1
    for action in (session.start, session.reset, session.resume, session.save_state):
        with pytest.raises(StateError, match="it is aborted"):
            action()


def test_a_full_host_disk_pauses_the_machine_and_it_can_go_on(bench: Bench) -> None:
    session = bench.started(out(0x80, MEDIUM_FULL) + order(POWER_OFF))
    paused = StateChanged(RUNNING, PAUSED, "no room for bay.disk: 0 bytes left")
    eventually(lambda: paused in bench.events)
    assert bench.events.index(MediumFull("bay.disk", "0 bytes left")) < bench.events.index(paused)
    session.resume()
    assert session.wait() is OFF


def test_machines_do_not_disturb_each_other(bench: Bench) -> None:
    sound: Session = bench.started(WAIT_FOR_TICKS)
    assert bench.started(order(FAIL)).wait() is ABORTED
    before = count(sound)
    eventually(lambda: count(sound) > before)
