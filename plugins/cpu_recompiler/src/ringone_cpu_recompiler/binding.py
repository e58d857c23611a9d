"""Unicorn's C functions, called without the Python binding's conversions (a register read there costs 5 us, here 0.6).

The only module that touches the `unicorn` package; everything else is typed from here on.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ringone.api.errors import BackendError
from unicorn import unicorn_const as const
from unicorn import x86_const
from unicorn.unicorn_py3.unicorn import uclib as _uclib

UC_ARCH_X86 = const.UC_ARCH_X86
UC_MODE_32 = const.UC_MODE_32
UC_PROT_ALL = const.UC_PROT_ALL

HOOK_INTR = const.UC_HOOK_INTR
HOOK_INSN = const.UC_HOOK_INSN
HOOK_CODE = const.UC_HOOK_CODE
HOOK_BLOCK = const.UC_HOOK_BLOCK
HOOK_INSN_INVALID = const.UC_HOOK_INSN_INVALID
HOOK_TLB_FILL = const.UC_HOOK_TLB_FILL
HOOK_EDGE_GENERATED = const.UC_HOOK_EDGE_GENERATED

INS_IN = x86_const.UC_X86_INS_IN
INS_OUT = x86_const.UC_X86_INS_OUT
INS_CPUID = x86_const.UC_X86_INS_CPUID
INS_RDTSC = x86_const.UC_X86_INS_RDTSC
INS_RDTSCP = x86_const.UC_X86_INS_RDTSCP
INS_SYSENTER = x86_const.UC_X86_INS_SYSENTER
INS_SYSCALL = x86_const.UC_X86_INS_SYSCALL

REG_EFLAGS = x86_const.UC_X86_REG_EFLAGS
REG_CR0 = x86_const.UC_X86_REG_CR0
REG_CR2 = x86_const.UC_X86_REG_CR2
REG_CR4 = x86_const.UC_X86_REG_CR4
REG_DR0 = x86_const.UC_X86_REG_DR0
REG_FPCW = x86_const.UC_X86_REG_FPCW
REG_MXCSR = x86_const.UC_X86_REG_MXCSR
REG_MSR = x86_const.UC_X86_REG_MSR

MEM_READ = const.UC_MEM_READ
MEM_WRITE = const.UC_MEM_WRITE
MEM_FETCH = const.UC_MEM_FETCH

PROT_READ = const.UC_PROT_READ
PROT_WRITE = const.UC_PROT_WRITE
PROT_EXEC = const.UC_PROT_EXEC

ERR_OK = const.UC_ERR_OK

InterruptCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
InvalidCallback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
InCallback = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p)
OutCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p)
SkipCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
FillCallback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
BlockCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
EdgeCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
CodeCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
MmioReadCallback = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p)
MmioWriteCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_uint64, ctypes.c_void_p)

_CTL_USE_EXITS = 4
_CTL_TB_REMOVE_CACHE = 9
_CTL_TB_FLUSH = 10
_CTL_TLB_FLUSH = 11
_CTL_TLB_TYPE = 12
_CTL_TCG_BUFFER_SIZE = 13
_TLB_VIRTUAL = 1
_CTL_WRITE = 1


class TranslationBlock(ctypes.Structure):
    """uc_tb: a block's linear address and its size in bytes."""

    _fields_ = (("pc", ctypes.c_uint64), ("icount", ctypes.c_uint16), ("size", ctypes.c_uint16))


class _Msr(ctypes.Structure):
    _fields_ = (("index", ctypes.c_uint32), ("value", ctypes.c_uint64))


def _control(kind: int, arguments: int) -> int:
    """UC_CTL_WRITE(kind, arguments)."""
    return kind | (arguments << 26) | (_CTL_WRITE << 30)


class Unicorn:
    """One uc_engine. Errors of set-up calls raise `BackendError`."""

    def __init__(self) -> None:
        handle = ctypes.c_void_p()
        self._check(_uclib.uc_open(UC_ARCH_X86, UC_MODE_32, ctypes.byref(handle)), "uc_open")
        if handle.value is None:
            raise BackendError("recompiler", "uc_open gave no engine")
        self.handle: int = handle.value
        self._handle = handle
        self._keep: list[Any] = []
        self._value = ctypes.c_uint64()
        self.handle_argument = handle
        self.emu_start: Any = _uclib.uc_emu_start
        self.emu_start.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_size_t)
        self.emu_stop_address: int = ctypes.cast(_uclib.uc_emu_stop, ctypes.c_void_p).value or 0
        self.read_register_address: int = ctypes.cast(_uclib.uc_reg_read, ctypes.c_void_p).value or 0

    def _check(self, error: int, what: str) -> None:
        if error != ERR_OK:
            raise BackendError("recompiler", f"{what} failed: {_uclib.uc_strerror(error).decode()}")

    def use_no_exits(self) -> None:
        """An empty exit list: the `until` address of emu_start would be fetched as if the guest had."""
        self._check(_uclib.uc_ctl(self._handle, _control(_CTL_USE_EXITS, 1), ctypes.c_int(1)), "uc_ctl exits")

    def limit_translations(self, size: int) -> None:
        """Bytes of host memory for translated code; when it is full, all of it is dropped. Before memory is mapped."""
        self._check(_uclib.uc_ctl(self._handle, _control(_CTL_TCG_BUFFER_SIZE, 1), ctypes.c_uint32(size)), "uc_ctl buffer size")

    def use_virtual_tlb(self) -> None:
        self._check(_uclib.uc_ctl(self._handle, _control(_CTL_TLB_TYPE, 1), ctypes.c_int(_TLB_VIRTUAL)), "uc_ctl tlb")

    def flush_tlb(self) -> None:
        _uclib.uc_ctl(self._handle, _control(_CTL_TLB_FLUSH, 0))

    def remove_cache(self, start: int, end: int) -> None:
        """Drop translations of ``[start, end)``; the addresses go through the TLB-fill hook as fetches."""
        _uclib.uc_ctl(self._handle, _control(_CTL_TB_REMOVE_CACHE, 2), ctypes.c_uint64(start), ctypes.c_uint64(end))

    def flush_translations(self) -> None:
        """Drop all of them; outside of emu_start only."""
        _uclib.uc_ctl(self._handle, _control(_CTL_TB_FLUSH, 0))

    def map_memory(self, address: int, size: int, host_address: int) -> None:
        self._check(
            _uclib.uc_mem_map_ptr(self._handle, ctypes.c_uint64(address), ctypes.c_uint64(size), ctypes.c_uint32(UC_PROT_ALL), ctypes.c_void_p(host_address)),
            "uc_mem_map_ptr",
        )

    def map_mmio(self, address: int, size: int, read: Any, write: Any) -> None:
        self._keep += [read, write]
        self._check(_uclib.uc_mmio_map(self._handle, ctypes.c_uint64(address), ctypes.c_uint64(size), read, None, write, None), "uc_mmio_map")

    def hook(self, kind: int, callback: Any, *, user_data: int = 0, instruction: int | None = None, at: int | None = None) -> int:
        """Add a hook over all addresses, or at one. `callback` is a ctypes callback (kept alive, unless the hook is at one) or the address of machine code."""
        hook = ctypes.c_size_t()
        if at is None:
            self._keep.append(callback)
        function = ctypes.c_void_p(callback) if isinstance(callback, int) else ctypes.cast(callback, ctypes.c_void_p)
        arguments: list[Any] = [
            ctypes.byref(hook),
            ctypes.c_int(kind),
            function,
            ctypes.c_void_p(user_data),
            ctypes.c_uint64(1 if at is None else at),
            ctypes.c_uint64(at or 0),
        ]
        if instruction is not None:
            arguments.append(ctypes.c_int(instruction))
        self._check(_uclib.uc_hook_add(self._handle, *arguments), "uc_hook_add")
        return hook.value

    def unhook(self, hook: int) -> None:
        """Take a hook away; translations that call it must be dropped as well."""
        self._check(_uclib.uc_hook_del(self._handle, ctypes.c_size_t(hook)), "uc_hook_del")

    def read_register(self, register: int) -> int:
        self._value.value = 0
        _uclib.uc_reg_read(self._handle, register, ctypes.byref(self._value))
        return self._value.value

    def write_register(self, register: int, value: int) -> None:
        self._value.value = value
        _uclib.uc_reg_write(self._handle, register, ctypes.byref(self._value))

    def read_msr(self, index: int) -> int:
        msr = _Msr(index, 0)
        _uclib.uc_reg_read(self._handle, REG_MSR, ctypes.byref(msr))
        return int(msr.value)

    def write_msr(self, index: int, value: int) -> None:
        msr = _Msr(index, value)
        _uclib.uc_reg_write(self._handle, REG_MSR, ctypes.byref(msr))

    def stop(self) -> None:
        _uclib.uc_emu_stop(self._handle)

    def close(self) -> None:
        if self.handle:
            _uclib.uc_close(self._handle)
            self.handle = 0
