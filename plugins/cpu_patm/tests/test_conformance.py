"""The conformance kit on raw mode: with patches, without them, and without the scanner. What a guest sees must never tell that its ring 0 is ring 1."""

from __future__ import annotations

import struct
from collections.abc import Callable

from ringone.api.cpu import CpuBackend, CpuContext
from ringone.testing.cpu import CpuBackendConformance
from ringone.testing.cpu_bench import PAGE_DIRECTORY, TSS, TSS2, CpuBench
from ringone_cpu_patm.backend import PatmBackend
from ringone_cpu_patm.options import PatmOptions

from plugins.cpu_patm.tests import rivals


class TestPatched(CpuBackendConformance):
    def make_backend(self, context: CpuContext) -> CpuBackend:
        return PatmBackend(context, PatmOptions())


class TestTrappedAndEmulated(CpuBackendConformance):
    def make_backend(self, context: CpuContext) -> CpuBackend:
        return PatmBackend(context, PatmOptions(patching=False))


class TestUnscanned(CpuBackendConformance):
    def make_backend(self, context: CpuContext) -> CpuBackend:
        return PatmBackend(context, PatmOptions(scanning=False))


class PagedBench(rivals.PagedBench):
    """Pages and tasks are laid out: everything that the kit starts runs in raw mode."""

    def __init__(self, make_backend: Callable[[CpuContext], CpuBackend]) -> None:
        super().__init__(make_backend)
        self.map_pages()
        for task in (TSS, TSS2):
            self.memory.write(task + 28, struct.pack("<I", PAGE_DIRECTORY))


class UnderPaging(CpuBackendConformance):
    def make_bench(self) -> CpuBench:
        return PagedBench(self.make_backend)


class TestPatchedUnderPaging(UnderPaging, TestPatched):
    pass


class TestTrappedUnderPaging(UnderPaging, TestTrappedAndEmulated):
    pass
