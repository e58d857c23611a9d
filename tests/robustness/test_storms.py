"""Guests that keep the machine busy with nothing, for a second here and for 20 in `make fuzz`: memory stays bounded, the log quiet, and the session answers."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs
import pytest
from ringone.api.config import ClockConfig, ClockPolicy, FirmwareConfig, MachineConfig
from ringone.api.events import MachineState
from ringone.machine import create_session
from ringone.plugins import PluginRegistry
from ringone.testing.cpu_bench import assemble

from . import machines
from .lives_worker import resident_bytes

DURATION_S = float(os.environ.get("RINGONE_STORM_S", "1"))
WARM_UP_S = 0.5
PATIENCE_S = 30
"""For what takes milliseconds, on a busy host."""
GROWTH_BYTES = 16 << 20
STORM_GROWTH_BYTES = 400 << 20
"""A processor's translations may take 256 MiB, and what belongs to them."""
LOG_RECORDS = 300
CYCLES = 50
LIVES_TIMEOUT_S = 300
ROOT = Path(__file__).parents[2]

_SETUP = "cli; xor ax, ax; mov ds, ax; mov ss, ax; mov sp, 0x7000; "


def _vector(number: int, offset: int) -> str:
    return f"mov word ptr [{number * 4}], {offset}; mov word ptr [{number * 4 + 2}], 0xF000; "


STORMS = {
    "faults in fault handlers": _SETUP + _vector(6, 0x40) + "jmp 0x40; " + "nop; " * 40 + "ud2; ud2; ud2; ud2",
    "software interrupts": _SETUP + _vector(0x80, 0x80) + "l: int 0x80; jmp l",
    "ports where nothing is": "mov dx, 0x1000; l: in al, dx; out dx, al; inc dx; or dx, 0x1000; in eax, dx; jmp l",
    "memory where nothing is": "mov ax, 0xD000; mov ds, ax; l: mov eax, [bx]; mov [bx], eax; inc bx; jmp l",
    "writes to the ROM": "mov ax, 0xF000; mov ds, ax; l: mov [bx], eax; inc bx; jmp l",
    "DMA and resets of the DMA controller": "l: in al, 0; out 0x0D, al; out 0x0B, al; out 0x09, al; jmp l",
    "timers": "l: mov al, 0x34; out 0x43, al; mov al, 2; out 0x40, al; mov al, 0; out 0x40, al; jmp l",
    "PCI configuration": "l: mov dx, 0xCF8; inc eax; or eax, 0x80000000; out dx, eax; mov dx, 0xCFC; out dx, eax; in eax, dx; jmp l",
    "code that changes itself": "xor ax, ax; mov ds, ax; mov dword ptr [0x600], 0x060506FE; mov dword ptr [0x604], 0xF8EB00B0; push ax; push 0x600; retf",
    "the time-stamp counter": "l: rdtsc; xor eax, eax; cpuid; jmp l",
    "triple faults": "lidt [0]; xor ax, ax; int 3",
}
IRET_AT = 0x80


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry([machines], strict=True)


def storm_config(folder: Path, program: str, policy: ClockPolicy) -> MachineConfig:
    code = assemble(program, 0, 16).ljust(IRET_AT, b"\x90") + b"\xcf"
    return attrs.evolve(
        machines.make_config(folder), firmware=FirmwareConfig(name="program", options={"program": code.hex()}), clock=ClockConfig(policy=policy)
    )


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("policy", [ClockPolicy.HOST, ClockPolicy.DETERMINISTIC], ids=lambda policy: policy.value)
@pytest.mark.parametrize("program", STORMS.values(), ids=STORMS.keys())
def test_a_storm_leaves_memory_log_and_session_alone(
    program: str, policy: ClockPolicy, registry: PluginRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ringone")
    session = create_session(storm_config(tmp_path, program, policy), registry)
    try:
        session.start()
        time.sleep(WARM_UP_S)
        before = resident_bytes()
        time.sleep(DURATION_S)
        grown = resident_bytes() - before
        assert session.state is MachineState.RUNNING, session.error
        assert session.statistics()["EM/Progress"] > 0
        assert grown < STORM_GROWTH_BYTES
        assert len(caplog.records) < LOG_RECORDS
    finally:
        closer = threading.Thread(target=session.close)
        closer.start()
        closer.join(PATIENCE_S)
    assert not closer.is_alive(), "close() does not come back"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_machines_that_come_and_go_leave_nothing_behind(tmp_path: Path) -> None:
    # In a process of its own: memory of other tests may be given back, or not, at any time.
    command = [sys.executable, "-m", "tests.robustness.lives_worker", str(tmp_path), str(CYCLES)]
    worker = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIVES_TIMEOUT_S)
    assert worker.returncode == 0, worker.stderr
    left = json.loads(worker.stdout)

    assert left["threads"] == 0
    assert left["files"] == 0
    assert left["bytes"] < GROWTH_BYTES
