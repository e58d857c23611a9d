"""Calls in front of single instructions that Unicorn gets wrong: those whose privilege it does not check (`io_guard`), LOOPE and LOOPNE (`loop_flags`), and far
transfers to tasks (`task_switches`); and in front of those that would show ring 3 a VMM's descriptor tables.

They are found when the block that holds them is translated, before it runs. It is then translated once more, with a code hook in front of the instruction. What
a hook may stop needs exit tests in that one translation (`no_exit_request`), so that a forbidden instruction has not begun.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection
from functools import partial

from ringone.api.memory import PAGE_SHIFT

from ringone_cpu_recompiler import binding, stubs
from ringone_cpu_recompiler.binding import Unicorn
from ringone_cpu_recompiler.descriptors import Descriptors
from ringone_cpu_recompiler.env import ARITHMETIC_FLAGS, CS, D_CC_OP, D_HFLAGS, HF_CS32, Q_BASE, Q_CC_SRC, Q_EFLAGS, Q_EIP, Env
from ringone_cpu_recompiler.faulted_flags import may_be_lost, sets_known_flags, works_out_flags
from ringone_cpu_recompiler.instructions import LONGEST_INSTRUCTION
from ringone_cpu_recompiler.io_guard import IoGuard
from ringone_cpu_recompiler.loop_flags import LoopFlags, settle_flags
from ringone_cpu_recompiler.pages import Pages
from ringone_cpu_recompiler.paging import FETCH, GuestFault, Paging
from ringone_cpu_recompiler.task_switches import LONGEST_TAIL, TaskSwitches
from ringone_cpu_recompiler.vmm import LONGEST_PATCH, Vmm

MAX_HOOKS = 1024
"""Instructions that have hooks at a time. A guest can make new ones for ever."""

_GUARD = 1
_LOOP = 4


class CodeHooks:
    """The hooks of one engine. `request` is the word of the block stub that ends a run at the next block (`Engine.run`).

    `drop_page` takes a guest-physical page, `drop_bytes` one of Unicorn's addresses; `forget` drops these hooks and all translations; `forbid` makes the fault
    that a hook has found come; `table_instruction` leaves to the VMM what comes next, and stops the engine; `stop_in_front` stops it unless the run has just
    begun at a linear address.
    """

    def __init__(
        self,
        unicorn: Unicorn,
        env: Env,
        paging: Paging,
        pages: Pages,
        vmm: Vmm,
        *,
        control: ctypes.Array[ctypes.c_uint8],
        loop_stub: int | None,
        no_exit_request: ctypes.c_bool,
        drop_page: Callable[[int], None],
        drop_bytes: Callable[[int, int], None],
        forget: Callable[[Collection[int]], None],
        forbid: Callable[[GuestFault], None],
        table_instruction: Callable[[], None],
        stop_in_front: Callable[[int], bool],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._unicorn = unicorn
        self._env = env
        self._paging = paging
        self._pages = pages
        self._vmm = vmm
        self._control = ctypes.addressof(control)
        view = memoryview(control).cast("B")
        self._budget = view[stubs.BUDGET : stubs.BUDGET + 8].cast("q")
        self._request = view[stubs.GUARD_REQUEST : stubs.GUARD_REQUEST + 2].cast("H")
        self._block = view[stubs.BLOCK : stubs.BLOCK + 4].cast("I")
        self._loop_stub = loop_stub
        self._no_exit_request = no_exit_request
        self._drop_page = drop_page
        self._drop_bytes = drop_bytes
        self._forget = forget
        self._forbid = forbid
        self._table_instruction = table_instruction
        self._stop_in_front = stop_in_front
        self._fail = fail
        self._callback = binding.CodeCallback(self._called)
        view.cast("Q")[stubs.SLOW_CODE // 8] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        self._io_guard = IoGuard(env, paging)
        self._loop_flags = LoopFlags(env, paging, pages, vmm)
        self._task_switches = TaskSwitches(env, Descriptors(env, paging), self._loop_flags.read)
        self._hooks: dict[int, int] = {}
        """By linear address."""
        self._loops: set[int] = set()
        """Addresses of LOOPE and LOOPNE among them."""
        self._switches: set[int] = set()
        """And of far transfers to tasks."""
        self._start_over = False
        self.lent = 0
        """What was taken from the budget, so that it is used up here and now."""
        self.passed: tuple[int, int, int] | None = None
        """The instruction whose hook let it run last, the budget then, and the arithmetic flags."""

    def hide_tables(self) -> None:
        """From the first block on: a VMM may put other descriptor tables under ring 3."""
        self._io_guard.hides_tables = True

    def block_translated(self, address: int, size: int) -> None:
        """A block will run next for the first time."""
        length = min(size, LONGEST_TAIL)
        tail = self._loop_flags.read(address + size - length, length)
        loop = self._loop_flags.at_end(address, size, tail)
        if loop >= 0:
            self._hook_loop(loop, address)
        if self._runs_ring_0_at_1() or self._vmm.contains(address):
            return
        found = self._io_guard.instructions(address, size)
        switch = self._task_switches.at_end(address, size, tail)
        if switch >= 0:
            self._switches.add(switch)
            found.append(switch)
        if not self._no_exit_request.value:
            self._no_exit_request.value = True
        elif found:
            self._guard(found, address, size)

    def between_runs(self, request: int) -> None:
        """Before the run that translates a block once more; `request` is what has ended the last one."""
        if self._start_over:
            self.start_over()
        elif request & _GUARD:
            self._no_exit_request.value = False

    def start_over(self) -> None:
        """Between runs: without any hooks and translations."""
        self._start_over = False
        self._forget(self._hooks.values())
        self._hooks.clear()
        self._loops.clear()
        self._switches.clear()

    def correct_flags(self) -> None:
        """Where the instruction behind a hook faults, Unicorn goes back to how the flags were computed, but the hook has finished one of the operands."""
        if self.passed is None:
            return
        address, budget, flags = self.passed
        self.passed = None
        q = self._env.q
        if budget == self._budget[0] and address == q[Q_BASE[CS]] + q[Q_EIP] & 0xFFFFFFFF:
            self._env.finish_flags(flags)

    def correct_faulted_flags(self, eflags: int) -> None:
        """Where the instruction at EIP could not access its memory operand. `eflags` are the other flags, as they were then: Unicorn has added what came of the
        lazy ones since."""
        if may_be_lost(self._env):
            q = self._env.q
            address = q[Q_BASE[CS]] + q[Q_EIP] & 0xFFFFFFFF
            code = self._loop_flags.read(address, LONGEST_INSTRUCTION)
            if works_out_flags(code, self._env.d[D_CC_OP], partial(self._flags_come_from_block, address)):
                q[Q_EFLAGS] = eflags & ~ARITHMETIC_FLAGS
                self._env.finish_flags(q[Q_CC_SRC])

    def _flags_come_from_block(self, address: int) -> bool:
        """Whether an instruction in front of `address` in its block has set the flags."""
        before = self._loop_flags.read(self._block[0], address - self._block[0] & 0xFFF)
        return sets_known_flags(before, 32 if self._env.d[D_HFLAGS] & HF_CS32 else 16)

    def _runs_ring_0_at_1(self) -> bool:
        return self._vmm.active and self._env.cpl == 1

    def _guard(self, instructions: list[int], start: int, size: int) -> None:
        """Have the block translated once more, with hooks at these instructions."""
        for address in instructions:
            if address not in self._hooks:
                self._hooks[address] = self._unicorn.hook(binding.HOOK_CODE, self._callback, at=address)
        self._request[0] |= _GUARD
        self._start_over = self._start_over or len(self._hooks) > MAX_HOOKS
        try:
            for address in {start, start + size - 1}:
                physical = self._pages.behind_gate(self._paging.translate(address, FETCH, self._env.cpl == 3)[0])
                self._drop_page(physical >> PAGE_SHIFT)
        except GuestFault:  # The guest changed its page tables and still runs from the TLB.
            self._start_over = True

    def _hook_loop(self, address: int, block: int) -> None:
        """Have the block that ends in LOOPE or LOOPNE translated once more, with a hook there, but none where such an instruction was before: what a hook finds
        written out depends on the one before it (`IoGuard.instructions`)."""
        former = not self._loops.isdisjoint(range(block, address))
        if address in self._hooks and not former:
            return
        self._request[0] |= _LOOP
        if self._vmm.contains(block):
            self.lent += self._budget[0] + LONGEST_PATCH + 1
            self._budget[0] = -LONGEST_PATCH - 1
        if former:
            self._start_over = True
            return
        self._loops.add(address)
        if self._loop_stub is not None:
            self._hooks[address] = self._unicorn.hook(binding.HOOK_CODE, self._loop_stub, user_data=self._control, at=address)
        else:
            self._hooks[address] = self._unicorn.hook(binding.HOOK_CODE, self._callback, at=address)
        self._start_over = self._start_over or len(self._hooks) > MAX_HOOKS
        found = self._loop_flags.frame_address(address)
        if found >= 0:
            self._drop_bytes(found, 1)
        else:
            self._start_over = True

    def _called(self, _uc: int, address: int, _size: int, _user: int) -> None:
        """In front of an instruction that needed a hook when it was translated. The guest may have put another one there."""
        try:
            if self._loop_flags.is_at(address):
                settle_flags(self._env)
                return
            if self._vmm.active and self._env.cpl == 3 and self._io_guard.shows_tables(address):
                self._table_instruction()
                return
            fault = None if self._runs_ring_0_at_1() else self._io_guard.fault(address)
            if fault is None and (address in self._switches or self._io_guard.loses_flags(address)) and self._stop_in_front(address):
                return
            if fault is None:
                self.passed = (address, self._budget[0], self._env.eflags & ARITHMETIC_FLAGS)
                return
            self._forbid(fault)
        except BaseException as failure:
            self._fail(failure)
        self._unicorn.stop()
