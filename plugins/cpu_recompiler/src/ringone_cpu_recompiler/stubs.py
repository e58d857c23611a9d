"""The engine's hot callbacks as machine code: the hooks of blocks, of new translations and of TLB fills; and the delivery of interrupts.

A Python callback costs 1-3 us, a delivery in Python 10, and 90 where caches are cold; Linux needs 100 million blocks and half a million fills to boot, and
250 ticks a second ever after. So on x86-64 hosts with the System V calling convention five routines of up to a few hundred instructions, made with iced-x86
(`stub_source`), do the common case and leave the rest to Python. Other hosts take Python for everything: slow but right.

`edge` (uc, block, previous block, control): sends new translations of ring-1 (`vmm`) and ring-3 code (`io_guard`) to Python, and those that may end in LOOPE
or LOOPNE (`loop_flags`), or in a far transfer (`task_switches`).
`loop` (uc, address, size, control): the hook at a LOOPE or LOOPNE; where it finds something else, or the VMM's views may hide what is there, Python looks.
`block` (uc, address, size, control): notes the block, takes its bytes from the budget and stops the engine before it runs when the budget is used up, an exit
is asked for, an interrupt waits and the guest can take it, or the task register holds what the engine would fall over; never inside the VMM's window.
`fill` (uc, address, access, entry, control): walks the guest's page tables (none, 32-bit with PSE, PAE), sets accessed and dirty bits, and answers
for plain memory, the VMM's window and its views of guest pages. Whatever it cannot
decide (faults, MMIO, ROM writes, a page's first fetch, writes to code pages, NX) it leaves to the Python hook, which starts over.
`deliver` (control, vector, kind, error code): enters an interrupt handler in the usual case (`delivery_source`) and returns 1; 0 where it did nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from collections.abc import Callable

from ringone_cpu_recompiler.stub_code import ROUTINES

# Byte offsets in the control block, which machine code and Python share.
BUDGET = 0
EMU_STOP = 8
EXIT_REQUEST = 16
GUARD_REQUEST = 18
"""High half of EXIT_REQUEST: a block must be translated again before it runs."""
INTERRUPT_WAITING = 20
STOPPED = 24
ENV = 32
CLASSES = 40
FRAMES = 48
BACKING = 56
A20_PAGES = 64
SLOW_FILL = 72
FILLS = 80
SLOW_EDGE = 88
PATIENCE = 96
VIEWS = 104
"""Address of the fetch views (`vmm.FetchViews`), 0 while the guest's rings are its own."""
WINDOW_BASE = 112
"""Linear address of the VMM's window. 32 bits, as the rest of its words."""
WINDOW_SIZE = 116
"""0 while there is no window."""
WINDOW_CODE = 120
"""How much of the window, from its start, is code."""
WINDOW_FRAME = 124
"""Where the window lies in the engine's physical addresses, in pages."""
UNICORN = 128
READ_REGISTER = 136
FILLED = 144
"""Address of the filled regions: 32 bits for each 4 MiB of linear addresses, what FLUSHES was when something there was filled last."""
INTERRUPT_FLAG = 152
"""Address of the word whose bit 9 says whether the guest takes interrupts: EFLAGS, or the virtual one of a deprivileged kernel."""
SLOW_CODE = 160
"""Address of the Python hook of single instructions."""
BLOCK = 168
"""Linear address of the block that runs. 32 bits."""
CONTROL_SIZE = 176

# In the filled regions, behind them.
FLUSHES = 0x1000
"""32 bits: how often `Engine.flush_tlb` dropped the TLB."""
FILLED_SIZE = 0x1004

# What kind of event `deliver` is to deliver.
KIND_SOFTWARE = 1 << 0
"""INT n: the gate's DPL is checked."""
KIND_ERROR_CODE = 1 << 1
KIND_RESUME_FLAG = 1 << 2
"""EFLAGS.RF is set in the frame."""

_ALIGNMENT = 16

Deliver = Callable[[int, int, int, int], int]
_Deliver = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)


def native_code_works() -> bool:
    """Whether this host runs the stubs."""
    return platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32"


class NativeStubs:
    """The routines in executable memory; lives as long as the engine that calls them. Raises OSError where the host refuses such memory."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._anchor = ctypes.c_uint8.from_buffer(self._memory)
        self._end = 0
        self.block = self._place("block")
        self.edge = self._place("edge")
        self.fill = self._place("fill")
        self.loop = self._place("loop")
        self.deliver: Deliver = _Deliver(self._place("deliver"))

    def _place(self, name: str) -> int:
        """Copy a routine behind the ones before; its address."""
        code = ROUTINES[name]
        start = self._end
        self._memory[start : start + len(code)] = code
        self._end = -(-(start + len(code)) // _ALIGNMENT) * _ALIGNMENT
        return ctypes.addressof(self._anchor) + start
