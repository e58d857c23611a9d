"""The recompiler passes the kernel's conformance kit, with its machine code and, as on hosts that cannot run it, without."""

from __future__ import annotations

import pytest
from ringone.api.cpu import CpuBackend, CpuContext
from ringone.testing.cpu import CpuBackendConformance
from ringone_cpu_recompiler import stubs
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions


class TestRecompiler(CpuBackendConformance):
    def make_backend(self, context: CpuContext) -> CpuBackend:
        return RecompilerBackend(context, RecompilerOptions())


class TestRecompilerWithoutMachineCode(TestRecompiler):
    @pytest.fixture(autouse=True)
    def _python_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stubs, "native_code_works", lambda: False)
