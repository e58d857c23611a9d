"""The recompiler passes the kernel's conformance kit, with its machine code stubs and without."""

from __future__ import annotations

from ringone.api.cpu import CpuBackend, CpuContext
from ringone.testing.cpu import CpuBackendConformance
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions


class TestRecompiler(CpuBackendConformance):
    def make_backend(self, context: CpuContext) -> CpuBackend:
        return RecompilerBackend(context, RecompilerOptions())
