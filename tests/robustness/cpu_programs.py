"""Random guest programs for `ringone.testing.cpu_bench`: every instruction that touches system state, with operands that are sometimes right and mostly not.

A program is made from a seed alone. `Templates.TABLE` is the list of instructions; whoever misses one adds a line.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

import attrs
from ringone.api.cpu import CpuState, RunBudget, SegmentState, TableState
from ringone.testing.cpu_bench import CODE, DATA, GDT, IDT, INNER_STACK, PAGE_DIRECTORY, PAGE_TABLE, PDPT, SELECTORS, TSS, TSS2, CpuBench, descriptor, gate

PLACES = (
    CODE, DATA, GDT, IDT, TSS, TSS2, PAGE_DIRECTORY, PAGE_TABLE, PDPT, CpuBench.MMIO, CpuBench.MMIO + 0xFFE, 0, 0x3FFFFF, 0x400000, 0x10000000, 0xFFFFFFF0,
)  # fmt: skip
NUMBERS = (0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MSRS = (
    0x10, 0x1B, 0x8B, 0x174, 0x175, 0x176, 0x17A, 0x1A0, 0x1D9, 0x200, 0x277, 0x2FF, 0x400, 0xC0000080, 0xC0000081, 0xC0000084, 0xC0000100, 0xC0000103,
    0xC0010117,
)  # fmt: skip
CR0 = (0x1, 0x10, 0x11, 0x9, 0xD, 0x60000010, 0x80000001, 0x80000011, 0x80010011, 0x80050033)
CR4 = (0, 0x4, 0x8, 0x10, 0x20, 0x600, 0x610, 0x620, 0x6B0)
EFLAGS = (0x2, 0x102, 0x202, 0x402, 0x3202, 0x4002, 0x10002, 0x20002, 0x23202, 0x40202)
EFER = (0x1, 0x800, 0x801, 0x1000)
"""Without LME: long mode is an error by design."""
PREFIXES = bytes([0x66, 0x67, 0xF2, 0xF3, 0xF0, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65])
STRING_OPCODES = bytes([0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF, 0x6C, 0x6D, 0x6E, 0x6F])
SSE_OPCODES = bytes([*range(0x10, 0x18), *range(0x28, 0x30), *range(0x50, 0x80), *range(0xC2, 0xC7), *range(0xD0, 0xFF)])
SYSTEM_TYPES = (0x81, 0x82, 0x83, 0x84, 0x85, 0x89, 0x8B, 0x8C, 0xE4, 0xE5, 0xE6, 0xE7, 0xEC, 0xEE, 0xEF, 0x8E, 0x8F)
EXTRA_SELECTORS = 0x90
"""Descriptors of our own behind the bench's: call gates, a 16-bit TSS, 16-bit user segments, a task gate to it."""
GDT_ENTRIES = 24
CODE_BYTES = 0x300
MODES = ("ring 0", "ring 3", "real", "v86", "16-bit", "paging ring 0", "paging ring 3", "pae ring 0", "pae ring 3")
EAX, ECX, EDX, ESI, EDI = 0, 1, 2, 6, 7


class Templates:
    """Random instructions, each a bytes object. Every operand is drawn from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    # --- Operands ----------------------------------------

    def noise(self, size: int) -> bytes:
        return self.rng.randbytes(size)

    def number(self) -> int:
        number: int = self.rng.choice((*NUMBERS, *PLACES)) if self.rng.random() < 0.8 else self.rng.getrandbits(32)
        return number

    def place(self) -> int:
        return (self.rng.choice(PLACES) + self.rng.randrange(0x200)) & 0xFFFFFFFF

    def here(self) -> int:
        return CODE + self.rng.randrange(CODE_BYTES)

    def selector(self) -> int:
        selector: int = self.rng.choice((*SELECTORS.values(), 0, 3, 7, *range(EXTRA_SELECTORS, EXTRA_SELECTORS + 0x30, 8), self.rng.getrandbits(16)))
        return selector

    def dword(self, value: int) -> bytes:
        return struct.pack("<I", value)

    def prefixes(self) -> bytes:
        return bytes(self.rng.choice(PREFIXES) for _ in range(self.rng.choice((0, 0, 0, 1, 2))))

    def modrm(self, register: int | None = None) -> bytes:
        """A register, a memory operand at a place, or one that uses registers."""
        field = (self.rng.randrange(8) if register is None else register) << 3
        match self.rng.randrange(4):
            case 0:
                return bytes([0x05 | field]) + self.dword(self.place())
            case 1:
                return bytes([0xC0 | field | self.rng.randrange(8)])
            case 2:
                return bytes([0x40 | field | self.rng.choice((0, 1, 2, 3, 5, 6, 7)), self.rng.getrandbits(8)])
        return bytes([0x04 | field, self.rng.getrandbits(8) & 0xF8 | self.rng.choice((0, 1, 2, 3, 4, 6, 7))])

    def memory(self, register: int) -> bytes:
        return bytes([0x05 | register << 3]) + self.dword(self.place())

    def set(self, register: int, value: int) -> bytes:
        return bytes([0xB8 + register]) + self.dword(value)

    def store(self, address: int, value: bytes) -> bytes:
        return b"".join(b"\xc7\x05" + self.dword(address + at) + value[at : at + 4] for at in range(0, len(value), 4))

    def push(self, value: int) -> bytes:
        return b"\x68" + self.dword(value)

    # --- Instructions ----------------------------------------

    def descriptor_table(self) -> bytes:
        return self.prefixes() + b"\x0f\x01" + self.modrm()

    def local_table_or_task(self) -> bytes:
        return b"\x66\xb8" + struct.pack("<H", self.selector()) + b"\x0f\x00" + bytes([0xC0 | self.rng.randrange(6) << 3])

    def far_branch(self) -> bytes:
        target = self.rng.choice((self.here(), self.number()))
        return self.prefixes() + self.rng.choice((b"\xea", b"\x9a")) + self.dword(target) + struct.pack("<H", self.selector())

    def far_branch_through_memory(self) -> bytes:
        return self.prefixes() + b"\xff" + self.memory(self.rng.choice((3, 5)))

    def far_return(self) -> bytes:
        return self.push(self.selector()) + self.push(self.here()) + self.rng.choice((b"\xcb", b"\xca\x08\x00", b"\x66\xcb"))

    def iret(self) -> bytes:
        flags = self.rng.choice((*EFLAGS, self.rng.getrandbits(22)))
        segments = [self.selector() for _ in range(4 if flags & 0x20000 else 0)]
        frame = [*segments, self.selector(), self.number(), flags, self.selector(), self.here()]
        return b"".join(map(self.push, frame)) + self.rng.choice((b"\xcf", b"\x66\xcf"))

    def control_register(self) -> bytes:
        register, values = self.rng.choice(((0, CR0), (2, NUMBERS), (3, PLACES), (4, CR4), (0, (self.rng.getrandbits(32),))))
        return self.set(EAX, self.rng.choice(values)) + bytes([0x0F, 0x22, 0xC0 | register << 3])

    def debug_register(self) -> bytes:
        return self.set(EAX, self.rng.choice((self.here(), self.place(), self.rng.getrandbits(32)))) + bytes([0x0F, 0x23, 0xC0 | self.rng.randrange(8) << 3])

    def read_system_register(self) -> bytes:
        return bytes([0x0F, self.rng.choice((0x20, 0x21, 0x24)), 0xC0 | self.rng.getrandbits(6)])

    def model_specific_register(self) -> bytes:
        index = self.rng.choice((*MSRS, self.rng.getrandbits(32)))
        value = self.rng.choice(EFER) if index == 0xC0000080 else self.number()
        return self.set(ECX, index) + self.set(EAX, value) + self.set(EDX, 0) + self.rng.choice((b"\x0f\x30", b"\x0f\x32"))

    def x87(self) -> bytes:
        return self.prefixes() + bytes([0xD8 + self.rng.randrange(8)]) + self.modrm()

    def vector(self) -> bytes:
        opcode = bytes([0x0F, self.rng.choice(SSE_OPCODES)])
        return self.rng.choice((b"", b"\x66", b"\xf3", b"\xf2")) + opcode + self.modrm() + self.noise(self.rng.randrange(2))

    def three_byte(self) -> bytes:
        return self.rng.choice((b"", b"\x66", b"\xf2", b"\xf3")) + b"\x0f" + self.rng.choice((b"\x38", b"\x3a")) + self.noise(1) + self.modrm() + self.noise(1)

    def state_save(self) -> bytes:
        return b"\x0f" + self.rng.choice((b"\xae", b"\xc7")) + self.modrm()

    def locked(self) -> bytes:
        return b"\xf0" + self.rng.choice((b"\x0f\xc7", b"\x01", b"\x11", b"\x87", b"\x0f\xb1", b"\x0f\xc1")) + self.memory(self.rng.choice((0, 1)))

    def string(self) -> bytes:
        count = self.rng.choice((0, 1, 5, 100, 0x10000, 0xFFFFFFFF))
        setup = self.rng.choice((b"\xfc", b"\xfd")) + self.set(ECX, count) + self.set(ESI, self.place()) + self.set(EDI, self.place())
        return setup + self.prefixes() + self.rng.choice((b"\xf3", b"\xf2", b"")) + bytes([self.rng.choice(STRING_OPCODES)])

    def segment_load(self) -> bytes:
        if self.rng.random() < 0.5:
            return b"\x66\xb8" + struct.pack("<H", self.selector()) + bytes([0x8E, 0xC0 | self.rng.choice((0, 2, 3, 4, 5, 1, 7)) << 3])
        return self.push(self.selector()) + self.rng.choice((b"\x07", b"\x17", b"\x1f", b"\x0f\xa1", b"\x0f\xa9"))

    def far_pointer_load(self) -> bytes:
        return self.rng.choice((b"\xc4", b"\xc5", b"\x0f\xb2", b"\x0f\xb4", b"\x0f\xb5")) + self.modrm()

    def fast_call(self) -> bytes:
        return bytes([0x0F, self.rng.choice((0x34, 0x35, 0x05, 0x07))])

    def frame(self) -> bytes:
        return self.rng.choice((b"\xc8" + struct.pack("<H", self.rng.choice((0, 8, 0x1000, 0xFFFF))) + self.noise(1), b"\xc9", b"\x60", b"\x61"))

    def interrupt(self) -> bytes:
        return self.rng.choice((b"\xcc", b"\xce", b"\xf1", b"\x62" + self.modrm(), bytes([0xCD, self.rng.choice((0, 1, 3, 8, 13, 14, 0x20, 0x80))])))

    def port(self) -> bytes:
        return self.prefixes() + self.rng.choice((b"\xec", b"\xed", b"\xee", b"\xef", b"\xe4\x60", b"\xe5\x60", b"\xe6\x60", b"\xe7\x60"))

    def flags(self) -> bytes:
        return self.rng.choice((b"\xfa", b"\xfb", b"\x9c", b"\x9d", self.push(self.rng.getrandbits(22)) + b"\x9d", b"\x9e", b"\xf5"))

    def halt(self) -> bytes:
        return b"\xf4"

    def rare(self) -> bytes:
        second = self.rng.choice((0x06, 0x08, 0x09, 0x0B, 0x0D, 0x31, 0x33, 0x37, 0x77, 0xA2, 0xAA, 0xB9, 0xFF, 0x02, 0x03))
        return self.rng.choice((bytes([0x0F, second]) + self.modrm(), b"\x0f\x01" + bytes([0xC0 | self.rng.getrandbits(6)]), b"\x63\xc0", b"\xd4\x00", b"\xd6"))

    def vex(self) -> bytes:
        return self.rng.choice((b"\xc4", b"\xc5", b"\x8f", b"\x62")) + self.noise(5)

    def arithmetic(self) -> bytes:
        return bytes([self.rng.randrange(256)]) + self.modrm() + self.noise(self.rng.randrange(5))

    def divide(self) -> bytes:
        return b"\xf7" + self.modrm(self.rng.choice((6, 7)))

    def near_branch(self) -> bytes:
        opcode = self.rng.choice((0xEB, 0xE0, 0xE1, 0xE2, 0xE3, *range(0x70, 0x80)))
        return bytes([opcode, self.rng.choice((0xFE, 0xFC, 0xF0, 0, 2, 5, self.rng.getrandbits(8)))])

    def change_descriptor(self) -> bytes:
        entry = self.rng.choice((self.noise(8), self.segment_descriptor(), gate(self.here(), self.selector(), self.rng.choice(SYSTEM_TYPES))))
        return self.store(GDT + 8 * self.rng.randrange(1, GDT_ENTRIES), entry)

    def segment_descriptor(self) -> bytes:
        base = self.rng.choice((0, TSS, TSS2, DATA, self.number()))
        limit = self.rng.choice((0, 0x2B, 0x67, 0xFFFF, 0xFFFFF))
        return descriptor(base, limit, self.rng.choice((*SYSTEM_TYPES, self.rng.getrandbits(8))), self.rng.randrange(16))

    def change_gate(self) -> bytes:
        entry = self.rng.choice((self.noise(8), gate(self.here(), self.selector(), self.rng.choice((*SYSTEM_TYPES, self.rng.getrandbits(8))))))
        return self.store(IDT + 8 * self.rng.choice((0, 1, 3, 4, 6, 8, 10, 11, 12, 13, 14, 0x80)), entry)

    def change_page(self) -> bytes:
        entry = self.rng.choice((0, 1, 3, 5, 7, 0x67, 0x87, CODE | 7, DATA | 3, CpuBench.MMIO | 0x87, 0x80000007, self.rng.getrandbits(32)))
        return self.store(self.rng.choice((PAGE_DIRECTORY, PAGE_TABLE, PDPT, 0x13000, 0x40000)) + 4 * self.rng.randrange(0x100), self.dword(entry))

    def change_task(self) -> bytes:
        return self.store(self.rng.choice((TSS, TSS2)) + self.rng.randrange(0x68), self.dword(self.rng.choice((self.selector(), self.number()))))

    def change_code(self) -> bytes:
        return self.store(self.here(), self.noise(4))

    def load_register(self) -> bytes:
        return self.set(self.rng.choice((0, 1, 2, 3, 5, 6, 7)), self.number())

    def change_stack(self) -> bytes:
        return self.set(4, self.number())

    def long_instruction(self) -> bytes:
        return bytes([self.rng.choice(PREFIXES)]) * self.rng.choice((1, 13, 14, 15, 20))

    def garbage(self) -> bytes:
        return self.prefixes() + self.noise(self.rng.randrange(1, 8))

    TABLE: Sequence[Callable[[Templates], bytes]] = (
        descriptor_table, local_table_or_task, far_branch, far_branch_through_memory, far_return, iret, iret, control_register, debug_register,
        read_system_register, model_specific_register, x87, x87, vector, vector, three_byte, state_save, locked, string, segment_load, segment_load,
        far_pointer_load, fast_call, frame, interrupt, port, flags, halt, rare, vex, arithmetic, divide, near_branch, change_descriptor,
        change_descriptor, change_gate, change_page, change_task, change_code, load_register, load_register, change_stack, long_instruction, garbage,
    )  # fmt: skip

    def program(self) -> bytes:
        if self.rng.random() < 0.1:
            return self.noise(CODE_BYTES)
        return b"".join(self.rng.choice(self.TABLE)(self) for _ in range(self.rng.choice((1, 2, 3, 5, 8, 15, 30, 60))))[:CODE_BYTES]


def run(seed: int, bench: CpuBench) -> None:
    """Make a world and a program from `seed`, run it in steps with interrupts, requests and writes in between, and save and load what is left."""
    rng = random.Random(seed)
    templates = Templates(rng)
    mode = rng.choice(MODES)
    start = _world(rng, templates, bench, mode)
    bench.memory.write(CODE, templates.program())
    bench.context.port_value = rng.getrandbits(32)
    cpu = bench.cpu
    cpu.load_state(start)
    for _ in range(rng.randrange(1, 5)):
        bench.context.port_accesses.clear()
        bench.mmio_accesses.clear()
        cpu.run(RunBudget(progress=rng.choice((1, 100, 20_000))))
        rng.choice(
            (
                lambda: bench.raise_interrupt(rng.randrange(256)),
                cpu.pulse_nmi,
                cpu.request_exit,
                lambda: cpu.load_state(cpu.save_state()),
                lambda: bench.memory.write(templates.place() & 0x3FFFFF, rng.randbytes(4)),
            )
        )()
    left = cpu.save_state()
    cpu.load_state(left)
    assert cpu.save_state() == left


def _world(rng: random.Random, templates: Templates, bench: CpuBench, mode: str) -> CpuState:
    user = mode.endswith("ring 3")
    paging = "pae" if mode.startswith("pae") else "32bit" if mode.startswith("paging") else ""
    if paging or rng.random() < 0.2:
        bench.map_pages(pae=paging == "pae")
    bench.memory.write(
        GDT + EXTRA_SELECTORS,
        gate(CODE + 0x40, SELECTORS["code"], 0xEC)
        + gate(CODE + 0x40, SELECTORS["code"], 0xE4)
        + descriptor(TSS2, 0x2B, 0x81, 0)
        + descriptor(0, 0xFFFF, 0xFB, 0)
        + descriptor(0, 0xFFFF, 0xF3, 0)
        + gate(0, EXTRA_SELECTORS + 0x10, 0xE5),
    )
    for vector in rng.sample(range(0x30), rng.choice((0, 4))):
        bench.set_gate(vector, templates.here(), access=rng.choice((0x8E, 0x8F, 0xEE, 0xEF, 0x86, 0x87)))
    if rng.random() < 0.3:
        task = rng.choice((SELECTORS["tss2"], EXTRA_SELECTORS + 0x10))
        bench.set_gate(rng.choice((3, 4, 6, 8, 13, 14, 0x80)), 0, selector=task, access=rng.choice((0x85, 0xE5)))
    bench.memory.write(TSS2, _task(rng, templates))
    registers = [0 if index == 4 else templates.number() for index in range(8)]
    state = bench.protected_state(user=user, paging=paging, eflags=rng.choice((0x2, 0x202, 0x3202, 0x4202, 0x102, 0x402)), registers=registers)
    state = attrs.evolve(state, gdtr=TableState(base=GDT, limit=rng.choice((0x8F, 0xBF, 0xFFFF))))
    match mode:
        case "real":
            idtr = TableState(base=rng.choice((0, IDT)), limit=0x3FF)
            return attrs.evolve(_flat16(state, 0x93), cr0=0x10, eflags=state.eflags & ~0x3000, idtr=idtr)
        case "v86":
            return attrs.evolve(_flat16(state, 0xF3), eflags=state.eflags | 0x20000)
        case "16-bit":
            code, data = attrs.evolve(bench.segment(SELECTORS["code16"]), base=CODE), bench.segment(SELECTORS["data16"])
            return attrs.evolve(state, cs=code, ss=data, ds=data, eip=0)
    return state


def _flat16(state: CpuState, attributes: int) -> CpuState:
    def at(base: int) -> SegmentState:
        return SegmentState(selector=base >> 4, base=base, limit=0xFFFF, attributes=attributes)

    return attrs.evolve(state, cs=at(CODE), ss=at(0), ds=at(DATA), es=at(DATA), fs=at(0), gs=at(0), eip=0)


def _task(rng: random.Random, templates: Templates) -> bytes:
    """A task that can mostly be switched to, or noise."""
    if rng.random() < 0.4:
        return struct.pack("<26I", *(rng.choice((templates.selector(), templates.number())) for _ in range(26)))
    stacks = struct.pack("<3I", SELECTORS["tss"], INNER_STACK, SELECTORS["data"]) + bytes(16)
    registers = struct.pack("<3I8I", PAGE_DIRECTORY, templates.here(), rng.choice(EFLAGS), *(0xD000,) * 8)
    return stacks + registers + struct.pack("<7I", 0x10, 0x08, 0x10, 0x10, 0, 0, rng.choice((0, SELECTORS["ldt"])))
