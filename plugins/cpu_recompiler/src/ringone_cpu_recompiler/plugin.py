"""What cpu_recompiler offers to RingOne: the CPU backend `recompiler`. Unicorn is imported when a backend is created."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ringone.api.cpu import CpuBackend, CpuBackendSpec, CpuCapabilities, CpuContext
from ringone.api.hooks import hookimpl

from ringone_cpu_recompiler.options import RecompilerOptions


def _create(context: CpuContext, options: Any) -> CpuBackend:
    from ringone_cpu_recompiler.backend import RecompilerBackend

    return RecompilerBackend(context, options)


@hookimpl
def ringone_cpu_backends() -> Iterable[CpuBackendSpec]:
    return [
        CpuBackendSpec(
            name="recompiler",
            summary="Unicorn as the whole processor: guest ring 0 runs at ring 0",
            options=RecompilerOptions,
            capabilities=CpuCapabilities(exact_progress=True),
            create=_create,
        )
    ]
