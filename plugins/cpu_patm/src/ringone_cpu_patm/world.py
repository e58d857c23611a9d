"""The processor that really executes, as the rest of raw mode sees it, and the first one: Unicorn.

Execution manager, patch manager, descriptor shadow and trap manager know only `World`. It behaves like hardware: while it runs the guest's ring 0 at ring 1,
EFLAGS.IF is 1 and IOPL 0, and what reaches the VMM are traps: (vector, error code, state).
"""

from __future__ import annotations

from typing import Protocol

from ringone_cpu_recompiler.engine import Engine, Stop
from ringone_cpu_recompiler.env import Env
from ringone_cpu_recompiler.instructions import CurrentInstruction
from ringone_cpu_recompiler.paging import Paging
from ringone_cpu_recompiler.vmm import Watch, Window

__all__ = ["Env", "Paging", "Stop", "UnicornWorld", "Watch", "Window", "World"]


class World(Protocol):
    """`env` is the register file, `paging` walks the guest's tables for the VMM, `instruction` reads the guest's own bytes at CS:EIP."""

    env: Env
    paging: Paging
    instruction: CurrentInstruction

    def map(self, address: int, size: int) -> None:
        """Give the world the VMM's memory, at this host address. Once."""
        ...

    def place_window(self, window: Window) -> None:
        """Where the guest's rings 0 to 2 find the start of the VMM's memory, from the next `deprivilege` on."""
        ...

    @property
    def deprivileged(self) -> bool:
        """Whether window and views are in force."""
        ...

    def deprivilege(self) -> None: ...
    def reprivilege(self) -> None: ...
    def run(self, allowance: int) -> Stop:
        """Run guest code for about `allowance` progress units."""
        ...

    def stop_here(self) -> None:
        """From a trap or a report of new code: return from `run` before more guest code runs."""
        ...

    def flush_tlb(self) -> None: ...
    def invalidate_page(self, address: int) -> None:
        """INVLPG of a linear address."""
        ...

    def keep_filled_regions(self, words: memoryview) -> None:
        """Keep there which regions of linear addresses the TLB may hold something of: one word for each 4 MiB, equal to the last word, behind them, if so."""
        ...

    def take_interrupts_by(self, address: int) -> None:
        """While an interrupt waits, return from `run` as soon as bit 9 of the word at a host address allows; 0: of EFLAGS."""
        ...

    @property
    def a20_open(self) -> bool:
        """Whether address line 20 works; while it does not, `locate` finds nothing."""
        ...

    def locate(self, address: int) -> int:
        """Guest-physical page of plain memory behind a linear address, without any effect; -1 where there is none."""
        ...

    def region_is_mapped(self, address: int) -> bool:
        """Whether the guest maps anything, or may at any time without notice, in the 4 MiB at a linear address."""
        ...

    def content(self, page: int) -> memoryview:
        """The bytes of a page of plain memory, in place."""
        ...

    def watch(self, page: int, how: Watch) -> None: ...
    def unwatch(self, page: int) -> None: ...
    def show(self, page: int, linear_page: int, offset: int) -> None:
        """Have fetches at ring 1 from a guest-physical page through `linear_page` see the VMM's memory at `offset`."""
        ...

    def hide(self, page: int) -> None: ...
    def drop_code(self, page: int) -> None:
        """Report all code of a guest-physical page anew."""
        ...

    def drop_vmm_code(self, offset: int, size: int) -> None:
        """The VMM has changed code in its own memory."""
        ...


class UnicornWorld:
    """Meets `World`; reports code block by block."""

    def __init__(self, engine: Engine) -> None:
        self._vmm = engine.vmm
        self._pages = engine.pages
        self.env = engine.env
        self.paging = engine.paging
        self.instruction = engine.instruction
        self.run = engine.run
        self.stop_here = engine.stop_here
        self.flush_tlb = engine.flush_tlb
        self.invalidate_page = engine.invalidate_page
        self.keep_filled_regions = engine.keep_filled_regions
        self.take_interrupts_by = engine.take_interrupts_by
        self.locate = engine.paging.locate
        self.region_is_mapped = engine.paging.region_is_mapped
        self.content = engine.pages.content
        self.map = engine.map_vmm
        self.place_window = engine.vmm.place_window
        self.deprivilege = engine.vmm.enter
        self.reprivilege = engine.vmm.leave
        self.watch = engine.vmm.watch
        self.unwatch = engine.vmm.unwatch
        self.show = engine.vmm.show
        self.hide = engine.vmm.hide
        self.drop_code = engine.drop_code
        self.drop_vmm_code = engine.drop_vmm_code

    @property
    def deprivileged(self) -> bool:
        return self._vmm.active

    @property
    def a20_open(self) -> bool:
        return self._pages.a20_open
