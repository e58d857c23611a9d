"""Where Unicorn keeps the processor: QEMU's CPUX86State inside its private structures.

Register calls cost microseconds and cannot change the ring, so the engine reads and writes the state in place. That is private layout, of Unicorn
2.1.4 on 64-bit hosts;
`locate` therefore proves it on every new engine by writing known values through public calls and finding them, and refuses to run where one is missing.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Mapping

import attrs
from ringone.api.errors import BackendError

from ringone_cpu_recompiler import binding
from ringone_cpu_recompiler.binding import Unicorn

CPU_POINTER = 0x1B8
"""Offset of `cpu` in struct uc_struct."""
ENV_OFFSET = 0x8A50
"""Offset of `env` in struct X86CPU."""
INVALID_ADDRESS = 0x588
NO_EXIT_REQUEST = 0x7F2

ENV_SIZE = 6416

# Byte offsets in CPUX86State.
EIP = 128
EFLAGS = 136
CC_SRC = 152
CC_OP = 168
DF = 172
HFLAGS = 176
HFLAGS2 = 180
SEGMENTS = 184
SEGMENT_SIZE = 24
CR = 424
EFER = 592
FPSTT = 604
FPUS = 608
FPTAGS = 612
FPREGS = 624
XMM = 824
XMM_STRIDE = 64
SYSENTER_CS = 4800
SYSENTER_ESP = 4808
SYSENTER_EIP = 4816
ERROR_CODE = 5384
DR = 5400
OLD_EXCEPTION = 5496
FEATURES = 5632
"""CPUID feature words, 64 bits each: what the translator takes for executable."""
FEATURE_WORDS = 36

_FRESH_FEATURES = {0: 0x078BFBFD, 1: 0xC6D82203, 6: 0x28100800}
"""Leaf 1 EDX and ECX and leaf 0x80000001 EDX of the model that a fresh engine has."""
_MARK = 0x5A17C0DE
_GPR_MARKS = tuple(0x11111101 + 0x01010101 * i for i in range(8))
_GPR_REGISTERS = (19, 22, 24, 21, 30, 20, 29, 23)
"""Unicorn's numbers of EAX ECX EDX EBX ESP EBP ESI EDI, in encoding order."""


@attrs.frozen
class Layout:
    """Host addresses inside one engine."""

    env: int
    invalid_address: int
    no_exit_request: int


def _readable(address: int, size: int) -> bool:
    """Whether host memory can be read, asked of the kernel where that is possible: a wrong guess must not crash the process."""
    if sys.platform != "linux":
        return True
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        return len(os.pread(memory, size, address)) == size
    except OSError:
        return False
    finally:
        os.close(memory)


def _refuse(what: str) -> BackendError:
    return BackendError(
        "recompiler", f"this build of Unicorn keeps {what} elsewhere than version 2.1.4 does; install unicorn 2.1.4 from PyPI for a 64-bit host"
    )


def restrict_features(env: int, words: Mapping[int, int]) -> None:
    """Have the translator execute only what these feature words have, where the engine has it at all."""
    features = (ctypes.c_uint64 * FEATURE_WORDS).from_address(env + FEATURES)
    for index in range(FEATURE_WORDS):
        features[index] &= words.get(index, 0)


def locate(unicorn: Unicorn) -> Layout:
    """Find and prove the processor state of a fresh engine whose memory is mapped. Raises `BackendError`."""
    if not _readable(unicorn.handle, NO_EXIT_REQUEST + 2):
        raise _refuse("uc_struct")
    cpu = ctypes.c_uint64.from_address(unicorn.handle + CPU_POINTER).value
    if cpu < 0x10000 or cpu >> 47 or not _readable(cpu + ENV_OFFSET, ENV_SIZE):
        raise _refuse("the processor")
    env = cpu + ENV_OFFSET
    for register, mark in zip(_GPR_REGISTERS, _GPR_MARKS, strict=True):
        unicorn.write_register(register, mark)
    if ctypes.string_at(env, 64) != struct.pack("<8Q", *_GPR_MARKS):
        raise _refuse("general registers")
    for what, register, offset, value in (
        ("CR2", binding.REG_CR2, CR + 16, _MARK),
        ("DR0", binding.REG_DR0, DR, _MARK),
    ):
        unicorn.write_register(register, value)
        if ctypes.c_uint64.from_address(env + offset).value != value:
            raise _refuse(what)
    for what, index, offset in (("SYSENTER_ESP", 0x175, SYSENTER_ESP), ("SYSENTER_EIP", 0x176, SYSENTER_EIP)):
        unicorn.write_msr(index, _MARK)
        if ctypes.c_uint64.from_address(env + offset).value != _MARK:
            raise _refuse(what)
    unicorn.write_msr(0xC0000080, 0x800)
    if ctypes.c_uint64.from_address(env + EFER).value != 0x800:
        raise _refuse("EFER")
    features = (ctypes.c_uint64 * FEATURE_WORDS).from_address(env + FEATURES)
    if any(features[word] != value for word, value in _FRESH_FEATURES.items()):
        raise _refuse("feature words")
    if ctypes.c_int32.from_address(env + OLD_EXCEPTION).value != -1:
        raise _refuse("old_exception")
    return Layout(env=env, invalid_address=unicorn.handle + INVALID_ADDRESS, no_exit_request=unicorn.handle + NO_EXIT_REQUEST)
