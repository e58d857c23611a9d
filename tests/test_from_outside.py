"""Debian's Linux in a process of its own, driven by ringone.client and by pytest-ringone."""

from __future__ import annotations

import asyncio
import io
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from PIL import Image
from ringone.api.config import CpuConfig
from ringone.api.errors import WaitTimeoutError
from ringone.api.events import MachineState
from ringone.api.settings import MachineSettings
from ringone.client import AsyncMachine, Machine
from ringone.home import Home
from ringone.home.runtime import VARIABLE
from ringone.plugins import PluginRegistry

from guests.catalog import BY_NAME
from guests.console import COM1

pytestmark = pytest.mark.guest
pytest_plugins = ["pytester"]

BOOT_S = 180
ANSWER_S = 60
MIB = 1 << 20


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where running machines are reached; a short path, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="r-") as folder:
        monkeypatch.setenv(VARIABLE, folder)
        yield Path(folder) / "ringone"


@pytest.fixture
def home(tmp_path: Path, sockets: Path, registry: PluginRegistry) -> Path:
    """With the machine ``debian``, whose shell is on the screen and whose kernel speaks on the serial port too."""
    folder = tmp_path / "home"
    config = BY_NAME["linux-686"].machine(append="console=ttyS0 console=tty0 guest=shell")
    config = attrs.evolve(config, name="debian", uuid=str(uuid.uuid4()), cpu=CpuConfig(backend="recompiler"), serial_ports=(COM1,), memory_bytes=128 * MIB)
    machines = Home.open(folder, registry)
    machines.register(machines.create(MachineSettings(config=config)))
    return folder


def test_a_script_drives_a_machine(home: Path, sockets: Path) -> None:
    with Machine("debian", home=home) as vm:
        vm.serial.wait_for("Linux version 6", BOOT_S, clock="wall")
        vm.screen.wait_for("/ #", BOOT_S, clock="wall")
        with vm.checkpoint():
            vm.keyboard.type("touch /here\n")
            vm.reset()
        vm.keyboard.type("ls / | grep -c here\n")
        assert vm.screen.wait_for_regex(r"-c here\n(\d+)\n", ANSWER_S).groups == ("0",)
        with Image.open(io.BytesIO(vm.screen.png())) as picture:
            assert picture.size == (720, 400)
        with pytest.raises(WaitTimeoutError, match=r"'login:' was not on the screen") as caught:
            vm.screen.wait_for("login:", 0.2)
        assert "grep -c here" in caught.value.screen
        assert vm.info().backend == "recompiler"
        assert vm.registers()["cr0"] & 1
        vm.keyboard.type("poweroff -f\n")
        vm.wait_for_state(MachineState.POWERED_OFF, ANSWER_S)
    assert list(sockets.iterdir()) == []


def test_a_script_awaits_two_things_of_a_machine(home: Path) -> None:
    async def main() -> tuple[str, list[str]]:
        async with AsyncMachine("debian", home=home) as vm:
            await vm.screen.wait_for("/ #", BOOT_S, clock="wall")
            events = vm.events()
            first = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.2)
            wait = asyncio.ensure_future(vm.screen.wait_for_regex(r"answer (\d+)", ANSWER_S))
            await vm.keyboard.type("echo answer $((6 * 7))\n")
            match = await wait
            await vm.pause()
            return str(match.groups[0]), [(await first).kind, (await vm.state()).value]

    assert asyncio.run(main()) == ("42", ["StateChanged", "paused"])


TESTS = """
    import pytest

    @pytest.mark.parametrize("number", range(20))
    def test_every_test_starts_from_the_same_state(machine, number):
        machine.keyboard.type("mount /dev/sda /mnt; ls / /mnt | grep -c seen; touch /seen /mnt/seen; umount /mnt; echo written\\n")
        assert machine.screen.wait_for_regex("written\\\\n(\\\\d+)\\\\nwritten\\\\n", 20).groups == ("0",)

    def test_that_fails(machine):
        machine.keyboard.type("echo it went $((4 + 4)) times wrong | tee /dev/ttyS0\\n")
        machine.screen.wait_for("it went 9 times", 1)
"""


def test_twenty_tests_share_a_machine_and_a_failing_one_shows_its_screen(home: Path, pytester: pytest.Pytester, sockets: Path) -> None:
    pytester.makepyfile(TESTS)
    options = ("--ringone-machine=debian", f"--ringone-home={home}", "--ringone-ready=/ #", f"--ringone-timeout={BOOT_S}", "--ringone-artifacts=kept")
    result = pytester.runpytest_subprocess(*options, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=20, failed=1)
    result.stdout.fnmatch_lines(["*- machine screen -*", "*screen.png", "it went 8 times wrong", "*- machine serial port -*", "it went 8 times wrong"])
    (picture,) = (pytester.path / "kept").rglob("screen.png")
    with Image.open(picture) as image:
        assert image.size == (720, 400)
    assert list(sockets.iterdir()) == []


def test_workers_have_machines_of_their_own(home: Path, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS.replace("range(20)", "range(4)"))
    options = ("--ringone-machine=debian", f"--ringone-home={home}", "--ringone-ready=/ #", f"--ringone-timeout={BOOT_S}", "-n2", "-k", "same_state")
    result = pytester.runpytest_subprocess(*options, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4)
