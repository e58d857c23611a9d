"""Conformance kit for CPU backends: subclass `CpuBackendConformance` in a test module and return your backend from `make_backend`.

What the architecture says (`cpu_architecture`); and one handler call for one guest access under random exit requests, self-modifying code, save and load in
mid-run.
"""

from __future__ import annotations

import random
import struct
import threading

import attrs
import pytest

from ringone.api import statistics
from ringone.api.cpu import ExitReason, RunBudget
from ringone.api.memory import PAGE_SIZE
from ringone.testing.cpu_architecture import ArchitectureConformance
from ringone.testing.cpu_bench import CODE, DATA, GDT, SELECTORS, TSS, CpuBench, assemble, descriptor


class CpuBackendConformance(ArchitectureConformance):
    """Every test builds its own processor."""

    # --- Ports, MMIO, exits ----------------------------------------

    def test_string_output_makes_one_access_an_element(self, bench: CpuBench) -> None:
        bench.memory.write(DATA, bytes(range(1, 9)))
        bench.run(f"mov esi, {DATA:#x}; mov edx, 0x80; mov ecx, 4; .byte 0xF3, 0x66, 0x6F")
        assert bench.context.port_accesses == [("out", 0x80, 2, value) for value in (0x201, 0x403, 0x605, 0x807)]

    def test_the_io_map_opens_single_ports_to_ring_3(self, bench: CpuBench) -> None:
        bench.memory.write(GDT + SELECTORS["tss"], descriptor(TSS, 0x67 + 0x20, 0x8B, 0))
        bench.memory.write(TSS + 0x68, b"\xff" * 0x20)
        bench.memory.write(TSS + 0x68 + 0x60 // 8, b"\xfe")
        bench.context.port_value = 0x5A
        outcome = bench.run("in al, 0x60; mov ebx, eax; in al, 0x61", user=True)
        assert (outcome.vector, outcome.error_code, outcome.eip) == (13, 0, len(assemble("in al, 0x60; mov ebx, eax", CODE)))
        assert outcome.register("ebx") == 0x5A
        assert bench.context.port_accesses == [("in", 0x60, 1, 0x5A)]

    def test_a_port_loop_in_ring_3_faults_when_the_map_closes(self, bench: CpuBench) -> None:
        bench.memory.write(GDT + SELECTORS["tss"], descriptor(TSS, 0x67 + 0x20, 0x8B, 0))
        bench.memory.write(TSS + 0x68, bytes(0x20))
        loop = f"out 0x60, al; inc ebx; cmp ebx, 5; jne again; mov byte ptr [{TSS + 0x68 + 0x60 // 8:#x}], 1; jmp again"
        outcome = bench.run(f"again: {loop}", user=True)
        assert (outcome.vector, outcome.eip) == (13, 0)
        assert len(bench.context.port_accesses) == 5

    def test_ring_3_with_iopl_3_needs_no_map(self, bench: CpuBench) -> None:
        outcome = bench.run("in al, 0x60; ud2", user=True, eflags=0x3002)
        assert outcome.vector == 6
        assert len(bench.context.port_accesses) == 1

    def test_mmio_is_read_and_written_at_its_width(self, bench: CpuBench) -> None:
        reads = "mov al, [edi]; mov cx, [edi+2]; mov edx, [edi+4]"
        outcome = bench.run(f"mov edi, 0xF0000010; {reads}; mov byte ptr [edi], 5; mov dword ptr [edi+8], 0x12345678")
        assert (outcome.register("eax"), outcome.register("ecx"), outcome.register("edx")) == (0x44, 0x1122, 0x11223344)
        assert bench.mmio_accesses == [("read", 0x10, 1, 0), ("read", 0x12, 2, 0), ("read", 0x14, 4, 0), ("write", 0x10, 1, 5), ("write", 0x18, 4, 0x12345678)]

    def test_one_access_is_one_handler_call_under_random_exit_requests(self, bench: CpuBench) -> None:
        generator = random.Random(1)

        def maybe_exit() -> None:
            if generator.random() < 0.3:
                bench.cpu.request_exit()

        bench.context.on_port = bench.on_mmio = maybe_exit
        loop = f"in al, 0x60; out 0x61, al; inc dword ptr [0xF0000000]; inc dword ptr [{DATA:#x}]; dec ecx; jnz again"
        bench.memory.write(CODE, assemble(f"mov ecx, 500; again: {loop}; hlt", CODE))
        bench.cpu.load_state(bench.protected_state())
        while bench.cpu.run(RunBudget(progress=100_000_000)).reason is not ExitReason.HALT:
            pass
        assert len(bench.context.port_accesses) == 1000
        assert len(bench.mmio_accesses) == 1000
        assert bench.memory.read(DATA, 4) == struct.pack("<I", 500)

    def test_exit_requests_from_another_thread_lose_and_double_nothing(self, bench: CpuBench) -> None:
        count = 2_000_000
        loop = f"inc dword ptr [{DATA:#x}]; add dword ptr [{DATA + 4:#x}], 3; dec ecx; jnz again"
        bench.memory.write(CODE, assemble(f"mov ecx, {count}; again: {loop}; hlt", CODE))
        bench.cpu.load_state(bench.protected_state())
        done = threading.Event()

        def kick() -> None:
            while not done.wait(0.0005):
                bench.cpu.request_exit()

        thread = threading.Thread(target=kick)
        thread.start()
        while bench.cpu.run(RunBudget(progress=1 << 40)).reason is not ExitReason.HALT:
            pass
        done.set()
        thread.join()
        assert struct.unpack("<II", bench.memory.read(DATA, 8)) == (count, 3 * count)

    def test_an_exit_request_ends_an_endless_loop(self, bench: CpuBench) -> None:
        bench.memory.write(CODE, b"\xeb\xfe")
        bench.cpu.load_state(bench.protected_state())
        threading.Timer(0.05, bench.cpu.request_exit).start()
        assert bench.cpu.run(RunBudget(progress=1 << 60)).reason is ExitReason.EXIT_REQUESTED
        assert bench.cpu.save_state().eip == CODE

    def test_a_request_made_before_run_ends_it_at_once(self, bench: CpuBench) -> None:
        bench.memory.write(CODE, b"\xeb\xfe")
        bench.cpu.load_state(bench.protected_state())
        bench.cpu.request_exit()
        bench.cpu.request_exit()
        assert bench.cpu.run(RunBudget(progress=1 << 40)).reason is ExitReason.EXIT_REQUESTED

    def test_equal_budgets_stop_at_equal_places(self) -> None:
        def trace() -> list[tuple[int, int]]:
            bench = CpuBench(self.make_backend)
            bench.memory.write(CODE, assemble("again: inc ecx; test ecx, 7; jnz again; call over; jmp again; over: add edx, ecx; ret", CODE))
            bench.cpu.load_state(bench.protected_state())
            places = []
            for budget in (100, 977, 13, 50_000, 1):
                bench.cpu.run(RunBudget(progress=budget))
                state = bench.cpu.save_state()
                places.append((state.eip, state.gpr[1]))
            return places

        assert trace() == trace()

    def test_runs_from_equal_states_are_equal_once_code_was_forgotten(self, bench: CpuBench) -> None:
        bench.map_pages()
        loop = "again: inc ecx; pushfd; cli; add edx, ecx; popfd; call over; jmp again; over: sti; mov eax, cr3; mov cr3, eax; ret"
        bench.memory.write(CODE, assemble(loop, CODE))
        start = bench.protected_state(paging="32bit")
        traces = []
        for _ in range(3):
            bench.cpu.load_state(start)
            bench.cpu.forget_code()
            places = []
            for budget in (100, 977, 13, 50_000, 1, 30_000):
                bench.cpu.run(RunBudget(progress=budget))
                state = bench.cpu.save_state()
                places.append((state.eip, state.gpr, state.eflags))
            traces.append(places)
        assert traces[0] == traces[1] == traces[2]

    # --- Code that changes ----------------------------------------

    def test_a_program_may_patch_the_instruction_that_follows(self, bench: CpuBench) -> None:
        text = "mov byte ptr [{0:#x}], 0x42; jmp next; next: mov al, 1"
        place = CODE + len(assemble(text.format(CODE), CODE)) - 1
        assert bench.run(text.format(place)).register("eax") == 0x42

    @pytest.mark.parametrize(("paging", "alias"), [("", 0), ("32bit", 0), ("32bit", 0x35000)], ids=["flat", "paged", "through an alias"])
    def test_code_patched_over_and_over_is_never_stale(self, bench: CpuBench, paging: str, alias: int) -> None:
        self._lay_out_pages(bench, paging)
        patched = CODE + 0x1000
        bench.memory.write(patched, assemble("mov eax, 0; ret", patched))
        if alias:
            bench.set_page(alias, patched | 7)
        body = f"inc ecx; mov [{(alias or patched) + 1:#x}], ecx; mov edi, {patched:#x}; call edi; add ebx, eax; cmp ecx, 200; jne again"
        assert bench.run(f"xor ecx, ecx; again: {body}", paging=paging).register("ebx") == 200 * 201 // 2

    def test_code_written_by_a_device_is_run(self, bench: CpuBench) -> None:
        routine = CODE + 0x1000
        bench.memory.write(routine, assemble("mov eax, 1; ret", routine))
        new = assemble("mov eax, 2; ret", routine)
        bench.context.on_port = lambda: bench.memory.write(routine, new)
        outcome = bench.run(f"mov edi, {routine:#x}; call edi; mov ebx, eax; out 0x80, al; call edi")
        assert (outcome.register("ebx"), outcome.register("eax")) == (1, 2)

    def test_code_that_changed_while_other_memory_hid_it_is_run(self, bench: CpuBench) -> None:
        memory, routine, elsewhere = bench.memory, CODE + 0x1000, CODE + 0x2000
        cover = memory.map_memory("bench", memory.ram, routine, PAGE_SIZE, block_offset=elsewhere, priority=1, enabled=False)
        memory.write(routine, assemble("mov eax, 1; ret", routine))
        call = f"mov edi, {routine:#x}; call edi"
        assert bench.run(call).register("eax") == 1

        cover.set_enabled(True)
        memory.ram.data[routine : routine + 5] = assemble("mov eax, 2", routine)
        memory.replaced([(routine // PAGE_SIZE, routine // PAGE_SIZE + 1)])
        cover.set_enabled(False)

        assert bench.run(call).register("eax") == 2

    def test_replaced_memory_is_seen_wherever_it_is_mapped(self, bench: CpuBench) -> None:
        memory, content, alias = bench.memory, CODE + 0x1000, CODE + 0x2000
        memory.map_memory("bench", memory.ram, alias, PAGE_SIZE, block_offset=content, priority=1)
        memory.write(content, assemble("mov eax, 1; ret", content))
        call = f"mov edi, {alias:#x}; call edi"
        assert bench.run(call).register("eax") == 1

        memory.ram.data[content : content + 5] = assemble("mov eax, 2", content)
        memory.replaced([(content // PAGE_SIZE, content // PAGE_SIZE + 1)])

        assert bench.run(call).register("eax") == 2

    # --- State ----------------------------------------

    def test_saving_and_loading_in_mid_run_changes_nothing(self) -> None:
        loop = f"imul eax, eax, 1103515245; add eax, 12345; mov [{DATA:#x}+ecx*4], eax; movd xmm1, eax; paddd xmm0, xmm1; fld1; faddp; rol ebx, 3; xor ebx, eax"
        program = f"fld1; mov ecx, 3000; again: {loop}; dec ecx; jnz again; movd edx, xmm0; fistp dword ptr [{DATA:#x}]; mov esi, [{DATA:#x}]"
        straight = CpuBench(self.make_backend)
        expected = straight.run(program).state
        bench = CpuBench(self.make_backend)
        bench.memory.write(CODE, assemble(program + "; hlt", CODE))
        bench.cpu.load_state(bench.protected_state())
        generator = random.Random(2)
        while bench.cpu.run(RunBudget(progress=generator.randrange(1, 20_000))).reason is not ExitReason.HALT:
            saved = bench.cpu.save_state()
            fresh = CpuBench(self.make_backend)
            fresh.memory.write(0, bench.memory.read(0, 4 << 20))
            fresh.cpu.load_state(saved)
            assert fresh.cpu.save_state() == saved
            bench = fresh
        assert bench.cpu.save_state() == expected
        assert bench.memory.read(DATA, 0x4000) == straight.memory.read(DATA, 0x4000)

    def test_reset_fetches_from_the_top_of_memory(self, bench: CpuBench) -> None:
        bench.run("mov eax, 5; fld1")
        bench.cpu.reset()
        state = bench.cpu.save_state()
        assert (state.cs.selector, state.cs.base, state.eip, state.eflags, state.cr0 & 0x80000001) == (0xF000, 0xFFFF0000, 0xFFF0, 2, 0)
        assert state.gpr[0] == 0

    def test_the_time_stamp_counter_follows_virtual_time(self, bench: CpuBench) -> None:
        first = bench.run("rdtsc").register("eax")
        bench.context.time_ns += 1_000_000
        bench.cpu.load_state(attrs.evolve(bench.cpu.save_state(), eip=CODE, halted=False))
        bench.context.time_ns += 1_000_000
        assert bench.go_on().register("eax") > first

    def test_cpuid_tells_the_configured_vendor(self, bench: CpuBench) -> None:
        outcome = bench.run("xor eax, eax; cpuid")
        assert struct.pack("<III", outcome.register("ebx"), outcome.register("edx"), outcome.register("ecx")) == b"GenuineIntel"

    def test_descriptors_read_back_as_the_hidden_part(self, bench: CpuBench) -> None:
        bench.memory.write(GDT + 0x40, descriptor(0x12345678, 0xFF, 0x93, 0x4))
        state = bench.run("mov eax, 0x40; mov fs, ax").state
        assert (state.fs.base, state.fs.limit, state.fs.attributes) == (0x12345678, 0xFF, 0x4093)

    def test_statistics_have_the_common_names(self, bench: CpuBench) -> None:
        bench.run("in al, 0x60")
        counters = bench.cpu.statistics()
        for name in (
            statistics.INSTRUCTIONS,
            statistics.EXITS,
            statistics.EXCEPTIONS,
            statistics.INTERRUPTS,
            statistics.PORT_READS,
            statistics.PORT_WRITES,
            statistics.TLB_FILLS,
        ):
            assert name in counters
