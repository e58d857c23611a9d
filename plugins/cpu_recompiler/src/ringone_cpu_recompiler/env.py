"""The processor state in place: typed views over CPUX86State (`layout`).

Hot code takes the views `q` (64-bit words) and `d` (32-bit words) and indexes them with the constants here; the properties are for everything else.
`hflags` caches what the translator depends on; whoever changes a segment, CR0 or the ring through this module calls `update_hflags`.
"""

from __future__ import annotations

import ctypes

from ringone_cpu_recompiler import binding, layout
from ringone_cpu_recompiler.binding import Unicorn

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
ES, CS, SS, DS, FS, GS, LDT, TR, GDT, IDT = range(10)

# Indexes into `Env.q`.
Q_EIP = layout.EIP // 8
Q_EFLAGS = layout.EFLAGS // 8
Q_CR0 = layout.CR // 8
Q_CR2 = Q_CR0 + 2
Q_CR3 = Q_CR0 + 3
Q_CR4 = Q_CR0 + 4
Q_EFER = layout.EFER // 8
Q_CC_SRC = layout.CC_SRC // 8
Q_BASE = tuple((layout.SEGMENTS + layout.SEGMENT_SIZE * n + 8) // 8 for n in range(10))
# Indexes into `Env.d`.
D_HFLAGS = layout.HFLAGS // 4
D_HFLAGS2 = layout.HFLAGS2 // 4
D_CC_OP = layout.CC_OP // 4
D_DF = layout.DF // 4
D_SELECTOR = tuple((layout.SEGMENTS + layout.SEGMENT_SIZE * n) // 4 for n in range(10))
D_LIMIT = tuple(index + 4 for index in D_SELECTOR)
D_FLAGS = tuple(index + 5 for index in D_SELECTOR)
D_ERROR_CODE = layout.ERROR_CODE // 4
D_EXCEPTION_IS_INT = D_ERROR_CODE + 1
D_OLD_EXCEPTION = layout.OLD_EXCEPTION // 4

# EFLAGS.
FLAG_CF = 1 << 0
FLAG_TF = 1 << 8
FLAG_IF = 1 << 9
FLAG_DF = 1 << 10
FLAG_IOPL = 3 << 12
FLAG_NT = 1 << 14
FLAG_RF = 1 << 16
FLAG_VM = 1 << 17
FLAG_AC = 1 << 18
ARITHMETIC_FLAGS = 0x8D5
EFLAGS_BITS = 0x3F7FD5
"""Those that are not reserved."""
CC_OP_EFLAGS = 1
CC_OP_SUBB = 14
CC_OP_LOGICB = 22
CC_OPS_LOGIC = range(CC_OP_LOGICB, CC_OP_LOGICB + 4)
DF_DOWN = 0xFFFFFFFF

# QEMU's hflags.
HF_CPL = 3
HF_INHIBIT_IRQ = 1 << 3
HF_CS32 = 1 << 4
HF_SS32 = 1 << 5
HF_ADDSEG = 1 << 6
HF_PE = 1 << 7
HF_MP = 1 << 9
HF_EM = 1 << 10
HF_TS = 1 << 11
HF_OSFXSR = 1 << 22
HF2_NMI = 1 << 2

CR0_PE = 1 << 0
CR0_MP = 1 << 1
CR0_EM = 1 << 2
CR0_TS = 1 << 3
CR0_ET = 1 << 4
CR0_WP = 1 << 16
CR0_PG = 1 << 31
CR4_PSE = 1 << 4
CR4_PAE = 1 << 5
CR4_OSFXSR = 1 << 9
EFER_SCE = 1 << 0
EFER_LME = 1 << 8
EFER_LMA = 1 << 10
EFER_NXE = 1 << 11

# Second doubleword of a descriptor, which is also how SegmentCache.flags is laid out.
DESC_A = 1 << 8
DESC_TYPE_SHIFT = 8
DESC_S = 1 << 12
DESC_DPL_SHIFT = 13
DESC_P = 1 << 15
DESC_B = 1 << 22
DESC_G = 1 << 23
DESC_W = 1 << 9
DESC_C = 1 << 10
DESC_CODE = 1 << 11

REAL_MODE_FLAGS = DESC_P | DESC_S | DESC_W | DESC_A
LOADED_BY_US = DESC_S
"""A bit in the flags of TR that neither LTR nor a task switch of the engine's leaves set, and that the engine never looks at there. The VMM sets it whenever it
has seen TR, so that the block stub notices both at no cost."""
V86_FLAGS = REAL_MODE_FLAGS | (3 << DESC_DPL_SHIFT)


class Env:
    """Views over one engine's CPUX86State."""

    def __init__(self, unicorn: Unicorn, address: int) -> None:
        self._unicorn = unicorn
        self.address = address
        raw = (ctypes.c_uint8 * layout.ENV_SIZE).from_address(address)
        view = memoryview(raw).cast("B")
        self.b = view
        self.q = view.cast("Q")
        self.d = view.cast("I")
        self._pristine = bytes(view)

    def restore_pristine(self) -> None:
        """Everything as the engine was created, hidden state included."""
        self.b[:] = self._pristine

    @property
    def eflags(self) -> int:
        """EFLAGS with the arithmetic flags, which the engine computes lazily."""
        return self._unicorn.read_register(binding.REG_EFLAGS) & 0xFFFFFFFF

    @eflags.setter
    def eflags(self, value: int) -> None:
        q = self.q
        q[Q_EFLAGS] = (value & EFLAGS_BITS & ~(ARITHMETIC_FLAGS | FLAG_DF)) | 2
        q[Q_CC_SRC] = value & ARITHMETIC_FLAGS
        self.d[D_CC_OP] = CC_OP_EFLAGS
        self.d[D_DF] = DF_DOWN if value & FLAG_DF else 1

    def finish_flags(self, flags: int) -> None:
        """Put these arithmetic flags in the place of lazy ones, whose parts need not make sense: computed from those, `eflags` may have any bit set."""
        self.q[Q_CC_SRC] = flags & ARITHMETIC_FLAGS
        self.d[D_CC_OP] = CC_OP_EFLAGS

    def settle_eflags(self) -> None:
        """Before guest code runs: the engine begins with what Q_EFLAGS holds, where the lazy parts stand while it is stopped."""
        q, d = self.q, self.d
        if d[D_CC_OP] == CC_OP_EFLAGS:
            q[Q_EFLAGS] |= q[Q_CC_SRC] & ARITHMETIC_FLAGS
        if d[D_DF] == DF_DOWN:
            q[Q_EFLAGS] |= FLAG_DF

    @property
    def cpl(self) -> int:
        return self.d[D_HFLAGS] & HF_CPL

    def set_segment(self, register: int, selector: int, base: int, limit: int, flags: int) -> None:
        d = self.d
        d[D_SELECTOR[register]] = selector
        d[D_LIMIT[register]] = limit
        d[D_FLAGS[register]] = flags
        self.q[Q_BASE[register]] = base

    def set_real_mode_segment(self, register: int, selector: int) -> None:
        """Real-address mode: only selector and base change; limit and attributes keep what they were (SDM vol. 3, 21.1.2)."""
        self.d[D_SELECTOR[register]] = selector
        self.q[Q_BASE[register]] = selector << 4

    def set_v86_segment(self, register: int, selector: int) -> None:
        self.set_segment(register, selector, selector << 4, 0xFFFF, V86_FLAGS)

    def update_hflags(self, cpl: int) -> None:
        """Recompute hflags from CR0, CR4, EFLAGS and the segments, with this current privilege level; the interrupt shadow ends."""
        q = self.q
        d = self.d
        cr0 = q[Q_CR0]
        hflags = d[D_HFLAGS] & ~(HF_CPL | HF_INHIBIT_IRQ | HF_CS32 | HF_SS32 | HF_ADDSEG | HF_PE | HF_MP | HF_EM | HF_TS | HF_OSFXSR)
        hflags |= cpl | ((cr0 & CR0_PE) << 7) | ((cr0 << 8) & (HF_MP | HF_EM | HF_TS))
        if q[Q_CR4] & CR4_OSFXSR:
            hflags |= HF_OSFXSR
        if d[D_FLAGS[CS]] & DESC_B:
            hflags |= HF_CS32
        if d[D_FLAGS[SS]] & DESC_B:
            hflags |= HF_SS32
        if not cr0 & CR0_PE or q[Q_EFLAGS] & FLAG_VM or not hflags & HF_CS32 or q[Q_BASE[DS]] | q[Q_BASE[ES]] | q[Q_BASE[SS]]:
            hflags |= HF_ADDSEG
        d[D_HFLAGS] = hflags
