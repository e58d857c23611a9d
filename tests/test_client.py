"""`ringone.client` on a small guest that says back what it hears."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ringone.api.errors import WaitTimeoutError
from ringone.api.events import MachineState
from ringone.api.settings import MachineSettings
from ringone.client import AsyncMachine, Machine
from ringone.client.copies import copy_machine
from ringone.client.places import STAY, HomePlace, answers, place_of
from ringone.home import Home
from ringone.home.runtime import runtime_folder, socket_path
from ringone.plugins import PluginRegistry

from guests.echo import READY, machine, write_image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix-domain sockets")

ENDS_S = 30


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the machine ``echo``."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("r")))
    folder = tmp_path / "home"
    machines = Home.open(folder, registry)
    machines.register(machines.create(MachineSettings(config=machine(write_image(tmp_path / "echo.img")))))
    return folder


def test_a_machine_is_started_driven_rolled_back_and_ended(home: Path) -> None:
    with Machine("echo", home=home) as vm:
        vm.serial.wait_for(READY)
        with vm.checkpoint():
            vm.serial.write("once")
            vm.serial.wait_for("once")
        vm.serial.write("twice")
        assert vm.serial.wait_for("twice").start is not None
        with pytest.raises(WaitTimeoutError, match="'once' did not come on the serial port"):
            vm.serial.wait_for("once", 0.2)
        vm.pause()
        assert vm.state is MachineState.PAUSED
    assert list(runtime_folder().iterdir()) == []


def test_a_machine_that_runs_already_goes_on_running(home: Path) -> None:
    with Machine("echo", home=home) as first:
        with Machine("echo", home=home) as second:
            assert second.info().pid == first.info().pid
        assert first.state is MachineState.RUNNING


def test_a_machine_file_needs_no_home(home: Path) -> None:
    with Machine(home / "machines" / "echo" / "echo.vbox") as vm:
        vm.serial.wait_for(READY)
    assert list(runtime_folder().iterdir()) == []


def test_copies_of_a_machine_run_at_once(home: Path, tmp_path: Path) -> None:
    async def run(name: str) -> bytes:
        identity = copy_machine("echo", tmp_path / name, home=home)
        async with AsyncMachine(HomePlace(uuid=identity, home=tmp_path / name, arguments=STAY)) as vm:
            await vm.serial.wait_for(READY)
            await vm.serial.write(name)
            await vm.serial.wait_for(name)
            return await vm.serial.log()

    async def main() -> tuple[bytes, bytes]:
        return await asyncio.gather(run("left"), run("right"))

    left, right = asyncio.run(main())
    assert b"left" in left
    assert b"right" not in left
    assert b"right" in right


def test_a_copy_of_a_snapshot_goes_on_from_it(home: Path, tmp_path: Path) -> None:
    with Machine("echo", home=home) as vm:
        vm.serial.wait_for(READY)
        vm.serial.write("kept")
        vm.screen.wait_for("kept")
        assert vm.snapshots.take("then").online
        assert [snapshot.name for snapshot in vm.snapshots.all()] == ["then"]
    identity = copy_machine("echo", tmp_path / "copy", home=home, snapshot="then")
    with Machine(HomePlace(uuid=identity, home=tmp_path / "copy", arguments=STAY)) as vm:
        assert "kept" in vm.screen.text()
        vm.serial.write("more")
        vm.screen.wait_for("keptmore")


DIE = """
import os, signal, sys
from pathlib import Path
from ringone.client import Machine
from ringone.client.places import STAY, place_of
Machine(place_of("echo", Path(sys.argv[1]), STAY)).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_machine_that_stays_ends_with_whoever_started_it_however_that_ends(home: Path, registry: PluginRegistry) -> None:
    subprocess.run([sys.executable, "-c", DIE, str(home)], timeout=60, check=False)
    place = place_of("echo", home)
    deadline = time.monotonic() + ENDS_S
    while answers(place.socket) and time.monotonic() < deadline:
        time.sleep(0.05)
    machines = Home.open(home, registry)
    registered = machines.find("echo")
    while machines.holder(registered) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert machines.holder(registered) is None
    assert not socket_path(registered.uuid).exists()
    assert not machines.load(registered).aborted
