"""What the parts of the recompiler cost: loops, TLB fills, port accesses, traps."""

from __future__ import annotations

import time
from collections.abc import Callable

from ringone.api.cpu import CpuContext, ExitReason, RunBudget
from ringone.testing.cpu_bench import CODE, CpuBench, assemble
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

LOOPS = {
    "registers": ("add eax, ebx; xor edx, eax; rol eax, 3; lea ebx, [eax+edx]", 4, 40_000_000),
    "memory": ("mov eax, [0x30000]; add [0x30004], eax; mov [0x30008], eax; add ebx, [0x3000C]", 4, 20_000_000),
    "calls": ("call over; jmp next; over: ret; next: nop", 4, 10_000_000),
}
"""Body, its instructions, and how often it runs; DEC and JNZ are added."""

TRAP_COUNT = 100_000
FILL_ROUNDS = 2_000
FILL_PAGES = 256


def _make(context: CpuContext) -> RecompilerBackend:
    return RecompilerBackend(context, RecompilerOptions())


def _seconds(program: str, *, paging: str = "", prepare: Callable[[CpuBench], None] = lambda bench: None) -> float:
    """Wall time of a program that ends in HLT."""
    bench = CpuBench(_make)
    if paging:
        bench.map_pages()
    prepare(bench)
    bench.memory.write(CODE, assemble(program + "; hlt", CODE))
    bench.cpu.load_state(bench.protected_state(paging=paging))
    start = time.perf_counter()
    while bench.cpu.run(RunBudget(progress=1 << 40)).reason is not ExitReason.HALT:
        pass
    return time.perf_counter() - start


def loops() -> dict[str, float]:
    """Millions of guest instructions a second, by loop."""
    result = {}
    for name, (body, instructions, count) in LOOPS.items():
        seconds = _seconds(f"mov ecx, {count}; again: {body}; dec ecx; jnz again", paging="32bit")
        result[name] = (instructions + 2) * count / seconds / 1e6
    return result


def costs() -> dict[str, float]:
    """Microseconds for one port write, one port read, one INT n with its IRET, one page fault with its IRET, one TLB fill."""
    count = TRAP_COUNT
    empty = _seconds(f"mov ecx, {count}; again: dec ecx; jnz again")

    def handlers(bench: CpuBench) -> None:
        bench.load("iretd", address=CODE + 0x800)
        bench.set_gate(0x30, CODE + 0x800)
        bench.load("add dword ptr [esp+4], 5; add esp, 4; iretd", address=CODE + 0x900)
        bench.set_gate(14, CODE + 0x900)
        bench.set_page(0x32000, 0)

    per_trap = {
        "port write": _seconds(f"mov ecx, {count}; again: out 0x80, al; dec ecx; jnz again"),
        "port read": _seconds(f"mov ecx, {count}; again: in al, 0x80; dec ecx; jnz again"),
        "INT n": _seconds(f"mov ecx, {count}; again: int 0x30; dec ecx; jnz again", paging="32bit", prepare=handlers),
        "page fault": _seconds(f"mov ecx, {count}; again: mov eax, [0x32000]; dec ecx; jnz again", paging="32bit", prepare=handlers),
    }
    result = {name: (seconds - empty) / count * 1e6 for name, seconds in per_trap.items()}
    touch = f"mov esi, 0x100000; mov edx, {FILL_PAGES}; page: mov al, [esi]; add esi, 0x1000; dec edx; jnz page"
    flushing = _seconds(f"mov ecx, {FILL_ROUNDS}; again: mov eax, cr3; mov cr3, eax; {touch}; dec ecx; jnz again", paging="32bit")
    keeping = _seconds(f"mov ecx, {FILL_ROUNDS}; again: mov eax, cr3; mov ebx, eax; {touch}; dec ecx; jnz again", paging="32bit")
    result["TLB fill"] = (flushing - keeping) / (FILL_ROUNDS * FILL_PAGES) * 1e6
    return result
