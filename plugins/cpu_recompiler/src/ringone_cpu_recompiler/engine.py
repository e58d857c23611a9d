"""Unicorn as the processor of a PC: guest-physical memory, the virtual TLB, precise stops, and callbacks for what needs the VMM.

What the engine leaves to its owner comes through `EngineEvents`: exceptions and INT n (Unicorn delivers none), port I/O, CPUID, RDTSC, SYSENTER,
SYSCALL. The rules that keep it right:

* Translation. Unicorn's "physical" addresses are ours: memory lies at its offset in the machine's backing, guest-physical address G of anything else
  at ``MMIO_BASE + G``.
* Self-modifying code. Unicorn forgets to watch a page for writes once a store went through a TLB entry without X. So once a page has been fetched from,
  every writable entry for it carries X too (slow but right), and its first fetch flushes the TLB. A page that is written again and again without being
  fetched has its translations dropped and becomes plain data again, but not under a block in it, which would not notice that it changes itself.
* Stops happen at the start of a translation block, before any of it ran (`stubs`). `no_exit_request` keeps the translator from testing for exits after
  every load and store, where an exit would run the instruction twice; it also halves the time of memory-heavy code.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from ringone.api.cpu import CpuContext
from ringone.api.errors import BackendError
from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE, MapChange

from ringone_cpu_recompiler import binding, cpuid, layout, stubs, tasks
from ringone_cpu_recompiler.binding import Unicorn
from ringone_cpu_recompiler.code_hooks import CodeHooks
from ringone_cpu_recompiler.env import (
    CS,
    D_FLAGS,
    D_HFLAGS,
    D_OLD_EXCEPTION,
    DESC_P,
    FLAG_IF,
    HF_INHIBIT_IRQ,
    LOADED_BY_US,
    Q_BASE,
    Q_EFLAGS,
    Q_EIP,
    TR,
    Env,
)
from ringone_cpu_recompiler.fills import MMIO_BASE, OPEN_BUS, TlbFills, WatchedWrite
from ringone_cpu_recompiler.instructions import CurrentInstruction
from ringone_cpu_recompiler.interrupts import ShortWay, no_short_way
from ringone_cpu_recompiler.pages import CLASS_DIRECT, CLASS_FETCHED, PAGES, Pages, by_page
from ringone_cpu_recompiler.paging import FETCH, READ, WRITE, GuestFault, Paging
from ringone_cpu_recompiler.vmm import LONGEST_PATCH, VMM_BASE, Vmm

ACCESS_COST = 300
"""Progress units (bytes of code) that a port or MMIO access, RDTSC or CPUID uses up, so that polling loops see time pass: about what an ISA cycle takes."""

TRANSLATION_BYTES = 256 << 20
"""Room for translated code. A guest that changes its code all the time fills it, whatever its size."""

FAULT_COST = 100
"""Progress units of a fault that ends `run`: a guest whose fault handler cannot be fetched executes nothing, and its time must pass all the same."""

EMPTY_TSS = DESC_P | LOADED_BY_US | 0x900
"""Attributes of a present 32-bit TSS. LTR with a null selector faults on a processor; the engine takes it, and would end the process at the next call gate.
The guest's task register becomes a TSS of one byte instead, on which everything faults."""

_ACCESS = {binding.MEM_READ: READ, binding.MEM_WRITE: WRITE, binding.MEM_FETCH: FETCH}
_STOP_HERE = 2
_JUMP_AND_HALT = bytes([0xEB, 0x00, 0xF4])
_ZERO = ctypes.c_uint64(0)
"""For arguments: cheaper than converting an int each time."""
_STOPPED_WORD = stubs.STOPPED // 8
_FLUSHES = stubs.FLUSHES // 4
_INTERRUPT_FLAG_WORD = stubs.INTERRUPT_FLAG // 8
_TR_FLAGS = D_FLAGS[TR]


class Stop(enum.Enum):
    """Why `Engine.run` returned."""

    STOPPED = "stopped"
    """At a block boundary: budget, exit request or deliverable interrupt."""
    HALTED = "halted"
    WATCHED = "watched"
    """In front of a write to a page under `vmm.Watch.STOP`, whose guest-physical number is `Engine.watched_page`."""
    FAULT = "fault"
    """A page fault, or a forbidden port access: `Engine.fault` holds it; EIP is at the instruction."""


# Looking up a member of an enumeration is a Python call.
_STOPPED = Stop.STOPPED
_HALTED = Stop.HALTED


class EngineEvents(Protocol):
    """What the engine's owner handles, on the machine's thread, while guest code is stopped in place."""

    def exception(self, vector: int) -> None:
        """INT n (EIP behind it) or a fault or trap found by the processor (EIP as the SDM says); change the state in place."""
        ...

    def invalid_opcode(self) -> None: ...
    def cpuid(self) -> None: ...
    def rdtsc(self) -> None: ...
    def fast_call(self, opcode: int) -> None:
        """SYSENTER (0x34) or SYSCALL (0x05): EIP is at it; leave EIP where the guest goes on."""
        ...

    def odd_ring_code(self, address: int, size: int) -> None:
        """New code at ring 1 is about to run for the first time; `Engine.stop_here` keeps it from running now."""
        ...

    def table_instruction(self) -> None:
        """While `vmm.Vmm.active`: ring 3 is about to execute SGDT, LAR or LSL. `Engine.run` returns in front of it."""
        ...

    def watched_write(self, address: int, size: int, value: int) -> None:
        """Do a guest's write to a page under `vmm.Watch.TELL`."""
        ...


class Engine:
    """One processor. All methods but `request_exit` belong to the machine's thread."""

    def __init__(self, context: CpuContext, events: EngineEvents) -> None:
        self._memory = context.memory
        self._events = events
        self._read_port = context.read_port
        self._write_port = context.write_port
        self.access_cost = ACCESS_COST
        self.port_reads = 0
        self.port_writes = 0
        self.mmio_reads = 0
        self.mmio_writes = 0
        self.queries = 0
        """RDTSC and CPUID."""
        self.slow_fills = 0
        self.code_invalidations = 0
        self.runs = 0
        self.fault = GuestFault(14)
        self._bypass = False
        self._failure: BaseException | None = None
        self.unicorn = self._unicorn = Unicorn()
        self._unicorn.use_no_exits()
        self._unicorn.limit_translations(TRANSLATION_BYTES)
        self._unicorn.map_memory(0, len(self._memory.backing), self._memory.backing_address)
        self._open_bus = (ctypes.c_uint8 * (2 * PAGE_SIZE))(*[0xFF] * (2 * PAGE_SIZE))
        self._unicorn.map_memory(OPEN_BUS, PAGE_SIZE, ctypes.addressof(self._open_bus) + PAGE_SIZE - 1 & -PAGE_SIZE)
        self._unicorn.use_virtual_tlb()
        found = layout.locate(self._unicorn)
        self._invalid_address = ctypes.c_uint64.from_address(found.invalid_address)
        no_exit_request = ctypes.c_bool.from_address(found.no_exit_request)
        no_exit_request.value = True
        self.pages = self._pages = Pages(self._memory)
        self._classes = self._pages.classes
        self._frames = self._pages.frames
        layout.restrict_features(found.env, cpuid.executable_words(context.model))
        self.env = Env(self._unicorn, found.env)
        self.paging = Paging(self.env, self._pages)
        self.instruction = CurrentInstruction(self.env, self.paging)
        self._control = (ctypes.c_uint8 * stubs.CONTROL_SIZE)()
        control = memoryview(self._control).cast("B")
        self._budget = control[stubs.BUDGET : stubs.BUDGET + 8].cast("q")
        self._exit_request = control[stubs.EXIT_REQUEST : stubs.EXIT_REQUEST + 2].cast("H")
        self._guard_request = control[stubs.GUARD_REQUEST : stubs.GUARD_REQUEST + 2].cast("H")
        self._interrupt_waiting = control[stubs.INTERRUPT_WAITING : stubs.INTERRUPT_WAITING + 4].cast("I")
        self._block = control[stubs.BLOCK : stubs.BLOCK + 4].cast("I")
        self._words = control.cast("Q")
        self._filled = memoryview(bytearray(stubs.FILLED_SIZE)).cast("I")
        self._filled[_FLUSHES] = 1
        self.keep_filled_regions(self._filled)
        self.vmm = Vmm(self._unicorn, self._words, self._pages)
        self._tlb_fills = TlbFills(
            self._unicorn, self.env, self._memory, self._pages, self.paging, self.instruction, self.vmm, drop_translations=self._drop_translations
        )
        self.watched_page = -1
        self._progress = 0
        self._allowance = 0
        self._start = -1
        """EIP where the run has begun, until an instruction there has asked for it."""
        self._install_hooks()
        self._code_hooks = CodeHooks(
            self._unicorn,
            self.env,
            self.paging,
            self._pages,
            self.vmm,
            control=self._control,
            loop_stub=None if self._stubs is None else self._stubs.loop,
            no_exit_request=no_exit_request,
            drop_page=self._drop_translations,
            drop_bytes=self._drop_bytes,
            forget=self._forget_translations,
            forbid=self._forbid,
            table_instruction=self._table_instruction_met,
            stop_in_front=self._stop_in_front,
            fail=self._fail,
        )
        self.memory_changed([MapChange(0, PAGES)])
        self._run_first_block()

    # --- Set-up ----------------------------------------

    def _install_hooks(self) -> None:
        unicorn = self._unicorn
        slow_fill = binding.FillCallback(self._fill_hook)
        self._keep_fill = slow_fill
        anchors = (ctypes.c_uint8.from_buffer(self._classes), ctypes.c_uint32.from_buffer(self._frames), ctypes.c_uint16.from_buffer(self._tlb_fills.patience))
        self._anchors = anchors
        words = self._words
        words[stubs.EMU_STOP // 8] = unicorn.emu_stop_address
        words[stubs.ENV // 8] = self.env.address
        self._eflags_address = self.env.address + layout.EFLAGS
        self.take_interrupts_by(0)
        words[stubs.CLASSES // 8] = ctypes.addressof(anchors[0])
        words[stubs.FRAMES // 8] = ctypes.addressof(anchors[1])
        words[stubs.PATIENCE // 8] = ctypes.addressof(anchors[2])
        words[stubs.BACKING // 8] = self._memory.backing_address
        words[stubs.SLOW_FILL // 8] = ctypes.cast(slow_fill, ctypes.c_void_p).value or 0
        slow_edge = binding.EdgeCallback(self._edge_hook)
        self._keep_edge = slow_edge
        words[stubs.SLOW_EDGE // 8] = ctypes.cast(slow_edge, ctypes.c_void_p).value or 0
        words[stubs.UNICORN // 8] = unicorn.handle
        words[stubs.READ_REGISTER // 8] = unicorn.read_register_address
        control = ctypes.addressof(self._control)
        self._stubs = self._make_stubs()
        self.short_way: ShortWay = partial(self._stubs.deliver, control) if self._stubs else no_short_way
        if self._stubs is not None:
            unicorn.hook(binding.HOOK_TLB_FILL, self._stubs.fill, user_data=control)
            unicorn.hook(binding.HOOK_BLOCK, self._stubs.block, user_data=control)
            unicorn.hook(binding.HOOK_EDGE_GENERATED, self._stubs.edge, user_data=control)
        else:
            unicorn.hook(binding.HOOK_TLB_FILL, slow_fill)
            unicorn.hook(binding.HOOK_BLOCK, binding.BlockCallback(self._block_hook))
            unicorn.hook(binding.HOOK_EDGE_GENERATED, slow_edge)
        unicorn.hook(binding.HOOK_INTR, binding.InterruptCallback(self._interrupt_hook))
        unicorn.hook(binding.HOOK_INSN_INVALID, binding.InvalidCallback(self._invalid_hook))
        unicorn.hook(binding.HOOK_INSN, binding.InCallback(self._in_hook), instruction=binding.INS_IN)
        unicorn.hook(binding.HOOK_INSN, binding.OutCallback(self._out_hook), instruction=binding.INS_OUT)
        for instruction, handler in (
            (binding.INS_CPUID, self._events.cpuid),
            (binding.INS_RDTSC, self._events.rdtsc),
        ):
            unicorn.hook(binding.HOOK_INSN, binding.SkipCallback(self._skip_hook(handler)), instruction=instruction)
        for instruction, opcode in ((binding.INS_SYSENTER, 0x34), (binding.INS_SYSCALL, 0x05)):
            unicorn.hook(binding.HOOK_INSN, binding.SkipCallback(self._fast_call_hook(opcode)), instruction=instruction)
        unicorn.map_mmio(MMIO_BASE, (PAGES + 1) << PAGE_SHIFT, binding.MmioReadCallback(self._mmio_read_hook), binding.MmioWriteCallback(self._mmio_write_hook))

    def _run_first_block(self) -> None:
        """Unicorn reports new translations once a first block has run to its end, so that one is our own, at guest-physical 0."""
        backing = self._memory.backing
        size = len(_JUMP_AND_HALT)
        kept = bytes(backing[:size])
        backing[:size] = _JUMP_AND_HALT
        self.env.set_segment(TR, 0, 0, 0, EMPTY_TSS)
        self._run(size)
        backing[:size] = kept
        self._drop_translations(0)
        self._classes[0] &= ~CLASS_FETCHED
        self._progress = self.runs = self.code_invalidations = self.slow_fills = 0
        self._words[stubs.FILLS // 8] = 0
        self.env.restore_pristine()

    def _make_stubs(self) -> stubs.NativeStubs | None:
        if not stubs.native_code_works():
            return None
        try:
            return stubs.NativeStubs()
        except OSError:
            return None

    def _fail(self, failure: BaseException) -> None:
        """A callback raised: keep the first exception for `run`'s caller and stop."""
        if self._failure is None:
            self._failure = failure
        self._exit_request[0] = 1
        self._unicorn.stop()

    # --- Running ----------------------------------------

    def run(self, allowance: int) -> Stop:
        """Run guest code for at most `allowance` progress units. Raises what a callback raised."""
        while True:
            start = self.env.q[Q_EIP]
            stop = self._run(allowance)
            request = self._guard_request[0]
            if not request:
                return self._run(self._used + 1) if self._is_stuck(stop, start, allowance) else stop
            self._guard_request[0] = 0
            self._code_hooks.between_runs(request)
            if request & _STOP_HERE:
                return stop
            allowance -= self._used

    def _is_stuck(self, stop: Stop, start: int, allowance: int) -> bool:
        """Whether the allowance was used up by a single block that, it may be, changed its own code and was then begun anew: the engine counts it twice."""
        one_block = 0 < allowance <= self._used <= PAGE_SIZE
        return one_block and stop is _STOPPED and self.env.q[Q_EIP] == start and not self._exit_request[0]

    def _run(self, allowance: int) -> Stop:
        self.runs += 1
        self._allowance = allowance
        self._budget[0] = allowance
        words = self._words
        words[_STOPPED_WORD] = 0
        self._pending_fault = None
        self.watched_page = -1
        self.env.settle_eflags()
        self._start = start = self.env.q[Q_EIP]
        unicorn = self._unicorn
        error = unicorn.emu_start(unicorn.handle_argument, start, _ZERO, _ZERO, _ZERO)
        hooks = self._code_hooks
        if self._refused_eflags >= 0:
            hooks.correct_faulted_flags(self._refused_eflags)
            self._refused_eflags = -1
        hooks.correct_flags()
        self._budget[0] += hooks.lent
        hooks.lent = 0
        self._used = allowance - self._budget[0]
        self._progress += self._used
        self._allowance = self._budget[0] = 0
        if not self.env.d[_TR_FLAGS] & LOADED_BY_US:
            self._task_register_loaded()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if words[_STOPPED_WORD]:
            return _STOPPED
        if self.watched_page >= 0:
            return Stop.WATCHED
        if self._pending_fault is not None:
            self.fault, self._pending_fault = self._pending_fault, None
            self.fault.address = self._invalid_address.value & 0xFFFFFFFF
            self._progress += FAULT_COST
            return Stop.FAULT
        if error == binding.ERR_OK:
            return _HALTED
        raise BackendError("recompiler", f"Unicorn stopped with error {error} at EIP {self.env.q[Q_EIP]:#x}")

    def _task_register_loaded(self) -> None:
        """The engine itself has loaded TR, by LTR or in a task switch."""
        q, d = self.env.q, self.env.d
        if not d[_TR_FLAGS] & DESC_P:
            self.env.set_segment(TR, 0, 0, 0, EMPTY_TSS)
            return
        d[_TR_FLAGS] |= LOADED_BY_US
        wrong = q[Q_BASE[CS]] + q[Q_EIP] & 0xFFFFFFFF
        if tasks.repair(self.env, self.paging) and self._pending_fault is not None and self._invalid_address.value & 0xFFFFFFFF == wrong:
            self._pending_fault = None
            self._words[_STOPPED_WORD] = 1

    _pending_fault: GuestFault | None = None
    _refused_eflags = -1
    """EFLAGS without the arithmetic flags when an instruction was refused its memory operand, which ends the run."""

    def progress(self) -> int:
        """Bytes of guest code executed, and what port accesses cost."""
        return self._progress + self._allowance - self._budget[0]

    def stop_here(self) -> None:
        """Return from `run` at the start of the next block, or of the one that is shown. Machine's thread, from a callback."""
        self._guard_request[0] |= _STOP_HERE

    def request_exit(self) -> None:
        self._exit_request[0] = 1

    def take_exit_request(self) -> bool:
        """Whether an exit was asked for; forgets it."""
        if self._exit_request[0]:
            self._exit_request[0] = 0
            return True
        return False

    def set_interrupt_waiting(self, waiting: bool) -> None:
        """Stop at the first block at which the guest can take an interrupt."""
        self._interrupt_waiting[0] = waiting

    def take_interrupts_by(self, address: int) -> None:
        """Have bit 9 of the 32-bit word at a host address say whether the guest can take an interrupt; 0 for EFLAGS itself."""
        self._words[_INTERRUPT_FLAG_WORD] = address or self._eflags_address

    def can_interrupt(self) -> bool:
        """EFLAGS.IF is set and no STI or MOV SS shadow holds."""
        return bool(self.env.q[Q_EFLAGS] & FLAG_IF) and not self.env.d[D_HFLAGS] & HF_INHIBIT_IRQ

    @property
    def accesses(self) -> int:
        """All that cost `access_cost`."""
        return self.port_reads + self.port_writes + self.mmio_reads + self.mmio_writes + self.queries

    @property
    def fills(self) -> int:
        return self._words[stubs.FILLS // 8]

    def keep_filled_regions(self, words: memoryview) -> None:
        """Keep in these words, from now on, what makes long rows of INVLPG cheap: for each 4 MiB of linear addresses one, which equals the last, behind them,
        only where something has been filled since the TLB was dropped last. Elsewhere there is nothing to drop."""
        words[:] = self._filled
        self._filled = words
        self._filled_anchor = ctypes.c_uint32.from_buffer(words)
        self._words[stubs.FILLED // 8] = ctypes.addressof(self._filled_anchor)

    def flush_tlb(self) -> None:
        self._filled[_FLUSHES] = self._filled[_FLUSHES] + 1 & 0xFFFFFFFF
        self._unicorn.flush_tlb()

    def invalidate_page(self, address: int) -> None:
        """INVLPG: drop the translation of a linear address, with what is in the same 4 MiB, in case that was one page."""
        if self._filled[address >> 22] == self._filled[_FLUSHES]:
            self.flush_tlb()

    # --- Memory ----------------------------------------

    def memory_changed(self, changes: Sequence[MapChange]) -> None:
        """Take over the flat map of these pages; translations of code that lay there are dropped."""
        left = self._pages.changed(changes)
        self._words[stubs.A20_PAGES // 8] = self._memory.a20_mask >> PAGE_SHIFT
        self._unicorn.flush_tlb()
        for frame in left:
            self._drop_frame(frame, 0, PAGE_SIZE)

    def invalidate_code(self, start: int, size: int) -> None:
        """Guest-physical bytes changed behind the translator's back."""
        classes = self._classes
        for page, offset, length in by_page(start, size):
            if page < PAGES and classes[page] & CLASS_FETCHED:
                self._drop_translations(page, offset, length)

    def forget_code(self) -> None:
        """Between runs: all code is new to the engine."""
        self._code_hooks.start_over()
        self._pages.forget_fetches()
        self._tlb_fills.forget_patience()

    def drop_code(self, page: int) -> None:
        """Forget the translations of a guest-physical page."""
        if page < PAGES and self._classes[page] & CLASS_DIRECT:
            self._drop_translations(page)

    def map_vmm(self, address: int, size: int) -> None:
        """`vmm.Vmm.map`, before any code has run."""
        self.vmm.map(address, size)
        self._code_hooks.hide_tables()

    def drop_vmm_code(self, offset: int, size: int) -> None:
        """Forget the translations of the VMM's own memory."""
        self._drop_bytes(VMM_BASE + offset, size)

    def _drop_translations(self, page: int, offset: int = 0, size: int = PAGE_SIZE) -> None:
        self._drop_frame(self._frames[page], offset, size)

    def _drop_frame(self, frame: int, offset: int, size: int) -> None:
        self.code_invalidations += 1
        self._drop_bytes((frame << PAGE_SHIFT) + offset, size)

    def _drop_bytes(self, address: int, size: int) -> None:
        """Forget the translations of what lies at one of Unicorn's addresses."""
        with self._identity_fills():
            self._unicorn.remove_cache(address, address + size)

    def _forget_translations(self, hooks: Collection[int]) -> None:
        """All of them, and these hooks, between two runs."""
        with self._identity_fills():
            for hook in hooks:
                self._unicorn.unhook(hook)
            self._unicorn.flush_translations()

    @contextmanager
    def _identity_fills(self) -> Iterator[None]:
        """For calls in which Unicorn takes linear addresses and looks them up as fetches: they are physical, and the guest's tables are not walked."""
        classes_word = self._words[stubs.CLASSES // 8]
        self._words[stubs.CLASSES // 8] = _NOTHING_DIRECT_ADDRESS
        self._bypass = True
        self._unicorn.flush_tlb()
        yield
        self._bypass = False
        self._words[stubs.CLASSES // 8] = classes_word
        self._unicorn.flush_tlb()

    # --- Callbacks ----------------------------------------

    def _fill_hook(self, _uc: int, address: int, kind: int, entry: int, _user: int) -> bool:
        try:
            if self._bypass:
                paddr, rights = address, binding.PROT_READ | binding.PROT_EXEC
            else:
                self.slow_fills += 1
                self._filled[(address & 0xFFFFFFFF) >> 22] = self._filled[_FLUSHES]
                paddr, rights = self._tlb_fills.answer(address & 0xFFFFFFFF, _ACCESS[kind])
        except GuestFault as fault:
            self._pending_fault = fault
            if kind != binding.MEM_FETCH:
                self._refused_eflags = self.env.q[Q_EFLAGS]
            return False
        except WatchedWrite as write:
            self.watched_page = write.page
            self._refused_eflags = self.env.q[Q_EFLAGS]
            return False
        except BaseException as failure:
            self._fail(failure)
            paddr, rights = MMIO_BASE + (PAGES << PAGE_SHIFT), binding.UC_PROT_ALL
        ctypes.c_uint64.from_address(entry).value = paddr
        ctypes.c_uint32.from_address(entry + 8).value = rights
        return True

    def _block_hook(self, _uc: int, address: int, size: int, _user: int) -> None:
        """The block stub in Python, for hosts without it."""
        self._block[0] = address & 0xFFFFFFFF
        wants_stop = self._budget[0] <= 0 or self._exit_request[0] or self._guard_request[0] or self._wants_attention()
        if wants_stop and (not self.vmm.contains(address) or self._budget[0] < -LONGEST_PATCH):
            self._words[stubs.STOPPED // 8] = 1
            self._unicorn.stop()
        else:
            self._budget[0] -= size

    def _wants_attention(self) -> bool:
        accepts = ctypes.c_uint32.from_address(self._words[_INTERRUPT_FLAG_WORD]).value & FLAG_IF
        waits = self._interrupt_waiting[0] and accepts and not self.env.d[D_HFLAGS] & HF_INHIBIT_IRQ
        return bool(waits) or not self.env.d[_TR_FLAGS] & LOADED_BY_US

    def _edge_hook(self, _uc: int, block: int, _previous: int, _user: int) -> None:
        """A block was translated and will run next."""
        try:
            described = binding.TranslationBlock.from_address(block)
            if self.env.cpl == 1 and not self.vmm.contains(described.pc):
                self._events.odd_ring_code(described.pc, described.size)
            self._code_hooks.block_translated(described.pc, described.size)
        except BaseException as failure:
            self._fail(failure)

    def _forbid(self, fault: GuestFault) -> None:
        self._pending_fault = fault

    def _table_instruction_met(self) -> None:
        self._events.table_instruction()
        self._stop_run()

    def _stop_in_front(self, address: int) -> bool:
        if self._start == address - self.env.q[Q_BASE[CS]] & 0xFFFFFFFF:
            self._start = -1
            return False
        self._stop_run()
        return True

    def _stop_run(self) -> None:
        self._words[_STOPPED_WORD] = 1
        self._unicorn.stop()

    def _interrupt_hook(self, _uc: int, vector: int, _user: int) -> None:
        try:
            self._code_hooks.correct_flags()
            self.env.d[D_OLD_EXCEPTION] = 0xFFFFFFFF
            if not self.env.d[_TR_FLAGS] & LOADED_BY_US:
                self._task_register_loaded()
            self._events.exception(vector)
        except BaseException as failure:
            self._fail(failure)

    def _invalid_hook(self, _uc: int, _user: int) -> bool:
        try:
            self._code_hooks.correct_flags()
            self.env.d[D_OLD_EXCEPTION] = 0xFFFFFFFF
            self._events.invalid_opcode()
        except BaseException as failure:
            self._fail(failure)
        return True

    def _in_hook(self, _uc: int, port: int, size: int, _user: int) -> int:
        self._budget[0] -= self.access_cost
        self.port_reads += 1
        try:
            return self._read_port(port, size)
        except BaseException as failure:
            self._fail(failure)
            return 0xFFFFFFFF

    def _out_hook(self, _uc: int, port: int, size: int, value: int, _user: int) -> None:
        self._budget[0] -= self.access_cost
        self.port_writes += 1
        try:
            self._write_port(port, size, value)
        except BaseException as failure:
            self._fail(failure)

    def _mmio_read_hook(self, _uc: int, offset: int, size: int, _user: int) -> int:
        self._budget[0] -= self.access_cost
        self.mmio_reads += 1
        try:
            if offset >= PAGES << PAGE_SHIFT:
                return (1 << 8 * size) - 1
            return self._memory.mmio_read(offset, size)
        except BaseException as failure:
            self._fail(failure)
            return (1 << 8 * size) - 1

    def _mmio_write_hook(self, _uc: int, offset: int, size: int, value: int, _user: int) -> None:
        self._budget[0] -= self.access_cost
        self.mmio_writes += 1
        if offset >= PAGES << PAGE_SHIFT:
            return
        try:
            if offset >> PAGE_SHIFT in self.vmm.watched:
                self._events.watched_write(offset, size, value)
                return
            self._memory.mmio_write(offset, size, value)
        except BaseException as failure:
            self._fail(failure)

    def _skip_hook(self, handler: Callable[[], None]) -> Callable[[Any, Any], int]:
        def hook(_uc: Any, _user: Any) -> int:
            self._budget[0] -= self.access_cost
            self.queries += 1
            try:
                handler()
            except BaseException as failure:
                self._fail(failure)
            return 1

        return hook

    def _fast_call_hook(self, opcode: int) -> Callable[[Any, Any], int]:
        def hook(_uc: Any, _user: Any) -> int:
            try:
                self._events.fast_call(opcode)
                self.env.q[Q_EIP] = self.env.q[Q_EIP] - 2 & 0xFFFFFFFF  # Unicorn adds the instruction's length afterwards.
            except BaseException as failure:
                self._fail(failure)
            return 1

        return hook

    def close(self) -> None:
        self._unicorn.close()


_NOTHING_DIRECT = (ctypes.c_uint8 * PAGES)()
_NOTHING_DIRECT_ADDRESS = ctypes.addressof(_NOTHING_DIRECT)
"""A class table in which no page is direct: sends every fill to Python."""
