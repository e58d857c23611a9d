"""A processor of a dozen x86 instructions, interpreted: enough to wait, halt, take interrupts, touch ports and memory, and shut down.

An interrupt pushes EIP and EFLAGS and jumps through a table of 32-bit addresses at 0; IRET pops them. One instruction is one progress unit.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from ringone.api.cpu import CpuBackendSpec, CpuCapabilities, CpuContext, CpuState, ExitReason, RunBudget, RunResult, SegmentState, TableState
from ringone.api.errors import ConfigError
from ringone.api.memory import MapChange
from ringone.api.options import option

IF = 1 << 9
EAX, ESP = 0, 4
FLAT = SegmentState(selector=0, base=0, limit=0xFFFFFFFF, attributes=0xC093)
START = 0x1000


@attrs.frozen(kw_only=True)
class TinyOptions:
    broken: bool = option(False, help="raise in the first run")
    unbuildable: bool = option(False, help="raise at creation")


def reset_state() -> CpuState:
    return CpuState(
        gpr=(0, 0, 0, 0, 0x8000, 0, 0, 0),
        eip=START,
        eflags=2,
        gdtr=TableState(base=0, limit=0),
        idtr=TableState(base=0, limit=0),
        cr0=0,
        cr2=0,
        cr3=0,
        cr4=0,
        dr=(0,) * 8,
        msr={},
        fpu=bytes(512),
        cs=FLAT,
        ss=FLAT,
        ds=FLAT,
        es=FLAT,
        fs=FLAT,
        gs=FLAT,
        ldtr=FLAT,
        tr=FLAT,
    )


class TinyCpu:
    def __init__(self, context: CpuContext, options: TinyOptions) -> None:
        if options.unbuildable:
            raise RuntimeError("no such processor")
        self._context = context
        self._broken = options.broken
        self._progress = 0
        self._exit = False
        self._intr = False
        self._nmi = False
        self.closed = False
        self.runs = 0
        self.reset()

    def reset(self) -> None:
        self.load_state(reset_state())

    def load_state(self, state: CpuState) -> None:
        self._base = state
        self._gpr = list(state.gpr)
        self._eip = state.eip
        self._eflags = state.eflags
        self._halted = state.halted
        self._shutdown = state.shutdown

    def save_state(self) -> CpuState:
        return attrs.evolve(self._base, gpr=tuple(self._gpr), eip=self._eip, eflags=self._eflags, halted=self._halted, shutdown=self._shutdown)

    def progress(self) -> int:
        return self._progress

    def request_exit(self) -> None:
        self._exit = True

    def set_intr(self, level: bool) -> None:
        self._intr = level

    def pulse_nmi(self) -> None:
        self._nmi = True

    def memory_changed(self, changes: Sequence[MapChange]) -> None:
        """Nothing is cached."""

    def invalidate_code(self, start: int, size: int) -> None:
        """Nothing is cached."""

    def forget_code(self) -> None:
        """Nothing is learned."""

    def change_options(self, options: TinyOptions) -> None:
        if options.unbuildable:
            raise ConfigError("option 'unbuildable' is fixed; accepted: off")
        self._broken = options.broken

    def statistics(self) -> Mapping[str, int]:
        return {"EM/Instructions": self._progress, "EM/Exits": self.runs}

    def close(self) -> None:
        self.closed = True

    def run(self, budget: RunBudget) -> RunResult:
        self.runs += 1
        if self._broken:
            raise RuntimeError("the processor melted")
        end = None if budget.progress is None else self._progress + budget.progress
        host_end = None if budget.host_ns is None else time.monotonic_ns() + budget.host_ns
        while True:
            if self._exit:
                self._exit = False
                return RunResult(reason=ExitReason.EXIT_REQUESTED)
            if self._progress == end or (host_end is not None and self._progress % 64 == 0 and time.monotonic_ns() >= host_end):
                return RunResult(reason=ExitReason.BUDGET)
            self._take_interrupt()
            if self._shutdown:
                return RunResult(reason=ExitReason.SHUTDOWN)
            if self._halted:
                return RunResult(reason=ExitReason.HALT)
            self._progress += 1
            OPCODES[self._fetch()](self)

    def _take_interrupt(self) -> None:
        if self._nmi:
            self._nmi = False
            self._enter(2)
        elif self._intr and self._eflags & IF:
            self._enter(self._context.acknowledge_interrupt())

    def _enter(self, vector: int) -> None:
        self._halted = False
        self._push(self._eflags)
        self._push(self._eip)
        self._eflags &= ~IF
        self._eip = self._load(vector * 4)

    def _fetch(self) -> int:
        byte = self._context.memory.read(self._eip, 1)[0]
        self._eip += 1
        return byte

    def _fetch4(self) -> int:
        self._eip += 4
        return self._load(self._eip - 4)

    def _load(self, address: int) -> int:
        value: int = struct.unpack("<I", self._context.memory.read(address, 4))[0]
        return value

    def _push(self, value: int) -> None:
        self._gpr[ESP] -= 4
        self._context.memory.write(self._gpr[ESP], struct.pack("<I", value))

    def _pop(self) -> int:
        self._gpr[ESP] += 4
        return self._load(self._gpr[ESP] - 4)

    def nop(self) -> None: ...

    def inc_eax(self) -> None:
        self._gpr[EAX] = (self._gpr[EAX] + 1) & 0xFFFFFFFF

    def mov_al(self) -> None:
        self._gpr[EAX] = self._fetch()

    def store_eax(self) -> None:
        address = self._fetch4()
        self._context.memory.write(address, struct.pack("<I", self._gpr[EAX]))

    def load_eax(self) -> None:
        self._gpr[EAX] = self._load(self._fetch4())

    def in_al(self) -> None:
        self._gpr[EAX] = self._context.read_port(self._fetch(), 1)

    def out_al(self) -> None:
        self._context.write_port(self._fetch(), 1, self._gpr[EAX] & 0xFF)

    def jmp(self) -> None:
        displacement = self._fetch()
        self._eip += displacement - 256 if displacement > 127 else displacement

    def hlt(self) -> None:
        self._halted = True

    def cli(self) -> None:
        self._eflags &= ~IF

    def sti(self) -> None:
        self._eflags |= IF

    def iret(self) -> None:
        self._eip = self._pop()
        self._eflags = self._pop()

    def shut_down(self) -> None:
        self._shutdown = True


OPCODES: Mapping[int, Callable[[TinyCpu], None]] = {
    0x90: TinyCpu.nop,
    0x40: TinyCpu.inc_eax,
    0xB0: TinyCpu.mov_al,
    0xA3: TinyCpu.store_eax,
    0xA1: TinyCpu.load_eax,
    0xE4: TinyCpu.in_al,
    0xE6: TinyCpu.out_al,
    0xEB: TinyCpu.jmp,
    0xF4: TinyCpu.hlt,
    0xFA: TinyCpu.cli,
    0xFB: TinyCpu.sti,
    0xCF: TinyCpu.iret,
    0xF1: TinyCpu.shut_down,
}


def create(context: CpuContext, options: Any) -> TinyCpu:
    return TinyCpu(context, options)


SPEC = CpuBackendSpec(name="tiny", summary="A dozen instructions", options=TinyOptions, capabilities=CpuCapabilities(exact_progress=True), create=create)
