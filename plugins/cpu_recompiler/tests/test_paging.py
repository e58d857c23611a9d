"""The short way to plain memory leads where the long one does."""

from __future__ import annotations

import random
import struct

import pytest
from ringone.testing.cpu_bench import DATA, PAGE_DIRECTORY, CpuBench
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions
from ringone_cpu_recompiler.paging import READ, WRITE, GuestFault, Paging

EXAMPLES = 400
TABLE = 0x40000


def paging_of(bench: CpuBench, mode: str) -> Paging:
    assert isinstance(bench.cpu, RecompilerBackend)
    bench.cpu.load_state(bench.protected_state(paging=mode))
    return bench.cpu._engine.paging


def long_way(paging: Paging, address: int, access: int) -> int:
    try:
        return paging.translate(address, access, False)[0]
    except GuestFault:
        return -1


@pytest.mark.parametrize("mode", ["", "32bit", "pae"])
def test_both_ways_lead_to_the_same_place(mode: str) -> None:
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    pae = mode == "pae"
    if mode:
        bench.map_pages(pae=pae)
    paging = paging_of(bench, mode)
    long_way(paging, DATA, READ)  # Marks the upper levels accessed.
    generator = random.Random(mode)
    found = 0
    for _ in range(EXAMPLES):
        page = generator.randrange(DATA >> 12, (DATA >> 12) + 8)
        if mode:
            bench.set_page(page << 12, generator.randrange(0, 0x400) << 12 | generator.randrange(0, 0x80), pae=pae)
        address = page << 12 | generator.randrange(0, 0x1000)
        for access, bits in ((READ, 0x21), (WRITE, 0x63)):
            offset = paging._direct(address, bits)
            if offset >= 0:
                found += 1
                assert offset == long_way(paging, address, access)
    assert found


@pytest.mark.parametrize("high", [1 << 33, 1 << 40, (1 << 63) | 1 << 32])
def test_entries_beyond_four_gigabytes_take_the_long_way(high: int) -> None:
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    bench.map_pages(pae=True)
    bench.memory.write(TABLE + 8 * (DATA >> 12), struct.pack("<Q", high | DATA | 0x67))
    assert paging_of(bench, "pae")._direct(DATA, 0x21) == -1


MMIO_ENTRY = PAGE_DIRECTORY + 4 * (CpuBench.MMIO >> 22)
DIRTY = 1 << 6


def test_a_write_to_a_device_that_was_read_before_marks_its_page_dirty() -> None:
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    bench.map_pages()
    read = f"mov eax, [{CpuBench.MMIO:#x}]"
    bench.run(read, paging="32bit")
    assert not bench.memory.read(MMIO_ENTRY, 1)[0] & DIRTY

    bench.run(f"{read}; mov [{CpuBench.MMIO + 8:#x}], eax", paging="32bit")

    assert bench.memory.read(MMIO_ENTRY, 1)[0] & DIRTY


def test_a_write_to_a_read_only_device_page_faults_even_after_a_read() -> None:
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    bench.map_pages()
    bench.memory.write(MMIO_ENTRY, struct.pack("<I", CpuBench.MMIO & 0xFFC00000 | 0x85))

    outcome = bench.run(f"mov eax, [{CpuBench.MMIO:#x}]; mov [{CpuBench.MMIO + 8:#x}], eax", paging="32bit")

    assert (outcome.vector, outcome.error_code, outcome.cr2) == (14, 3, CpuBench.MMIO + 8)
    assert [access[0] for access in bench.mmio_accesses] == ["read"]
