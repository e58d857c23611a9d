"""Checkpoints and state files of whole PCs: rolled back in the middle of anything, on every processor, they are what they were and go on as they did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
from ringone.api.config import ClockPolicy, CpuConfig, MachineConfig
from ringone.api.events import MachineState, MediumFull
from ringone.machine import Session, read_state_file, write_state_file
from ringone.plugins import PluginRegistry

from guests.console import Guest
from guests.demo.build import build
from guests.demo.machine import PASSED, machine
from tests.conftest import Boot

Stopped = Callable[[MachineConfig, str], Guest]
BACKENDS = ("recompiler", "patm")
TIMEOUT_S = 60


def on(backend: str, config: MachineConfig) -> MachineConfig:
    return attrs.evolve(config, cpu=CpuConfig(backend=backend))


@pytest.fixture(scope="session")
def image() -> Path:
    return build()


@pytest.fixture
def stopped(registry: PluginRegistry) -> Iterator[Stopped]:
    """A guest that has paused where it said a text, to the instruction."""
    with ExitStack() as guests:

        def start(config: MachineConfig, text: str) -> Guest:
            said = bytearray()

            def listen(data: bytes) -> None:
                before = text.encode() in said
                said.extend(data)
                if text.encode() in said and not before:
                    session_of(guest).announce(MediumFull("com1", "the guest has come as far as it should"))

            guest = guests.enter_context(Guest(config, registry, listener=listen)).start()
            guest.wait_serial(text, TIMEOUT_S)
            while guest.session.state is MachineState.RUNNING:
                time.sleep(0.01)
            return guest

        yield start


def session_of(guest: Guest) -> Session:
    """With more than frontends see."""
    assert isinstance(guest.session, Session)
    return guest.session


def hash_after_rollback(guest: Guest, checkpoint: int) -> str:
    """In one command, so that nothing runs in between."""

    def roll_back() -> str:
        guest.session.roll_back(checkpoint)
        return guest.session.state_hash()

    return guest.session.request(roll_back).result()


MOMENTS = {"real mode": "A20 is open", "keyboard": "the keyboard answers an echo", "tasks": "hello from ring 3"}
"""Lines of the demo guest's report, by what it is at when it says them."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_guest_passes_its_checks_after_every_rollback(stopped: Stopped, image: Path, backend: str, moment: str) -> None:
    guest = stopped(on(backend, machine(image, clock=ClockPolicy.DETERMINISTIC)), moment)
    said, before, checkpoint = len(guest.line.said), guest.session.state_hash(), guest.session.take_checkpoint()
    ends = []
    for _ in range(3):
        guest.session.resume()
        guest.wait_power_off(TIMEOUT_S)
        ends.append((guest.line.said[said:], guest.session.virtual_ns(), guest.session.state_hash()))
        said = len(guest.line.said)
        assert hash_after_rollback(guest, checkpoint) == before
    assert all(PASSED.encode() in reported for reported, _, _ in ends)
    assert len(set(ends[1:])) == 1
    if backend == "recompiler":  # Raw mode had patches when the first run began.
        assert ends[0] == ends[1]


def test_typed_keys_that_nobody_has_read_come_back(boot: Boot, image: Path) -> None:
    guest = boot(machine(image))
    guest.wait_serial("Enter powers off.\n", TIMEOUT_S)
    session = guest.session

    def type_and_keep() -> tuple[int, int]:
        guest.type("ab")
        return session.keyboard_pending(), session.take_checkpoint()

    pending, checkpoint = session.request(type_and_keep).result()
    assert pending > 0
    for _ in range(3):
        said = len(guest.serial)
        session.roll_back(checkpoint)
        guest.wait_serial("ab", TIMEOUT_S, after=said)


def test_video_memory_and_shadowed_rom_go_back(stopped: Stopped, image: Path) -> None:
    guest = stopped(machine(image, clock=ClockPolicy.DETERMINISTIC), MOMENTS["keyboard"])
    session, screen = session_of(guest), guest.screen
    parts = session._machine.parts
    before, checkpoint = session.state_hash(), session.take_checkpoint()

    def scribble() -> None:
        for name, block in parts.memory.blocks.items():
            block.data[0:4096] = bytes(block.data[0:4095]) + b"!" if name == "ram" else b"!" * 4096

    for _ in range(2):
        session.request(scribble).result()
        assert session.state_hash() != before
        session.roll_back(checkpoint)
        assert (session.state_hash(), guest.screen) == (before, screen)


@pytest.mark.parametrize(("first", "second"), [BACKENDS, BACKENDS[::-1]], ids=["to raw mode", "to the recompiler"])
def test_a_state_goes_on_under_the_other_processor(stopped: Stopped, make_guest: Boot, image: Path, tmp_path: Path, first: str, second: str) -> None:
    original = session_of(stopped(on(first, machine(image, clock=ClockPolicy.DETERMINISTIC)), MOMENTS["tasks"]))
    saved, before = original.capture(), original.state_hash()
    path = tmp_path / "demo.state"
    write_state_file(saved, path)

    restored = make_guest(on(second, machine(image, clock=ClockPolicy.DETERMINISTIC)))
    session_of(restored).restore(read_state_file(path))
    assert restored.session.state_hash() == before
    restored.session.resume()
    restored.wait_power_off(TIMEOUT_S)
    assert PASSED in restored.serial
