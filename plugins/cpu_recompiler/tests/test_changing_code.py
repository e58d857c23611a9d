"""A block that changes what it will run next runs that, whatever the engine does with the TLB and with the page on the way."""

from __future__ import annotations

import pytest
from ringone.testing.cpu_bench import CODE, DATA, CpuBench
from ringone_cpu_recompiler import stubs
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

ROUNDS = 200
"""Misses: more than it takes for a page to become data more than once."""
NEXT_PAGE = CODE + 0x1000


@pytest.fixture(params=["machine code", "python"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CpuBench:
    if request.param == "python":
        monkeypatch.setattr(stubs, "native_code_works", lambda: False)
    return CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))


def program(place: int, alias: int = 0, drop: str = "mov eax, cr3; mov cr3, eax") -> str:
    """Each round drops the TLB, so that the store, in the middle of its block and a jump behind the drop, is a miss, and counts what it has stored in the byte
    at `place`, an immediate."""
    return f"mov ecx, {ROUNDS}; again: {drop}; jmp on; on: inc edx; nop; mov byte ptr [{place + alias:#x}], cl; mov bl, 0; add esi, ebx; dec ecx; jnz again"


def immediate(bench: CpuBench, start: int) -> int:
    """Where the immediate of MOV BL stands in the program at an address."""
    return start + bytes(bench.memory.read(start, 64)).index(b"\xb3\x00") + 1


def find_place(bench: CpuBench, start: int = CODE) -> int:
    bench.load(program(DATA), address=start)
    return immediate(bench, start)


TOTAL = sum(count & 0xFF for count in range(1, ROUNDS + 1))


@pytest.mark.parametrize("paging", ["", "32bit", "pae"])
def test_the_next_instruction(bench: CpuBench, paging: str) -> None:
    bench.map_pages(pae=paging == "pae")
    assert bench.run(program(find_place(bench)), paging=paging).register("esi") == TOTAL


@pytest.mark.parametrize("paging", ["32bit", "pae"])
@pytest.mark.parametrize("ahead", range(1, 10))
def test_across_a_page(bench: CpuBench, paging: str, ahead: int) -> None:
    """The changed byte is `ahead` bytes into the page behind the store's."""
    bench.map_pages(pae=paging == "pae")
    start = NEXT_PAGE - (find_place(bench) - CODE) + ahead - 1
    bench.load(program(find_place(bench, start)) + "; hlt", address=start)
    assert bench.run(f"mov eax, {start:#x}; jmp eax", paging=paging).register("esi") == TOTAL


@pytest.mark.parametrize("paging", ["32bit", "pae"])
def test_through_an_alias(bench: CpuBench, paging: str) -> None:
    pae = paging == "pae"
    bench.map_pages(pae=pae)
    bench.set_page(DATA, CODE | 7, pae=pae)
    assert bench.run(program(find_place(bench), alias=DATA - CODE), paging=paging).register("esi") == TOTAL


def test_in_real_mode_with_a20_closed(bench: CpuBench) -> None:
    bench.memory.set_a20(False)
    bench.load(program(DATA & 0xFFF), bits=16, address=0x7C00)
    place = immediate(bench, 0x7C00)
    assert bench.run_real(program(place)).register("esi") == TOTAL
