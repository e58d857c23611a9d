"""A PC that is saved while its built-in BIOS answers a call goes on as if nothing had been."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import pytest
from ringone.api.config import ClockConfig, ClockPolicy, CpuConfig, MachineConfig
from ringone.api.events import MachineState, MediumFull
from ringone_firmware.builtin.device import BiosServices

from guests import echo
from guests.console import Guest
from tests.conftest import Boot
from tests.test_checkpoints import session_of

TIMEOUT_S = 60


@pytest.fixture
def config(tmp_path: Path) -> MachineConfig:
    machine = echo.machine(echo.write_image(tmp_path / "echo.img"))
    return attrs.evolve(machine, cpu=CpuConfig(backend="recompiler"), clock=ClockConfig(policy=ClockPolicy.DETERMINISTIC))


def paused_at(operation: int, make_guest: Boot, config: MachineConfig, monkeypatch: pytest.MonkeyPatch) -> Guest:
    """A machine whose BIOS was asked for its next operation as often as that."""
    asked = 0
    ask = BiosServices._step

    def counted(bios: BiosServices, offset: int, size: int) -> int:
        nonlocal asked
        asked += 1
        if asked == operation:
            session_of(guest).announce(MediumFull("com1", "the BIOS has come as far as it should"))
        return ask(bios, offset, size)

    with monkeypatch.context() as patched:
        patched.setattr(BiosServices, "_step", counted)
        guest = make_guest(config)
    guest.start()
    deadline = time.monotonic() + TIMEOUT_S
    while guest.session.state is MachineState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return guest


@pytest.mark.parametrize("operation", [100, 400, 700])
def test_another_machine_goes_on_with_the_call(make_guest: Boot, config: MachineConfig, monkeypatch: pytest.MonkeyPatch, operation: int) -> None:
    first = paused_at(operation, make_guest, config, monkeypatch)
    state = first.session.save_state()
    first.session.close()
    other = make_guest(config)
    other.session.load_state(state)
    other.session.resume()
    other.wait_serial(echo.READY, TIMEOUT_S)


def test_a_machine_goes_back_into_the_call(make_guest: Boot, config: MachineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = paused_at(400, make_guest, config, monkeypatch)
    checkpoint = guest.session.take_checkpoint()
    for _ in range(2):
        guest.session.resume()
        guest.wait_serial(echo.READY, TIMEOUT_S, after=len(guest.serial))
        guest.session.pause()
        guest.session.roll_back(checkpoint)
