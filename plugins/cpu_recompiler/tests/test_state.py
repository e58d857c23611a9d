"""What a state that is loaded must keep, and what an interrupted program must find again."""

from __future__ import annotations

import pytest
from ringone.api.cpu import RunBudget
from ringone.testing.cpu_bench import CODE, CpuBench, assemble
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions


@pytest.mark.parametrize("flags", [0x8D7, 0x402, 0x2, 0x246], ids=["arithmetic", "direction", "none", "some"])
def test_a_loaded_processor_goes_on_with_the_flags_it_was_given(flags: int) -> None:
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    bench.memory.write(CODE, assemble("jmp next; next: nop; hlt", CODE))
    bench.cpu.load_state(bench.protected_state(eflags=flags))
    assert bench.cpu.save_state().eflags == flags

    bench.cpu.run(RunBudget(progress=1000))

    assert bench.cpu.save_state().eflags == flags
