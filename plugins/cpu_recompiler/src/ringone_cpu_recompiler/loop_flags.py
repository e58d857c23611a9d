"""The arithmetic flags behind LOOPE and LOOPNE. Unicorn leaves the kind of the last flag computation unwritten where such a loop ends because its count did, so
that the flags are then worked out from the right operands as if by an earlier instruction.

A code hook at the instruction comes when operands and kind are in memory. What it does is turn both into finished flags (CC_OP_EFLAGS): Unicorn finds the same
on both ways out. Blocks that end in such an instruction are noticed when they are translated, before they run, and translated once more with the hook.
"""

from __future__ import annotations

from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE

from ringone_cpu_recompiler.env import CC_OPS_LOGIC, D_CC_OP, D_HFLAGS, HF_CS32, Env
from ringone_cpu_recompiler.instructions import LONGEST_INSTRUCTION, PREFIXES
from ringone_cpu_recompiler.pages import CLASS_DIRECT, PAGES, Pages, by_page
from ringone_cpu_recompiler.paging import FETCH, GuestFault, Paging
from ringone_cpu_recompiler.vmm import VMM_BASE, Vmm

LOOPNE, LOOPE = 0xE0, 0xE1
_OPCODES = (bytes([LOOPNE]), bytes([LOOPE]))
_LENGTH = 2
"""Of the instruction without prefixes."""


def settle_flags(env: Env) -> None:
    """In a code hook: have the arithmetic flags finished, whatever computed them. Those of logical instructions depend on the result alone, and Unicorn takes
    nothing else for them."""
    if env.d[D_CC_OP] not in CC_OPS_LOGIC:
        env.finish_flags(env.eflags)


class LoopFlags:
    """Finds the instructions in what the processor fetches, the VMM's window and views included."""

    def __init__(self, env: Env, paging: Paging, pages: Pages, vmm: Vmm) -> None:
        self._env = env
        self._paging = paging
        self._pages = pages
        self._vmm = vmm

    def at_end(self, address: int, size: int, tail: bytes) -> int:
        """Linear address of the instruction, with its prefixes, that ends the block at `address`; -1 where it is another one. `tail` are its last bytes."""
        if tail[-_LENGTH:-1] not in _OPCODES:
            return -1
        from iced_x86 import Decoder, Mnemonic  # Costs a tenth of a second.

        instructions = list(Decoder(32 if self._env.d[D_HFLAGS] & HF_CS32 else 16, self.read(address, size), ip=address))
        if not instructions or instructions[-1].mnemonic not in (Mnemonic.LOOPE, Mnemonic.LOOPNE):
            return -1
        return instructions[-1].ip

    def is_at(self, address: int) -> bool:
        """Whether one of them is at a linear address now."""
        return self.read(address, LONGEST_INSTRUCTION).lstrip(bytes(PREFIXES))[:1] in _OPCODES

    def frame_address(self, address: int) -> int:
        """Unicorn's address of the code at a linear one; -1 where there is none."""
        address &= 0xFFFFFFFF
        if self._vmm.contains(address):
            return self._vmm.window_address(address)
        try:
            physical = self._paging.translate(address, FETCH, self._env.cpl == 3)[0]
        except GuestFault:  # The guest changed its page tables and still runs from the TLB.
            return -1
        page = self._pages.behind_gate(physical) >> PAGE_SHIFT
        if page >= PAGES or not self._pages.classes[page] & CLASS_DIRECT:
            return -1
        return (self._vmm.view(page, address, self._env.d[D_HFLAGS]) or self._pages.frames[page] << PAGE_SHIFT) | address & PAGE_SIZE - 1

    def read(self, address: int, size: int) -> bytes:
        """As many of the bytes as can be fetched."""
        code = b""
        for page, offset, length in by_page(address, size):
            found = self.frame_address(page << PAGE_SHIFT | offset)
            if found < 0:
                break
            code += self._vmm.read(found, length) if found >= VMM_BASE else bytes(self._pages.backing[found : found + length])
        return code
