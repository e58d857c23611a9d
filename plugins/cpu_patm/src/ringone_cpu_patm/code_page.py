"""What is known of one code page, and where in it five bytes can be found for a jump to patch code."""

from __future__ import annotations

import attrs
from iced_x86 import Decoder, FlowControl, Instruction, Mnemonic
from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE

from ringone_cpu_patm.patch_code import PatchCode

JUMP_SIZE = 5
_LONGEST_INSTRUCTION = 15
_LONGEST_REGION = 48


@attrs.frozen(kw_only=True)
class Patch:
    """Patch code for the region ``[start, end)`` of a page (offsets), which a jump at `start` leads to. `offset`: of the code, in the window."""

    start: int
    end: int
    offset: int
    code: PatchCode


@attrs.define(kw_only=True, eq=False)
class CodePage:
    """A guest-physical page that has a fetch view, as it is executed through one linear page. All sets hold offsets in the page.

    `content` is the guest's; `view` where the view lies in the VMM's memory. `handled` are instructions that were replaced, one way or the other; `starts`
    and `targets` instructions that are known to start, or to be jumped to, there. `touched` has a 1 for each byte that the view changes.
    """

    page: int
    linear: int
    view: int
    content: bytes
    handled: set[int] = attrs.field(factory=set)
    starts: set[int] = attrs.field(factory=set)
    targets: set[int] = attrs.field(factory=set)
    patches: list[Patch] = attrs.field(factory=list)
    gates: set[int] = attrs.field(factory=set)
    touched: bytearray = attrs.field(factory=lambda: bytearray(PAGE_SIZE))

    @property
    def base(self) -> int:
        return self.linear << PAGE_SHIFT

    def decode(self, offset: int) -> Instruction:
        """The 32-bit instruction at an offset; an invalid one where the page's end cuts it off."""
        code = self.content[offset : offset + _LONGEST_INSTRUCTION]
        return Decoder(32, code, ip=self.base + offset).decode()

    def touches(self, start: int, end: int) -> bool:
        return self.touched.find(1, start, end) >= 0

    def patch_over(self, offset: int) -> Patch | None:
        """The patch in whose region, behind its first byte, an offset lies."""
        return next((patch for patch in self.patches if patch.start < offset < patch.end), None)

    def region(self, offset: int) -> tuple[int, int] | None:
        """Whole instructions around the one at `offset`, of at least the jump's size, that can move to patch memory as far as anybody knows: nothing jumps
        behind the first byte, only the last one may transfer control, none of them is replaced already. None where there are no such."""
        end = self._forward(offset)
        if end < 0:
            return None
        start = offset
        while end - start < JUMP_SIZE:
            start = self._predecessor(start)
            if start < 0:
                return None
        return start, end

    def _forward(self, offset: int) -> int:
        """Where the region ends; -1 where the instruction itself cannot be part of one. STI takes the instruction in its shadow along."""
        end = offset
        shadow = False
        while end == offset or shadow or end - offset < JUMP_SIZE:
            instruction = self.decode(end)
            behind = end + instruction.len
            if instruction.is_invalid or behind > PAGE_SIZE or self.touches(end, behind) or (end > offset and end in self.targets):
                return -1 if shadow or end == offset else end
            shadow = instruction.mnemonic == Mnemonic.STI
            end = behind
            if instruction.flow_control != FlowControl.NEXT or end - offset > _LONGEST_REGION:
                return -1 if shadow else end
        return end

    def _predecessor(self, start: int) -> int:
        """The instruction before `start` that runs into it, or -1."""
        if start in self.targets:
            return -1
        for before in range(start - 1, max(-1, start - _LONGEST_INSTRUCTION - 1), -1):
            if before in self.starts:
                instruction = self.decode(before)
                if instruction.is_invalid or before + instruction.len != start:
                    continue
                if instruction.flow_control != FlowControl.NEXT or instruction.mnemonic == Mnemonic.STI or self.touches(before, start):
                    return -1
                return before
        return -1
