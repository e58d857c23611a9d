"""Fetch views against guests that look at, write to, remap and alias the pages that have one: what a view hides must never show."""

from __future__ import annotations

import struct

import pytest
from ringone.testing.cpu_bench import CODE, DATA, GDT, PAGE_DIRECTORY, PAGE_TABLE, CpuBench, Outcome, assemble

from plugins.cpu_patm.tests.rivals import PaeBench, PagedBench, equal

FUNCTION = "cli; nop; inc ebx; nop; nop; pushfd; pop ecx; add edx, ecx; sti; nop; ret"
PAGE, OTHER = 0x50000, 0x52000
ENTRY = PAGE_TABLE + 4 * (PAGE >> 12)
FLUSH = {"cr3": "mov eax, cr3; mov cr3, eax", "invlpg": f"invlpg [{PAGE:#x}]"}
INVALID_OPCODE, PAGE_FAULT = 6, 14


def call(target: int, times: int = 6, label: str = "l") -> str:
    """Often enough for what traps to be patched."""
    return f"mov edi, {times}; {label}: mov eax, {target:#x}; call eax; dec edi; jnz {label}"


# --- Bytes ----------------------------------------


@pytest.mark.parametrize("bench", [PagedBench, PaeBench], ids=["32bit", "pae"])
def test_a_guest_reads_its_own_bytes_where_it_is_patched(bench: type[PagedBench]) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=PAGE)
        outcome = bench.run(
            f"cld; {call(PAGE)}; mov esi, {PAGE:#x}; mov edi, {DATA:#x}; mov ecx, 0x400; rep movsd dword ptr es:[edi], dword ptr [esi]; {call(PAGE, 1, 'm')}"
        )
        code = assemble(FUNCTION, PAGE)
        assert bench.memory.read(DATA, 0x1000) == code + bytes(0x1000 - len(code))
        return outcome

    result = equal(scenario, bench=bench)

    assert result.hits("cli") and result.hits("pushf") and result.hits("sti")


def test_the_checksum_of_a_patched_page_stays_the_same_while_it_is_patched() -> None:
    checksum = f"mov esi, {PAGE:#x}; xor ebp, ebp; s: rol ebp, 1; add ebp, [esi]; add esi, 4; cmp esi, {PAGE + 0x1000:#x}; jb s; push ebp"

    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=PAGE)
        return bench.run(f"mov edi, 6; l: mov eax, {PAGE:#x}; call eax; {checksum}; dec edi; jnz l")

    assert equal(scenario).hits("cli")


@pytest.mark.parametrize("times", [4, 200], ids=["now and then", "all the time"])
def test_data_in_a_patched_page(times: int) -> None:
    counter = PAGE + 0xF00

    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=PAGE)
        return bench.run(f"mov edi, {times}; l: inc dword ptr [{counter:#x}]; mov eax, {PAGE:#x}; call eax; dec edi; jnz l; mov esi, [{counter:#x}]")

    result = equal(scenario)

    assert result.statistics["PATM/Drops"]
    assert bool(result.statistics["PATM/PagesRefused"]) is (times == 200)


def test_a_stack_in_a_patched_page() -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=PAGE)
        return bench.run(f"mov esp, {PAGE + 0x1000:#x}; {call(PAGE, 100)}")

    assert equal(scenario).statistics["PATM/PagesRefused"] == 1


# --- Two ways to one page ----------------------------------------


@pytest.mark.parametrize("times", [3, 100], ids=["some calls", "calls until the page is refused"])
def test_code_through_two_linear_addresses(times: int) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.set_page(OTHER, PAGE | 7)
        bench.load(FUNCTION, address=PAGE)
        bench.load(FUNCTION, address=PAGE + 0x100)
        calls = "; ".join(f"mov eax, {target:#x}; call eax" for target in (PAGE, OTHER, OTHER + 0x100))
        return bench.run(f"mov edi, {times}; l: {calls}; dec edi; jnz l")

    assert bool(equal(scenario).statistics["PATM/PagesRefused"]) is (times == 100)


def test_a_write_through_an_alias_reaches_the_code() -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.set_page(OTHER, PAGE | 7)
        bench.load(FUNCTION, address=PAGE)
        return bench.run(f"{call(PAGE)}; mov byte ptr [{OTHER:#x}], 0x90; {call(PAGE, 2, 'm')}")

    assert equal(scenario).hits("cli")


# --- Other pages behind the same addresses ----------------------------------------


@pytest.mark.parametrize("flush", FLUSH.values(), ids=FLUSH.keys())
@pytest.mark.parametrize("entry", [OTHER | 7, OTHER | 0x67, OTHER | 3, PAGE | 5, 0], ids=["other", "other in use", "supervisor", "read-only", "absent"])
def test_a_patched_page_is_mapped_elsewhere(entry: int, flush: str) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=PAGE)
        bench.load(f"inc esi; {FUNCTION}", address=OTHER)
        return bench.run(f"{call(PAGE)}; mov dword ptr [{ENTRY:#x}], {entry:#x}; {flush}; {call(PAGE, 6, 'm')}")

    result = equal(scenario)

    assert result.hits("cli")
    assert result.outcome.vector == (None if entry else PAGE_FAULT)


def test_patched_code_that_changes_the_page_under_itself() -> None:
    second_directory, second_table = 0x60000, 0x61000
    prefix = "cli; nop; inc ebx; nop; nop; sti; nop; mov cr3, eax"
    calls = "; ".join(f"mov eax, {directory:#x}; mov ecx, {PAGE:#x}; call ecx" for directory in (second_directory, PAGE_DIRECTORY))

    def scenario(bench: PagedBench) -> Outcome:
        bench.memory.write(second_directory, struct.pack("<I", second_table | 7))
        bench.memory.write(second_table, bench.memory.read(PAGE_TABLE, 0x1000))
        bench.memory.write(second_table + 4 * (PAGE >> 12), struct.pack("<I", OTHER | 7))
        bench.load(f"{prefix}; cli; pushfd; pop ecx; add edx, ecx; nop; nop; sti; nop; mov cr3, ebp; ret", address=PAGE)
        bench.load(f"{prefix}; nop; pushfd; pop ecx; add esi, ecx; cli; nop; sti; nop; mov cr3, ebp; ret", address=OTHER)
        return bench.run(f"mov edi, 8; mov ebp, {PAGE_DIRECTORY:#x}; l: {calls}; dec edi; jnz l")

    result = equal(scenario)

    assert result.hits("cli") and result.hits("sti")


def test_a_page_under_patches_becomes_another_one_when_a20_closes() -> None:
    """Address line 20 tells the two apart: with it closed, 0x150000 is 0x50000."""

    def scenario(bench: PagedBench) -> Outcome:
        bench.set_page(PAGE, PAGE + 0x100000 | 7)
        bench.memory.write(PAGE, assemble(FUNCTION, PAGE))
        bench.memory.write(PAGE + 0x100000, assemble(FUNCTION.replace("inc", "dec"), PAGE))
        bench.context.on_port = lambda: bench.memory.set_a20(len(bench.context.port_accesses) % 2 == 0)
        return bench.run(f"mov edi, 8; l: mov eax, {PAGE:#x}; call eax; out 0x92, al; dec edi; jnz l")

    result = equal(scenario)

    assert result.refused("A20 closed")


# --- Edges ----------------------------------------

SENSITIVE_STRETCH = ".byte 0x0E; cli; pushfd; pop ecx; add edx, ecx; mov eax, 0x9090FBFA; pop ebp; smsw eax; sti; nop; pushfd; pop ecx; add edx, ecx; ret"
ENDS = {distance: PAGE + 0x2000 * distance for distance in range(1, 13)}
"""Ends of pages, by how many bytes before them a stretch begins."""


@pytest.mark.parametrize("neighbour", ["unpatched", "patched", "elsewhere"])
def test_sensitive_code_runs_over_a_page_end(neighbour: str) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        calls = []
        for distance, end in ENDS.items():
            bench.load(SENSITIVE_STRETCH, address=end - distance)
            bench.load(FUNCTION, address=end + 0x800)
            if neighbour == "elsewhere":
                bench.memory.write(end + 0x100000, bench.memory.read(end, 0x1000))
                bench.memory.write(end, bytes(0x100))
                bench.set_page(end, end + 0x100000 | 7)
            elif neighbour == "patched":
                calls.append(call(end + 0x800, label=f"before{distance}"))
            calls.append(call(end - distance, label=f"over{distance}"))
        return bench.run("; ".join(calls))

    result = equal(scenario)

    assert result.hits("pushf") and result.hits("smsw") and result.hits("sti")


def test_sensitive_code_runs_into_a_page_that_comes_when_it_is_needed() -> None:
    find_entry = f"mov ecx, cr2; shr ecx, 12; or dword ptr [ecx*4+{PAGE_TABLE:#x}], 7; inc dword ptr [{DATA:#x}]"

    def scenario(bench: PagedBench) -> Outcome:
        for distance, end in ENDS.items():
            bench.load(SENSITIVE_STRETCH, address=end - distance)
            bench.set_page(end, end)
        bench.set_gate(PAGE_FAULT, CODE + 0x800)
        bench.load(f"{find_entry}; and byte ptr [esp+14], 0xFE; mov dword ptr [esp], 0; add esp, 4; iretd", address=CODE + 0x800)
        scrub = "; ".join(["push 0"] * 6)
        return bench.run("; ".join(call(end - distance, label=f"into{distance}") for distance, end in ENDS.items()) + f"; {scrub}")

    assert equal(scenario).statistics["PGM/GuestPageFaults"] == len(ENDS)


@pytest.mark.parametrize("target", [CpuBench.MMIO, CpuBench.MMIO + 0xFFF], ids=["start", "end"])
def test_code_cannot_run_from_device_memory(target: int) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=PAGE)
        return bench.run(f"{call(PAGE)}; mov eax, {target:#x}; jmp eax")

    assert equal(scenario).outcome.vector == INVALID_OPCODE


# --- Pages that are something else too ----------------------------------------


@pytest.mark.parametrize("page", [0, GDT, 0x7000, PAGE_DIRECTORY], ids=["first", "gdt", "tss", "directory"])
def test_code_in_a_page_of_tables(page: int) -> None:
    change = f"mov eax, 0x10; mov ds, ax; mov fs, ax; xor byte ptr [{GDT + 0x3E:#x}], 0x80"

    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=page + 0xC00)
        return bench.run(f"mov edi, 6; l: mov eax, {page + 0xC00:#x}; call eax; {change}; dec edi; jnz l")

    equal(scenario)


def test_code_in_a_page_table_that_changes_all_the_time() -> None:
    where, mapped = PAGE_TABLE + 0xF00, 0x3A0000
    change = "; ".join(
        f"mov dword ptr [{PAGE_TABLE + 4 * (mapped >> 12):#x}], {entry | 7:#x}; invlpg [{mapped:#x}]; add edx, [{mapped:#x}]" for entry in (PAGE, mapped)
    )

    def scenario(bench: PagedBench) -> Outcome:
        bench.load(FUNCTION, address=where)
        bench.memory.write(PAGE, b"\1\2\3\4")
        return bench.run(f"mov edi, 6; l: mov eax, {where:#x}; call eax; {change}; dec edi; jnz l")

    assert equal(scenario).statistics["PATM/Drops"]
