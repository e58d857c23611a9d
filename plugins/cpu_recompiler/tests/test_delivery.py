"""Events come to the same state and memory by the short way, in machine code, and by the long one; the usual ones go the short way."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.api.cpu import CpuState, ExitReason, RunBudget, SegmentState, TableState
from ringone.testing.cpu_bench import CODE, DATA, GDT, IDT, INNER_STACK, KERNEL_STACK, PAGE_DIRECTORY, SELECTORS, TSS, USER_STACK, CpuBench, assemble
from ringone_cpu_recompiler import stubs
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.interrupts import no_short_way
from ringone_cpu_recompiler.options import RecompilerOptions

VECTOR = 0x30
HANDLER = CODE + 0x600
WORLD_BYTES = 0x48000
ABSENT_PAGE = 0x32000
PRESENT, WRITABLE, USER, ACCESSED, DIRTY = 1, 2, 4, 0x20, 0x40
USED = PRESENT | WRITABLE | USER | ACCESSED | DIRTY
IF, DIRECTION, NT, IOPL, AC = 0x200, 0x400, 0x4000, 0x3000, 0x40000
MODES = ("", "32bit", "pae")

ARITHMETIC = "sub al, 0x7F; nop"
"""Leaves flags that the engine has not worked out when the event comes."""
EVENTS = {
    "interrupt": "",
    "int": f"{ARITHMETIC}; int {VECTOR:#x}",
    "page fault": f"{ARITHMETIC}; mov eax, [{ABSENT_PAGE + 0x123:#x}]",
    "division": f"{ARITHMETIC}; xor edx, edx; xor ecx, ecx; div ecx",
    "protection": f"{ARITHMETIC}; mov eax, {SELECTORS['tss']:#x}; mov ds, ax",
}
POSSIBLE = [(event, paging) for event in EVENTS for paging in MODES if paging or event != "page fault"]

pytestmark = pytest.mark.skipif(not stubs.native_code_works(), reason="this host has one way only")


@attrs.define(repr=False)
class Way:
    """A bench whose processor tries the short way, or does not. `short` says of each delivery whether it took it."""

    bench: CpuBench
    pristine: bytes
    short: list[bool] = attrs.field(factory=list)


def make_way(*, short: bool) -> Way:
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    way = Way(bench, bytes(bench.memory.read(0, WORLD_BYTES)))
    assert isinstance(bench.cpu, RecompilerBackend)
    interrupts = bench.cpu._interrupts
    found = interrupts._short_way if short else no_short_way

    def counting(vector: int, kind: int, error_code: int) -> int:
        way.short.append(bool(found(vector, kind, error_code)))
        return way.short[-1]

    interrupts._short_way = counting
    return way


@pytest.fixture(scope="module")
def ways() -> tuple[Way, Way]:
    return make_way(short=True), make_way(short=False)


@attrs.frozen(kw_only=True)
class World:
    """Where an event comes: patches of memory by address, and the processor's state."""

    event: str = "interrupt"
    paging: str = ""
    user: bool = False
    esp: int = 0
    eflags: int = IF
    patches: Mapping[int, bytes] = attrs.field(factory=dict)
    pages: Mapping[int, int] = attrs.field(factory=dict)
    state: Mapping[str, Any] = attrs.field(factory=dict)


def lay_out(way: Way, world: World) -> None:
    bench = way.bench
    bench.memory.write(0, way.pristine)
    if world.paging:
        pae = world.paging == "pae"
        bench.map_pages(pae=pae)
        for page in range(0, WORLD_BYTES, 0x1000):
            bench.set_page(page, page | USED, pae=pae)
        bench.set_page(ABSENT_PAGE, 0, pae=pae)
        for page, entry in world.pages.items():
            bench.set_page(page, entry, pae=pae)
        upper = PAGE_DIRECTORY + 0x3000 if pae else PAGE_DIRECTORY
        bench.memory.write(upper, bytes([bench.memory.read(upper, 1)[0] | ACCESSED]))
    bench.load("hlt", address=HANDLER)
    bench.set_gate(VECTOR, HANDLER, access=0xEE)
    bench.load(EVENTS[world.event] + "; hlt")
    for address, data in world.patches.items():
        bench.memory.write(address, data)


def deliver(way: Way, world: World) -> tuple[ExitReason, CpuState, bytes]:
    """What the event leads to."""
    lay_out(way, world)
    bench = way.bench
    esp = world.esp or (USER_STACK if world.user else KERNEL_STACK)
    state = bench.protected_state(user=world.user, paging=world.paging, eflags=world.eflags, registers=(0, 1, 2, 3, esp, 5, 6, 7))
    bench.cpu.load_state(attrs.evolve(state, **world.state))
    way.short.clear()
    bench.context.vectors.clear()
    bench.cpu.set_intr(False)
    if world.event == "interrupt":
        bench.raise_interrupt(VECTOR)
    reason = bench.cpu.run(RunBudget(progress=20_000)).reason
    return reason, bench.cpu.save_state(), bytes(bench.memory.read(0, WORLD_BYTES))


def compare(ways: tuple[Way, Way], world: World) -> list[bool]:
    """Both ways come to the same; which deliveries were short."""
    short, long = (deliver(way, world) for way in ways)
    assert short[:2] == long[:2]
    changed = [hex(address) for address in range(WORLD_BYTES) if short[2][address] != long[2][address]] if short[2] != long[2] else []
    assert not changed
    return ways[0].short


def access_byte(selector: str, access: int) -> dict[int, bytes]:
    return {GDT + (SELECTORS[selector] & 0xF8) + 5: bytes([access])}


def gate(access: int, *, selector: int = SELECTORS["code"], offset: int = HANDLER) -> dict[int, bytes]:
    return {IDT + 8 * VECTOR: struct.pack("<HHBBH", offset & 0xFFFF, selector, 0, access, offset >> 16)}


@pytest.mark.parametrize("user", [False, True], ids=["ring 0", "ring 3"])
@pytest.mark.parametrize(("event", "paging"), POSSIBLE)
def test_the_usual_event_goes_the_short_way(ways: tuple[Way, Way], event: str, user: bool, paging: str) -> None:
    assert compare(ways, World(event=event, user=user, paging=paging, eflags=IF | DIRECTION | AC)) == [True]


def test_a_trap_gate_and_large_pages_are_usual_too(ways: tuple[Way, Way]) -> None:
    large = {PAGE_DIRECTORY: struct.pack("<I", 0x80 | USED)}
    assert compare(ways, World(paging="32bit", user=True, patches={**gate(0xEF), **large})) == [True]


def tss(*, limit: int = 0x67, attributes: int = 0x8B) -> dict[str, SegmentState]:
    return {"tr": SegmentState(selector=SELECTORS["tss"], base=TSS, limit=limit, attributes=attributes)}


UNUSUAL = {
    "16-bit gate": World(patches=gate(0x86)),
    "gate of another kind": World(patches=gate(0x8C)),
    "absent gate": World(patches=gate(0x0E)),
    "gate that ring 3 may not use": World(event="int", user=True, patches=gate(0x8E)),
    "offset behind the segment": World(patches=gate(0x8E, selector=SELECTORS["small"], offset=0x100) | access_byte("small", 0x9B)),
    "null selector": World(patches=gate(0x8E, selector=0)),
    "selector behind the table": World(patches=gate(0x8E, selector=0x100)),
    "selector of the LDT": World(patches=gate(0x8E, selector=0xC)),
    "data as code": World(patches=gate(0x8E, selector=SELECTORS["data"])),
    "absent code": World(patches=access_byte("code", 0x1B)),
    "code not accessed": World(patches=access_byte("code", 0x9A)),
    "conforming handler": World(user=True, patches=gate(0x8E, selector=SELECTORS["conforming"])),
    "handler in ring 3": World(user=True, patches=gate(0xEE, selector=SELECTORS["user_code"])),
    "short TSS": World(user=True, state=tss(limit=8)),
    "16-bit TSS": World(user=True, state=tss(attributes=0x83)),
    "null stack": World(user=True, patches={TSS + 8: struct.pack("<I", 0)}),
    "stack of ring 3": World(user=True, patches={TSS + 8: struct.pack("<I", SELECTORS["user_data"])}),
    "read-only stack": World(user=True, patches={TSS + 8: struct.pack("<I", SELECTORS["read_only"])}),
    "16-bit stack": World(user=True, patches={TSS + 8: struct.pack("<I", SELECTORS["data16"])}),
    "stack not accessed": World(user=True, patches=access_byte("data", 0x92)),
    "stack across two pages": World(esp=0xB004),
    "stack across address 0": World(user=True, patches={TSS + 4: struct.pack("<I", 8)}),
    "stack behind its limit": World(user=True, patches={TSS + 4: struct.pack("<II", 0x104, SELECTORS["small"])}),
    "stack page that is clean": World(user=True, paging="32bit", pages={INNER_STACK - 0x1000: INNER_STACK - 0x1000 | USED & ~DIRTY}),
    "stack page that is read-only": World(user=True, paging="32bit", pages={INNER_STACK - 0x1000: INNER_STACK - 0x1000 | USED & ~WRITABLE}),
    "stack page that is absent": World(user=True, paging="pae", pages={INNER_STACK - 0x1000: 0}),
    "table page that was not accessed": World(paging="pae", pages={IDT: IDT | USED & ~ACCESSED}),
    "short IDT": World(state={"idtr": TableState(base=IDT, limit=8 * VECTOR + 6)}),
    "short GDT": World(state={"gdtr": TableState(base=GDT, limit=8 + 6)}),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_the_unusual_event_goes_the_long_way(ways: tuple[Way, Way], case: str) -> None:
    assert not compare(ways, UNUSUAL[case])[0]


def test_virtual_8086_mode_is_unusual(ways: tuple[Way, Way]) -> None:
    program = "push 0; push 0; push 0; push 0; push 0; push 0x8000; push 0x23002; push 0; push 0x1000; iretd"
    patches = {CODE: assemble(program, CODE), 0x1000: assemble(f"mov ax, 0x5000; mov ds, ax; int {VECTOR:#x}", 0x1000, 16)}
    assert compare(ways, World(event="int", patches=patches)) == [False]


def test_code_on_the_stacks_page_is_unusual(ways: tuple[Way, Way]) -> None:
    """A frame that is written there must drop the code."""
    patches = {KERNEL_STACK - 0x100: assemble(f"int {VECTOR:#x}", KERNEL_STACK - 0x100)}
    assert compare(ways, World(event="int", patches=patches, state={"eip": KERNEL_STACK - 0x100})) == [False]


selectors = st.sampled_from([*SELECTORS.values(), 0, 0xC, 0x100]) | st.integers(0, 0xFFFF)
addresses = st.sampled_from([0, 4, 8, 0x14, 0x104, 0x1000, 0x1004, INNER_STACK, INNER_STACK + 2, INNER_STACK + 4, DATA]) | st.integers(0, 0x3FFFFF)
accesses = st.sampled_from([0x8E, 0xEE, 0x8F, 0x86, 0x0E, 0x85, 0x9B, 0x93, 0x9A, 0x92, 0xFB]) | st.integers(0, 0xFF)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    event, paging = draw(st.sampled_from(POSSIBLE))
    patches: dict[int, bytes] = {}
    if draw(st.booleans()):
        patches |= gate(draw(accesses), selector=draw(selectors), offset=draw(st.just(HANDLER) | addresses))
    if draw(st.booleans()):
        patches[TSS + 4] = struct.pack("<II", draw(addresses), draw(selectors))
    for selector in draw(st.lists(st.sampled_from(["code", "data", "small", "expand_down"]), max_size=2, unique=True)):
        patches[GDT + SELECTORS[selector] + draw(st.sampled_from([0, 2, 5, 6]))] = bytes([draw(accesses)])
    rights = st.integers(0, USED)
    pages = {page: page | draw(rights) for page in draw(st.lists(st.sampled_from([GDT, IDT, TSS & ~0xFFF, 0xB000, 0x9000]), max_size=2, unique=True))}
    return World(
        event=event,
        paging=paging,
        user=draw(st.booleans()),
        esp=draw(st.just(0) | addresses),
        eflags=draw(st.sampled_from([0, IF, IF | NT, IF | IOPL, IF | DIRECTION | AC])),
        patches=patches,
        pages=pages if paging else {},
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds())
def test_any_event_comes_to_the_same_both_ways(ways: tuple[Way, Way], world: World) -> None:
    compare(ways, world)
