"""Every patch against the original instructions: random registers, flags, operands, stacks and waiting interrupts; gates, faults and relocation."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.testing.cpu_bench import assemble
from ringone_cpu_patm import state_page

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
    READ_ONLY,
    REGION,
    RF,
    STACK,
    STACK_END,
    USER_CODE,
    USER_DATA,
    Guest,
    Outcome,
    original,
    patched,
)

TF, AC, VM, VIF, VIP, ID = 0x100, 0x40000, 0x20000, 0x80000, 0x100000, 0x200000
GUEST_FLAGS = 0xCD5 | IF | IOPL | NT | AC | ID

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
def test_sti_sets_the_virtual_if_or_lets_a_waiting_interrupt_in(guest: Guest) -> None:
    compare(assemble("sti", REGION), guest, gate=guest.pending)


@pytest.mark.parametrize("text", ["pushfd", "pushf"])
@given(guest=guests())
def test_pushf_shows_the_virtual_if_and_iopl(text: str, guest: Guest) -> None:
    compare(assemble(text, REGION), guest)


def has_stack_for(guest: Guest, size: int) -> bool:
    return STACK <= guest.registers[4] <= STACK_END - size


@pytest.mark.parametrize(("text", "size"), [("popfd", 4), ("popf", 2)])
@given(guest=guests(image=ANY_WORD | ANY_WORD.map(lambda image: image & ~TF)))
def test_popf_takes_if_and_iopl_and_asks_for_the_vmm_on_tf_or_a_waiting_interrupt(text: str, size: int, guest: Guest) -> None:
    image = guest.frame[0]
    gate = has_stack_for(guest, size) and bool(image & TF or (image & IF and guest.pending))
    compare(assemble(text, REGION), guest, gate=gate)


IRET_GATES = TF | NT | IOPL | VM | VIF | VIP
IMAGES = ANY_WORD | ANY_WORD.map(lambda image: image & ~IRET_GATES)
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
    to_vmm = breakpoint_at_target if cs & 0xFFFF == KERNEL_CODE else cs & 3 != 3
    return bool(guest.flags & NT or image & IRET_GATES or (image & IF and guest.pending) or to_vmm)


@given(interrupted())
def test_iret_goes_to_ring_3_and_back_to_the_kernel_and_asks_for_the_vmm_for_the_rest(guest: Guest) -> None:
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


@pytest.mark.parametrize("text", ["sgdt {}", "sidt {}"])
@given(data=st.data())
def test_descriptor_table_registers_are_stored_as_the_guest_loaded_them(text: str, data: st.DataObject) -> None:
    compare(assemble(text.format(data.draw(st.sampled_from(OPERANDS))), REGION), data.draw(guests(registers=ADDRESSES)))


@pytest.mark.parametrize("code", [b"\x0e", b"\x66\x0e", b"\x16", b"\x66\x16"], ids=["push_cs", "push_cs_16", "push_ss", "push_ss_16"])
@given(guest=guests())
def test_a_pushed_selector_has_the_guests_rpl(code: bytes, guest: Guest) -> None:
    compare(code, guest)


@pytest.mark.parametrize("source", ["cr0", "cr2", "cr3", "cr4", "dr0", "dr3", "dr6", "dr7"])
@given(data=st.data())
def test_control_and_debug_registers_come_from_the_state_page(source: str, data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(NARROW[:8]))
    compare(assemble(f"mov {target}, {source}", REGION), data.draw(guests()))


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
