"""The processors that are compared. The first is the one that the others must agree with."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from ringone.api.cpu import CpuBackend, CpuContext
from ringone_cpu_patm.backend import PatmBackend
from ringone_cpu_patm.options import PatmOptions
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

STRETCH = 100
"""Back to raw mode soon after it is possible again: the programs are shorter than what a real guest had better spend on the recompiler. More than a block,
because a block that changes itself starts over."""


@attrs.frozen
class Configuration:
    name: str
    make: Callable[[CpuContext], CpuBackend]

    def __str__(self) -> str:
        return self.name


def _patm(*, scanning: bool, patching: bool) -> Callable[[CpuContext], CpuBackend]:
    def make(context: CpuContext) -> CpuBackend:
        backend = PatmBackend(context, PatmOptions(scanning=scanning, patching=patching))
        backend.stretches = (STRETCH, STRETCH)
        return backend

    return make


RECOMPILER = Configuration("recompiler", lambda context: RecompilerBackend(context, RecompilerOptions()))
PATM = Configuration("patm", _patm(scanning=True, patching=True))
SCANNING_ONLY = Configuration("patm without patching", _patm(scanning=True, patching=False))
RING_3_ONLY = Configuration("patm without scanning", _patm(scanning=False, patching=False))
CONFIGURATIONS = (RECOMPILER, PATM, SCANNING_ONLY, RING_3_ONLY)
BY_NAME = {configuration.name: configuration for configuration in CONFIGURATIONS}
