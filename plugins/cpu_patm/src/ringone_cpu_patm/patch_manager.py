"""The patch manager (VirtualBox's PATM, with CSAM's page records): which code pages have a fetch view, what is replaced in them, and the way back from patch
memory to the guest's addresses.

Code is looked at before it runs for the first time (`new_code`), and acted upon when the world has stopped (`settle`). Pages whose code holds sensitive
instructions get a view, in which each of them is replaced: by a jump to patch code where five bytes of whole instructions can be found that nothing jumps
into, else by HLT, which traps. The guest's own memory is never changed. A write to such a page drops its view.
"""

from __future__ import annotations

import bisect
import functools
import struct
from collections import Counter
from collections.abc import Callable

import attrs
from iced_x86 import Decoder
from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE
from ringone.api.scan import CodeScanner, InstructionClass, ScanLimits
from ringone_cpu_recompiler.instructions import LONGEST_INSTRUCTION

from ringone_cpu_patm import generators, vmm_memory
from ringone_cpu_patm.code_page import JUMP_SIZE, CodePage, Patch
from ringone_cpu_patm.patch_code import CannotPatch, Gate, Kind, Mark
from ringone_cpu_patm.vmm_memory import HLT, OutOfPatchMemory, VmmMemory
from ringone_cpu_patm.world import Watch, World

MAX_WRITES = 64
"""Views that a page may lose to writes or to aliases before its code is left to the recompiler."""
_OFFSET = PAGE_SIZE - 1
_STI = 0xFB
_WITHDRAWALS = 4
"""Regions that are tried around code that overlaps them; one more than it takes until jumps to a place count."""
_NEAR = 64
"""Bytes behind an instruction that its region may reach."""


@attrs.define
class _Block:
    """Linear addresses in a block: where its instructions start, and which of them are sensitive."""

    starts: set[int] = attrs.field(factory=set)
    sensitive: set[int] = attrs.field(factory=set)


class PatchManager:
    """All patches of one machine. `world` is stopped in every call but `new_code`."""

    def __init__(self, world: World, memory: VmmMemory, make_scanner: Callable[[], CodeScanner]) -> None:
        self._world = world
        self._memory = memory
        self._make_scanner = make_scanner
        self.window_base = 0
        self.patching = True
        self.count_hits = False
        self._pages: dict[int, CodePage] = {}
        self._refused: dict[int, int] = {}
        """Guest-physical pages that must not run at ring 1, and the linear page through which their view, all HLT, is shown."""
        self._losses: Counter[int] = Counter()
        self._starts: list[int] = []
        self._by_start: dict[int, Patch] = {}
        self._by_linear: dict[int, CodePage] = {}
        self._blocks: dict[int, set[int]] = {}
        """Where blocks have started, by page: what nobody has scanned yet, because nothing in it matters."""
        self._new: list[tuple[int, int]] = []
        self._trapped: list[int] = []
        self.shadowed: set[int] = set()
        """Linear addresses right behind patches that end with STI: no interrupt may come there before one more instruction has run."""
        self._not_patchable: set[tuple[int, int]] = set()
        self.installed: Counter[Kind] = Counter()
        self.gates = 0
        self.scans = 0
        self.instructions = 0
        self.conflicts = 0
        self.drops = 0
        self.flushes = 0

    @functools.cached_property
    def _scanner(self) -> CodeScanner:
        """Made for the first code: that costs a sixth of a second, which a guest's first instructions need not wait for."""
        return self._make_scanner()

    # --- While the guest runs: reports, which only look ----------------------------------------

    def new_code(self, address: int, size: int) -> bool:
        """Ring-0 code that is about to run for the first time; True where `settle` has to decide first."""
        offset = address & _OFFSET
        page = self._world.locate(address)
        if page >= 0:
            self._blocks.setdefault(page, set()).add(offset)
        if page >= 0 and page not in self._refused and offset + size <= PAGE_SIZE:
            known = self._pages.get(page)
            if known is None:
                matters = self._scanner.may_matter(bytes(self._world.content(page)[offset : offset + size]))
            else:
                matters = (
                    known.linear != address >> PAGE_SHIFT
                    or known.touches(offset, offset + size)
                    or known.patch_over(offset) is not None
                    or self._scanner.may_matter(known.content[offset : offset + size])
                )
            if not matters:
                return False
        self._new.append((address, size))
        return True

    def trapped(self, address: int) -> None:
        """The privileged instruction at a linear address has trapped and could be patched."""
        page = self._world.locate(address)
        if self.patching and page >= 0 and (page, address & _OFFSET) not in self._not_patchable and address not in self._trapped:
            self._trapped.append(address)

    # --- Between runs ----------------------------------------

    @property
    def unsettled(self) -> bool:
        """Whether `settle` must be called before the guest's ring 0 may run."""
        return bool(self._new)

    def settle(self, eip: int) -> None:
        """Act on what was reported; the guest goes on at `eip`."""
        if not self._new and not self._trapped:
            return
        new, self._new = self._new, []
        trapped, self._trapped = self._trapped, []
        try:
            for address, size in new:
                self._examine(address, size)
            for address in trapped:
                if address < eip <= address + _NEAR:  # The guest would go on inside of what would be replaced.
                    self._trapped.append(address)
                else:
                    self._patch_trapped(address)
        except OutOfPatchMemory:
            self.flush()
        self._world.flush_tlb()

    def flush(self) -> None:
        """Forget all patches and views; they are made again as code runs."""
        self.flushes += 1
        for page in list(self._pages):
            self._forget(page)
        self._not_patchable.clear()
        self.shadowed.clear()
        self._memory.clear()
        self._world.drop_vmm_code(0, vmm_memory.CODE_SIZE)
        self._world.flush_tlb()

    def forget(self) -> None:
        """`flush`, and forget what was learned of pages too."""
        self.flush()
        for page in self._refused:
            self._world.hide(page)
        for learned in (self._refused, self._losses, self._blocks, self._new, self._trapped):
            learned.clear()

    def written(self, page: int) -> None:
        """A guest-physical page with a view is about to be written to, or has been."""
        if page in self._pages:
            self._lose(page)
            self._world.flush_tlb()

    def check_contents(self) -> None:
        """Memory may have been replaced as a whole: drop the views of pages that are not what they were."""
        for page, known in list(self._pages.items()):
            if self._world.content(page) != known.content:
                self.written(page)

    def refuse(self, page: int) -> None:
        """Leave the code of a guest-physical page to the recompiler for good."""
        if page in self._pages:
            self._forget(page)
        self._refused[page] = -1
        self._world.drop_code(page)

    def refuses(self, address: int) -> bool:
        """Whether the code at a linear address is left to the recompiler."""
        return bool(self._refused) and self._world.locate(address) in self._refused

    def has_view(self, page: int) -> bool:
        return page in self._pages

    @property
    def views(self) -> int:
        return len(self._pages)

    @property
    def refused(self) -> int:
        return len(self._refused)

    # --- Pages ----------------------------------------

    def _page_at(self, address: int) -> CodePage | None:
        """The record of the page at a linear address, made where there is none; None where its code is left to the recompiler."""
        page = self._world.locate(address)
        linear = address >> PAGE_SHIFT
        if page < 0:
            return None
        if page in self._refused:
            if self._refused[page] != linear:
                self._refused[page] = linear
                self._world.show(page, linear, vmm_memory.HALT_VIEW)
                self._world.drop_code(page)
            return None
        known = self._pages.get(page)
        if known is not None and known.linear != linear:
            self._lose(page)
            return self._page_at(address)
        if known is None:
            known = CodePage(page=page, linear=linear, view=self._memory.take_view(), content=bytes(self._world.content(page)))
            self._pages[page] = self._by_linear[linear] = known
            self._memory.bytes[known.view : known.view + PAGE_SIZE] = known.content
            self._world.drop_vmm_code(known.view, PAGE_SIZE)
            self._world.watch(page, Watch.STOP)
            self._world.show(page, linear, known.view)
        return known

    def _lose(self, page: int) -> None:
        """Drop a view that has become wrong; a page that loses too many is left to the recompiler."""
        self._forget(page)
        self._losses[page] += 1
        if self._losses[page] > MAX_WRITES:
            self.refuse(page)

    def _forget(self, page: int) -> None:
        self.drops += 1
        known = self._pages.pop(page)
        if self._by_linear.get(known.linear) is known:
            del self._by_linear[known.linear]
        for patch in (*known.patches, *known.entry_patches.values()):
            del self._by_start[patch.offset]
            self._starts.remove(patch.offset)
        self._world.hide(page)
        self._world.unwatch(page)
        self._world.drop_code(page)
        self._memory.give_view(known.view)
        self._not_patchable = {place for place in self._not_patchable if place[0] != page}

    def _fetch(self, address: int, size: int) -> bytes:
        """The guest's own bytes, fewer where memory ends."""
        found = b""
        while size:
            page = self._world.locate(address)
            if page < 0:
                break
            offset = address & _OFFSET
            part = bytes(self._world.content(page)[offset : offset + size])
            found += part
            size -= len(part)
            address = address + len(part) & 0xFFFFFFFF
        return found

    # --- Examining new code ----------------------------------------

    def _examine(self, address: int, size: int) -> None:
        """Replace what is sensitive in a new block, and in what can be reached from it within its page."""
        block = self._block(address, address + size)
        pages = {finding >> PAGE_SHIFT for finding in block.sensitive}
        pages |= {start >> PAGE_SHIFT for start in (address, address + size - 1) if self._is_special(start)}
        for linear in sorted(pages):
            known = self._page_at(linear << PAGE_SHIFT)
            if known is None:
                self._stop_in_front_of(linear, block)
                continue
            entries = [start for start in sorted(block.starts) if start >> PAGE_SHIFT == linear]
            self._resolve_conflicts(known, entries)
            if entries and known.page in self._pages:
                self._scan(known, entries[0])
                for finding in sorted(block.sensitive):
                    if finding >> PAGE_SHIFT == linear and finding & _OFFSET not in known.handled:
                        self._replace(known, finding & _OFFSET)
        for linear in sorted({start >> PAGE_SHIFT for start in block.starts} - pages):
            known = self._pages.get(self._world.locate(linear << PAGE_SHIFT))
            if known is not None:
                self._resolve_conflicts(known, [start for start in sorted(block.starts) if start >> PAGE_SHIFT == linear])

    def _stop_in_front_of(self, linear: int, block: _Block) -> None:
        """Put HLT for the instruction that runs on into a refused page, of which fetches see no byte as it is."""
        base = linear << PAGE_SHIFT
        if self._world.locate(base) not in self._refused:
            return
        start = max((start for start in block.starts if start < base), default=-1)
        known = self._page_at(start) if start >> PAGE_SHIFT == linear - 1 else None
        if known is None or start & _OFFSET in known.handled:
            return
        if start + Decoder(32, self._fetch(start, LONGEST_INSTRUCTION), ip=start).decode().len > base:
            self._resolve_conflicts(known, [start])
            if known.page in self._pages:
                self._halt_at(known, start & _OFFSET)

    def _block(self, low: int, high: int) -> _Block:
        """What stands in a block. The scanner does not know each instruction that a processor might; a second decoder tells how long such a one is."""
        block = _Block()
        while low < high:
            report = self._scanner.scan(low, self._fetch, ScanLimits(instructions=high - low, low=low, high=high))
            block.starts |= report.starts
            block.sensitive |= {finding.address for finding in report.findings if finding.kind is InstructionClass.SENSITIVE}
            low = high
            if report.undecodable:
                stuck = min(report.undecodable)
                instruction = Decoder(32, self._fetch(stuck, LONGEST_INSTRUCTION), ip=stuck).decode()
                if not instruction.is_invalid:
                    low = stuck + instruction.len
        return block

    def _is_special(self, address: int) -> bool:
        page = self._world.locate(address)
        known = self._pages.get(page)
        return page < 0 or page in self._refused or (known is not None and known.linear != address >> PAGE_SHIFT)

    def _scan(self, known: CodePage, entry: int) -> None:
        self.scans += 1
        following = self._fetch(known.base + PAGE_SIZE & 0xFFFFFFFF, LONGEST_INSTRUCTION)
        report = self._scanner.scan_page(known.base, known.content, entry, following=following)
        self.instructions += report.instructions
        for start in report.starts:
            if start & _OFFSET not in known.starts:
                known.learn(start & _OFFSET, known.decode(start & _OFFSET))
        self._learn_blocks(known)
        for finding in report.findings:
            offset = finding.address & _OFFSET
            if finding.kind is InstructionClass.SENSITIVE and offset not in known.handled:
                self._replace(known, offset)

    def _learn_blocks(self, known: CodePage) -> None:
        for offset in self._blocks.pop(known.page, ()):
            known.learn_block(offset)

    def _resolve_conflicts(self, known: CodePage, starts: list[int]) -> None:
        """Where the instructions of a new block overlap replaced bytes otherwise than by being replaced themselves, put HLT for the jump; where they overlap
        that, leave the page to the recompiler."""
        for start in starts:
            offset = start & _OFFSET
            if offset in known.gates or any(patch.start == offset for patch in known.patches):
                return
            end = min(offset + max(known.decode(offset).len, 1), PAGE_SIZE)
            for _ in range(_WITHDRAWALS):
                over = known.patch_over(offset) or next((patch for patch in known.patches if offset < patch.start < end), None)
                if over is None:
                    break
                self._withdraw(known, over, offset)
            if known.touches(offset, end) and offset not in known.gates:
                self.conflicts += 1
                self.refuse(known.page)
                return

    # --- Replacing ----------------------------------------

    def _replace(self, known: CodePage, offset: int) -> None:
        if not (self.patching and self._install(known, offset)):
            self._put_gate(known, offset)

    def _put_gate(self, known: CodePage, offset: int) -> None:
        if self.patching:
            self._install_entry(known, offset)
        self._halt_at(known, offset)

    def _halt_at(self, known: CodePage, offset: int) -> None:
        self.gates += 1
        known.gates.add(offset)
        known.handled.add(offset)
        known.touched[offset] = 1
        self._change_view(known, offset, bytes([HLT]))

    def _install(self, known: CodePage, offset: int) -> bool:
        """A jump to patch code for the instruction at `offset`, if there is room for one."""
        region = known.region(offset)
        if region is None:
            return False
        wider = known.widen(region)
        return (wider != region and self._install_region(known, wider)) or self._install_region(known, region)

    def _install_region(self, known: CodePage, region: tuple[int, int]) -> bool:
        start, end = region
        place = self._memory.code_used
        patch = self._generate(known, start, end)
        if patch is None:
            return False
        known.patches.append(patch)
        self.installed.update(patch.code.kinds)
        known.handled.update(range(start, end))
        known.touched[start : start + JUMP_SIZE] = b"\1" * JUMP_SIZE
        distance = self.window_base + place - (known.base + start + JUMP_SIZE)
        self._change_view(known, start, b"\xe9" + struct.pack("<I", distance & 0xFFFFFFFF))
        return True

    def _install_entry(self, known: CodePage, offset: int) -> None:
        """Patch code without a jump to it, for an instruction behind a gate: the VMM goes there itself where it resumes the guest at this address, as it does
        at the entries of handlers."""
        end = offset + known.decode(offset).len
        if end <= PAGE_SIZE:
            patch = self._generate(known, offset, end)
            if patch is not None and patch.code.kinds and patch.code.kinds[0] is not Kind.GATE:
                known.entry_patches[offset] = patch
                self._redirect(known, offset)

    def _redirect(self, known: CodePage, offset: int) -> None:
        """Lead the page's own branches to an instruction behind a gate, and patches that end in front of it, to its patch code."""
        for patch in [patch for patch in known.patches if patch.end == offset]:
            self._remove(known, patch)
            self._install_region(known, (patch.start, patch.end))
        for source in known.sources.get(offset, ()):
            end = source + known.decode(source).len
            if not known.touches(source, end) and known.patch_over(source) is None:
                region = (source, end) if end - source >= JUMP_SIZE and end <= PAGE_SIZE else known.region(source)
                if region is not None:
                    self._install_region(known, region)

    def _generate(self, known: CodePage, start: int, end: int) -> Patch | None:
        place = self._memory.code_used
        tail = known.tail(start, end)
        try:
            code = generators.generate(
                known.content[start:tail],
                known.base + start,
                address=self.window_base + place,
                state=self.window_base + vmm_memory.STATE,
                redirect={known.base + offset: self.window_base + patch.offset for offset, patch in known.entry_patches.items()},
                count_hits=self.count_hits,
            )
        except CannotPatch:
            return None
        self._memory.add_code(code.code)
        patch = Patch(start=start, end=end, offset=place, code=code)
        self._by_start[place] = patch
        bisect.insort(self._starts, place)
        if code.kinds and code.kinds[-1] is Kind.STI and known.content[tail - 1] == _STI:
            self.shadowed.add(known.base + end)
        return patch

    def entry(self, eip: int) -> int:
        """Where the guest's ring 0 goes on at `eip`: there, or in patch code, where `eip` lies inside a region or is what such code was made for."""
        known = self._by_linear.get(eip >> PAGE_SHIFT)
        if known is None:
            return eip
        offset = eip & _OFFSET
        patch = known.entry_patches.get(offset) or known.patch_over(offset)
        if patch is None or self._world.locate(eip) != known.page:
            return eip
        inside = next((mark.offset for mark in patch.code.marks if mark.guest_eip == eip), None)
        return eip if inside is None else self.window_base + patch.offset + inside

    def _withdraw(self, known: CodePage, patch: Patch, entered: int) -> None:
        """Something jumps into the region: back to the guest's bytes, and to regions that respect it."""
        self.conflicts += 1
        known.entries[entered] += 1
        self._remove(known, patch)
        region = ScanLimits(instructions=patch.end - patch.start, low=known.base + patch.start, high=known.base + patch.end)
        for finding in self._scanner.scan(known.base + patch.start, self._fetch, region).findings:
            if finding.kind is InstructionClass.SENSITIVE and finding.address & _OFFSET not in known.handled:
                self._replace(known, finding.address & _OFFSET)

    def _remove(self, known: CodePage, patch: Patch) -> None:
        """The guest's bytes come back in place of the jump."""
        known.patches.remove(patch)
        del self._by_start[patch.offset]
        self._starts.remove(patch.offset)
        known.touched[patch.start : patch.start + JUMP_SIZE] = bytes(JUMP_SIZE)
        known.handled.difference_update(range(patch.start, patch.end))
        self._change_view(known, patch.start, known.content[patch.start : patch.covered])

    def _change_view(self, known: CodePage, offset: int, code: bytes) -> None:
        self._memory.bytes[known.view + offset : known.view + offset + len(code)] = code
        self._world.drop_vmm_code(known.view, PAGE_SIZE)

    def _patch_trapped(self, address: int) -> None:
        """Hint patches: what traps by itself is replaced once it has really trapped."""
        known = self._page_at(address)
        if known is None:
            return
        offset = address & _OFFSET
        if (known.page, offset) in self._not_patchable or offset in known.handled:
            return
        if offset not in known.starts:
            self._scan(known, address)
        self._learn_blocks(known)
        if offset not in known.handled and not self._install(known, offset):
            self._not_patchable.add((known.page, offset))

    # --- From patch memory to the guest ----------------------------------------

    def find(self, offset: int) -> Mark | Gate | None:
        """What stands at an offset of the window: the gate there, or the mark that holds; None where there is no patch."""
        index = bisect.bisect_right(self._starts, offset) - 1
        if index < 0:
            return None
        patch = self._by_start[self._starts[index]]
        inside = offset - patch.offset
        if inside >= len(patch.code.code):
            return None
        for gate in patch.code.gates:
            if gate.offset == inside:
                return gate
        return patch.code.marks[bisect.bisect_right([mark.offset for mark in patch.code.marks], inside) - 1]
