"""The demo guest passes every check that it makes, on every firmware and clock, the same way twice, and across a saved state; `make demo` reports it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from ringone.api.config import ClockPolicy, MachineConfig
from ringone.api.events import MachineState

from guests.console import Guest
from guests.demo.__main__ import main
from guests.demo.build import build
from guests.demo.machine import PASSED, machine
from guests.demo.report import Run, summary
from tests.conftest import Boot

TIMEOUT_S = 60
CHECKS = 22
FIRMWARES = ("builtin", pytest.param("seabios", marks=pytest.mark.guest))
"""SeaBIOS is a package of the host's."""


@pytest.fixture(scope="session")
def image() -> Path:
    return build()


def run_to_the_end(guest: Guest) -> Guest:
    guest.wait_power_off(TIMEOUT_S)
    return guest


@pytest.mark.parametrize("clock", [ClockPolicy.HOST, ClockPolicy.DETERMINISTIC], ids=lambda policy: policy.value)
@pytest.mark.parametrize("firmware", FIRMWARES)
def test_demo_passes_and_powers_off(boot: Boot, image: Path, firmware: str, clock: ClockPolicy) -> None:
    guest = run_to_the_end(boot(machine(image, firmware=firmware, clock=clock)))
    assert guest.serial.count("\nok      ") == CHECKS
    assert "FAILED" not in guest.serial
    assert guest.serial.rstrip().endswith(PASSED)


def test_screen_shows_what_the_serial_line_says(boot: Boot, image: Path) -> None:
    guest = run_to_the_end(boot(machine(image, clock=ClockPolicy.DETERMINISTIC)))
    screen = guest.screen.splitlines()
    assert screen == guest.serial.splitlines()[-len(screen) :]


def test_deterministic_runs_are_equal_to_the_last_bit(boot: Boot, image: Path) -> None:
    config = machine(image, clock=ClockPolicy.DETERMINISTIC)
    first, second = (run_to_the_end(boot(config)) for _ in range(2))
    assert first.line.said == second.line.said
    assert first.session.virtual_ns() == second.session.virtual_ns()
    assert first.session.state_hash() == second.session.state_hash()


def saved_in_mid_run(make_guest: Boot, config: MachineConfig) -> tuple[Guest, bytes]:
    """A machine that goes on where another one was saved, at its end, and all that both have said."""
    original = make_guest(config).start()
    original.wait_serial("A20 is open", TIMEOUT_S)
    original.session.pause()
    said, state = original.line.said, original.session.save_state()
    assert PASSED not in original.serial

    restored = make_guest(config)
    restored.session.load_state(state)
    if restored.session.state is MachineState.PAUSED:
        restored.session.resume()
    run_to_the_end(restored)
    return restored, bytes(said + restored.line.said)


def test_machine_saved_in_mid_run_ends_like_one_that_was_not(make_guest: Boot, image: Path) -> None:
    config = machine(image, clock=ClockPolicy.DETERMINISTIC)
    config = attrs.evolve(config, cpu=attrs.evolve(config.cpu, backend="recompiler"))
    untouched = run_to_the_end(make_guest(config).start())
    restored, said = saved_in_mid_run(make_guest, config)
    assert said == untouched.line.said
    assert restored.session.virtual_ns() == untouched.session.virtual_ns()
    assert restored.session.state_hash() == untouched.session.state_hash()


def test_machine_saved_in_raw_mode_says_what_one_does_that_was_not(make_guest: Boot, image: Path) -> None:
    """Its time may differ by the start of a patch: one that was stopped in its midst begins anew."""
    config = machine(image, clock=ClockPolicy.DETERMINISTIC)
    untouched = run_to_the_end(make_guest(config).start())
    _, said = saved_in_mid_run(make_guest, config)
    assert said == untouched.line.said


def test_demo_shows_typed_keys_and_waits_for_enter(boot: Boot, image: Path) -> None:
    guest = boot(machine(image))
    guest.wait_serial("the keyboard answers an echo", TIMEOUT_S)
    guest.type("x")
    guest.wait_serial("Enter powers off.\n", TIMEOUT_S)
    guest.type("ring one")
    guest.wait_screen("ring one", TIMEOUT_S)
    assert guest.session.state is MachineState.RUNNING
    guest.type("\n")
    run_to_the_end(guest)
    assert PASSED in guest.serial


def test_demo_command_shows_console_traps_patches_and_their_runs(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--firmware", "builtin", "--clock", "deterministic", "--statistics"]) == 0
    console, report = capsys.readouterr().out.split("\ndemo: powered off\n")
    assert console.rstrip().endswith(PASSED)
    table, counters = report.rstrip().rsplit("\n\n", 1)
    for kind in ("traps", "patches", "hits", "hlt", "iret", "pop_selector"):
        assert f" {kind}" in table
    assert " IOM/PortReads " in counters
    assert "/" not in table


def test_report_counts_traps_patches_and_hits_by_kind() -> None:
    statistics = {
        "EM/Instructions": 1_234_567,
        "EM/RawTime": 3_000,
        "EM/RecompilerTime": 1_000,
        "EM/Traps": 1_005,
        "EM/Traps/hlt": 5,
        "EM/Traps/int": 1_000,
        "IOM/PortReads": 7,
        "PATM/Hits/cli": 20_000,
        "PATM/Patches": 4,
        "PATM/Patches/cli": 3,
        "PATM/Patches/iret": 1,
        "PATM/Patches/trap": 0,
    }
    run = Run(state=MachineState.POWERED_OFF, seconds=1.5, virtual_ns=2_500_000_000, statistics=statistics)
    assert list(summary(run)) == [
        "demo: powered off",
        "  time          1.500 s, 2.500 s virtual",
        "  instructions  1,234,567",
        "  recompiler    25.0% of the time",
        "",
        "  what stopped the guest      what was replaced           how often that ran",
        "  1,005 traps                     4 patches              20,000 hits",
        "  1,000 int                       3 cli                  20,000 cli",
        "      5 hlt                       1 iret",
    ]
