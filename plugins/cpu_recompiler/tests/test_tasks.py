"""Task switches by far JMP, far CALL and IRET with paging on, where the engine goes on in the wrong place by itself."""

from __future__ import annotations

import struct

import pytest
from ringone.testing.cpu_bench import CODE, DATA, PAGE_DIRECTORY, SELECTORS, TSS, TSS2, CpuBench
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

TASK = CODE + 0x600
OTHER_DIRECTORY = 0x40000
OTHER_TABLE = 0x41000
DIRECTORIES = {"the same pages": PAGE_DIRECTORY, "pages without the code that switches": OTHER_DIRECTORY}
FLAGS = 0x8D7
SWITCH = {"jmp": 0xEA, "call": 0x9A}


@pytest.fixture
def bench() -> CpuBench:
    """Two tasks; the pages of the other directory are those below the code, and the second page of it."""
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    bench.map_pages()
    bench.memory.write(OTHER_DIRECTORY, struct.pack("<I", OTHER_TABLE | 7))
    for page in [*range(CODE >> 12), (CODE >> 12) + 1]:
        bench.memory.write(OTHER_TABLE + 4 * page, struct.pack("<I", page << 12 | 7))
    bench.memory.write(TSS + 28, struct.pack("<I", PAGE_DIRECTORY))
    return bench


def lay_out_task(bench: CpuBench, directory: int, eip: int) -> None:
    data, code = SELECTORS["data"], SELECTORS["code"]
    registers = struct.pack("<10I", eip, FLAGS, 1, 2, 3, 4, 0xB000, 6, 7, 8) + struct.pack("<6I", data, code, data, data, data, data)
    bench.memory.write(TSS2 + 28, struct.pack("<I", directory) + registers + struct.pack("<II", 0, 0x680000))


@pytest.mark.parametrize("directory", DIRECTORIES.values(), ids=DIRECTORIES)
@pytest.mark.parametrize("opcode", SWITCH.values(), ids=SWITCH)
def test_the_new_task_begins_at_its_own_place_with_its_own_flags(bench: CpuBench, opcode: int, directory: int) -> None:
    lay_out_task(bench, directory, CODE + 0x1000)
    bench.load("pushfd; pop eax; str bx; hlt", address=CODE + 0x1000)

    outcome = bench.run(f"xor edx, edx; .byte {opcode:#x}; .long 0; .word {SELECTORS['tss2']}; hlt", paging="32bit")

    assert outcome.vector is None
    assert outcome.register("eax") & 0xFFF == FLAGS & 0xFFF
    assert outcome.register("ebx") & 0xFFFF == SELECTORS["tss2"]
    assert outcome.register("esi") == 7


def test_a_called_task_returns_and_runs_on_when_it_is_called_again(bench: CpuBench) -> None:
    lay_out_task(bench, PAGE_DIRECTORY, TASK)
    bench.load(f"again: inc dword ptr [{DATA:#x}]; iretd; jmp again", address=TASK)
    call = f".byte 0x9A; .long 0; .word {SELECTORS['tss2']}"

    outcome = bench.run(f"mov esi, 5; l: stc; {call}; adc ebx, 0; dec esi; jnz l; mov eax, [{DATA:#x}]", paging="32bit")

    assert outcome.vector is None
    assert (outcome.register("eax"), outcome.register("ebx")) == (5, 5)


def test_a_task_with_a_segment_that_is_absent_faults_in_its_own_place(bench: CpuBench) -> None:
    lay_out_task(bench, PAGE_DIRECTORY, TASK)
    bench.memory.write(TSS2 + 0x54, struct.pack("<I", SELECTORS["absent"]))

    outcome = bench.run(f".byte 0xEA; .long 0; .word {SELECTORS['tss2']}", paging="32bit")

    assert (outcome.vector, outcome.error_code, outcome.eip) == (11, SELECTORS["absent"], TASK - CODE)


def test_a_loaded_task_register_is_no_task_switch(bench: CpuBench) -> None:
    lay_out_task(bench, PAGE_DIRECTORY, TASK)

    outcome = bench.run(f"mov eax, cr0; or eax, 8; mov cr0, eax; mov eax, {SELECTORS['tss2']}; ltr ax; jmp on; on: str bx", paging="32bit")

    assert outcome.vector is None
    assert outcome.register("ebx") & 0xFFFF == SELECTORS["tss2"]
    assert outcome.state.tr.attributes == 0x8B
