"""The raw-mode backend: execution manager (VirtualBox's EM) and trap manager (TRPM) over one world.

Between runs the processor holds the guest's true state, as in the recompiler backend, on which this one stands: the run loop, interrupts and snapshots are the
same. `_execute` decides at every entry whether the state may run in raw mode; what may not runs on the recompiler engine, with the reason counted. Traps are
handled on the true state too: raw mode is left, the trap is delivered or emulated, and raw mode is entered again.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from iced_x86 import Mnemonic
from ringone.api import statistics as names
from ringone.api.cpu import CpuContext, CpuState, ExitReason
from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE, MapChange
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.engine import Stop
from ringone_cpu_recompiler.env import D_ERROR_CODE, D_EXCEPTION_IS_INT, D_HFLAGS, FLAG_IF, HF_CPL, HF_INHIBIT_IRQ, Q_EFLAGS, Q_EIP
from ringone_cpu_recompiler.interrupts import TripleFault
from ringone_cpu_recompiler.options import RecompilerOptions
from ringone_cpu_recompiler.pages import by_page
from ringone_cpu_recompiler.paging import GuestFault

from ringone_cpu_patm import generators, state_page, vmm_memory
from ringone_cpu_patm.descriptor_shadow import DescriptorShadow
from ringone_cpu_patm.emulation import Emulator
from ringone_cpu_patm.options import PatmOptions
from ringone_cpu_patm.patch_code import VIRTUAL_IF_TARGET, Gate, Kind
from ringone_cpu_patm.patch_manager import PatchManager
from ringone_cpu_patm.raw_mode import RawMode
from ringone_cpu_patm.vmm_memory import VmmMemory
from ringone_cpu_patm.window import WindowManager
from ringone_cpu_patm.world import UnicornWorld, Watch

_VECTOR_GP = 13
_W_STI_RAN = state_page.STI_RAN // 4
_SELECTOR_FAULTS = (10, 11, 12)
_SHORT_STRETCH = 20_000
_LONG_STRETCH = 400_000
"""Progress units on the recompiler until the state is looked at again: more of them the longer the same reason holds."""
_MOST_REPORTS = 8
"""In a row of new code at one address. A block that writes to itself may be new again in front of each write, and has to get past it in another way."""
_HARDLY_ANY_PROGRESS = 200
_MNEMONICS = {value: name.lower() for name, value in vars(Mnemonic).items() if isinstance(value, int)}


class PatmBackend(RecompilerBackend):
    """Meets `ringone.api.cpu.CpuBackend`."""

    def __init__(self, context: CpuContext, options: PatmOptions) -> None:
        super().__init__(context, RecompilerOptions(tsc_mhz=options.tsc_mhz))
        self._memory = VmmMemory()
        self._world = UnicornWorld(self._engine)
        self._world.map(self._memory.address, vmm_memory.SIZE)
        self._world.keep_filled_regions(self._memory.filled_regions)
        self._shadow = DescriptorShadow(self._world, self._memory)
        self._patches = PatchManager(self._world, self._memory, lambda: context.code_scanner("csam"))
        self._windows = WindowManager(self._world)
        self._emulator = Emulator(self._world)
        self._mode = RawMode(self._world, self._memory, self._shadow)
        self._scanning = options.scanning
        self._patches.patching = options.patching
        self._patches.count_hits = options.hits
        self._fill_cpuid_table()
        self._once = ""
        """Why the next block runs on the recompiler, whatever the state."""
        self._last_reason = ""
        self._from_gate = False
        """Whether the last trap was a patch's gate."""
        self._reported = -1
        """Where the world stopped last for new code, and when; `_reports` times in a row with hardly any progress in between."""
        self._reported_at = 0
        self._reports = 0
        self.stretches = (_SHORT_STRETCH, _LONG_STRETCH)
        self._stretch = _SHORT_STRETCH
        self._changed_pages: set[int] = set()
        self._memory_replaced = False
        self._traps: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._recompiler_ns = 0

    def _fill_cpuid_table(self) -> None:
        rows = [(leaf, 0xFFFFFFFF, *values) for leaf, values in self._leaves.items()]
        rows.append((0xFFFFFFFF, 0xFFFFFFFF, *self._leaves[2]))
        table = b"".join(struct.pack("<6I", *row) for row in rows)
        start = vmm_memory.STATE + state_page.CPUID
        self._memory.bytes[start : start + len(table)] = table

    # --- Execution manager ----------------------------------------

    def _execute(self, allowance: int) -> ExitReason | None:
        if self._once:
            reason, self._once = self._once, ""
            return self._recompile(1, reason)
        refused = self._mode.refusal() or ("interrupt shadow" if self._awaits_interrupt() else self._no_room())
        if not refused:
            self._last_reason = ""
            return self._run_raw(allowance)
        shortest, longest = self.stretches
        self._stretch = min(self._stretch * 2, longest) if refused == self._last_reason else shortest
        self._last_reason = refused
        return self._recompile(min(allowance, self._stretch), refused)

    def _awaits_interrupt(self) -> bool:
        """Whether an interrupt comes now or behind the next instruction, be that in the middle of a patch."""
        return self._intr and bool(self._env.q[Q_EFLAGS] & FLAG_IF)

    def _no_room(self) -> str | None:
        if not self._env.cpl:
            if not self._scanning:
                return "scanning off"
            if self._patches.refuses(self._env.q[Q_EIP]):
                return "code that cannot be patched"
        if not self._windows.place(self.progress()):
            return "no room for the window"
        if self._windows.base != self._mode.window_base:
            self._mode.window_base = self._patches.window_base = self._windows.base
            self._patches.flush()
            if self._world.deprivileged:
                self._world.deprivilege()
        return None

    def _recompile(self, allowance: int, reason: str) -> ExitReason | None:
        start = time.monotonic_ns()
        self._refusals[reason] += 1
        if self._world.deprivileged:
            self._world.reprivilege()
        self._mode.stale = True
        result = super()._execute(allowance)
        self._after_run()
        self._recompiler_ns += time.monotonic_ns() - start
        return result

    def _run_raw(self, allowance: int) -> ExitReason | None:
        self._patches.settle(self._env.q[Q_EIP])
        if not self._world.deprivileged:
            self._world.deprivilege()
        self._mode.enter(self._intr)
        for page in self._shadow.taken():
            self._patches.refuse(page)
            self._world.watch(page, Watch.TELL)
        self._go_on_in_patch()
        result = super()._execute(allowance)
        self._after_run()
        return result

    def _run_engine(self, allowance: int) -> Stop:
        """Where the base class runs the engine: whatever stops it, the state is the guest's true one afterwards."""
        try:
            return super()._run_engine(allowance)
        finally:
            if self._mode.entered:
                self._leave()

    def _after_run(self) -> None:
        """What happened to code while the world ran."""
        if self._engine.watched_page >= 0:
            self._patches.written(self._engine.watched_page)
        if self._changed_pages:
            for page in self._changed_pages:
                self._patches.written(page)
            self._changed_pages.clear()
        if self._memory_replaced:
            self._memory_replaced = False
            self._patches.check_contents()

    def _leave(self) -> None:
        """From the deprivileged state to the true one; a place in patch memory becomes the guest's own."""
        q, state = self._env.q, self._memory.state
        self._from_gate = False
        if self._env.cpl != 1:
            self._mode.leave()
            return
        offset = q[Q_EIP] - self._mode.window_base & 0xFFFFFFFF
        place = self._patches.find(offset) if offset < vmm_memory.CODE_SIZE else None
        if place is not None:
            q[Q_EIP] = place.guest_eip
            for target, word in place.restore:
                if target == VIRTUAL_IF_TARGET:
                    state[state_page.VIRTUAL_IF // 4] = state[word // 4]
                else:
                    q[target] = state[word // 4]
        elif q[Q_EIP] in self._patches.shadowed and self._has_run_sti():
            self._env.d[D_HFLAGS] |= HF_INHIBIT_IRQ
        self._from_gate = isinstance(place, Gate)
        self._mode.leave()

    def _has_run_sti(self) -> bool:
        """Whether any patch for STI has run since the last time: a branch may lead behind one too, and must not hold interrupts up for ever."""
        state = self._memory.state
        ran, state[_W_STI_RAN] = bool(state[_W_STI_RAN]), 0
        return ran

    def _resume(self) -> None:
        """After a trap: on in raw mode where nothing is against it."""
        if self._emulator.halted:
            self._emulator.halted = False
            self._halted = True
            self._halts += 1
        if self._awaits_interrupt() or self._once or self._halted or self._shutdown or self._patches.unsettled or self._mode.refusal() or self._no_room_now():
            self._world.stop_here()
        else:
            self._mode.enter(self._intr)
            self._go_on_in_patch()

    def _go_on_in_patch(self) -> None:
        """Where there is patch code for the instruction at EIP that no jump leads to."""
        if self._env.cpl == 1:
            q = self._env.q
            q[Q_EIP] = self._patches.entry(q[Q_EIP])

    def _no_room_now(self) -> bool:
        return self._world.region_is_mapped(self._mode.window_base) or (not self._scanning and not self._env.cpl)

    # --- Trap manager ----------------------------------------

    def exception(self, vector: int) -> None:
        if not self._mode.entered:
            super().exception(vector)
            return
        d = self._env.d
        ring0 = d[D_HFLAGS] & HF_CPL == 1
        self._leave()
        if d[D_EXCEPTION_IS_INT] or (vector != _VECTOR_GP and vector not in _SELECTOR_FAULTS):
            super().exception(vector)
        elif ring0:
            self._privileged()
        elif vector == _VECTOR_GP and not d[D_ERROR_CODE] & 0xFFFF:
            super().exception(vector)
        else:
            self._recompile_next("selector")
        self._resume()

    def _privileged(self) -> None:
        """A ring-0 instruction that ring 1 must not do, or that was replaced, or that really faults: only the recompiler can tell the last."""
        instruction = self._emulator.fetch()
        if instruction is None:
            self._recompile_next("unreadable code")
            return
        address = self._env.q[Q_EIP]
        cause = "refused-page" if self._patches.refuses(address) else _MNEMONICS[instruction.mnemonic]
        self._traps[cause] += 1
        try:
            if not self._emulator.emulate(instruction):
                self._recompile_next(cause)
        except GuestFault as fault:
            self._exceptions[fault.vector] += 1
            try:
                self._interrupts.fault(fault)
            except TripleFault:
                self._stop_for_shutdown()
        if not self._from_gate and generators.kind_of(instruction) is not None:
            self._patches.trapped(address)

    def _recompile_next(self, reason: str) -> None:
        self._once = reason
        self._shadow.forget()

    def invalid_opcode(self) -> None:
        if not self._mode.entered:
            super().invalid_opcode()
            return
        self._leave()
        super().invalid_opcode()
        self._resume()

    def fast_call(self, opcode: int) -> None:
        if not self._mode.entered:
            super().fast_call(opcode)
            return
        self._leave()
        super().fast_call(opcode)
        self._resume()

    def odd_ring_code(self, address: int, size: int) -> None:
        if not self._world.deprivileged:
            self._mode.rings_used = True
        elif self._patches.new_code(address, size):
            again = address == self._reported and self.progress() - self._reported_at < _HARDLY_ANY_PROGRESS
            self._reports = self._reports + 1 if again else 1
            self._reported, self._reported_at = address, self.progress()
            if self._reports > _MOST_REPORTS:
                self._once = "code that is new each time"
            self._world.stop_here()

    def table_instruction(self) -> None:
        self._recompile_next("tables in ring 3")

    def watched_write(self, address: int, size: int, value: int) -> None:
        page, offset = address >> PAGE_SHIFT, address & PAGE_SIZE - 1
        self._world.content(page)[offset : offset + size] = value.to_bytes(8, "little")[:size]
        self.invalidate_code(address, size)

    # --- CpuBackend ----------------------------------------

    def set_intr(self, level: bool) -> None:
        super().set_intr(level)
        self._mode.interrupt_line(level)

    def reset(self) -> None:
        super().reset()
        self._forget_state()

    def load_state(self, new: CpuState) -> None:
        super().load_state(new)
        self._forget_state()

    def _forget_state(self) -> None:
        self._once = ""
        self._reported = -1
        self._mode.stale = True
        self._shadow.forget()
        self._windows.forget_failures()
        self._patches.check_contents()

    def forget_code(self) -> None:
        self._engine.forget_code()
        self._patches.forget()
        self._windows.forget()
        self._shadow.abandon()
        self._mode.rings_used = False
        self._mode.stale = True
        self._mode.window_base = 0
        self._once = self._last_reason = ""
        self._reported = -1
        self._stretch = self.stretches[0]
        self._changed_pages.clear()
        self._memory_replaced = False

    def memory_changed(self, changes: Sequence[MapChange]) -> None:
        super().memory_changed(changes)
        self._memory_replaced = True
        self._shadow.forget()
        self._world.stop_here()

    def invalidate_code(self, start: int, size: int) -> None:
        super().invalidate_code(start, size)
        for page, offset, length in by_page(start, size):
            if self._shadow.owns(page):
                self._shadow.written(page, offset, length)
            if self._patches.has_view(page):
                self._changed_pages.add(page)
                self._world.stop_here()

    def change_options(self, options: Any) -> None:
        super().change_options(options)
        self._scanning, self._patches.patching, self._patches.count_hits = options.scanning, options.patching, options.hits
        self._patches.flush()

    def statistics(self) -> Mapping[str, int]:
        counters = dict(super().statistics())
        counters[names.TRAPS] += sum(self._traps.values())
        counters.update((f"{names.TRAPS}/{cause}", count) for cause, count in self._traps.items())
        counters[names.RECOMPILER_TIME] = self._recompiler_ns
        counters[names.RAW_TIME] = max(0, self._run_ns - self._recompiler_ns)
        counters.update((f"EM/Refused/{reason}", count) for reason, count in self._refusals.items())
        patches = self._patches
        counters[names.PATCHES] = sum(patches.installed.values()) + patches.gates
        counters.update((f"{names.PATCHES}/{kind.name.lower()}", count) for kind, count in patches.installed.items())
        counters[f"{names.PATCHES}/trap"] = patches.gates
        hits = vmm_memory.STATE + state_page.HITS
        words = self._memory.bytes[hits : hits + 4 * len(Kind)].cast("I")
        counters.update((f"PATM/Hits/{kind.name.lower()}", words[kind]) for kind in Kind if words[kind])
        counters.update(
            {
                "PATM/Views": patches.views,
                "PATM/MemoryUsed": self._memory.code_used,
                "PATM/Conflicts": patches.conflicts,
                "PATM/Drops": patches.drops,
                "PATM/Flushes": patches.flushes,
                "PATM/PagesRefused": patches.refused,
                "PATM/WindowMoves": self._windows.moves,
                "CSAM/Scans": patches.scans,
                "CSAM/Instructions": patches.instructions,
                "SELM/Rebuilds": self._shadow.rebuilds,
                "SELM/Writes": self._shadow.writes,
            }
        )
        return counters
