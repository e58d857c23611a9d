"""Guests that mean harm to a VMM that patches them: each must end as it does on the recompiler, or leave raw mode for a reason that is counted."""

from __future__ import annotations

import struct

import pytest
from ringone.api.cpu import TableState
from ringone.testing.cpu_bench import CODE, DATA, GDT, IDT, PAGE_DIRECTORY, SELECTORS, TSS, Outcome, assemble, descriptor
from ringone_cpu_patm import patch_manager, vmm_memory
from ringone_cpu_patm.backend import PatmBackend
from ringone_cpu_patm.options import PatmOptions

from plugins.cpu_patm.tests.rivals import PaeBench, PagedBench, Result, compare, equal
from plugins.cpu_recompiler.tests.child import in_child

WINDOW = 0xFBC00000
STATE_PAGE = WINDOW + vmm_memory.STATE
STRETCH = "cli; nop; inc edx; nop; nop; inc ebx; sti; nop; pushfd; pop esi"
LOOP = f"mov edi, 6; again: {STRETCH}; add ecx, esi; dec edi; jnz again"
START = "mov edi, 4; xor ebp, ebp; "
PATCHED = CODE + len(assemble("mov edi, 6", CODE))
"""The CLI of LOOP where that begins the program."""
USER = CODE + 0x1000
VECTOR_PF = 14


def enter_ring(ring: int, code: int, data: int, eip: int) -> str:
    return f"push {data | ring:#x}; push 0xE000; push 0x202; push {code | ring:#x}; push {eip:#x}; iretd"


ENTER_RING_3 = enter_ring(3, SELECTORS["user_code"], SELECTORS["user_data"], USER)


# --- Patches under attack ----------------------------------------


@pytest.mark.parametrize("body", [STRETCH, "cli; mov eax, 0x9090FBFA; sti; nop; pushfd; pop esi"], ids=["instructions", "operand"])
def test_jumps_into_the_middle_of_a_patch(body: str) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        for offset in range(1, 7):
            middle = CODE + len(assemble(START, CODE)) + offset
            again = f"test ebp, ebp; jnz end; inc ebp; mov edi, 3; mov eax, {middle:#x}; jmp eax; end: nop"
            outcome = bench.run(f"{START} again: {body}; dec edi; jnz again; {again}")
        return outcome

    assert compare(scenario).hits("cli")


@pytest.mark.parametrize("value", [0x90, 0xFB, 0xF8, 0x9C, 0xF4, 0xCC, 0x0E], ids=hex)
def test_ring_0_writes_over_a_patch(value: int) -> None:
    outer = "mov ebp, 2; outer: "
    target = PATCHED + len(assemble("mov ebp, 2", CODE))

    result = compare(lambda bench: bench.run(f"{outer}{LOOP}; mov byte ptr [{target:#x}], {value:#x}; dec ebp; jnz outer"))

    assert result.hits("cli") and result.statistics["PATM/Drops"]


def test_ring_3_writes_over_a_patch() -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.set_gate(0x80, CODE + 0x400, access=0xEE)
        bench.load(f"{LOOP}; {ENTER_RING_3}")
        bench.load(f"inc dword ptr [{DATA:#x}]; cmp dword ptr [{DATA:#x}], 4; jb {CODE:#x}; hlt", address=CODE + 0x400)
        bench.load(f"mov byte ptr [{PATCHED:#x}], 0x90; xor byte ptr [{PATCHED + 1:#x}], 0x6A; int 0x80", address=USER)
        return bench.start()

    assert equal(scenario).hits("cli")


def test_a_device_writes_over_a_patch() -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.context.on_port = lambda: bench.memory.write(PATCHED, b"\x90" if len(bench.context.port_accesses) & 1 else b"\xfa")
        return bench.run(f"mov edi, 6; again: {STRETCH}; add ecx, esi; out 0x80, al; dec edi; jnz again")

    assert compare(scenario).statistics["PATM/Drops"]


@pytest.mark.parametrize("turns", [4, 300], ids=["some", "endless"])
def test_code_that_changes_itself(turns: int) -> None:
    change = f"xor byte ptr [{PATCHED:#x}], 0x6A"

    def scenario(bench: PagedBench) -> Outcome:
        return bench.run(f"mov edi, {turns}; again: {STRETCH}; add ecx, esi; {change}; dec edi; jnz again")

    result = compare(scenario)

    assert bool(result.refused("code that cannot be patched")) is (turns == 300)
    assert result.statistics["PATM/Drops"] <= patch_manager.MAX_WRITES + 1


def test_a_guest_that_uses_up_patch_memory_gets_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmm_memory, "CODE_SIZE", 0x1000)
    functions = 60

    def scenario(bench: PagedBench) -> Outcome:
        for index in range(functions):
            bench.load("pushfd; cli; .byte 0x0E; pop eax; add ebx, eax; popfd; pushfd; pop eax; add ebx, eax; ret", address=0x50000 + 0x400 * index)
        return bench.run(f"mov edi, 3; l: mov ecx, 0x50000; m: call ecx; add ecx, 0x400; cmp ecx, {0x50000 + 0x400 * functions:#x}; jb m; dec edi; jnz l")

    result = equal(scenario)

    assert result.statistics["PATM/Flushes"] > 1
    assert result.statistics["PATM/MemoryUsed"] <= 0x1000


# --- The window ----------------------------------------


@pytest.mark.parametrize("bench", [PagedBench, PaeBench], ids=["32bit", "pae"])
@pytest.mark.parametrize("flush", ["nop", "mov eax, cr3; mov cr3, eax", f"invlpg [{WINDOW:#x}]"], ids=["nothing", "cr3", "invlpg"])
def test_the_window_moves_where_the_guest_maps_something(bench: type[PagedBench], flush: str) -> None:
    entry = PAGE_DIRECTORY + 0x3000 + 8 * (WINDOW >> 21) if bench is PaeBench else PAGE_DIRECTORY + 4 * (WINDOW >> 22)
    use = f"mov eax, [{WINDOW + 0x8000:#x}]; mov dword ptr [{WINDOW + DATA:#x}], 0x12345678; mov ebp, [{DATA:#x}]"
    program = f"{LOOP}; mov dword ptr [{entry:#x}], 0x87; {flush}; {use}; {LOOP.replace('again', 'later')}"

    assert equal(lambda machine: machine.run(program), bench=bench).statistics["PATM/WindowMoves"] == 2


def test_a_guest_that_maps_everything_leaves_no_room_and_is_told_apart() -> None:
    large = "mov eax, ecx; shl eax, 22; or eax, 0x87"
    entry = f"dword ptr [ecx*4+{PAGE_DIRECTORY:#x}]"
    fill = f"mov ecx, 1; fill: {large}; cmp {entry}, 0; jne next; mov {entry}, eax; next: inc ecx; cmp ecx, 1024; jb fill"

    result = compare(lambda bench: bench.run(f"{LOOP}; {fill}; mov eax, cr3; mov cr3, eax; {LOOP.replace('again', 'later')}; mov eax, [{STATE_PAGE:#x}]"))

    assert result.hits("cli") and result.refused("no room for the window")


@pytest.mark.parametrize("address", [WINDOW, STATE_PAGE, STATE_PAGE + 0x1000], ids=["code", "state", "tables"])
@pytest.mark.parametrize("access", ["mov eax, [{0:#x}]", "mov dword ptr [{0:#x}], 0x3200", "mov eax, {0:#x}; jmp eax"], ids=["read", "write", "jump"])
def test_ring_3_does_not_find_the_window(address: int, access: str) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.load(f"{LOOP}; {ENTER_RING_3}")
        bench.load(access.format(address), address=USER)
        return bench.start()

    result = equal(scenario)

    assert (result.outcome.vector, result.outcome.cr2) == (VECTOR_PF, address)


def test_a_forged_gateway_harms_nobody_but_the_guest() -> None:
    """Ring 0 can reach patch memory. Whatever runs there, the machine stops at its budget, and its next guest is not affected."""

    def program() -> Result:
        bench = PagedBench(lambda context: PatmBackend(context, PatmOptions()))
        bench.map_pages()
        bench.run(LOOP)
        for offset in (*range(0, 0x200, 7), vmm_memory.CODE_SIZE - 1, vmm_memory.CODE_SIZE):
            bench.cpu.reset()
            bench.run(f"mov dword ptr [{STATE_PAGE:#x}], 0xFFFFFFFF; mov eax, {WINDOW + offset:#x}; jmp eax", progress=5000)
        return Result(bench.run(LOOP), (), dict(bench.cpu.statistics()))

    result = in_child(program)

    assert isinstance(result, Result), result
    assert result.outcome.vector is None and result.outcome.register("edi") == 0


# --- Selectors, rings, tables ----------------------------------------

SEGMENTS = ("ds", "es", "fs", "gs", "ss")
BOGUS = (0, 3, 9, 0x13, 0x14, 0x28, 0x40, 0x48, 0x50, 0x58, 0x68, 0x78, 0x80, 0x88, 0x200, 0xFFFF)


@pytest.mark.parametrize("register", SEGMENTS)
def test_null_and_bogus_selectors(register: str) -> None:
    use = "nop" if register == "ss" else f"mov ebp, {register}; mov eax, {register}:[0x10]"

    def scenario(bench: PagedBench) -> Outcome:
        for selector in BOGUS:
            outcome = bench.run(f"{LOOP}; mov eax, {selector:#x}; mov {register}, ax; {use}; mov ecx, ss")
            bench.memory.write(DATA + 0x1000 + 4 * selector % 0x1000, struct.pack("<II", outcome.vector or 0, outcome.error_code))
        return outcome

    assert compare(scenario).hits("cli")


@pytest.mark.parametrize("ring", [1, 2])
@pytest.mark.parametrize(
    "text",
    ["pushfd; pop eax; mov ebx, cs; mov ecx, ss; int 0x80", "cli", "hlt", "mov eax, cr0", ".byte 0x0E; pop eax; int 0x80"],
    ids=["show", "cli", "hlt", "cr0", "cs"],
)
def test_code_at_rings_1_and_2_of_the_guests_own(ring: int, text: str) -> None:
    code, data = 0x18, 0x20

    def scenario(bench: PagedBench) -> Outcome:
        bench.memory.write(GDT + code, descriptor(0, 0xFFFFF, 0x9B | ring << 5, 0xC) + descriptor(0, 0xFFFFF, 0x93 | ring << 5, 0xC))
        bench.memory.write(TSS + 4 + 8 * ring, struct.pack("<II", 0xD000, data | ring))
        bench.set_gate(0x80, CODE + 0x400, access=0xEE)
        bench.load(f"{LOOP}; hlt", address=CODE + 0x400)
        bench.load(f"{LOOP}; {enter_ring(ring, code, data, USER)}")
        bench.load(text, address=USER)
        return bench.start()

    result = compare(scenario)

    assert result.hits("cli") and result.refused("rings 1 and 2")


@pytest.mark.parametrize("limit", [0, 7, 0x17, 0x1B, 0x7F, 0x100, 0x3FF, 0xFFFF], ids=hex)
@pytest.mark.parametrize("text", ["int 0x20", "int3", "mov eax, 0x200; mov ds, ax"], ids=["int", "int3", "fault"])
def test_odd_limits_of_the_idt(limit: int, text: str) -> None:
    def scenario(bench: PagedBench) -> Outcome:
        bench.load(f"{LOOP}; {text}; hlt")
        return bench.start(idtr=TableState(base=IDT, limit=limit), progress=50_000)

    assert compare(scenario).hits("cli")


@pytest.mark.parametrize("limit", [0, 7, 0xE, 0xF, 0x16, 0x17, 0x1B, 0x87, 0xFFF, 0xFFFF], ids=hex)
def test_odd_limits_of_the_gdt(limit: int) -> None:
    uses = (
        "mov eax, 0x10; mov ds, ax",
        "mov eax, 0x10; mov ss, ax; push eax",
        "int 0x20",
        f".byte 0xEA; .long {CODE + 0x400}; .word 8",
        "mov eax, 0x18; lar ebp, eax",
    )

    def scenario(bench: PagedBench) -> Outcome:
        bench.load("hlt", address=CODE + 0x400)
        for use in uses:
            bench.load(f"{LOOP}; {use}; hlt")
            outcome = bench.start(gdtr=TableState(base=GDT, limit=limit), progress=50_000)
        return outcome

    assert compare(scenario).hits("cli")


@pytest.mark.parametrize("base", [0x32004, 0x32FF9, 0x32FFC, 0x32FFF, 0x33FE8], ids=hex)
@pytest.mark.parametrize("second", [0x33000, 0x60000], ids=["in place", "elsewhere"])
def test_a_gdt_at_an_odd_address(base: int, second: int) -> None:
    change = f"mov byte ptr [{base + 0x10 + 6:#x}], 0x8F; mov ds, ax; mov ebp, ds"

    def scenario(bench: PagedBench) -> Outcome:
        bench.memory.write(base, bench.memory.read(GDT, 0x90))
        bench.memory.write(second, bench.memory.read(0x33000, 0x1000))
        bench.set_page(0x33000, second | 7)
        bench.memory.write(DATA, struct.pack("<HI", 0x8F, base))
        return bench.run(f"lgdt [{DATA:#x}]; {LOOP}; mov eax, 0x10; mov ds, ax; mov fs, ax; {change}; sgdt [{DATA + 8:#x}]; int 0x20")

    assert equal(scenario).refused("lgdt")
