"""What the recompiler counts of the guest's traps."""

from __future__ import annotations

from typing import Any

import pytest
from ringone.api import statistics as names
from ringone.testing.cpu_bench import CODE, SELECTORS, CpuBench
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

SYSENTER_MSRS = {0x174: SELECTORS["code"], 0x175: 0x9800, 0x176: CODE + 0x600}


@pytest.fixture
def bench() -> CpuBench:
    return CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))


def traps(bench: CpuBench) -> dict[str, int]:
    found = bench.cpu.statistics()
    by_cause = {name.removeprefix(f"{names.TRAPS}/"): count for name, count in found.items() if name.startswith(f"{names.TRAPS}/")}
    assert found[names.TRAPS] == sum(by_cause.values())
    return by_cause


@pytest.mark.parametrize(
    ("program", "world", "causes"),
    [
        pytest.param("nop", {}, {}, id="nothing"),
        pytest.param("int 0x40", {}, {"int": 1}, id="int"),
        pytest.param("int3", {}, {"int": 1}, id="int3"),
        pytest.param("ud2", {}, {"exception-06": 1}, id="invalid opcode"),
        pytest.param("mov al, [0x800000]", {"paging": "32bit"}, {"page-fault": 1}, id="page fault"),
        pytest.param("sysenter", {"msr": SYSENTER_MSRS}, {"sysenter": 1}, id="sysenter"),
        pytest.param("sysenter", {"msr": {0x174: 0}}, {"exception-0d": 1}, id="sysenter without a target"),
    ],
)
def test_a_trap_is_counted_under_its_cause(bench: CpuBench, program: str, world: dict[str, Any], causes: dict[str, int]) -> None:
    bench.load("hlt", address=CODE + 0x600)
    bench.map_pages()
    bench.run(program, **world)
    assert traps(bench) == causes


def test_all_time_is_the_recompilers(bench: CpuBench) -> None:
    bench.run("nop")
    found = bench.cpu.statistics()
    assert found[names.RAW_TIME] == 0
    assert found[names.RECOMPILER_TIME] > 0
