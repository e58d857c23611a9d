"""Guests that mean harm: what once ended the host's process, raised in Python, or never came back.

Every program runs in a process of its own, so that an abort() in the engine is a failing test and not the end of all tests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from ringone.api.cpu import ExitReason, RunBudget, SegmentState, TableState
from ringone.api.errors import SnapshotError
from ringone.testing.cpu_bench import CODE, GDT, IDT, PAGE_DIRECTORY, PAGE_TABLE, SELECTORS, TSS, CpuBench, Outcome, assemble, descriptor
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

from plugins.cpu_recompiler.tests.child import in_child

LARGE_PAGE = 0x87
"""Present, writable, for users."""
FAR_AWAY = 0x80000000
"""Guest-physical, where no memory is."""
VECTOR_DB, VECTOR_UD, VECTOR_GP, VECTOR_PF = 1, 6, 13, 14


@pytest.fixture
def bench() -> CpuBench:
    return CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))


def alone(program: Callable[[], Outcome]) -> Outcome:
    outcome = in_child(program)
    assert isinstance(outcome, Outcome), outcome
    return outcome


def bytes_of(address: int) -> bytes:
    return struct.pack("<I", address)


def enter_ring_3(eip: int) -> str:
    return f"push 0x23; push 0xE000; push 2; push 0x1B; push {eip:#x}; iretd"


# --- what the engine would abort() over ----------------------------------------


def test_a_call_gate_without_a_task_register_is_a_fault(bench: CpuBench) -> None:
    bench.memory.write(CODE + 0x100, b"\x9a" + bytes(4) + struct.pack("<H", SELECTORS["call_gate"]) + b"\xf4")

    outcome = alone(lambda: bench.run(f"xor eax, eax; ltr ax; {enter_ring_3(CODE + 0x100)}"))

    assert outcome.reason is ExitReason.SHUTDOWN, "#TS, which finds no stack either"


def test_a_null_task_register_survives_a_snapshot(bench: CpuBench) -> None:
    def program() -> Outcome:
        outcome = bench.run("xor eax, eax; ltr ax")
        bench.cpu.load_state(outcome.state)
        return outcome

    assert alone(program).state.tr == SegmentState(selector=0, base=0, limit=0, attributes=0x8B)


def test_the_task_register_can_be_loaded_again(bench: CpuBench) -> None:
    outcome = alone(lambda: bench.run(f"xor eax, eax; ltr ax; mov eax, {SELECTORS['tss2']:#x}; ltr ax"))

    assert outcome.state.tr.selector == SELECTORS["tss2"]


# --- what raised ----------------------------------------


@pytest.mark.parametrize("target", [pytest.param(CpuBench.MMIO, id="mmio"), pytest.param(0x10000000, id="nothing"), pytest.param(0xFFFFFFF0, id="end")])
def test_a_jump_to_where_no_memory_is_finds_ones(bench: CpuBench, target: int) -> None:
    outcome = alone(lambda: bench.run(f"mov eax, {target:#x}; jmp eax"))

    assert (outcome.vector, outcome.eip + CODE) == (VECTOR_UD, target)


def test_a_switch_to_long_mode_is_refused_by_name(bench: CpuBench) -> None:
    enable = "mov ecx, 0xC0000080; rdmsr; or eax, 0x100; wrmsr; mov eax, cr4; or eax, 0x20; mov cr4, eax"
    paging = f"mov eax, {PAGE_DIRECTORY:#x}; mov cr3, eax; mov eax, cr0; or eax, 0x80000000; mov cr0, eax; nop"

    complaint = in_child(lambda: bench.run(f"{enable}; {paging}"))

    assert isinstance(complaint, str)
    assert complaint.startswith("BackendError") and "long mode" in complaint


def test_cpuid_does_not_offer_long_mode(bench: CpuBench) -> None:
    outcome = alone(lambda: bench.run("mov eax, 0x80000001; cpuid"))

    assert not outcome.register("edx") & 1 << 29


# --- what ran although CPUID does not offer it ----------------------------------------


NOT_OFFERED = {
    "rdtscp": "0f01f9", "rdrand": "0fc7f0", "rdseed": "0fc7f8", "xrstor": "0fae2d00000300", "monitor": "0f01c8", "mwait": "0f01c9", "vmrun": "0f01d8",
    "vmcall": "0f01c1", "rsm": "0faa", "xgetbv": "0f01d0", "invpcid": "660f388200",
}  # fmt: skip


@pytest.mark.parametrize("code", NOT_OFFERED.values(), ids=NOT_OFFERED.keys())
def test_an_instruction_that_cpuid_does_not_offer_is_invalid(bench: CpuBench, code: str) -> None:
    def program() -> Outcome:
        bench.memory.write(CODE, bytes.fromhex(code) + b"\xf4")
        bench.cpu.load_state(bench.protected_state())
        return bench.go_on()

    assert alone(program).vector == VECTOR_UD


def test_int1_is_a_debug_trap_whatever_the_gate_allows(bench: CpuBench) -> None:
    def program() -> Outcome:
        bench.memory.write(CODE, b"\x66\xf1\xf4")
        bench.cpu.load_state(bench.protected_state(user=True))
        return bench.go_on()

    outcome = alone(program)

    assert (outcome.vector, outcome.eip) == (VECTOR_DB, 2)


# --- what never came back ----------------------------------------


def _endless_stack(bench: CpuBench) -> None:
    """Pages of nothing nearly everywhere, so that frames can be pushed for ever."""
    bench.map_pages()
    for entry in range(1, 1024):
        bench.memory.write(PAGE_DIRECTORY + 4 * entry, bytes_of(FAR_AWAY | LARGE_PAGE))
    bench.memory.write(PAGE_DIRECTORY + 4 * (0xC0000000 >> 22), bytes(4))


@pytest.mark.parametrize("handler", [pytest.param(0xC0000000, id="absent"), pytest.param(0xBFFFFFFF, id="half absent")])
def test_a_page_fault_handler_that_faults_for_ever_uses_up_the_budget(bench: CpuBench, handler: int) -> None:
    def program() -> Outcome:
        _endless_stack(bench)
        bench.set_gate(VECTOR_PF, handler)
        bench.memory.write(CODE, assemble("mov eax, [0xC0000000]; hlt", CODE))
        bench.cpu.load_state(bench.protected_state(paging="32bit", registers=(0, 0, 0, 0, 0xA0000000, 0, 0, 0)))
        return bench.go_on(100_000)

    assert alone(program).reason in (ExitReason.BUDGET, ExitReason.SHUTDOWN)


ENDLESS = {
    "rep stos to mmio": "mov edi, 0xF0000000; mov ecx, 0xFFFFFFFF; rep stosd",
    "rep movs backwards": "std; mov esi, 0x30000; mov edi, 0x38000; mov ecx, 0xFFFFFFFF; rep movsb",
    "rep ins over its own code": f"mov edi, {CODE:#x}; mov edx, 0x60; mov ecx, 0xFFFFFFFF; rep insb",
    "int to itself": f"l: int 0x80; jmp {CODE:#x}",
    "a trap flag": "pushfd; or dword ptr [esp], 0x100; popfd; l: inc eax; jmp l",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS.keys())
def test_endless_work_uses_up_the_budget(bench: CpuBench, text: str) -> None:
    def program() -> Outcome:
        bench.memory.write(0x6800, b"\xcf")
        for vector in (VECTOR_DB, 0x80):
            bench.set_gate(vector, 0x6800)
        return bench.run(text, progress=20_000)

    outcome = alone(program)

    assert outcome.reason in (ExitReason.BUDGET, ExitReason.SHUTDOWN, ExitReason.HALT)


def test_an_endless_fault_loop_notices_an_exit_request(bench: CpuBench) -> None:
    def program() -> Outcome:
        _endless_stack(bench)
        bench.set_gate(VECTOR_PF, 0xC0000000)
        bench.cpu.load_state(bench.protected_state(paging="32bit", eip=0xC0000000, registers=(0, 0, 0, 0, 0xA0000000, 0, 0, 0)))
        bench.cpu.request_exit()
        return bench.go_on()

    assert alone(program).reason is ExitReason.EXIT_REQUESTED


# --- what grew or went stale ----------------------------------------


def test_more_port_instructions_than_are_watched_at_a_time_all_run(bench: CpuBench) -> None:
    plant = "mov edi, 0x100000; l: mov word ptr [edi], 0xC3EC; call edi; add edi, 2; cmp edi, 0x101000; jb l; int3"

    def program() -> Outcome:
        bench.memory.write(TSS + 0x66, struct.pack("<H", 0x68))
        bench.memory.write(GDT + SELECTORS["tss"], descriptor(TSS, 0x2100, 0x8B, 0))
        outcome = bench.run(plant, user=True)
        assert bench.cpu.statistics()["IOM/PortReads"] == 0x800
        return outcome

    assert alone(program).vector == VECTOR_GP, "INT3 through a gate for ring 0"


def test_a_port_instruction_on_a_page_that_only_the_tlb_still_has(bench: CpuBench) -> None:
    user_code, handler, page = CODE + 0x1000, CODE + 0x100, PAGE_TABLE + 4 * (CODE + 0x1000 >> 12)

    def program() -> Outcome:
        bench.map_pages()
        bench.load("int 0x80; in al, 0x60; hlt", address=user_code)
        bench.load(f"mov dword ptr [{page:#x}], 0; iretd", address=handler)
        bench.set_gate(0x80, handler, access=0xEE)
        bench.cpu.load_state(bench.protected_state(user=True, paging="32bit", eip=user_code))
        return bench.go_on(50_000)

    assert alone(program).vector in (VECTOR_GP, VECTOR_PF)


# --- states that no processor holds ----------------------------------------

ODD_SEGMENT = SegmentState(selector=1 << 20, base=1 << 50, limit=-1, attributes=1 << 30)
IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "segment": {"cs": ODD_SEGMENT},
    "task register": {"tr": SegmentState(selector=0x28, base=TSS, limit=0x67, attributes=0x82)},
    "table": {"idtr": TableState(base=IDT, limit=1 << 16)},
    "long register": {"gpr": (1 << 32,) * 8},
    "negative register": {"gpr": (-1,) * 8},
    "few registers": {"gpr": (0,)},
    "few debug registers": {"dr": (0,)},
    "short fpu": {"fpu": b"x"},
    "eip": {"eip": -1},
    "long mode": {"msr": {0xC0000080: 0x500}},
    "negative msr": {"msr": {0x174: -1}},
    "v86 in real mode": {"cr0": 0x10, "eflags": 0x20002},
}


@pytest.mark.parametrize("changes", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_an_impossible_state_is_refused_and_changes_nothing(bench: CpuBench, changes: dict[str, Any]) -> None:
    before = bench.protected_state()
    bench.cpu.load_state(before)
    held = bench.cpu.save_state()

    with pytest.raises(SnapshotError, match="CPU state"):
        bench.cpu.load_state(attrs.evolve(before, **changes))

    assert bench.cpu.save_state() == held


SENSELESS: dict[str, dict[str, Any]] = {
    "all of cr0": {"cr0": 0xFFFFFFFF},
    "paging without protection": {"cr0": 0x80000010},
    "all of cr4": {"cr4": 0xFFFFFFFF},
    "all of eflags": {"eflags": 0xFFFDFFFF},
    "virtual-8086 mode": {"eflags": 0x20002},
    "all of the fpu": {"fpu": b"\xff" * 512},
    "unknown msrs": {"msr": dict.fromkeys(range(0x1000), 0xFFFFFFFF)},
    "all of dr7": {"dr": (CODE, CODE + 1, CODE, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)},
    "64-bit code": {"cs": SegmentState(selector=8, base=0, limit=0xFFFFFFFF, attributes=0xA09B)},
    "no segments": dict.fromkeys(("cs", "ss"), SegmentState(selector=0, base=0, limit=0, attributes=0)),
}


@pytest.mark.parametrize("changes", SENSELESS.values(), ids=SENSELESS.keys())
def test_a_senseless_state_can_be_run(bench: CpuBench, changes: dict[str, Any]) -> None:
    def program() -> Outcome:
        bench.load("nop; mov eax, [0x30000]; push eax; pop eax; fld1; int 0x80; jmp 0x20000")
        bench.cpu.load_state(attrs.evolve(bench.protected_state(), **changes))
        outcome = bench.go_on(2_000)
        bench.cpu.load_state(outcome.state)
        bench.cpu.run(RunBudget(progress=100))
        return outcome

    alone(program)
