"""Patches that load and test selectors against the original instructions, SYSEXIT, and when an IRETD may stand for it."""

from __future__ import annotations

import struct

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Decoder
from ringone.testing.cpu_bench import assemble, descriptor
from ringone_cpu_patm import state_page
from ringone_cpu_patm.fast_return import sysexit_selector
from ringone_cpu_patm.generators import kind_of

from plugins.cpu_patm.tests.patch_bench import (
    BASED_DATA,
    BOOT_CODE,
    BOOT_DATA,
    CODE,
    GDT_LIMIT,
    IF,
    KERNEL_CODE,
    KERNEL_DATA,
    NT,
    REGION,
    STACK,
    SYSENTER_CS,
    USER_CODE,
    USER_DATA,
    Guest,
    hits,
    original,
    patched,
)  # fmt: skip
from plugins.cpu_patm.tests.test_generators import ADDRESSES, ANY_FLAGS, ANY_WORD, NARROW, OPERANDS, SHORT_OPERANDS, compare, guests, state_before

SHADOWED = [selector for selector in range(GDT_LIMIT + 9) if selector & ~7 not in (BOOT_CODE, BOOT_DATA)]
SELECTORS = st.sampled_from(SHADOWED) | st.sampled_from([0, KERNEL_DATA, USER_DATA, BASED_DATA])
SELECTOR_WORDS = st.builds(lambda selector, garbage: selector | garbage << 16, SELECTORS, st.integers(0, 0xFFFF))
VERIFICATIONS = ["verr {}", "verw {}"]
LOADS = ["mov ds, {}", "mov es, {}", "mov fs, {}", "mov gs, {}"]
SHORT_REGISTERS = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
ZF = 0x40


def compare_reading(text: str, operand: str, guest: Guest) -> None:
    """A selector with RPL 1 asks for the VMM; so does the answer no, after which ZF is what the VMM has to find out."""
    region = assemble(text.format(operand), REGION)
    gate = has_rpl_1(operand, guest)
    expected = original(region, guest)
    if gate or text in LOADS or expected.vector is not None or expected.flags & ZF:
        compare(region, guest, gate=gate)
    else:
        assert patched(region, guest) == attrs.evolve(expected, gate=True, eip=REGION)


def has_rpl_1(operand: str, guest: Guest) -> bool:
    """Whether the operand can be read, and is a selector with RPL 1."""
    read = original(assemble(f"mov eax, {operand}" if operand in NARROW[:8] else f"movzx eax, {operand}", REGION), guest)
    return read.vector is None and read.registers[0] & 3 == 1


@pytest.mark.parametrize("text", VERIFICATIONS + LOADS)
@given(data=st.data())
def test_a_selector_from_a_register_is_taken_as_ring_0_would_take_it(text: str, data: st.DataObject) -> None:
    register = data.draw(st.sampled_from(NARROW if text in LOADS else SHORT_REGISTERS))
    compare_reading(text, register, data.draw(guests(registers=SELECTOR_WORDS)))


@pytest.mark.parametrize("text", VERIFICATIONS + LOADS)
@given(data=st.data())
def test_a_selector_from_memory_is_taken_as_ring_0_would_take_it(text: str, data: st.DataObject) -> None:
    operand = data.draw(st.just("[esp]") | st.sampled_from(OPERANDS + SHORT_OPERANDS))
    compare_reading(text, f"word ptr {operand}", data.draw(guests(registers=ADDRESSES, image=SELECTOR_WORDS)))


@pytest.mark.parametrize("code", [b"\x1f", b"\x07", b"\x0f\xa1", b"\x0f\xa9"], ids=["ds", "es", "fs", "gs"])
@pytest.mark.parametrize("prefix", [b"", b"\x66"], ids=["32_bits", "16_bits"])
@given(guest=guests(image=SELECTOR_WORDS))
def test_a_popped_selector_is_taken_as_ring_0_would_take_it(code: bytes, prefix: bytes, guest: Guest) -> None:
    compare(prefix + code, guest, gate=has_rpl_1("word ptr [esp]", guest))


# --- SYSEXIT ----------------------------------------

SYSEXIT = assemble("sysexit", REGION)
LOAD_SEGMENTS = "mov ds, ebx; mov es, esi; mov fs, edi; mov gs, ebp;"
AS_LOADED = st.sampled_from([0, 0, USER_DATA, BASED_DATA, USER_DATA, BASED_DATA, 2, 3, KERNEL_DATA, USER_DATA - 3])


@st.composite
def before_sysexit(draw: st.DrawFn) -> Guest:
    guest = draw(guests(flags=ANY_FLAGS | ANY_FLAGS.map(lambda flags: flags & ~NT)))
    eax, _, _, _, esp, *_ = guest.registers
    ds, es, fs, gs = (draw(AS_LOADED) for _ in range(4))
    return attrs.evolve(
        guest, registers=(eax, draw(ANY_WORD), draw(st.integers(CODE, CODE + 0x700)), ds, esp, gs, es, fs), flags=guest.flags | draw(st.sampled_from([0, IF]))
    )


def sysexit_needs_the_vmm(guest: Guest) -> bool:
    _, _, _, ds, _, gs, es, fs = guest.registers
    return bool(guest.flags & NT or not guest.flags & IF) or any(selector and (selector < 4 or selector & 3 != 3) for selector in (ds, es, fs, gs))


@given(before_sysexit())
def test_sysexit_goes_to_ring_3_or_asks_for_the_vmm_where_an_iretd_would_differ_or_interrupts_are_off(guest: Guest) -> None:
    region = assemble(f"{LOAD_SEGMENTS} sysexit", REGION)
    outcome = patched(region, guest)
    if sysexit_needs_the_vmm(guest):
        assert outcome == state_before(region, guest, REGION + len(region) - len(SYSEXIT))
    else:
        assert outcome == original(region, guest)


def at_sysexit(selector: int = USER_CODE) -> Guest:
    words = {state_page.SYSEXIT_CS: selector}
    return Guest(registers=(1, STACK, CODE, 4, STACK + 8, 6, 7, 8), flags=0x8D7 | IF, data_segments=False, words=words)


def test_sysexit_needs_no_vmm() -> None:
    outcome = patched(SYSEXIT, at_sysexit())
    assert (outcome.eip, outcome.cs, outcome.ss, outcome.registers[4], outcome.gate) == (CODE, USER_CODE, USER_DATA, STACK, False)


def test_sysexit_asks_for_the_vmm_where_the_word_says_so() -> None:
    guest = at_sysexit(0)
    assert patched(SYSEXIT, guest) == state_before(SYSEXIT, guest)


def test_a_fault_in_the_iretd_leaves_the_state_before_sysexit() -> None:
    guest = at_sysexit(KERNEL_CODE)
    outcome = patched(SYSEXIT, guest)
    assert outcome.vector == 13
    assert attrs.evolve(outcome, vector=None, gate=True) == state_before(SYSEXIT, guest)


# --- When an IRETD may stand for SYSEXIT ----------------------------------------

CODE_AT, DATA_AT = USER_CODE & ~7, USER_DATA & ~7
FLAT = {CODE_AT: descriptor(0, 0xFFFFF, 0xFB, 0xC), DATA_AT: descriptor(0, 0xFFFFF, 0xF3, 0xC)}


def table(**changed: bytes) -> bytes:
    """A GDT; `code` and `data` instead of the flat user segments."""
    return bytes(CODE_AT) + changed.get("code", FLAT[CODE_AT]) + changed.get("data", FLAT[DATA_AT])


def test_flat_user_segments_allow_it() -> None:
    assert sysexit_selector(table(), len(table()) - 1, SYSENTER_CS) == USER_CODE
    assert sysexit_selector(table(), len(table()) - 1, SYSENTER_CS | 3) == USER_CODE


@pytest.mark.parametrize("which", ["code", "data"])
@given(bit=st.integers(0, 63))
def test_any_other_bit_of_a_descriptor_forbids_it(which: str, bit: int) -> None:
    flat = FLAT[CODE_AT if which == "code" else DATA_AT]
    (value,) = struct.unpack("<Q", flat)
    changed = {which: struct.pack("<Q", value ^ 1 << bit)}
    assert sysexit_selector(table(**changed), len(table()) - 1, SYSENTER_CS) == 0


@pytest.mark.parametrize(
    ("limit", "sysenter_cs"),
    [(len(table()) - 2, SYSENTER_CS), (-1, SYSENTER_CS), (len(table()) - 1, 0), (len(table()) - 1, SYSENTER_CS | 4), (0xFFFF, 0xFFF8)],
    ids=["stack_beyond_the_limit", "no_table", "no_msr", "local_table", "wraps_around"],
)
def test_selectors_that_iretd_would_look_up_elsewhere_or_not_at_all_forbid_it(limit: int, sysenter_cs: int) -> None:
    assert sysexit_selector(table(), limit, sysenter_cs) == 0


@pytest.mark.parametrize("text", ["verr ax", "verw [esp]", "mov ds, eax", "pop fs", "sysexit"])
def test_what_the_vmm_is_asked_for_is_counted_too(text: str) -> None:
    code = assemble(text, REGION)
    kind = kind_of(Decoder(32, code).decode())
    assert kind is not None
    patched(code, Guest(registers=(1, 2, 3, 4, STACK, 6, 7, 8), flags=2, frame=(1,), words={state_page.SYSEXIT_CS: 0}))
    assert hits(kind) == 1


@pytest.mark.parametrize("text", ["verr ax", "verw ax", "mov ds, eax", "mov gs, [esp]", "pop es"])
def test_the_kernels_own_data_needs_no_vmm(text: str) -> None:
    outcome = patched(assemble(text, REGION), Guest(registers=(KERNEL_DATA, 0, 0, 0, STACK, 0, 0, 0), flags=2, frame=(KERNEL_DATA,)))
    assert (outcome.gate, outcome.vector) == (False, None)
