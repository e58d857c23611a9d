"""Into raw mode and back (VirtualBox's CPUM raw enter and leave): the guest's ring 0 becomes ring 1, its IF becomes virtual, its descriptor tables are
replaced by their shadows. And the decision whether the current state may run so at all."""

from __future__ import annotations

from ringone_cpu_recompiler import layout
from ringone_cpu_recompiler.env import (
    CR0_PE,
    CR0_PG,
    CS,
    D_FLAGS,
    D_HFLAGS,
    D_HFLAGS2,
    D_LIMIT,
    D_SELECTOR,
    DESC_B,
    DS,
    ES,
    FLAG_IF,
    FLAG_IOPL,
    FLAG_TF,
    FLAG_VM,
    FS,
    GDT,
    GS,
    HF2_NMI,
    HF_CPL,
    IDT,
    LDT,
    Q_BASE,
    Q_CR0,
    Q_CR2,
    Q_CR3,
    Q_CR4,
    Q_EFLAGS,
    SS,
    TR,
)

from ringone_cpu_patm import state_page, vmm_memory
from ringone_cpu_patm.descriptor_shadow import DPL, LONG, RAISED, DescriptorShadow
from ringone_cpu_patm.vmm_memory import VmmMemory
from ringone_cpu_patm.world import World

_PROTECTED_PAGING = CR0_PE | CR0_PG
_DEBUG_BREAKPOINTS = 0xFF
_LONGEST_LIMIT = 0xFFFFFFFF
_Q_DR = layout.DR // 8
_W_IF = state_page.VIRTUAL_IF // 4
_W_PENDING = state_page.PENDING // 4
_W_CR0 = state_page.CR0 // 4
_W_CR2 = state_page.CR2 // 4
_W_CR3 = state_page.CR3 // 4
_W_CR4 = state_page.CR4 // 4
_W_DR = state_page.DR // 4
_W_LDTR = state_page.LDTR // 4
_W_TR = state_page.TR // 4
_DATA_SEGMENTS = (DS, ES, FS, GS)
_ALL_SEGMENTS = (CS, SS, *_DATA_SEGMENTS)


class RawMode:
    """Switches the state of one world. Between `enter` and `leave` the register file holds the deprivileged state."""

    def __init__(self, world: World, memory: VmmMemory, shadow: DescriptorShadow) -> None:
        self._world = world
        self._env = world.env
        self._memory = memory
        self._state = memory.state
        self._virtual_if = memory.address + vmm_memory.STATE + state_page.VIRTUAL_IF
        self._shadow = shadow
        self.window_base = 0
        self.entered = False
        self.rings_used = False
        """The guest has code at rings 1 or 2 of its own, which raw mode needs for itself."""
        self._gdt = (0, 0)
        self._ldt = (0, 0)
        self.stale = True
        """Table, task or debug registers may have changed since the last `enter`: the recompiler ran, or a state was loaded."""

    def refusal(self) -> str | None:
        """Why the current state, the guest's true one, cannot run in raw mode; None where it can."""
        q, d = self._env.q, self._env.d
        if q[Q_CR0] & _PROTECTED_PAGING != _PROTECTED_PAGING:
            return "no paging"
        if not self._world.a20_open:
            return "A20 closed"
        eflags = q[Q_EFLAGS]
        if eflags & (FLAG_VM | FLAG_TF):
            return "virtual-8086 mode" if eflags & FLAG_VM else "single step"
        if q[_Q_DR + 7] & _DEBUG_BREAKPOINTS:
            return "breakpoints"
        ring = d[D_HFLAGS] & HF_CPL
        if eflags & FLAG_IOPL:
            return "I/O privilege"
        if ring == 3:
            return None if eflags & FLAG_IF else "interrupts off in ring 3"
        if ring or self.rings_used:
            return "rings 1 and 2"
        if q[Q_BASE[CS]] | q[Q_BASE[SS]] or d[D_LIMIT[CS]] != _LONGEST_LIMIT or d[D_LIMIT[SS]] != _LONGEST_LIMIT:
            return "segments not flat"
        if not d[D_FLAGS[CS]] & d[D_FLAGS[SS]] & DESC_B:
            return "16-bit segments"
        for register in _ALL_SEGMENTS:
            flags = d[D_FLAGS[register]]
            if flags & LONG or flags & DPL == RAISED:
                return "descriptors of DPL 1 or 64 bits"
        return "NMI handler" if d[D_HFLAGS2] & HF2_NMI else None

    def enter(self, interrupt_waits: bool) -> None:
        """From the guest's true state, which `refusal` accepts, to the deprivileged one."""
        q, d, state = self._env.q, self._env.d, self._state
        self._shadow.sync()
        state[_W_IF] = q[Q_EFLAGS] & FLAG_IF
        q[Q_EFLAGS] |= FLAG_IF
        self.interrupt_line(interrupt_waits)
        self._world.take_interrupts_by(self._virtual_if)
        self._show_system_registers()
        if not d[D_HFLAGS] & HF_CPL:
            self._shadow.show_kernel_cs(d[D_SELECTOR[CS]])
            d[D_HFLAGS] |= 1
            for register in (CS, SS):
                d[D_SELECTOR[register]] |= 1
                d[D_FLAGS[register]] |= RAISED
        self._shadow.show_data(d[D_SELECTOR[DS]], q[Q_BASE[DS]])
        base = self.window_base
        self._gdt = q[Q_BASE[GDT]], d[D_LIMIT[GDT]]
        self._ldt = q[Q_BASE[LDT]], d[D_LIMIT[LDT]]
        q[Q_BASE[GDT]] = base + vmm_memory.GDT
        d[D_LIMIT[GDT]] = self._shadow.limits[0]
        if self._shadow.limits[1] >= 0:
            q[Q_BASE[LDT]] = base + vmm_memory.LDT
            d[D_LIMIT[LDT]] = self._shadow.limits[1]
        self.entered = True

    def _show_system_registers(self) -> None:
        """What patches read instead of privileged registers."""
        q, d, state = self._env.q, self._env.d, self._state
        state[_W_CR0] = q[Q_CR0] & 0xFFFFFFFF
        state[_W_CR2] = q[Q_CR2] & 0xFFFFFFFF
        state[_W_CR3] = q[Q_CR3] & 0xFFFFFFFF
        state[_W_CR4] = q[Q_CR4] & 0xFFFFFFFF
        if self.stale:
            self.stale = False
            state[_W_LDTR] = d[D_SELECTOR[LDT]]
            state[_W_TR] = d[D_SELECTOR[TR]]
            self._shadow.show_sysexit()
            self._memory.store_table_register(state_page.IDTR, d[D_LIMIT[IDT]], q[Q_BASE[IDT]])
            self._memory.store_table_register(state_page.GDTR, d[D_LIMIT[GDT]], q[Q_BASE[GDT]])
            for index in range(8):
                state[_W_DR + index] = q[_Q_DR + index] & 0xFFFFFFFF

    def leave(self) -> None:
        """Back to the guest's true state; EIP may still lie in patch memory."""
        q, d = self._env.q, self._env.d
        q[Q_EFLAGS] = q[Q_EFLAGS] & ~(FLAG_IF | FLAG_IOPL) | self._state[_W_IF] & FLAG_IF
        if d[D_HFLAGS] & HF_CPL == 1:
            d[D_HFLAGS] &= ~HF_CPL
            d[D_SELECTOR[CS]] &= 0xFFFC
            d[D_SELECTOR[SS]] &= 0xFFFC
        for register in _ALL_SEGMENTS:
            if d[D_FLAGS[register]] & DPL == RAISED:
                d[D_FLAGS[register]] &= ~DPL
        q[Q_BASE[GDT]], d[D_LIMIT[GDT]] = self._gdt
        q[Q_BASE[LDT]], d[D_LIMIT[LDT]] = self._ldt
        self._world.take_interrupts_by(0)
        self.entered = False

    def interrupt_line(self, level: bool) -> None:
        self._state[_W_PENDING] = FLAG_IF if level else 0
