"""The processor's state under the names of Intel's manual (SDM vol. 1, 3.4; FXSAVE: vol. 1, 10.5.1)."""

from __future__ import annotations

import struct
from typing import Any

import attrs
from ringone.api.cpu import CpuState

from ringone_control_api.models import Registers

GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
DEBUG = {"dr0": 0, "dr1": 1, "dr2": 2, "dr3": 3, "dr6": 6, "dr7": 7}
NESTED = ("gpr", "dr", "msr", "fpu", "tsc_offset_ns")
FXSAVE = struct.Struct("<HHBxHIHxxIHxxI")
FXSAVE_ST, FXSAVE_XMM, FXSAVE_SLOT = 32, 160, 16
ST_BYTES = 10


def registers(state: CpuState) -> Registers:
    plain: dict[str, Any] = {name: value for name, value in attrs.asdict(state).items() if name not in NESTED}
    plain |= dict(zip(GENERAL, state.gpr, strict=True))
    plain |= {name: state.dr[number] for name, number in DEBUG.items()}
    plain |= {"msr": {f"{number:#x}": value for number, value in state.msr.items()}}
    return Registers.model_validate(plain | _fpu(state.fpu))


def _fpu(image: bytes) -> dict[str, Any]:
    fcw, fsw, ftw, fop, fip, _, fdp, _, mxcsr = FXSAVE.unpack_from(image)
    return {
        "fcw": fcw,
        "fsw": fsw,
        "ftw": ftw,
        "fop": fop,
        "fip": fip,
        "fdp": fdp,
        "mxcsr": mxcsr,
        "st": [_hexadecimal(image, FXSAVE_ST + number * FXSAVE_SLOT, ST_BYTES) for number in range(8)],
        "xmm": [_hexadecimal(image, FXSAVE_XMM + number * FXSAVE_SLOT, FXSAVE_SLOT) for number in range(8)],
    }


def _hexadecimal(image: bytes, start: int, size: int) -> str:
    return image[start : start + size][::-1].hex()
