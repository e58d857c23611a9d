"""What driving a machine from outside costs, with Debian's Linux at its shell: ``python -m bench.outside``.

Everything goes through the control API of a machine in a process of its own, as scripts and pytest-ringone use it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table
from ringone.api.errors import RingOneError
from ringone.api.settings import MachineSettings
from ringone.client import Machine
from ringone.client.copies import copy_machine
from ringone.client.places import STAY, HomePlace
from ringone.home import Home
from ringone.plugins import PluginRegistry

from guests.catalog import BY_NAME, MIB
from guests.console import COM1

BOOT_S = 300
ROUNDS = 200
TESTS = 20
TEXT = "The quick brown fox jumps over the lazy dog, 1234567890 times.\n" * 10
LOOP = "i=0; read a b < /proc/uptime; while [ $i -lt 60000 ]; do i=$((i+1)); done; read c d < /proc/uptime; echo took $a $c.\n"
EMPTY_TESTS = f"""
import pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_nothing(machine, number):
    pass
"""


def make_home(folder: Path) -> Path:
    """With the machine ``debian``."""
    config = BY_NAME["linux-686"].machine(append="console=ttyS0 console=tty0 guest=shell")
    config = attrs.evolve(config, name="debian", uuid=str(uuid.uuid4()), serial_ports=(COM1,), memory_bytes=128 * MIB)
    home = Home.open(folder, PluginRegistry())
    home.register(home.create(MachineSettings(config=config)))
    return folder


def _median_ms(action: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def calls(vm: Machine) -> dict[str, float]:
    """Milliseconds a call, while the guest idles."""
    vm.take_checkpoint()
    return {
        "one call (GET /machine)": _median_ms(vm.info),
        "the screen as PNG": _median_ms(vm.screen.png),
        "going back to a checkpoint": _median_ms(vm.roll_back),
    }


def typing(vm: Machine) -> float:
    """Characters a second."""
    vm.keyboard.type("stty -echo; cat > /dev/null\n")
    start = time.perf_counter()
    vm.keyboard.type(TEXT)
    seconds = time.perf_counter() - start
    vm.keyboard.type("\x04stty echo\n")
    return len(TEXT) / seconds


def waiting(vm: Machine) -> float:
    """By how many percent a busy guest is slower while somebody waits for its screen. Rounds with and without take turns."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(3):
        for waited in (False, True):
            vm.keyboard.type("clear\n")
            waiter = threading.Thread(target=_wait_in_vain, args=(vm,))
            if waited:
                waiter.start()
            vm.keyboard.type(LOOP)
            begin, end = map(float, _groups(vm))
            times[waited].append(end - begin)
            if waited:
                waiter.join()
    return 100 * (statistics.median(times[True]) / statistics.median(times[False]) - 1)


def _groups(vm: Machine) -> tuple[str, str]:
    time.sleep(8)
    first, second = vm.screen.wait_for_regex(r"took ([0-9.]+) ([0-9.]+)\.\n", BOOT_S).groups
    return first or "", second or ""


def _wait_in_vain(vm: Machine) -> None:
    try:
        vm.screen.wait_for("what never comes", 8, clock="wall")
    except RingOneError:
        return


def overhead(home: Path, folder: Path) -> float:
    """Seconds for each of many empty tests of a pytest run, without the boot."""
    (folder / "test_empty.py").write_text(EMPTY_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ringone-machine=debian", f"--ringone-home={home}", "--ringone-ready=/ #"]
    command += [f"--ringone-timeout={BOOT_S}", "--durations=0", "-vv", str(folder)]
    output = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    setups = sorted(float(line.split("s setup")[0]) for line in output.splitlines() if "s setup" in line)
    return sum(setups[:-1]) / (TESTS - 1)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = make_home(Path(folder) / "home")
        identity = copy_machine("debian", Path(folder) / "copy", home=home)
        with Machine(HomePlace(uuid=identity, home=Path(folder) / "copy", arguments=STAY)) as vm:
            vm.screen.wait_for("/ #", BOOT_S, clock="wall")
            times = calls(vm)
            characters, slower = typing(vm), waiting(vm)
        each = overhead(home, Path(folder))
    table = Table("what", "RingOne", title="A machine from outside")
    for name, ms in times.items():
        table.add_row(name, f"{ms:.1f} ms")
    table.add_row("typing", f"{characters:.0f} characters/s")
    table.add_row("a busy guest while its screen is waited for", f"{slower:+.1f} % time")
    table.add_row("pytest-ringone, overhead of a test", f"{each * 1000:.0f} ms")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
