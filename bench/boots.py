"""The same Linux, from command to marker, here and in QEMU's TCG; and what an idle shell and a start cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
from ringone.api.config import DriverConfig, FirmwareConfig, MachineConfig
from ringone.machine import create_session
from ringone.plugins import PluginRegistry

from guests import catalog
from guests.console import Guest
from guests.initramfs import SHELL

MARKERS = ("Linux version", "GUEST-MARKER-BOOTED", "GUEST-MARKER-DONE")
TIMEOUT_S = 300
IDLE_SETTLE_S = 5
IDLE_MEASURE_S = 10


def _linux() -> catalog.GuestSystem:
    return catalog.BY_NAME["linux-686"]


def _lines(command: list[str]) -> Iterator[tuple[float, str]]:
    """Seconds since the start, and each line that the command prints."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield time.perf_counter() - start, line.decode("utf-8", "replace")


def _times(command: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for seconds, line in _lines(["timeout", str(TIMEOUT_S), *command]):
        for marker in MARKERS:
            if marker in line:
                found.setdefault(marker, seconds)
    return found


def _parts() -> tuple[str, str, str, str]:
    linux = _linux().machine().linux
    assert linux is not None
    return str(linux.kernel), str(linux.initrd), f"{linux.append} console=ttyS0", str(_linux().memory_bytes >> 20)


def ringone(cpu: str) -> dict[str, float]:
    kernel, initrd, append, memory = _parts()
    program = [str(Path(sys.executable).parent / "ringone"), "run", "--cpu", cpu, "--serial", "stdio", "--display", "none"]
    return _times([*program, "--kernel", kernel, "--initrd", initrd, "--append", append, "--memory", memory])


def qemu() -> dict[str, float]:
    kernel, initrd, append, memory = _parts()
    machine = ["qemu-system-i386", "-accel", "tcg", "-m", memory, "-nodefaults", "-vga", "std", "-no-reboot", "-display", "none", "-serial", "stdio"]
    return _times([*machine, "-kernel", kernel, "-initrd", initrd, "-append", append])


def machine(cpu: str, append: str) -> MachineConfig:
    config = _linux().machine(append=append)
    return attrs.evolve(config, cpu=attrs.evolve(config.cpu, backend=cpu))


def idle(cpu: str) -> float:
    """Percent of one core that an idle Linux shell costs."""
    with Guest(machine(cpu, "console=ttyS0 guest=shell"), PluginRegistry()).start() as guest:
        guest.wait_serial(SHELL, TIMEOUT_S)
        time.sleep(IDLE_SETTLE_S)
        before = os.times()
        time.sleep(IDLE_MEASURE_S)
        after = os.times()
    return (after.user + after.system - before.user - before.system) / IDLE_MEASURE_S * 100


def counters(cpu: str) -> dict[str, int]:
    """What happened while Linux booted to its first program: exits by cause, fills, and what of them was slow."""
    with Guest(machine(cpu, "console=ttyS0"), PluginRegistry()).start() as guest:
        guest.wait_serial(MARKERS[1], TIMEOUT_S)
        found = guest.session.statistics()
    return {name: count for name, count in sorted(found.items()) if count and name.split("/")[0] in ("EM", "IOM", "PGM", "TRPM")}


def first_instruction() -> float:
    """Seconds from a new process to the guest's first instruction."""
    command = [sys.executable, "-c", "from bench.boots import report_first_instruction as report; report()"]
    start = time.time()
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent).stdout
    return float(output) - start


def report_first_instruction() -> None:
    """Run a ROM whose first instructions write to the debug port, and print when that arrived."""
    arrived: list[float] = []

    class Probe:
        def write(self, data: bytes) -> None:
            arrived.append(time.time())

        def attach(self, received: object) -> None:
            """Nothing is ever received."""

        def read(self, size: int) -> bytes:
            return b""

        def close(self) -> None:
            """Nothing to release."""

    rom = Path(tempfile.gettempdir()) / f"ringone-bench-{os.getpid()}.rom"
    rom.write_bytes(bytes(4080) + b"\xe6\xe9\xeb\xfe".ljust(16, b"\0"))  # out 0xE9, al; jmp $
    try:
        config = MachineConfig(name="first", firmware=FirmwareConfig(name="rom", options={"path": str(rom)}))
        config = attrs.evolve(config, debug_console=DriverConfig(slot="", instance=Probe()))
        session = create_session(config, PluginRegistry())
    finally:
        rom.unlink()
    session.start()
    while not arrived:
        time.sleep(0.001)
    session.close()
    sys.stdout.write(f"{arrived[0]}\n")
