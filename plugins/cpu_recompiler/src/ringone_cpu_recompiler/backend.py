"""The recompiler backend: Unicorn is the whole processor, guest ring 0 runs at ring 0.

`run` is the loop that a processor is between instructions: shutdown, NMI, INTR, halt, then guest code until something stops it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from ringone.api import statistics as names
from ringone.api.cpu import CpuContext, CpuState, ExitReason, RunBudget, RunResult
from ringone.api.errors import ConfigError
from ringone.api.memory import MapChange

from ringone_cpu_recompiler import cpuid, layout, state
from ringone_cpu_recompiler.descriptors import Descriptors
from ringone_cpu_recompiler.engine import ACCESS_COST, Engine, Stop
from ringone_cpu_recompiler.env import (
    CS,
    D_ERROR_CODE,
    D_EXCEPTION_IS_INT,
    D_HFLAGS2,
    EAX,
    EBX,
    ECX,
    EDX,
    ESP,
    FLAG_IF,
    FLAG_RF,
    FLAG_VM,
    HF2_NMI,
    Q_EFLAGS,
    Q_EIP,
    SS,
)
from ringone_cpu_recompiler.interrupts import Interrupts, TripleFault
from ringone_cpu_recompiler.options import RecompilerOptions
from ringone_cpu_recompiler.paging import GuestFault
from ringone_cpu_recompiler.tasks import TaskSwitcher

_VECTOR_DB = 1
_VECTOR_NMI = 2
_VECTOR_UD = 6
_VECTOR_GP = 13
_VECTOR_PF = 14
_FLAT_CODE = 0xC09B00
_FLAT_DATA = 0xC09300
_OPCODE_SYSENTER = 0x34

_SLICE_NS = 1_000_000
"""Longest stretch between looks at the host's clock, in nanoseconds."""
_FIRST_RATE = 100
_HIGHEST_RATE = 20_000
"""Progress units in a microsecond of host time: more than any host does."""
_ACCESS_NS = 1_300
"""What a port or MMIO access takes on the host. It counts as that much code, or a slice that was meant for code would last many times as long in a polling
loop."""
_CODE_BYTES_PER_10_INSTRUCTIONS = 28
"""For the estimate of executed instructions: Linux 6.1 boots in 2.9 thousand million of them (QEMU's count) and 8.0 GB of code."""
_MIN_SLICE = 2_000
_MEASURABLE_NS = 50_000
"""Code that ran for less, in all, says nothing about the host's speed. Accesses are left out: their cost follows from the rate, which would feed on itself."""

# Looking up a member of an enumeration is a Python call, and the way to and from a halt is short.
_HALT = ExitReason.HALT
_HALTED = RunResult(reason=_HALT)
_STOP_HALTED = Stop.HALTED
_STOP_FAULT = Stop.FAULT


class RecompilerBackend:
    """Meets `ringone.api.cpu.CpuBackend`."""

    def __init__(self, context: CpuContext, options: RecompilerOptions) -> None:
        self._context = context
        self._now_ns = context.now_ns
        self._acknowledge = context.acknowledge_interrupt
        self._tsc_mhz = options.tsc_mhz
        self._leaves = cpuid.leaves(context.model)
        self._has_sysenter = "sep" in context.model.features
        self._engine = Engine(context, self)
        self._env = self._engine.env
        paging = self._engine.paging
        descriptors = Descriptors(self._env, paging)
        tasks = TaskSwitcher(self._env, paging, descriptors, self._engine.flush_tlb)
        self._interrupts = Interrupts(self._env, paging, descriptors, tasks, self._engine.short_way)
        self._intr = False
        self._nmi_pending = False
        self._halted = False
        self._shutdown = False
        self._tsc_zero_ns = 0
        self._rate = _FIRST_RATE
        self._measured_ns = self._measured_bytes = 0
        """Since the rate was last taken. Short runs count as well: if only long ones did, it would be those that the host interrupted."""
        self._halts = 0
        self._code_bytes = 0
        self._accesses = 0
        self._interrupts_taken = 0
        self._soft_interrupts = 0
        self._sysenters = 0
        self._exceptions = [0] * 256
        self._run_ns = 0
        self._apply(state.reset_state())

    # --- CpuBackend ----------------------------------------

    def run(self, budget: RunBudget) -> RunResult:
        start = time.monotonic_ns()
        reason = self._run_host_time(start, budget.host_ns or 0) if budget.progress is None else self._run_progress(budget.progress)
        self._run_ns += time.monotonic_ns() - start
        return _HALTED if reason is _HALT else RunResult(reason=reason)

    def _run_progress(self, progress: int) -> ExitReason:
        limit = self.progress() + progress
        self._engine.access_cost = ACCESS_COST
        while True:
            reason = self._between_instructions()
            if reason is not None:
                return reason
            left = limit - self.progress()
            if left <= 0:
                return ExitReason.BUDGET
            reason = self._execute(left)
            if reason is not None:
                return reason

    def _run_host_time(self, now: int, host_ns: int) -> ExitReason:
        engine = self._engine
        end = now + host_ns
        while True:
            reason = self._between_instructions()
            if reason is not None:
                return reason
            left = end - now
            if left <= 0:
                return ExitReason.BUDGET
            slice_ns = left if left < _SLICE_NS else _SLICE_NS
            allowance = slice_ns * self._rate // 1000
            engine.access_cost = self._rate * _ACCESS_NS // 1000
            code_bytes, accesses = self._code_bytes, self._accesses
            reason = self._execute(allowance if allowance > _MIN_SLICE else _MIN_SLICE)
            start, now = now, time.monotonic_ns()
            code_ns = now - start - (self._accesses - accesses) * _ACCESS_NS
            if code_ns > 0:
                self._measured_ns += code_ns
                self._measured_bytes += max(0, self._code_bytes - code_bytes)
                if self._measured_ns > _MEASURABLE_NS:
                    measured = self._measured_bytes * 1000 // self._measured_ns
                    self._rate = min((self._rate * 3 + measured) // 4 + 1, _HIGHEST_RATE)
                    self._measured_ns = self._measured_bytes = 0
            if reason is not None:
                return reason

    def _between_instructions(self) -> ExitReason | None:
        """Take what is pending at an instruction boundary; the reason to leave `run`, or None to execute."""
        if self._shutdown:
            return ExitReason.SHUTDOWN
        if self._engine.take_exit_request():
            return ExitReason.EXIT_REQUESTED
        if self._intr or self._nmi_pending:
            try:
                self._take_interrupt()
            except TripleFault:
                self._shutdown = True
                return ExitReason.SHUTDOWN
        return _HALT if self._halted else None

    def _take_interrupt(self) -> None:
        """An NMI before INTR, each if the guest can take it now. Raises `TripleFault`."""
        if self._nmi_pending and not self._env.d[D_HFLAGS2] & HF2_NMI:
            self._nmi_pending = self._halted = False
            self._env.d[D_HFLAGS2] |= HF2_NMI
            self._interrupts.interrupt(_VECTOR_NMI)
        elif self._intr and self._engine.can_interrupt():
            self._halted = False
            self._interrupts_taken += 1
            self._interrupts.interrupt(self._acknowledge())

    def _execute(self, allowance: int) -> ExitReason | None:
        engine = self._engine
        progress = engine.progress()
        stop = self._run_engine(allowance)
        accesses = engine.accesses
        self._code_bytes += engine.progress() - progress - (accesses - self._accesses) * engine.access_cost
        self._accesses = accesses
        if stop is _STOP_HALTED:
            self._halted = True
            self._halts += 1
        elif stop is _STOP_FAULT:
            self._exceptions[engine.fault.vector] += 1
            try:
                self._interrupts.fault(engine.fault)
            except TripleFault:
                self._shutdown = True
        return None

    def _run_engine(self, allowance: int) -> Stop:
        return self._engine.run(allowance)

    def progress(self) -> int:
        return self._engine.progress()

    def request_exit(self) -> None:
        self._engine.request_exit()

    def set_intr(self, level: bool) -> None:
        self._intr = level
        self._engine.set_interrupt_waiting(level)

    def pulse_nmi(self) -> None:
        self._nmi_pending = True
        self._engine.request_exit()

    def reset(self) -> None:
        self._tsc_zero_ns = self._now_ns()
        self._apply(state.reset_state())

    def memory_changed(self, changes: Sequence[MapChange]) -> None:
        self._engine.memory_changed(changes)

    def invalidate_code(self, start: int, size: int) -> None:
        self._engine.invalidate_code(start, size)

    def forget_code(self) -> None:
        """Translations make no difference to progress."""

    def save_state(self) -> CpuState:
        return state.save(
            self._engine.unicorn,
            self._env,
            tsc_offset_ns=self._now_ns() - self._tsc_zero_ns,
            halted=self._halted,
            shutdown=self._shutdown,
            nmi_pending=self._nmi_pending,
        )

    def load_state(self, new: CpuState) -> None:
        self._tsc_zero_ns = self._now_ns() - new.tsc_offset_ns
        self._apply(new)

    def _apply(self, new: CpuState) -> None:
        state.load(self._engine.unicorn, self._env, new)
        self._halted = new.halted
        self._shutdown = new.shutdown
        self._nmi_pending = new.nmi_pending
        self._engine.flush_tlb()

    def change_options(self, options: RecompilerOptions) -> None:
        if options.tsc_mhz != self._tsc_mhz:
            raise ConfigError(f"option 'tsc_mhz' is {self._tsc_mhz} for the machine's life; accepted is that")

    def statistics(self) -> Mapping[str, int]:
        engine = self._engine
        counters = {
            names.INSTRUCTIONS: self._code_bytes * 10 // _CODE_BYTES_PER_10_INSTRUCTIONS,
            names.EXITS: engine.runs,
            names.HALTS: self._halts,
            names.INTERRUPTS: self._interrupts_taken,
            names.SOFT_INTERRUPTS: self._soft_interrupts,
            names.EXCEPTIONS: sum(self._exceptions),
            names.PAGE_FAULTS: self._exceptions[_VECTOR_PF],
            names.PORT_READS: engine.port_reads,
            names.PORT_WRITES: engine.port_writes,
            names.MMIO_READS: engine.mmio_reads,
            names.MMIO_WRITES: engine.mmio_writes,
            names.TLB_FILLS: engine.fills,
            f"{names.TLB_FILLS}/Slow": engine.slow_fills,
            names.CODE_INVALIDATIONS: engine.code_invalidations,
            names.TRAPS: self._soft_interrupts + self._sysenters + sum(self._exceptions),
            names.RAW_TIME: 0,
            names.RECOMPILER_TIME: self._run_ns,
            "EM/Progress": engine.progress(),
        }
        counters.update((f"{names.EXCEPTIONS}/{vector:02x}", count) for vector, count in enumerate(self._exceptions) if count)
        counters.update((f"{names.TRAPS}/{cause}", count) for cause, count in self._traps_by_cause() if count)
        return counters

    def _traps_by_cause(self) -> Iterator[tuple[str, int]]:
        yield "int", self._soft_interrupts
        yield "sysenter", self._sysenters
        for vector, count in enumerate(self._exceptions):
            yield "page-fault" if vector == _VECTOR_PF else f"exception-{vector:02x}", count

    def close(self) -> None:
        self._engine.close()

    # --- EngineEvents ----------------------------------------

    def exception(self, vector: int) -> None:
        d = self._env.d
        try:
            if d[D_EXCEPTION_IS_INT]:
                self._soft_interrupts += 1
                d[D_EXCEPTION_IS_INT] = 0
                self._interrupts.software_interrupt(vector)
            else:
                self._exceptions[vector & 0xFF] += 1
                self._interrupts.exception(vector, d[D_ERROR_CODE] & 0xFFFF)
        except TripleFault:
            self._stop_for_shutdown()

    def invalid_opcode(self) -> None:
        q = self._env.q
        length = self._engine.instruction.icebp_length()
        q[Q_EIP] = q[Q_EIP] + length & 0xFFFFFFFF
        vector = _VECTOR_DB if length else _VECTOR_UD
        self._exceptions[vector] += 1
        try:
            self._interrupts.exception(vector, 0)
        except TripleFault:
            self._stop_for_shutdown()

    def _stop_for_shutdown(self) -> None:
        self._shutdown = True
        self._engine.request_exit()

    def cpuid(self) -> None:
        q = self._env.q
        q[EAX], q[EBX], q[ECX], q[EDX] = cpuid.lookup(self._leaves, q[EAX] & 0xFFFFFFFF)

    def rdtsc(self) -> None:
        ticks = (self._now_ns() - self._tsc_zero_ns) * self._tsc_mhz // 1000
        q = self._env.q
        q[EAX] = ticks & 0xFFFFFFFF
        q[EDX] = ticks >> 32 & 0xFFFFFFFF

    def fast_call(self, opcode: int) -> None:
        """SYSENTER (SDM vol. 2B); SYSCALL does not exist on a 32-bit Intel processor."""
        msr_cs = self._env.d[layout.SYSENTER_CS // 4]
        try:
            if opcode != _OPCODE_SYSENTER or not self._has_sysenter:
                self.invalid_opcode()
            elif not msr_cs & 0xFFFC:
                self._exceptions[_VECTOR_GP] += 1
                self._interrupts.fault(GuestFault(_VECTOR_GP, 0))
            else:
                self._sysenter(msr_cs)
        except TripleFault:
            self._stop_for_shutdown()

    def odd_ring_code(self, address: int, size: int) -> None:
        """Rings 1 and 2 are the guest's own here."""

    def table_instruction(self) -> None:
        """The tables are the guest's own here."""

    def watched_write(self, address: int, size: int, value: int) -> None:
        """No page is watched."""

    def _sysenter(self, msr_cs: int) -> None:
        self._sysenters += 1
        env = self._env
        q = env.q
        q[Q_EFLAGS] &= ~(FLAG_VM | FLAG_IF | FLAG_RF)
        env.set_segment(CS, msr_cs & 0xFFFC, 0, 0xFFFFFFFF, _FLAT_CODE | 0xF0000)
        env.set_segment(SS, msr_cs + 8 & 0xFFFC, 0, 0xFFFFFFFF, _FLAT_DATA | 0xF0000)
        q[ESP] = q[layout.SYSENTER_ESP // 8] & 0xFFFFFFFF
        q[Q_EIP] = q[layout.SYSENTER_EIP // 8] & 0xFFFFFFFF
        env.update_hflags(0)
