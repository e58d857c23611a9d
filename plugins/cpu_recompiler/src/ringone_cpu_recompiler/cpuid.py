"""What CPUID answers (SDM vol. 2A, CPUID): one 32-bit processor without APIC, built from a `CpuModel`."""

from __future__ import annotations

import struct

from ringone.api.cpu import CpuModel
from ringone.api.errors import ConfigError

LEAF1_EDX = {
    "fpu": 0, "de": 2, "pse": 3, "tsc": 4, "msr": 5, "pae": 6, "mce": 7, "cx8": 8, "sep": 11, "mtrr": 12, "pge": 13, "mca": 14, "cmov": 15,
    "pat": 16, "clflush": 19, "mmx": 23, "fxsr": 24, "sse": 25, "sse2": 26,
}  # fmt: skip
LEAF1_ECX = {"pni": 0, "ssse3": 9, "cx16": 13, "sse4_1": 19, "sse4_2": 20, "movbe": 22, "popcnt": 23}
EXTENDED_EDX = {"nx": 20}
_LONG_MODE = 1 << 29

Leaf = tuple[int, int, int, int]
"""EAX, EBX, ECX, EDX."""

_CLFLUSH_LINE_BYTES = 64


def _bits(features: frozenset[str], table: dict[str, int]) -> int:
    return sum(1 << bit for name, bit in table.items() if name in features)


def _signature(model: CpuModel) -> int:
    """Leaf 1 EAX: stepping, model and family with their extensions."""
    base_family = min(model.family, 15)
    extended_family = model.family - base_family
    return model.stepping | (model.model & 0xF) << 4 | base_family << 8 | (model.model >> 4) << 16 | extended_family << 20


def executable_words(model: CpuModel) -> dict[int, int]:
    """QEMU's feature words for a model, by index. Long mode stays in, so that a guest that enters it is noticed instead of running as something else."""
    return {
        0: _bits(model.features, LEAF1_EDX),
        1: _bits(model.features, LEAF1_ECX),
        6: _bits(model.features, EXTENDED_EDX) | _LONG_MODE,
    }


def leaves(model: CpuModel) -> dict[int, Leaf]:
    """All leaves. Raises `ConfigError` for a feature that the engine cannot execute and for a vendor or brand of the wrong length."""
    known = {*LEAF1_EDX, *LEAF1_ECX, *EXTENDED_EDX}
    unknown = sorted(model.features - known)
    if unknown:
        raise ConfigError(f"CPU feature {', '.join(unknown)} cannot be executed by the recompiler; it has {', '.join(sorted(known))}")
    try:
        vendor = model.vendor.encode("ascii")
        brand = model.brand.encode("ascii")
    except UnicodeEncodeError:
        raise ConfigError(f"CPU vendor {model.vendor!r} and brand {model.brand!r} must be ASCII") from None
    if len(vendor) != 12 or len(brand) > 47:
        raise ConfigError(f"CPU vendor {model.vendor!r} must have 12 characters and brand {model.brand!r} at most 47")
    ebx, edx, ecx = struct.unpack("<III", vendor)
    brand_words = struct.unpack("<12I", brand.ljust(48, b"\0"))
    leaf1_edx = _bits(model.features, LEAF1_EDX)
    return {
        0: (2, ebx, ecx, edx),
        1: (_signature(model), _CLFLUSH_LINE_BYTES // 8 << 8, _bits(model.features, LEAF1_ECX), leaf1_edx),
        2: (1, 0, 0, 0),
        0x80000000: (0x80000004, ebx, ecx, edx),
        0x80000001: (_signature(model), 0, 0, _bits(model.features, EXTENDED_EDX)),
        0x80000002: brand_words[0:4],
        0x80000003: brand_words[4:8],
        0x80000004: brand_words[8:12],
    }


def lookup(table: dict[int, Leaf], leaf: int) -> Leaf:
    """A leaf beyond the highest answers like the highest basic one, as Intel's processors do."""
    found = table.get(leaf)
    if found is not None:
        return found
    return table[2]
