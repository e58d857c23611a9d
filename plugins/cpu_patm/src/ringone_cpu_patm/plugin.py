"""What cpu_patm offers to RingOne: the CPU backend `patm`. The engine is imported when a backend is created."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ringone.api.cpu import CpuBackend, CpuBackendSpec, CpuCapabilities, CpuContext
from ringone.api.hooks import hookimpl

from ringone_cpu_patm.options import PatmOptions


def _create(context: CpuContext, options: Any) -> CpuBackend:
    from ringone_cpu_patm.backend import PatmBackend

    return PatmBackend(context, options)


@hookimpl
def ringone_cpu_backends() -> Iterable[CpuBackendSpec]:
    return [
        CpuBackendSpec(
            name="patm",
            summary="raw mode: the guest's kernel runs at ring 1, scanned by CSAM and patched by PATM",
            options=PatmOptions,
            capabilities=CpuCapabilities(exact_progress=True),
            create=_create,
        )
    ]
