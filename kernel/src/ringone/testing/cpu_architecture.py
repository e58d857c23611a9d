"""What the SDM decides, in the conformance kit for CPU backends (`ringone.testing.cpu`): instruction semantics at the edges, every kind of fault with its error
code, EIP and CR2, segment limits, paging rights and accessed/dirty bits, task switches, interrupts and their shadow, NMI, double and triple fault.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from ringone.api.cpu import CpuBackend, CpuContext, ExitReason, RunBudget
from ringone.testing.cpu_bench import (
    CODE,
    DATA,
    GDT,
    IDT,
    INNER_STACK,
    KERNEL_STACK,
    PAGE_TABLE,
    SELECTORS,
    TSS,
    TSS2,
    USER_STACK,
    CpuBench,
    assemble,
    descriptor,
)
from ringone.testing.cpu_cases import AF, ARITHMETIC_FLAGS, CF, FAULTS, PF, SEMANTICS, SF, ZF, Fault, Semantics

IF = 1 << 9
COUNTER = DATA + 0x800


class ArchitectureConformance:
    """Every test builds its own processor."""

    def make_backend(self, context: CpuContext) -> CpuBackend:
        raise AssertionError("return your backend from make_backend(context)")

    def make_bench(self) -> CpuBench:
        return CpuBench(self.make_backend)

    @pytest.fixture
    def bench(self) -> Iterator[CpuBench]:
        bench = self.make_bench()
        yield bench
        bench.cpu.close()

    # --- Instructions ----------------------------------------

    @pytest.mark.parametrize("case", SEMANTICS, ids=lambda case: case.name)
    def test_semantics(self, bench: CpuBench, case: Semantics) -> None:
        outcome = bench.run(case.program)
        assert outcome.vector is None
        assert {name: outcome.register(name) for name in case.registers} == case.registers
        if case.flags is not None:
            assert outcome.state.eflags & ARITHMETIC_FLAGS == case.flags

    @pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.name)
    def test_fault(self, bench: CpuBench, case: Fault) -> None:
        self._lay_out_pages(bench, case.world.get("paging", ""))
        world: dict[str, Any] = dict(case.world)
        outcome = bench.run(f"{case.before}; {case.faulting}", **world)
        assert (outcome.vector, outcome.error_code, outcome.eip) == (case.vector, case.error_code, len(assemble(case.before, CODE)))

    @staticmethod
    def _lay_out_pages(bench: CpuBench, paging: str) -> None:
        """0x31000 is for the kernel only, 0x32000 not present, 0x33000 read-only."""
        if not paging:
            return
        pae = paging == "pae"
        bench.map_pages(pae=pae)
        bench.set_page(0x31000, 0x31003, pae=pae)
        bench.set_page(0x32000, 0x32002, pae=pae)
        bench.set_page(0x33000, 0x33005, pae=pae)

    def test_a_fault_sets_the_resume_flag_in_its_frame(self, bench: CpuBench) -> None:
        assert bench.run("ud2").eflags & 1 << 16

    def test_breakpoint_reports_the_next_instruction(self, bench: CpuBench) -> None:
        outcome = bench.run("nop; int3")
        assert (outcome.vector, outcome.eip) == (3, 2)

    def test_overflow_trap_needs_the_flag(self, bench: CpuBench) -> None:
        assert bench.run("mov eax, 1; add eax, 1; into").vector is None
        assert bench.run("mov eax, 0x7FFFFFFF; add eax, 1; into").vector == 4

    def test_single_step_traps_behind_each_instruction(self, bench: CpuBench) -> None:
        outcome = bench.run("pushfd; or dword ptr [esp], 0x100; popfd; nop; nop")
        assert outcome.vector == 1
        assert outcome.eip == len(assemble("pushfd; or dword ptr [esp], 0x100; popfd; nop", CODE))
        assert outcome.state.dr[6] & 1 << 14

    # --- Segments ----------------------------------------

    def test_a_far_call_gate_changes_ring_and_stack(self, bench: CpuBench) -> None:
        bench.load("mov edx, esp; hlt", address=CODE + 0x800)
        outcome = bench.run(f".byte 0x9A; .long 0; .word {SELECTORS['call_gate']}", user=True)
        assert outcome.vector is None
        assert outcome.state.cs.selector == SELECTORS["code"]
        assert outcome.register("edx") == INNER_STACK - 16

    def test_retf_to_an_outer_ring_and_back_by_interrupt(self, bench: CpuBench) -> None:
        bench.load("int 0x30", address=CODE + 0x400)
        bench.set_gate(0x30, CODE + 0x600, access=0xEE)
        bench.load("mov eax, [esp+4]; mov ebx, [esp+16]; mov ecx, [esp+12]; hlt", address=CODE + 0x600)
        user = f"push {SELECTORS['user_data']}; push {USER_STACK:#x}; push {SELECTORS['user_code']}; push {CODE + 0x400:#x}"
        outcome = bench.run(f"{user}; .byte 0xCB")
        assert outcome.vector is None
        assert (outcome.register("eax"), outcome.register("ebx"), outcome.register("ecx")) == (SELECTORS["user_code"], SELECTORS["user_data"], USER_STACK)

    def test_iret_to_a_less_privileged_ring_nulls_kernel_segments(self, bench: CpuBench) -> None:
        bench.set_gate(0x30, CODE + 0x600, access=0xEE)
        bench.load("mov ax, ds; hlt", address=CODE + 0x600)
        bench.load("mov ax, ds; int 0x30", address=CODE + 0x400)
        user = f"push {SELECTORS['user_data']}; push {USER_STACK:#x}; pushfd; push {SELECTORS['user_code']}; push {CODE + 0x400:#x}"
        assert bench.run(f"{user}; iretd").register("eax") & 0xFFFF == 0

    def test_a_conforming_handler_keeps_the_ring(self, bench: CpuBench) -> None:
        bench.set_gate(0x30, CODE + 0x600, selector=SELECTORS["conforming"], access=0xEE)
        bench.load("mov ax, cs; mov edx, esp; int 0x31", address=CODE + 0x600)
        bench.set_gate(0x31, CODE + 0x700, access=0xEE)
        bench.load("hlt", address=CODE + 0x700)
        outcome = bench.run("int 0x30", user=True)
        assert outcome.register("eax") & 3 == 3
        assert outcome.register("edx") == USER_STACK - 12

    def test_16_bit_gates_push_words(self, bench: CpuBench) -> None:
        bench.set_gate(0x30, 0x9000, access=0x86)
        bench.load("mov eax, esp; hlt", address=0x9000)
        assert bench.run("int 0x30").register("eax") == KERNEL_STACK - 6

    def test_sysenter_and_sysexit_cross_the_rings(self, bench: CpuBench) -> None:
        bench.load("mov ebx, cs; mov esi, esp; pushfd; pop edi; mov ecx, 0xD000; mov edx, back; sysexit; back: mov ebp, cs; ud2", address=CODE + 0x600)
        outcome = bench.run("sti; sysenter", user=True, eflags=0x3202, msr={0x174: SELECTORS["code"], 0x175: 0x9800, 0x176: CODE + 0x600})
        assert outcome.vector == 6
        assert (outcome.register("ebx"), outcome.register("esi")) == (SELECTORS["code"], 0x9800)
        assert not outcome.register("edi") & IF
        assert outcome.register("ebp") == SELECTORS["user_code"]

    # --- Loops with a condition ----------------------------------------

    def test_a_conditional_loop_leaves_the_flags_in_ring_3(self, bench: CpuBench) -> None:
        self._lay_out_pages(bench, "32bit")
        outcome = bench.run("mov ecx, 3; mov eax, 5; again: cmp eax, 14; loopne again; ud2", user=True, paging="32bit")
        assert (outcome.vector, outcome.register("ecx"), outcome.eflags & ARITHMETIC_FLAGS) == (6, 0, CF | AF | SF)

    def test_a_conditional_loop_leaves_the_flags_in_real_mode(self, bench: CpuBench) -> None:
        for count, bytes_of_loop, left in ((0x10003, "", 0x10000), (3, ".byte 0x67; ", 0)):
            outcome = bench.run_real(f"mov ecx, {count}; mov ax, 5; again: cmp ax, 14; {bytes_of_loop}loopne again; pushf; pop bx")
            assert (outcome.register("ecx"), outcome.register("ebx") & ARITHMETIC_FLAGS) == (left, CF | AF | SF)

    def test_a_conditional_loop_leaves_the_flags_in_virtual_8086_mode(self, bench: CpuBench) -> None:
        bench.memory.write(0x1000, assemble("mov cx, 3; mov ax, 5; again: cmp ax, 5; loope again; int 0x21", 0x1000, 16))
        outcome = bench.run("push 0; push 0; push 0; push 0; push 0; push 0x8000; push 0x20002; push 0; push 0x1000; iretd")
        assert (outcome.vector, outcome.register("ecx"), outcome.eflags & ARITHMETIC_FLAGS) == (13, 0, ZF | PF)

    def test_a_conditional_loop_that_was_another_instruction_leaves_the_flags(self, bench: CpuBench) -> None:
        turns = [(0xE0, CF | AF | SF), (0x75, CF | AF | SF), (0xE1, CF | AF | SF), (0xE2, CF | AF | SF)]
        bench.memory.write(CODE + 0x1000, assemble("mov ecx, 1; mov eax, 5; cmp eax, 14; .byte 0xEB, 0; pushfd; pop ebx; ret", CODE + 0x1000))
        place = CODE + 0x1000 + len(assemble("mov ecx, 1; mov eax, 5; cmp eax, 14", CODE))
        for opcode, flags in turns * 2:
            outcome = bench.run(f"mov byte ptr [{place:#x}], {opcode:#x}; mov edi, {CODE + 0x1000:#x}; call edi")
            assert outcome.register("ebx") & ARITHMETIC_FLAGS == flags

    def test_a_conditional_loop_behind_where_another_was_leaves_the_flags(self, bench: CpuBench) -> None:
        for middle in ("loope past; past: mov ecx, 1", "nop; nop; mov ecx, 1", "loope past; past: mov ecx, 1", "nop; nop; mov ecx, 1"):
            outcome = bench.run(f"mov ecx, 1; mov eax, 5; cmp eax, 5; {middle}; cmp eax, 14; loopne end; end: pushfd; pop ebx")
            assert (outcome.register("ecx"), outcome.register("ebx") & ARITHMETIC_FLAGS) == (0, CF | AF | SF)

    def test_a_conditional_loop_behind_a_port_access_of_ring_3_leaves_the_flags(self, bench: CpuBench) -> None:
        bench.memory.write(GDT + SELECTORS["tss"], descriptor(TSS, 0x67 + 0x20, 0x8B, 0))
        bench.memory.write(TSS + 0x68, bytes(0x20))
        for between in ("cmp edx, 14", "test edx, edx; cmp edx, 14", "mov ebx, 1; cmp edx, 14"):
            outcome = bench.run(f"mov edx, 5; mov ecx, 3; again: cmp edx, 5; in al, 0x60; {between}; loopne again; ud2", user=True)
            assert (outcome.vector, outcome.register("ecx"), outcome.eflags & ARITHMETIC_FLAGS) == (6, 0, CF | AF | SF)

    def test_a_forbidden_port_access_leaves_the_flags(self, bench: CpuBench) -> None:
        for before, flags in (("mov eax, 5; cmp eax, 14", CF | AF | SF), ("mov eax, 5; stc; inc eax", CF | PF), ("mov eax, 7; test eax, eax", 0)):
            outcome = bench.run(f"{before}; in al, 0x60", user=True)
            assert (outcome.vector, outcome.eflags & ARITHMETIC_FLAGS) == (13, flags)

    def test_a_page_fault_in_a_port_access_of_ring_3_leaves_the_flags(self, bench: CpuBench) -> None:
        self._lay_out_pages(bench, "32bit")
        outcome = bench.run("mov esi, 0x500000; mov eax, 5; cmp eax, 14; outsb", user=True, paging="32bit", eflags=0x3002)
        assert (outcome.vector, outcome.cr2, outcome.eflags & ARITHMETIC_FLAGS) == (14, 0x500000, CF | AF | SF)
        bench.memory.write(GDT + SELECTORS["tss"], descriptor(TSS, 0x67 + 0x20, 0x8B, 0))
        bench.memory.write(TSS + 0x68, bytes(0x20))
        outcome = bench.run("mov esi, 0x500000; mov eax, 5; cmp eax, 14; outsb", user=True, paging="32bit")
        assert (outcome.vector, outcome.cr2, outcome.eflags & ARITHMETIC_FLAGS) == (14, 0x500000, CF | AF | SF)

    def test_an_instruction_where_a_port_access_was_faults_with_its_flags(self, bench: CpuBench) -> None:
        bench.memory.write(GDT + SELECTORS["tss"], descriptor(TSS, 0x67 + 0x20, 0x8B, 0))
        bench.memory.write(TSS + 0x68, bytes(0x20))
        for instruction, vector in (("in al, dx; ud2", 6), ("div ecx", 0), ("nop; ud2", 6)):
            outcome = bench.run(f"xor ecx, ecx; mov edx, 0x60; mov eax, 5; cmp eax, 14; {instruction}", user=True)
            assert (outcome.vector, outcome.eflags & ARITHMETIC_FLAGS) == (vector, CF | AF | SF)

    @pytest.mark.parametrize(
        "before",
        [
            "mov eax, 0x80000010; add eax, 0x8000A020",
            "mov eax, 0x7FFFFFFF; stc; inc eax",
            "mov eax, 5; neg eax",
            "mov eax, 0xC0000081; shl eax, 1",
            "mov eax, 0x7FFFFFFF; stc; adc eax, 0x20",
            "mov eax, 3; test eax, eax",
            "mov eax, 0x80000001; cmp eax, 4",
            "mov ecx, 2; mov eax, 0xC0000081; shl eax, cl",
            "mov eax, 3; test eax, eax; mov edx, 0x7FFFFFFF; ror edx, 1",
            "mov eax, 0x27F; add eax, 0; rol ebx, 5",
            "mov eax, 0x7FFFFFFF; inc eax; xor eax, eax",
        ],
        ids=["add", "inc", "neg", "shl", "adc", "test", "cmp", "shl-cl", "ror", "rol", "xor"],
    )
    @pytest.mark.parametrize("instruction", ["seto", "setnp", "setbe", "setle", "setge", "sete", "sets", "rcl", "rcr"])
    def test_a_page_fault_leaves_the_flags_that_an_instruction_asks_for(self, bench: CpuBench, before: str, instruction: str) -> None:
        self._lay_out_pages(bench, "32bit")
        accesses = f"{instruction} byte ptr [0x32000]" + (", 1" if instruction.startswith("rc") else "")
        flags = bench.run(f"{before}; ud2", paging="32bit").eflags
        for between in ("", "jmp across; across: nop; "):
            fault = bench.run(f"{before}; {between}{accesses}", paging="32bit")
            assert (fault.vector, fault.cr2, fault.eflags) == (14, 0x32000, flags)

    def test_an_instruction_that_asks_for_the_flags_finds_them_once_its_page_is_there(self, bench: CpuBench) -> None:
        bench.map_pages()
        bench.load(f"or dword ptr [{PAGE_TABLE + 4 * 0x32:#x}], 1; add esp, 4; iretd", address=CODE + 0x600)
        bench.set_gate(14, CODE + 0x600)
        for accesses, left in (("setno byte ptr [0x32000]", 0), ("setbe byte ptr [0x32000]", 1), ("rcl byte ptr [0x32000], 1", 0xB5)):
            bench.set_page(0x32000, 0x32002)
            bench.memory.write(0x32000, b"\x5a")
            bench.run(f"mov eax, 0x80000010; add eax, 0x8000A020; {accesses}", paging="32bit")
            assert bench.memory.read(0x32000, 1) == bytes([left])

    # --- Virtual-8086 mode ----------------------------------------

    def test_int_n_in_v86_mode_without_iopl_faults(self, bench: CpuBench) -> None:
        bench.memory.write(0x1000, assemble("mov ax, cs; mov bx, 0x1234; int 0x21", 0x1000, 16))
        outcome = bench.run("push 0; push 0; push 0; push 0; push 0; push 0x8000; push 0x20002; push 0; push 0x1000; iretd")
        assert (outcome.vector, outcome.error_code) == (13, 0)
        assert outcome.register("ebx") == 0x1234
        assert outcome.eflags & 1 << 17

    def test_an_interrupt_from_v86_saves_and_clears_segments(self, bench: CpuBench) -> None:
        bench.memory.write(0x1000, assemble("mov ax, 0x5000; mov ds, ax; mov gs, ax; int 0x30", 0x1000, 16))
        bench.set_gate(0x30, CODE + 0x600, access=0xEE)
        bench.load("mov ax, ds; mov ecx, [esp+24]; mov edx, [esp+32]; mov ebx, [esp+8]; hlt", address=CODE + 0x600)
        outcome = bench.run("push 0; push 0; push 0; push 0; push 0; push 0x8000; push 0x23002; push 0; push 0x1000; iretd")
        assert outcome.vector is None
        assert outcome.register("eax") & 0xFFFF == 0
        assert (outcome.register("ecx"), outcome.register("edx")) == (0x5000, 0x5000)
        assert outcome.register("ebx") & 1 << 17

    # --- Real mode ----------------------------------------

    def test_real_mode_interrupts_go_through_the_vector_table(self, bench: CpuBench) -> None:
        bench.memory.write(0x21 * 4, struct.pack("<HH", 0x600, 0x10))
        bench.memory.write(0x700, assemble("mov bx, cs; iret", 0x600, 16))
        outcome = bench.run_real("mov ax, 1; int 0x21; mov dx, 7")
        assert (outcome.register("ebx"), outcome.register("edx")) == (0x10, 7)

    def test_real_mode_wraps_at_one_megabyte_only_with_a20_closed(self, bench: CpuBench) -> None:
        bench.memory.write(0x100000 + 0x500, b"\x55")
        bench.memory.write(0x500, b"\xaa")
        program = "mov ax, 0xFFFF; mov es, ax; mov al, es:[0x510]"
        assert bench.run_real(program).register("eax") & 0xFF == 0x55
        bench.memory.set_a20(False)
        assert bench.run_real(program).register("eax") & 0xFF == 0xAA

    def test_a_segment_loaded_in_protected_mode_keeps_its_base_in_real_mode(self, bench: CpuBench) -> None:
        bench.memory.write(0x200000, b"\x77")
        bench.memory.write(0x600, struct.pack("<HI", 0x8F, GDT))
        enter = f"lgdt [0x600]; mov eax, cr0; or al, 1; mov cr0, eax; mov bx, {SELECTORS['data']}; mov es, bx"
        outcome = bench.run_real(f"{enter}; and al, 0xFE; mov cr0, eax; mov edi, 0x200000; mov al, es:[edi]")
        assert outcome.register("eax") & 0xFF == 0x77

    # --- Paging ----------------------------------------

    @pytest.mark.parametrize("paging", ["32bit", "pae"])
    def test_accessed_and_dirty_bits_follow_use(self, bench: CpuBench, paging: str) -> None:
        pae = paging == "pae"
        bench.map_pages(pae=pae)
        bench.run(f"mov eax, [{DATA:#x}]; mov dword ptr [{DATA + 0x1000:#x}], 1", paging=paging)
        assert bench.page(DATA, pae=pae) & 0x60 == 0x20
        assert bench.page(DATA + 0x1000, pae=pae) & 0x60 == 0x60
        assert bench.page(DATA + 0x2000, pae=pae) & 0x60 == 0

    def test_a_write_after_a_read_sets_the_dirty_bit(self, bench: CpuBench) -> None:
        bench.map_pages()
        bench.run(f"mov eax, [{DATA:#x}]; mov dword ptr [{DATA:#x}], 1", paging="32bit")
        assert bench.page(DATA) & 0x40

    def test_supervisor_writes_ignore_read_only_pages_without_wp(self, bench: CpuBench) -> None:
        self._lay_out_pages(bench, "32bit")
        outcome = bench.run("mov eax, cr0; and eax, 0xFFFEFFFF; mov cr0, eax; mov dword ptr [0x33000], 9; mov eax, [0x33000]", paging="32bit")
        assert outcome.register("eax") == 9

    def test_no_execute_pages_fault_on_fetch_only(self, bench: CpuBench) -> None:
        bench.map_pages(pae=True)
        bench.set_page(DATA, DATA | 7 | 1 << 63, pae=True)
        bench.memory.write(DATA, b"\xc3")
        outcome = bench.run(f"mov eax, [{DATA:#x}]; mov ecx, {DATA:#x}; call ecx", paging="pae")
        assert (outcome.vector, outcome.error_code, outcome.cr2) == (14, 0x11, DATA)

    def test_invlpg_forgets_one_translation(self, bench: CpuBench) -> None:
        bench.map_pages()
        bench.memory.write(DATA, b"\x01\0\0\0")
        bench.memory.write(DATA + 0x1000, b"\x02\0\0\0")
        entry = 0x11000 + 4 * (DATA >> 12)
        remap = f"mov dword ptr [{entry:#x}], {DATA + 0x1000 | 7:#x}; invlpg [{DATA:#x}]"
        outcome = bench.run(f"mov ebx, [{DATA:#x}]; {remap}; mov eax, [{DATA:#x}]", paging="32bit")
        assert (outcome.register("ebx"), outcome.register("eax")) == (1, 2)

    def test_the_page_fault_address_is_exact_across_a_page(self, bench: CpuBench) -> None:
        self._lay_out_pages(bench, "32bit")
        assert bench.run("mov eax, [0x32123]", paging="32bit").cr2 == 0x32123
        assert bench.run("mov eax, [0x31FFE]", paging="32bit").cr2 == 0x32000

    def test_a_faulting_read_modify_write_changes_nothing(self, bench: CpuBench) -> None:
        self._lay_out_pages(bench, "32bit")
        bench.memory.write(0x33000, struct.pack("<I", 5))
        outcome = bench.run("mov ecx, 0x33000; inc dword ptr [ecx]", paging="32bit")
        assert (outcome.vector, outcome.error_code) == (14, 3)
        assert bench.memory.read(0x33000, 4) == struct.pack("<I", 5)

    def test_user_code_may_load_segments_from_a_table_it_cannot_read(self, bench: CpuBench) -> None:
        bench.map_pages()
        bench.set_page(GDT, GDT | 3)
        outcome = bench.run(f"mov eax, {SELECTORS['user_data']}; mov ds, ax; mov ebx, 1; mov eax, [{GDT:#x}]", user=True, paging="32bit")
        assert outcome.register("ebx") == 1
        assert (outcome.vector, outcome.error_code, outcome.cr2) == (14, 5, GDT)

    @pytest.mark.parametrize("access", ["movzx eax, byte ptr [{0:#x}]", "push dword ptr [{0:#x}]", "inc dword ptr [{0:#x}]"])
    def test_user_code_cannot_touch_a_table_it_may_only_use(self, bench: CpuBench, access: str) -> None:
        bench.map_pages()
        bench.set_page(GDT, GDT | 3)
        outcome = bench.run(access.format(GDT), user=True, paging="32bit")
        assert (outcome.vector, outcome.cr2) == (14, GDT)

    # --- Tasks ----------------------------------------

    def _second_task(self, bench: CpuBench, eip: int) -> None:
        data, code = SELECTORS["data"], SELECTORS["code"]
        registers = [0, 0x11111111, 0, 0, 0xB000, 0, 0, 0]
        image = struct.pack("<10I", eip, 2, *registers) + struct.pack("<6I", data, code, data, data, data, data) + struct.pack("<II", 0, 0x680000)
        bench.memory.write(TSS2 + 32, image)

    def test_a_jump_to_a_tss_switches_tasks(self, bench: CpuBench) -> None:
        self._second_task(bench, CODE + 0x600)
        bench.load("mov eax, cr0; str bx; hlt", address=CODE + 0x600)
        outcome = bench.run(f"mov esi, 0x77; .byte 0xEA; .long 0; .word {SELECTORS['tss2']}")
        assert outcome.vector is None
        assert outcome.register("ebx") & 0xFFFF == SELECTORS["tss2"]
        assert outcome.register("eax") & 8
        assert struct.unpack("<I", bench.memory.read(TSS + 64, 4))[0] == 0x77

    @pytest.mark.parametrize(("last", "flags"), [("inc ebx", CF | PF), ("add ebx, 0x11", PF), ("cmp ebx, 0x11", CF | AF | SF | PF)])
    @pytest.mark.parametrize("direct", [True, False], ids=["direct", "indirect"])
    def test_a_call_of_a_task_keeps_the_flags_of_the_last_instruction(self, bench: CpuBench, last: str, flags: int, *, direct: bool) -> None:
        self._second_task(bench, CODE + 0x600)
        bench.load("again: iretd; jmp again", address=CODE + 0x600)
        bench.memory.write(DATA, struct.pack("<IH", 0, SELECTORS["tss2"]))
        call = f".byte 0x9A; .long 0; .word {SELECTORS['tss2']}" if direct else f".byte 0xFF, 0x1D; .long {DATA}"
        body = f"mov ebx, 0x10; stc; {last}; {call}; pushfd"
        outcome = bench.run(f"{body}; pop eax; {body}; pop edx")
        assert outcome.vector is None
        assert outcome.register("eax") & ARITHMETIC_FLAGS == outcome.register("edx") & ARITHMETIC_FLAGS == flags

    def test_an_interrupt_through_a_task_gate_nests_and_iret_returns(self, bench: CpuBench) -> None:
        self._second_task(bench, CODE + 0x600)
        bench.set_gate(0x30, 0, selector=SELECTORS["tss2"], access=0x85)
        bench.load(f"mov [{DATA:#x}], ecx; pushfd; pop dword ptr [{DATA + 4:#x}]; iretd", address=CODE + 0x600)
        outcome = bench.run(f"mov ecx, 5; int 0x30; mov edx, [{DATA:#x}]; mov ebx, [{DATA + 4:#x}]")
        assert outcome.vector is None
        assert (outcome.register("ecx"), outcome.register("edx")) == (5, 0x11111111)
        assert outcome.register("ebx") & 1 << 14
        assert outcome.state.tr.selector == SELECTORS["tss"]

    def test_a_double_fault_may_be_a_task_with_an_error_code(self, bench: CpuBench) -> None:
        self._second_task(bench, CODE + 0x600)
        bench.set_gate(8, 0, selector=SELECTORS["tss2"], access=0x85)
        bench.load("mov eax, [esp]; mov ebx, esp; hlt", address=CODE + 0x600)
        outcome = bench.run(f"mov dword ptr [{IDT + 13 * 8 + 4:#x}], 0; mov eax, 0x7F8; mov es, ax")
        assert (outcome.register("eax"), outcome.register("ebx")) == (0, 0xB000 - 4)

    # --- Interrupts ----------------------------------------

    def _counting_handler(self, bench: CpuBench) -> None:
        bench.set_gate(0x40, CODE + 0xC00)
        bench.load(f"inc dword ptr [{COUNTER:#x}]; iretd", address=CODE + 0xC00)

    def test_intr_waits_for_the_interrupt_flag(self, bench: CpuBench) -> None:
        self._counting_handler(bench)
        bench.raise_interrupt(0x40)
        outcome = bench.run(f"mov ecx, 1000; again: dec ecx; jnz again; mov eax, [{COUNTER:#x}]; sti; nop; nop; mov ebx, [{COUNTER:#x}]; cli")
        assert (outcome.register("eax"), outcome.register("ebx")) == (0, 1)

    def test_sti_holds_interrupts_off_for_one_instruction(self, bench: CpuBench) -> None:
        self._counting_handler(bench)
        bench.raise_interrupt(0x40)
        assert bench.run(f"sti; mov eax, [{COUNTER:#x}]; mov ebx, [{COUNTER:#x}]; cli").register("eax") == 0

    def test_sti_hlt_sleeps_until_an_interrupt(self, bench: CpuBench) -> None:
        self._counting_handler(bench)
        bench.memory.write(CODE, assemble(f"sti; hlt; mov eax, [{COUNTER:#x}]; cli; hlt", CODE))
        bench.cpu.load_state(bench.protected_state())
        assert bench.cpu.run(RunBudget(progress=1000)).reason is ExitReason.HALT
        assert bench.cpu.run(RunBudget(progress=1000)).reason is ExitReason.HALT
        bench.raise_interrupt(0x40)
        assert bench.cpu.run(RunBudget(progress=1000)).reason is ExitReason.HALT
        assert bench.cpu.save_state().gpr[0] == 1

    @pytest.mark.parametrize(("access", "expected"), [(0x8E, 0), (0x8F, IF)], ids=["interrupt gate", "trap gate"])
    def test_only_an_interrupt_gate_clears_if(self, bench: CpuBench, access: int, expected: int) -> None:
        bench.load("pushfd; pop eax; hlt", address=CODE + 0x600)
        bench.set_gate(0x30, CODE + 0x600, access=access)
        assert bench.run("sti; nop; int 0x30").register("eax") & IF == expected

    def test_nmi_is_taken_with_interrupts_off_and_blocked_until_iret(self, bench: CpuBench) -> None:
        def run_and_count() -> int:
            for _ in range(3):
                bench.cpu.run(RunBudget(progress=3_000))
            return int(struct.unpack("<I", bench.memory.read(COUNTER, 4))[0])

        bench.set_gate(2, CODE + 0xC00)
        bench.load(f"inc dword ptr [{COUNTER:#x}]; mov ecx, 100000; again: dec ecx; jnz again; iretd", address=CODE + 0xC00)
        bench.memory.write(CODE, assemble("again: jmp again", CODE))
        bench.cpu.load_state(bench.protected_state())
        bench.cpu.pulse_nmi()
        assert run_and_count() == 1
        bench.cpu.pulse_nmi()
        assert run_and_count() == 1
        bench.cpu.run(RunBudget(progress=1_000_000))
        assert run_and_count() == 2

    def test_a_fault_that_cannot_be_delivered_shuts_the_processor_down(self, bench: CpuBench) -> None:
        outcome = bench.run("sub esp, 8; mov word ptr [esp], 0; lidt [esp]; ud2")
        assert outcome.reason is ExitReason.SHUTDOWN
        assert bench.cpu.run(RunBudget(progress=1000)).reason is ExitReason.SHUTDOWN
        bench.cpu.reset()
        assert not bench.cpu.save_state().shutdown

    def test_a_contributory_fault_while_delivering_another_is_a_double_fault(self, bench: CpuBench) -> None:
        outcome = bench.run(f"mov dword ptr [{IDT + 13 * 8 + 4:#x}], 0; mov eax, 0x7F8; mov es, ax")
        assert (outcome.vector, outcome.error_code) == (8, 0)

    def test_a_page_fault_on_the_only_inner_stack_ends_in_shutdown(self, bench: CpuBench) -> None:
        self._lay_out_pages(bench, "32bit")
        bench.memory.write(TSS + 4, struct.pack("<I", 0x32800))
        bench.set_gate(0x30, CODE + 0x600, access=0xEE)
        assert bench.run("int 0x30", user=True, paging="32bit").reason is ExitReason.SHUTDOWN
