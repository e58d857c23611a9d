"""A machine's states as other threads see them, and the life of its thread and drivers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ringone.api.config import ClockConfig, ClockPolicy, DeviceConfig, DriverConfig
from ringone.api.console import Frame
from ringone.api.errors import ConfigError, DeviceError, PluginLoadError, StateError, UnknownNameError
from ringone.api.events import MachineReset, MachineState, ObserverFailed, StateChanged
from ringone.api.frontends import VmSession
from ringone.machine import Session

from .breadboard import HALT_FOR_EVER, HOST_CLOCK, POWER_OFF, SPIN, WAIT_FOR_INTERRUPTS, Bench, HostFile, count, eventually, order, plugin, ticks_then

OFF, RUNNING, PAUSED, STUCK, ABORTED = MachineState
A_DRIVER = {"devices": (DeviceConfig(id="bay", type="bay"),), "drivers": (DriverConfig(slot="bay.disk", type="host-file"),)}


def test_a_session_is_what_frontends_expect(bench: Bench) -> None:
    session: VmSession = bench.session(SPIN)
    assert session.state is OFF and session.error is None and session.config.name == "bench"


def test_the_machine_runs_on_a_daemon_thread_named_after_it(bench: Bench) -> None:
    thread = bench.session(SPIN).request(threading.current_thread).result()
    assert thread.name == "bench" and thread.daemon


def test_a_machine_goes_through_its_states(bench: Bench) -> None:
    session = bench.started(SPIN)
    session.pause()
    session.resume()
    session.power_off()
    changes = [(event.old, event.new) for event in bench.events if isinstance(event, StateChanged)]
    assert changes == [(OFF, RUNNING), (RUNNING, PAUSED), (PAUSED, RUNNING), (RUNNING, OFF)]


@pytest.mark.parametrize("action", ["pause", "resume", "reset", "power_off", "press_power_button", "inject_nmi", "save_state"])
def test_what_needs_power_is_refused_without_it(action: str, bench: Bench) -> None:
    session = bench.session(SPIN)
    with pytest.raises(StateError, match=r"cannot .* 'bench': it is poweroff, and would have to be"):
        getattr(session, action)()


def test_a_running_machine_cannot_be_started_or_resumed(bench: Bench) -> None:
    session = bench.started(SPIN)
    for action in (session.start, session.resume):
        with pytest.raises(StateError, match="it is running"):
            action()


def test_a_paused_machine_makes_no_progress(bench: Bench) -> None:
    session = bench.started(SPIN)
    session.pause()
    before = session.state_hash()
    assert session.state_hash() == before
    session.resume()
    eventually(lambda: session.virtual_ns() > 0)


def test_reset_starts_the_program_over_and_says_why(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_INTERRUPTS)
    session.put_scancodes(b"a")
    eventually(lambda: session.keyboard_pending() == 1)
    session.reset()
    assert session.keyboard_pending() == 0
    assert MachineReset("asked for from outside") in bench.events


def test_memory_is_empty_at_every_power_on_and_kept_over_reset(bench: Bench) -> None:
    session = bench.started(ticks_then(2, POWER_OFF))
    assert session.wait() is OFF
    assert count(session) == 2
    session.start()
    assert session.wait() is OFF
    assert count(session) == 2


@pytest.mark.parametrize("clock", [HOST_CLOCK, ClockConfig(policy=ClockPolicy.DETERMINISTIC, ns_per_1000_progress=1), ClockConfig(policy=ClockPolicy.MANUAL)])
@pytest.mark.parametrize("code", [SPIN, HALT_FOR_EVER])
def test_commands_interrupt_a_guest_whatever_it_does(code: str, clock: ClockConfig, bench: Bench) -> None:
    session = bench.started(code, clock=clock)
    for _ in range(20):
        session.virtual_ns()
    session.pause()
    assert session.state is PAUSED


def test_the_processors_options_change_while_the_guest_runs(bench: Bench) -> None:
    session = bench.started(SPIN)
    assert session.change_cpu_options({"broken": "off"}) == {"broken": "off"}
    assert session.state is RUNNING
    session.change_cpu_options({"broken": "on"})
    assert session.wait(5) is ABORTED


@pytest.mark.parametrize(("option", "value"), [("unbuildable", "on"), ("broken", "perhaps"), ("colour", "red")])
def test_options_that_cannot_be_changed_so_change_nothing(option: str, value: str, bench: Bench) -> None:
    session = bench.started(SPIN)
    with pytest.raises(ConfigError, match=option):
        session.change_cpu_options({option: value})
    assert session.change_cpu_options({}) == {}
    assert session.state is RUNNING


def test_wait_gives_up_when_its_time_is_over(bench: Bench) -> None:
    assert bench.started(SPIN).wait(0.01) is RUNNING


def test_the_guest_can_switch_itself_off(bench: Bench) -> None:
    assert bench.started(order(POWER_OFF)).wait() is OFF


def test_input_wakes_a_halted_guest(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_INTERRUPTS, clock=HOST_CLOCK)
    session.put_scancodes(b"x")
    eventually(lambda: count(session) == 1)
    session.press_power_button()
    eventually(lambda: count(session) == 2)
    session.inject_nmi()
    eventually(lambda: count(session) == 3)


def test_the_console_is_what_the_board_links(bench: Bench) -> None:
    session = bench.started(SPIN)
    assert isinstance(session.frame(), Frame)
    assert session.frame_generation() == 1
    assert session.text_screen() is None
    with pytest.raises(StateError, match="'bench' has no mouse; it has: display, keyboard, power-button"):
        session.move_mouse(1, 1)


def test_a_chip_that_fails_for_a_caller_tells_the_caller_and_aborts(bench: Bench) -> None:
    session = bench.started(SPIN)
    with pytest.raises(DeviceError, match="device ticker failed in interface 'keyboard'"):
        session.put_scancodes(b"\xff")
    assert session.state is ABORTED
    assert isinstance(session.error, DeviceError)


# --- Observers ---------------------------------------------------------------------------------------------------------------------------------------------


def test_a_failing_observer_is_dropped_and_the_others_are_told(bench: Bench) -> None:
    session = bench.session(SPIN)
    calls = []

    def fragile(event: object) -> None:
        calls.append(event)
        raise RuntimeError("oops")

    session.subscribe(fragile)
    session.start()
    session.pause()
    assert len(calls) == 1
    (failure,) = [event for event in bench.events if isinstance(event, ObserverFailed)]
    assert "fragile" in failure.observer and failure.message == "RuntimeError: oops"
    assert session.state is PAUSED


def test_an_observer_may_command_the_machine_and_events_stay_in_order(bench: Bench) -> None:
    session = bench.session(SPIN)
    seen: list[MachineState] = []

    def pause_at_once(event: object) -> None:
        if isinstance(event, StateChanged) and event.new is RUNNING:
            session.pause()

    def watch(event: object) -> None:
        if isinstance(event, StateChanged):
            seen.append(event.new)

    session.subscribe(pause_at_once)
    session.subscribe(watch)
    session.start()
    assert session.state is PAUSED
    assert seen == [RUNNING, PAUSED]


def test_unsubscribed_observers_hear_nothing(bench: Bench) -> None:
    session = bench.session(SPIN)
    heard: list[object] = []
    session.subscribe(heard.append)()
    session.start()
    assert heard == []


def test_the_machine_cannot_wait_for_itself(bench: Bench) -> None:
    session = bench.session(SPIN)
    with pytest.raises(StateError, match="own thread cannot wait"):
        session.request(session.wait).result()


# --- Drivers -----------------------------------------------------------------------------------------------------------------------------------------------


def test_media_are_changed_by_component_and_slot(bench: Bench) -> None:
    session = bench.session(SPIN, **A_DRIVER)
    session.change_medium("bay.disk", Path("new.iso"))
    session.change_medium("bay.disk", None)
    assert HostFile.opened[0].images == [Path("new.iso"), None]
    with pytest.raises(UnknownNameError, match=r"unknown removable drive 'bay\.disc' \(did you mean 'bay\.disk'\?\)"):
        session.change_medium("bay.disc", None)


def test_drivers_reach_the_machine_thread_from_any_thread(bench: Bench) -> None:
    bench.started(SPIN, **A_DRIVER)
    names: list[str] = []
    HostFile.opened[0].context.call_soon(lambda: names.append(threading.current_thread().name))
    HostFile.opened[0].context.emit("hello")
    eventually(lambda: "hello" in bench.events)
    assert names == ["bench"]


def test_a_driver_that_fails_on_the_machine_thread_aborts(bench: Bench) -> None:
    session = bench.started(SPIN, **A_DRIVER)
    HostFile.opened[0].context.call_soon(lambda: [].pop())
    assert session.wait() is ABORTED
    assert str(session.error) == "device bay.disk failed in a deferred call"


# --- The end -----------------------------------------------------------------------------------------------------------------------------------------------


def test_close_stops_the_machine_ends_its_thread_and_closes_drivers(bench: Bench) -> None:
    session = bench.started(SPIN, **A_DRIVER)
    thread = session.request(threading.current_thread).result()
    session.close()
    session.close()
    assert session.state is OFF and not thread.is_alive() and HostFile.opened[0].closed
    with pytest.raises(StateError, match="the machine is closed"):
        session.start()


def test_an_observer_may_close_the_machine(bench: Bench) -> None:
    session = bench.started(ticks_then(1, POWER_OFF), **A_DRIVER)
    session.subscribe(lambda event: session.close())
    session.close()
    assert HostFile.opened[0].closed


def test_plugins_hear_of_assembly_and_closing_with_a_session_that_works(bench: Bench) -> None:
    told: list[tuple[str, MachineState, bool]] = []

    def ringone_machine_assembled(session: Session) -> None:
        told.append(("assembled", session.state, session.read_memory(0, 1) == b"\0"))

    def ringone_machine_closing(session: Session) -> None:
        told.append(("closing", session.state, HostFile.opened[0].closed))

    hooks = plugin(ringone_machine_assembled=ringone_machine_assembled, ringone_machine_closing=ringone_machine_closing)
    session = bench.session(SPIN, plugins=[hooks], **A_DRIVER)
    session.start()
    session.close()
    assert told == [("assembled", OFF, True), ("closing", OFF, False)]


def test_a_plugin_that_fails_at_assembly_leaves_nothing_behind(bench: Bench) -> None:
    def ringone_machine_assembled(session: Session) -> None:
        raise RuntimeError("not today")

    with pytest.raises(PluginLoadError, match="not today"):
        bench.session(SPIN, plugins=[plugin(ringone_machine_assembled=ringone_machine_assembled)], **A_DRIVER)
    assert HostFile.opened[0].closed
