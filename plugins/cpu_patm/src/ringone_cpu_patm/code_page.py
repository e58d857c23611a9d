"""What is known of one code page, and where in it five bytes can be found for a jump to patch code."""

from __future__ import annotations

from collections import Counter

import attrs
from iced_x86 import Decoder, FlowControl, Instruction, Mnemonic, OpKind
from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE
from ringone_cpu_recompiler.instructions import LONGEST_INSTRUCTION

from ringone_cpu_patm import generators
from ringone_cpu_patm.patch_code import PatchCode

JUMP_SIZE = 5
_ENTRIES_THAT_COUNT = 3
_MOST_BEFORE = 10
_MOST_BEHIND = 6
_LONGEST_TAIL = 4
_STAYS = (FlowControl.NEXT, FlowControl.CONDITIONAL_BRANCH)
_ENDS = (FlowControl.RETURN, FlowControl.UNCONDITIONAL_BRANCH, FlowControl.INDIRECT_BRANCH)


def _is_filling(instruction: Instruction) -> bool:
    """What compilers and assemblers put between functions."""
    if instruction.mnemonic == Mnemonic.LEA:
        return instruction.memory_base == instruction.op0_register and instruction.memory_displacement == 0
    return instruction.mnemonic in (Mnemonic.NOP, Mnemonic.INT3)


@attrs.frozen(kw_only=True)
class Patch:
    """Patch code for the region ``[start, end)`` of a page (offsets), which a jump at `start` leads to. `offset`: of the code, in the window. It may go on
    with what follows the region (`CodePage.tail`)."""

    start: int
    end: int
    offset: int
    code: PatchCode

    @property
    def covered(self) -> int:
        """Where the bytes end that must not be run by themselves: behind the region or behind the jump."""
        return max(self.end, self.start + JUMP_SIZE)


@attrs.define(kw_only=True, eq=False)
class CodePage:
    """A guest-physical page that has a fetch view, as it is executed through one linear page. All sets hold offsets in the page.

    `content` is the guest's; `view` where the view lies in the VMM's memory. `handled` are instructions that were replaced, one way or the other. `starts`
    are instructions that are known to stand there, `sources` the branches that lead to an offset, `entries` counts how often something really jumped to an
    offset inside a region. `touched` has a 1 for each byte that the view changes.
    """

    page: int
    linear: int
    view: int
    content: bytes
    handled: set[int] = attrs.field(factory=set)
    starts: set[int] = attrs.field(factory=set)
    sources: dict[int, set[int]] = attrs.field(factory=dict)
    entries: Counter[int] = attrs.field(factory=Counter)
    patches: list[Patch] = attrs.field(factory=list)
    gates: set[int] = attrs.field(factory=set)
    entry_patches: dict[int, Patch] = attrs.field(factory=dict)
    touched: bytearray = attrs.field(factory=lambda: bytearray(PAGE_SIZE))

    @property
    def base(self) -> int:
        return self.linear << PAGE_SHIFT

    def decode(self, offset: int) -> Instruction:
        """The 32-bit instruction at an offset; an invalid one where the page's end cuts it off."""
        code = self.content[offset : offset + LONGEST_INSTRUCTION]
        return Decoder(32, code, ip=self.base + offset).decode()

    def touches(self, start: int, end: int) -> bool:
        return self.touched.find(1, start, end) >= 0

    def patch_over(self, offset: int) -> Patch | None:
        """The patch in whose region, behind its first byte, an offset lies."""
        return next((patch for patch in self.patches if patch.start < offset < patch.covered), None)

    def learn_block(self, offset: int) -> None:
        """Note the instructions of a block that starts at an offset, and where its branch leads."""
        while offset < PAGE_SIZE and offset not in self.starts:
            instruction = self.decode(offset)
            if instruction.is_invalid:
                return
            self.learn(offset, instruction)
            if instruction.flow_control != FlowControl.NEXT:
                return
            offset += instruction.len

    def learn(self, offset: int, instruction: Instruction) -> None:
        self.starts.add(offset)
        if instruction.op0_kind == OpKind.NEAR_BRANCH32:
            target = instruction.near_branch32 - self.base
            if 0 <= target < PAGE_SIZE:
                self.sources.setdefault(target, set()).add(offset)

    def region(self, offset: int) -> tuple[int, int] | None:
        """Whole instructions around the one at `offset` that can move to patch memory as far as anybody knows: nothing outside jumps behind the first byte,
        conditional jumps aside only the last one may transfer control, none of them is replaced already, and the jump finds room, in them or in the padding
        behind a function's end. None where there are no such."""
        ends = self._ends(offset)
        start = offset
        for _ in range(_MOST_BEFORE + 1):
            for end in ends:
                if (end - start >= JUMP_SIZE or self._is_padded(start, end)) and self._is_closed(start, end):
                    return start, end
            start = self._predecessor(start)
            if start < 0:
                break
        return None

    def widen(self, region: tuple[int, int]) -> tuple[int, int]:
        """The region with replaceable instructions that follow it closely, for which there might be no room of their own."""
        start, end = region
        behind, best = end, end
        for _ in range(_MOST_BEHIND):
            instruction = self.decode(behind)
            if instruction.is_invalid or behind + instruction.len > PAGE_SIZE or self.touches(behind, behind + instruction.len):
                break
            behind += instruction.len
            if generators.kind_of(instruction) is not None and self._is_closed(start, behind):
                best = behind
            if instruction.flow_control not in _STAYS:
                break
        return start, best

    def tail(self, start: int, end: int) -> int:
        """Where a function ends that has only a few instructions left behind a region, all of which can be carried over: patch code that runs to its end
        need not come back. The instructions themselves stay as they are. The region's own end where there is no such."""
        last = self._last(start, end)
        if last.flow_control != FlowControl.NEXT or generators.is_left_to_the_vmm(last):
            return end
        behind = end
        for _ in range(_LONGEST_TAIL):
            instruction = self.decode(behind)
            following = behind + instruction.len
            if instruction.is_invalid or following > PAGE_SIZE or self.touches(behind, following) or generators.is_sensitive(instruction):
                break
            behind = following
            if instruction.flow_control in _ENDS:
                return behind
            if instruction.flow_control != FlowControl.NEXT:
                break
        return end

    def _ends(self, offset: int) -> list[int]:
        """Where a region with the instruction at `offset` in it may end, the nearest first."""
        ends = []
        end = offset
        for _ in range(_MOST_BEHIND):
            instruction = self.decode(end)
            behind = end + instruction.len
            if instruction.is_invalid or behind > PAGE_SIZE or self.touches(end, behind):
                break
            end = behind
            ends.append(end)
            if instruction.flow_control not in _STAYS:
                break
        return ends

    def is_entered(self, offset: int) -> bool:
        """Whether jumps to an offset are more than the return from an interrupt that came there."""
        return self.entries.get(offset, 0) >= _ENTRIES_THAT_COUNT

    def _is_padded(self, start: int, end: int) -> bool:
        """Whether a function ends with the region, and what the jump needs behind it is filling that nobody runs."""
        if self._last(start, end).flow_control not in _ENDS or start + JUMP_SIZE > PAGE_SIZE or self.touches(end, start + JUMP_SIZE):
            return False
        at = end
        while at < start + JUMP_SIZE:
            instruction = self.decode(at)
            if not _is_filling(instruction) or at in self.starts or at in self.sources or self.is_entered(at):
                return False
            at += instruction.len
        return True

    def _last(self, start: int, end: int) -> Instruction:
        while True:
            instruction = self.decode(start)
            start += instruction.len
            if start >= end:
                return instruction

    def _is_closed(self, start: int, end: int) -> bool:
        """Whether nothing is known to jump behind the first byte of a region from outside."""
        for inside in range(start + 1, end):
            if self.is_entered(inside) or any(not start <= source < end for source in self.sources.get(inside, ())):
                return False
        return True

    def _predecessor(self, start: int) -> int:
        """The instruction before `start` that may run into it, or -1."""
        for before in range(start - 1, max(-1, start - LONGEST_INSTRUCTION - 1), -1):
            if before in self.starts:
                instruction = self.decode(before)
                if instruction.is_invalid or before + instruction.len != start:
                    continue
                if instruction.flow_control not in _STAYS or self.touches(before, start):
                    return -1
                return before
        return -1
