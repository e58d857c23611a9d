"""Every patch against the original instructions: random registers, flags, operands and stacks; gates, faults and relocation."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ringone.testing.cpu_bench import assemble
from ringone_cpu_patm import state_page
from ringone_cpu_patm.generators import generate
from ringone_cpu_patm.patch_code import CannotPatch, Kind

from plugins.cpu_patm.tests.patch_bench import (
    CODE,
    DATA,
    DATA_END,
    IF,
    IOPL,
    KERNEL_CODE,
    KERNEL_DATA,
    NT,
    OTHER_CODE,
    PATCH,
    READ_ONLY,
    REGION,
    RF,
    STACK,
    STACK_END,
    STATE,
    USER_CODE,
    USER_DATA,
    Guest,
    Outcome,
    hits,
    original,
    patched,
)  # fmt: skip

TF, AC, VM, VIF, VIP, ID = 0x100, 0x40000, 0x20000, 0x80000, 0x100000, 0x200000
GUEST_FLAGS = 0xCD5 | IF | NT | AC | ID

Words = st.SearchStrategy[int]
ANY_WORD = st.integers(0, 0xFFFFFFFF)
ANY_FLAGS = st.integers(0, 0xFFFFFFFF).map(lambda value: value & GUEST_FLAGS | 2)
ANY_STACK = st.integers(STACK, STACK_END - 4) | st.sampled_from([STACK, STACK + 2, STACK_END - 8, STACK_END - 4, STACK_END - 2, STACK_END, STACK - 4])
ADDRESS = st.integers(DATA, DATA_END - 1) | st.integers(DATA_END - 8, DATA_END) | st.just(READ_ONLY)


@st.composite
def guests(draw: st.DrawFn, *, registers: Words = ANY_WORD, flags: Words = ANY_FLAGS, image: Words = ANY_WORD) -> Guest:
    values = draw(st.lists(registers, min_size=8, max_size=8))
    values[4] = draw(ANY_STACK)
    return Guest(
        registers=tuple(values), flags=draw(flags), frame=(draw(image), draw(ANY_WORD)), pending=draw(st.booleans()), data_segments=draw(st.booleans())
    )


def state_before(region: bytes, guest: Guest, eip: int = REGION) -> Outcome:
    return attrs.evolve(original(region, guest, until=eip), gate=True)


def compare(region: bytes, guest: Guest, *, gate: bool = False) -> None:
    """A gate leaves the state before the instruction; without one the patch ends, or faults, as the original does."""
    assert patched(region, guest) == (state_before(region, guest) if gate else original(region, guest))


# --- Flags ----------------------------------------


@given(guests())
def test_cli_clears_the_virtual_if_and_nothing_else(guest: Guest) -> None:
    compare(assemble("cli", REGION), guest)


@given(guests())
def test_sti_sets_the_virtual_if_and_nothing_else(guest: Guest) -> None:
    compare(assemble("sti", REGION), guest)


@given(guests())
def test_sti_in_the_midst_of_a_patch_lets_a_waiting_interrupt_in(guest: Guest) -> None:
    region = assemble("sti; cli", REGION)
    assert patched(region, guest) == (state_before(region, guest) if guest.pending else original(region, guest))


@pytest.mark.parametrize(("text", "size"), [("popfd", 4), ("popf", 2)])
@given(guest=guests(image=ANY_WORD.map(lambda image: image & ~(TF | IOPL))))
def test_popf_in_the_midst_of_a_patch_lets_a_waiting_interrupt_in(text: str, size: int, guest: Guest) -> None:
    gate = has_stack_for(guest, size) and bool(guest.frame[0] & IF) and guest.pending
    compare(assemble(f"{text}; cli", REGION), guest, gate=gate)


@pytest.mark.parametrize("text", ["pushfd", "pushf"])
@given(guest=guests())
def test_pushf_shows_the_virtual_if(text: str, guest: Guest) -> None:
    compare(assemble(text, REGION), guest)


def has_stack_for(guest: Guest, size: int) -> bool:
    return STACK <= guest.registers[4] <= STACK_END - size


@pytest.mark.parametrize(("text", "size"), [("popfd", 4), ("popf", 2)])
@given(guest=guests(image=ANY_WORD | ANY_WORD.map(lambda image: image & ~TF)))
def test_popf_takes_if_and_asks_for_the_vmm_on_tf_and_iopl(text: str, size: int, guest: Guest) -> None:
    image = guest.frame[0]
    gate = has_stack_for(guest, size) and bool(image & (TF | IOPL))
    compare(assemble(text, REGION), guest, gate=gate)


IRET_GATES = TF | NT | IOPL | VM | VIF | VIP
QUIET_IMAGES = ANY_WORD.map(lambda image: image & ~IRET_GATES)
IMAGES = QUIET_IMAGES | st.builds(int.__or__, QUIET_IMAGES, st.sampled_from([TF, NT, IOPL, 1 << 12, 1 << 13, VM, VIF, VIP]))
SELECTORS = st.sampled_from([KERNEL_CODE, USER_CODE, KERNEL_CODE, USER_CODE, OTHER_CODE, KERNEL_CODE | 1, KERNEL_CODE | 3, 0]) | st.integers(0, 0xFFFF)


@st.composite
def interrupted(draw: st.DrawFn) -> Guest:
    """A guest before its IRET; the selector's slot has garbage in its upper half."""
    guest = draw(guests(flags=ANY_FLAGS | ANY_FLAGS.map(lambda flags: flags & ~NT)))
    cs = draw(SELECTORS) | draw(st.integers(0, 0xFFFF)) << 16
    frame = (draw(st.integers(CODE, CODE + 0x700)), cs, draw(IMAGES), draw(ANY_WORD), draw(st.sampled_from([USER_DATA, USER_DATA, KERNEL_DATA, 0])))
    return attrs.evolve(guest, frame=frame, words={state_page.DR + 28: draw(st.sampled_from([0x400, 0x402]))})


def iret_needs_the_vmm(guest: Guest) -> bool:
    _, cs, image, *_ = guest.frame
    breakpoint_at_target = image & RF and guest.words[state_page.DR + 28] & 0xFF
    to_vmm = breakpoint_at_target if cs & 0xFFFF == KERNEL_CODE else cs & 3 != 3 or not image & IF
    return bool(guest.flags & NT or image & IRET_GATES or to_vmm)


@given(interrupted())
def test_iret_goes_to_ring_3_and_back_to_the_kernel_and_asks_for_the_vmm_for_the_rest(guest: Guest) -> None:
    assume(has_stack_for(guest, 12) or not guest.flags & NT)  # a task's return reads no stack; the patch does
    compare(assemble("iretd", REGION), guest, gate=has_stack_for(guest, 12) and iret_needs_the_vmm(guest))


@pytest.mark.parametrize("cs", [KERNEL_CODE, USER_CODE], ids=["to_ring_0", "to_ring_3"])
def test_iret_without_reasons_needs_no_vmm(cs: int) -> None:
    guest = Guest(registers=(1, 2, 3, 4, STACK, 6, 7, 8), flags=2, frame=(CODE, cs, IF | RF | 0x8D7, DATA, USER_DATA))
    outcome = patched(assemble("iretd", REGION), guest)
    assert (outcome.eip, outcome.cs, outcome.flags & IF, outcome.vector) == (CODE, cs, IF, None)


# --- The machine's own registers ----------------------------------------

OPERANDS = [
    "[eax]", "[ecx]", "[ebp]", "[esp]", "[esp + 8]", "[eax + ecx*4]", "[esp + eax*2 + 0x12]", "[edx + ebx - 4]", "[ecx*8 + 0x5000]",
    "[0x5ffe]", "[0x5010]", "[esi - 0x80]", "[edi + 0x12345]", "fs:[eax]", "gs:[eax]", "ss:[ecx + edx]", "es:[ebp + eax]",
]  # fmt: skip
SHORT_OPERANDS = ["[bx]", "[bx + si]", "[bp + di + 2]", "[si - 2]"]
NARROW = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "ax", "cx", "sp", "di"]
ADDRESSES = ADDRESS | st.integers(0, 64) | ADDRESS.map(lambda address: address - 0x1000)


@pytest.mark.parametrize("text", ["mov {}, cs", "mov {}, ss", "sldt {}", "str {}", "smsw {}"])
@given(data=st.data())
def test_reads_of_selectors_and_status_deliver_what_the_guest_believes_in(text: str, data: st.DataObject) -> None:
    operand = data.draw(st.sampled_from(NARROW) | st.sampled_from(OPERANDS + SHORT_OPERANDS).map(lambda operand: f"word ptr {operand}"))
    compare(assemble(text.format(operand), REGION), data.draw(guests(registers=ADDRESSES)))


@pytest.mark.parametrize("segment", ["ds", "es", "fs", "gs", "ss"])
@pytest.mark.parametrize("text", ["mov word ptr {}:[eax + 0x10], cs", "sldt word ptr {}:[eax + 0x10]"])
def test_a_segment_override_stays(text: str, segment: str) -> None:
    """FS has a base, GS is null."""
    compare(assemble(text.format(segment), REGION), Guest(registers=(DATA - 0x800, 0, 0, 0, STACK, 0, 0, 0)))
    compare(assemble(text.format(segment), REGION), Guest(registers=(DATA, 0, 0, 0, STACK, 0, 0, 0)))


@pytest.mark.parametrize("text", ["sgdt {}", "sidt {}"])
@given(data=st.data())
def test_descriptor_table_registers_are_stored_as_the_guest_loaded_them(text: str, data: st.DataObject) -> None:
    code = assemble(text.format(data.draw(st.sampled_from(OPERANDS))), REGION)
    compare(code.replace(b"\x66", b"", 1), data.draw(guests(registers=ADDRESSES)))  # the assembler means the 16-bit form


@pytest.mark.parametrize("code", [b"\x0e", b"\x66\x0e", b"\x16", b"\x66\x16"], ids=["push_cs", "push_cs_16", "push_ss", "push_ss_16"])
@given(guest=guests())
def test_a_pushed_selector_has_the_guests_rpl(code: bytes, guest: Guest) -> None:
    compare(code, guest)


@pytest.mark.parametrize("source", ["cr0", "cr2", "cr3", "cr4", "dr0", "dr3", "dr6", "dr7"])
@given(data=st.data())
def test_control_and_debug_registers_come_from_the_state_page(source: str, data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(NARROW[:8]))
    compare(assemble(f"mov {target}, {source}", REGION), data.draw(guests()))


@pytest.mark.parametrize("filled", [True, False], ids=["filled", "not_filled"])
@given(data=st.data())
def test_invlpg_asks_for_the_vmm_only_where_something_was_filled(filled: bool, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(["eax", "ecx", "edx", "ebx", "ebp", "esi", "edi"]))
    guest = data.draw(guests())
    flushes = data.draw(ANY_WORD)
    region = guest.registers[["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"].index(base)] >> 22
    words = {state_page.FLUSHES: flushes, state_page.FILLED + 4 * region: flushes if filled else flushes ^ data.draw(st.integers(1, 0xFFFFFFFF))}
    known = guest.data_segments or base == "ebp"
    compare(assemble(f"invlpg [{base}]", REGION), attrs.evolve(guest, words=words), gate=filled or not known)


@given(data=st.data())
def test_invlpg_asks_for_the_vmm_where_the_base_of_ds_is_not_known(data: st.DataObject) -> None:
    guest = data.draw(guests(registers=st.integers(0, 0x3FFFFF)))
    words = {state_page.FLAT_DATA: data.draw(st.sampled_from([KERNEL_DATA, 0x10000])), state_page.FLUSHES: 1, state_page.FILLED: 0}
    compare(assemble("invlpg [eax]", REGION), attrs.evolve(guest, words=words), gate=True)


@given(data=st.data())
def test_invlpg_of_any_operand_is_patched_or_left_to_the_vmm(data: st.DataObject) -> None:
    operand = data.draw(st.sampled_from(OPERANDS + SHORT_OPERANDS))
    unfilled = {state_page.FLUSHES: 1, **dict.fromkeys(range(state_page.FILLED, state_page.FLUSHES, 4), 0)}
    guest = attrs.evolve(data.draw(guests()), words=unfilled)
    segment = operand[:2] if ":" in operand else "ds"
    known = guest.data_segments or "bp" in operand or "esp" in operand
    compare(assemble(f"invlpg {operand}", REGION), guest, gate=segment not in ("ds", "ss") or (segment == "ds" and not known))


LEAVES = st.sampled_from([0, 1, 4, 7, 0x80000000, 0xFFFFFFFF])
SUBLEAVES = st.sampled_from([0, 1, 0xFFFFFFFF])
ROWS = st.lists(st.tuples(LEAVES, SUBLEAVES, ANY_WORD, ANY_WORD, ANY_WORD, ANY_WORD), max_size=state_page.CPUID_ROWS - 1)


@given(
    guest=guests(),
    rows=ROWS,
    leaf=LEAVES,
    subleaf=SUBLEAVES,
)
def test_cpuid_answers_from_the_first_row_that_fits(guest: Guest, rows: Sequence[tuple[int, ...]], leaf: int, subleaf: int) -> None:
    rows = [*rows, (0xFFFFFFFF, 0xFFFFFFFF, 1, 2, 3, 4)]
    words = {state_page.CPUID + 24 * index + 4 * column: value for index, row in enumerate(rows) for column, value in enumerate(row)}
    guest = attrs.evolve(guest, registers=(leaf, subleaf, *guest.registers[2:]), words=words)
    _, _, eax, ebx, ecx, edx = next(row for row in rows if row[0] == 0xFFFFFFFF or (row[0] == leaf and row[1] in (subleaf, 0xFFFFFFFF)))
    expected = attrs.evolve(state_before(b"\x0f\xa2", guest), gate=False, eip=REGION + 2, registers=(eax, ecx, edx, ebx, *guest.registers[4:]))
    assert patched(b"\x0f\xa2", guest) == expected


def test_a_cpuid_table_without_an_end_ends_at_its_last_row() -> None:
    words = {state_page.CPUID + 4 * index: index for index in range(6 * state_page.CPUID_ROWS)}
    guest = Guest(registers=(0x1234567, 0, 0, 0, STACK, 0, 0, 0), words=words)
    assert patched(b"\x0f\xa2", guest).registers[0] == 6 * (state_page.CPUID_ROWS - 1) + 2


# --- Regions ----------------------------------------

HARMLESS = [
    "nop", "add eax, ecx", "mov [esi], bl", "push edi", "pop edx", "lea ebx, [ecx + 4]", "dec ecx", "cmp eax, ebx", "mov edi, [eax]", "movsb",
    "mov dx, ds", "xchg eax, [edi]", "adc edx, -5",
]  # fmt: skip
REPLACED = ["cli", "sti", "pushfd", "popfd", "mov eax, cs", "mov [ebp], ss", "str edx", "mov ecx, cr3", "smsw bx"]
ENDS = [
    "jz {near}", "jnz {far}", "jbe {near}", "js {far}", "jmp {near}", "jmp {far}", "call {far}", "loop {near}", "jecxz {near}",
    "jcxz {near}", "ret", "ret 8", "jmp eax", "jmp dword ptr [esi]", "call eax", "call esp", "call dword ptr [esp]", "call dword ptr [esp + 4]",
    "call dword ptr [eax]", "nop", "cli",
]  # fmt: skip
NEAR, FAR = REGION + 0x40, CODE + 0x100
CODE_OR_DATA = ADDRESS | st.integers(CODE, CODE + 0x700) | st.integers(0, 2)


@given(
    before=st.lists(st.sampled_from(HARMLESS), max_size=3),
    replaced=st.lists(st.sampled_from(REPLACED), min_size=1, max_size=2),
    after=st.lists(st.sampled_from(HARMLESS), max_size=3),
    end=st.sampled_from(ENDS),
    guest=guests(registers=CODE_OR_DATA, image=st.integers(CODE, CODE + 0x700)),
)
def test_a_region_does_what_its_instructions_do_in_turn(before: list[str], replaced: list[str], after: list[str], end: str, guest: Guest) -> None:
    text = [*before, *replaced, *after, end.format(near=NEAR, far=FAR)]
    region = assemble(";".join(text), REGION)
    outcome = patched(region, guest)
    expected = original(region, guest, until=outcome.eip) if outcome.gate else original(region, guest)
    assert outcome == attrs.evolve(expected, gate=outcome.gate)
    assert not outcome.gate or guest.pending or "popfd" in replaced


@pytest.mark.parametrize("operand", ["[esp]", "[esp + 4]", "[eax]", "[eax - 4]", "ebx"])
def test_an_indirect_call_reads_its_target_before_the_push_and_changes_no_register(operand: str) -> None:
    guest = Guest(registers=(STACK + 3, 2, 3, FAR, STACK, 6, 7, 8), frame=(FAR, FAR + 8))
    compare(assemble(f"cli; inc eax; call {'' if operand == 'ebx' else 'dword ptr '}{operand}", REGION), guest)


@pytest.mark.parametrize("zf", [0, 0x40], ids=["zf_clear", "zf_set"])
@pytest.mark.parametrize("end", ["loope", "loopne"])
def test_a_loop_with_a_condition_at_the_end_goes_both_ways(end: str, zf: int) -> None:
    """Not with ECX 1: there the engine itself loses the flags of earlier instructions, without any patch."""
    compare(assemble(f"cli; {end} {NEAR:#x}", REGION), Guest(registers=(0, 2, 0, 0, STACK, 0, 0, 0), flags=2 | zf))


@pytest.mark.parametrize(
    "end",
    [
        "hlt", "int 0x80", "int3", "into", "ud2", "lgdt [eax]", "mov cr3, eax", "lar eax, ecx", "lsl eax, ecx", "wrmsr", "mov ss, ax", "pop ss", "retf", "fld1",
        "mov eax, dr4", "iret",
    ],
)  # fmt: skip
def test_what_only_the_vmm_can_do_is_a_gate_at_the_end_and_refused_before_it(end: str) -> None:
    region = assemble(f"sti; {end}", REGION)
    guest = Guest(registers=(0, 0, 0, 0, STACK, 0, 0, 0), flags=2)
    expected = attrs.evolve(state_before(region, guest, REGION + 1), flags=2 | IF)
    assert patched(region, guest) == expected
    assert hits(Kind.GATE) == 1
    with pytest.raises(CannotPatch, match="not the region's last"):
        generate(region + b"\x90", REGION, address=PATCH, state=STATE)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (b"", "no region"),
        (b"\xfa\x0f", "are no instruction"),
        (b"\xfa\xff\xff", "are no instruction"),
        (assemble("cli; jmp 0x800", REGION), "first page"),
        (assemble(f"cli; jz {REGION + 1:#x}; nop; nop", REGION), "leads into the"),
        (assemble("cli; ret; nop", REGION), "transfers control"),
        (assemble("iretd; nop", REGION), "transfers control"),
        (b"\xfa\x66\x74\x02\x90", "transfers control"),
    ],
    ids=["empty", "cut_short", "undefined", "first_page", "into_the_jump", "ret_before_the_end", "iret_before_the_end", "narrow_branch"],
)
def test_a_region_that_cannot_be_patched_says_why(region: bytes, reason: str) -> None:
    with pytest.raises(CannotPatch, match=reason):
        generate(region, REGION, address=PATCH, state=STATE)


@pytest.mark.parametrize("text", ["in al, dx", "out dx, eax", "rep insb"])
def test_port_access_is_carried_over_as_it_is(text: str) -> None:
    access = assemble(text, REGION)
    patch = generate(b"\xfa" + access, REGION, address=PATCH, state=STATE)
    place = next(mark.offset for mark in patch.marks if mark.guest_eip == REGION + 1)
    assert patch.code[place:].startswith(access)
    assert (patch.kinds, patch.gates) == ((Kind.CLI,), ())


# --- Tables ----------------------------------------

CASES = {
    Kind.CLI: "cli", Kind.STI: "sti", Kind.PUSHF: "pushfd", Kind.POPF: "popfd", Kind.MOV_FROM_CS: "mov eax, cs", Kind.MOV_FROM_SS: "mov [ebp], ss",
    Kind.CPUID: "cpuid", Kind.SLDT: "sldt eax", Kind.STR: "str ax", Kind.SMSW: "smsw eax", Kind.MOV_FROM_CR: "mov eax, cr0", Kind.MOV_FROM_DR: "mov esi, dr7",
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.name.lower())
def test_each_replacement_counts_its_hits_unless_told_not_to(kind: Kind) -> None:
    code = assemble(CASES[kind], REGION)
    guest = Guest(registers=(1, 2, 3, 4, STACK + 0x100, DATA, 7, 8), flags=2, frame=(2, 2, 2), words={state_page.CPUID: 0xFFFFFFFF})
    counted = patched(code * 3, guest)
    assert hits(kind) == 3
    assert patched(code * 3, guest, count_hits=False) == counted
    assert hits(kind) == 0
    assert generate(code, REGION, address=PATCH, state=STATE).kinds == (kind,)


def test_marks_start_at_each_instruction_and_lead_out_at_the_end() -> None:
    region = assemble("pushfd; cli; nop; sti", REGION)
    patch = generate(region, REGION, address=PATCH, state=STATE)
    firsts = {mark.guest_eip: mark for mark in reversed(patch.marks)}
    assert [mark.offset for mark in patch.marks] == sorted({mark.offset for mark in patch.marks})
    assert patch.marks[0].offset == 0
    assert sorted(firsts) == [REGION + index for index in range(5)]
    assert all(mark.restore == () for mark in firsts.values())
    jump = firsts[REGION + 4].offset
    assert patch.code[jump] == 0xE9
    assert PATCH + jump + 5 + struct.unpack_from("<i", patch.code, jump + 1)[0] & 0xFFFFFFFF == REGION + 4
    assert patch.gates == ()


@pytest.mark.parametrize("zf", [0, 0x40], ids=["not_taken", "taken"])
@pytest.mark.parametrize("target", ["inside", "last", "outside"])
def test_a_conditional_jump_inside_a_region_skips_what_it_skips_in_the_guest(target: str, zf: int) -> None:
    offset = {"inside": 4, "last": 5, "outside": 0x40}[target]
    region = assemble(f"cli; jz {REGION + offset:#x}; cli; inc eax; sti", REGION)
    compare(region, Guest(registers=(0, 0, 0, 0, STACK, 0, 0, 0), flags=2 | IF | zf))
