"""Saved states: a machine that is restored goes on as if nothing had happened, and a state that does not fit changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from ringone.api.config import DeviceConfig
from ringone.api.errors import SnapshotError, StateError
from ringone.api.events import MachineState, StateRestored, StateSaved
from ringone.machine import Session

from .breadboard import HLT, HOST_CLOCK, MEDIUM_FULL, POWER_OFF, SPIN, START_TICKING, TRIPLE_FAULT, WAIT_FOR_TICKS, Bench, count, eventually, order, out, say

OFF, RUNNING, PAUSED, STUCK, ABORTED = MachineState
TICKS = 20
PROGRAM = out(0xE9, 7) + START_TICKING + HLT * TICKS + out(0x80, MEDIUM_FULL) + HLT * TICKS + order(POWER_OFF)
"""Pauses half-way, where the host's disk is full."""


def paused_in_the_middle(bench: Bench) -> Session:
    session = bench.started(PROGRAM)
    eventually(lambda: session.state is PAUSED)
    return session


def test_a_restored_machine_is_paused_and_equal_to_the_saved_one(bench: Bench) -> None:
    original = paused_in_the_middle(bench)
    restored = bench.session(SPIN)
    restored.load_state(original.save_state())
    assert restored.state is PAUSED
    assert restored.state_hash() == original.state_hash()
    assert restored.save_state() == original.save_state()


def test_a_run_with_a_save_and_restore_in_it_ends_like_one_without(bench: Bench) -> None:
    undisturbed = bench.started(PROGRAM)
    eventually(lambda: undisturbed.state is PAUSED)
    saved = undisturbed.save_state()
    restored = bench.session(SPIN)
    restored.load_state(saved)
    for session in (undisturbed, restored):
        session.resume()
        assert session.wait() is OFF
        assert count(session) == 2 * TICKS
    assert (restored.state_hash(), restored.virtual_ns()) == (undisturbed.state_hash(), undisturbed.virtual_ns())


def test_saving_lets_a_running_machine_go_on(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_TICKS, clock=HOST_CLOCK)
    session.save_state()
    assert session.state is RUNNING
    before = count(session)
    eventually(lambda: count(session) > before)


def test_restoring_into_a_running_machine_keeps_it_running(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_TICKS)
    saved = session.save_state()
    session.load_state(saved)
    assert session.state is RUNNING
    assert [type(event) for event in bench.events if isinstance(event, StateSaved | StateRestored)] == [StateSaved, StateRestored]


def test_the_hash_tells_states_apart_and_survives_the_machine(bench: Bench) -> None:
    hashes = set()
    for value in (1, 2):
        session = bench.started(out(0xE9, value) + order(POWER_OFF))
        session.wait()
        hashes.add(session.state_hash())
    assert len(hashes) == 2


def test_a_stuck_machine_is_not_saved(bench: Bench) -> None:
    session = bench.started(TRIPLE_FAULT, triple_fault_reset=False)
    session.wait()
    with pytest.raises(StateError, match="cannot save 'bench': it is gurumeditation"):
        session.save_state()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devices": (DeviceConfig(id="bay", type="bay"),)}, "lacks the section 'bay'"),
        ({"memory_bytes": 2 << 20}, "saved ram has 1048576 bytes, and this machine's has 2097152"),
    ],
)
def test_the_state_of_another_machine_is_refused_and_changes_nothing(changes: dict[str, Any], message: str, bench: Bench) -> None:
    saved = paused_in_the_middle(bench).save_state()
    other = bench.started(SPIN, **changes)
    other.pause()
    before = other.state_hash()
    with pytest.raises(SnapshotError, match=message):
        other.load_state(saved)
    assert other.state is PAUSED and other.state_hash() == before


def test_a_damaged_container_is_refused(bench: Bench) -> None:
    session = paused_in_the_middle(bench)
    with pytest.raises(SnapshotError):
        session.load_state(session.save_state()[:-40])
    assert session.state is PAUSED


def test_a_part_that_refuses_its_state_half_way_leaves_the_machine_off(bench: Bench) -> None:
    session = bench.started(say(b"poison") + SPIN)
    eventually(lambda: session.statistics()["EM/Instructions"] > 20)
    saved = session.save_state()
    with pytest.raises(SnapshotError, match="servant: the device refuses its saved state: poison"):
        session.load_state(saved)
    assert session.state is OFF
    session.start()
    assert session.state is RUNNING
