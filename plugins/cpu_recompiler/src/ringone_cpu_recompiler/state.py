"""Between the engine's state and the architectural `CpuState`: what a snapshot holds and a reset sets (SDM vol. 3, table 9-1)."""

from __future__ import annotations

import struct

import attrs
from ringone.api.cpu import CpuState, SegmentState, TableState
from ringone.api.errors import SnapshotError

from ringone_cpu_recompiler import binding, layout
from ringone_cpu_recompiler.binding import Unicorn
from ringone_cpu_recompiler.env import (
    CR0_ET,
    CR0_PE,
    CS,
    D_FLAGS,
    D_HFLAGS,
    D_HFLAGS2,
    D_LIMIT,
    D_SELECTOR,
    DESC_A,
    DESC_CODE,
    DESC_P,
    DESC_S,
    DESC_W,
    DS,
    EDX,
    EFER_LME,
    EFER_NXE,
    EFER_SCE,
    ES,
    FLAG_VM,
    FS,
    GDT,
    GS,
    HF2_NMI,
    HF_INHIBIT_IRQ,
    IDT,
    LDT,
    LOADED_BY_US,
    Q_BASE,
    Q_CR0,
    Q_CR3,
    Q_CR4,
    Q_EFER,
    Q_EIP,
    SS,
    TR,
    Env,
)

_ATTRIBUTES = 0xF0FF
_MSR_EFER = 0xC0000080
_MSRS = (0x174, 0x175, 0x176, 0x1A0, 0x277, _MSR_EFER)
"""SYSENTER_CS, _ESP, _EIP, MISC_ENABLE, PAT, EFER."""
_RESET_SIGNATURE_EDX = 0x600
_EFER_BITS = EFER_SCE | EFER_LME | EFER_NXE
_TSS_TYPES = (0x81, 0x83, 0x89, 0x8B)
_TSS_BUSY = 2
"""The engine aborts the process unless the hidden part of TR looks like a present TSS that is *not* busy; architecturally the loaded one always is."""


def _segment(env: Env, register: int) -> SegmentState:
    d = env.d
    return SegmentState(
        selector=d[D_SELECTOR[register]],
        base=env.q[Q_BASE[register]] & 0xFFFFFFFF,
        limit=d[D_LIMIT[register]],
        attributes=d[D_FLAGS[register]] >> 8 & _ATTRIBUTES,
    )


def _set_segment(env: Env, register: int, state: SegmentState) -> None:
    env.set_segment(register, state.selector, state.base, state.limit, state.attributes << 8)


def _task_register(env: Env) -> SegmentState:
    state = _segment(env, TR)
    return attrs.evolve(state, attributes=state.attributes & ~(LOADED_BY_US >> 8) | _TSS_BUSY)


def _set_task_register(env: Env, state: SegmentState) -> None:
    _set_segment(env, TR, attrs.evolve(state, attributes=state.attributes & ~_TSS_BUSY | LOADED_BY_US >> 8))


def _save_fpu(unicorn: Unicorn, env: Env) -> bytes:
    """FXSAVE layout (SDM vol. 1, table 10-2); instruction and operand pointers are not kept by the engine and read 0."""
    b = env.b
    top = env.d[layout.FPSTT // 4] & 7
    control = unicorn.read_register(binding.REG_FPCW) & 0xFFFF
    status = struct.unpack_from("<H", b, layout.FPUS)[0] & ~0x3800 | top << 11
    tags = sum(1 << index for index in range(8) if not b[layout.FPTAGS + index])
    image = bytearray(512)
    struct.pack_into("<HHB", image, 0, control, status, tags)
    struct.pack_into("<II", image, 24, unicorn.read_register(binding.REG_MXCSR) & 0xFFFF, 0xFFFF)
    for index in range(8):
        register = layout.FPREGS + 16 * (index + top & 7)
        image[32 + 16 * index : 42 + 16 * index] = b[register : register + 10]
        xmm = layout.XMM + layout.XMM_STRIDE * index
        image[160 + 16 * index : 176 + 16 * index] = b[xmm : xmm + 16]
    return bytes(image)


def _load_fpu(unicorn: Unicorn, env: Env, image: bytes) -> None:
    b = env.b
    control, status, tags = struct.unpack_from("<HHB", image, 0)
    top = status >> 11 & 7
    unicorn.write_register(binding.REG_FPCW, control)
    unicorn.write_register(binding.REG_MXCSR, struct.unpack_from("<I", image, 24)[0])
    env.d[layout.FPSTT // 4] = top
    struct.pack_into("<H", b, layout.FPUS, status & ~0x3800)
    for index in range(8):
        b[layout.FPTAGS + index] = 0 if tags >> index & 1 else 1
        register = layout.FPREGS + 16 * (index + top & 7)
        b[register : register + 10] = image[32 + 16 * index : 42 + 16 * index]
        xmm = layout.XMM + layout.XMM_STRIDE * index
        b[xmm : xmm + 16] = image[160 + 16 * index : 176 + 16 * index]


def save(unicorn: Unicorn, env: Env, *, tsc_offset_ns: int, halted: bool, shutdown: bool, nmi_pending: bool) -> CpuState:
    q, d = env.q, env.d
    return CpuState(
        gpr=tuple(q[index] & 0xFFFFFFFF for index in range(8)),
        eip=q[Q_EIP] & 0xFFFFFFFF,
        eflags=env.eflags,
        cs=_segment(env, CS),
        ss=_segment(env, SS),
        ds=_segment(env, DS),
        es=_segment(env, ES),
        fs=_segment(env, FS),
        gs=_segment(env, GS),
        ldtr=_segment(env, LDT),
        tr=_task_register(env),
        gdtr=TableState(base=q[Q_BASE[GDT]] & 0xFFFFFFFF, limit=d[D_LIMIT[GDT]]),
        idtr=TableState(base=q[Q_BASE[IDT]] & 0xFFFFFFFF, limit=d[D_LIMIT[IDT]]),
        cr0=q[Q_CR0] & 0xFFFFFFFF,
        cr2=q[Q_CR0 + 2] & 0xFFFFFFFF,
        cr3=q[Q_CR3] & 0xFFFFFFFF,
        cr4=q[Q_CR4] & 0xFFFFFFFF,
        dr=tuple(q[layout.DR // 8 + index] & 0xFFFFFFFF for index in range(8)),
        msr={index: unicorn.read_msr(index) for index in _MSRS},
        fpu=_save_fpu(unicorn, env),
        tsc_offset_ns=tsc_offset_ns,
        halted=halted,
        shutdown=shutdown,
        interrupt_shadow=bool(d[D_HFLAGS] & HF_INHIBIT_IRQ),
        nmi_blocked=bool(d[D_HFLAGS2] & HF2_NMI),
        nmi_pending=nmi_pending,
    )


def check(state: CpuState) -> None:
    """Raise `SnapshotError` for what no 32-bit processor can hold. What a guest can bring about itself, however senseless, passes."""
    words = {"eip": state.eip, "eflags": state.eflags, "cr0": state.cr0, "cr2": state.cr2, "cr3": state.cr3, "cr4": state.cr4}
    words |= {f"gpr[{index}]": value for index, value in enumerate(state.gpr)} | {f"dr[{index}]": value for index, value in enumerate(state.dr)}
    shorts: dict[str, int] = {}
    attributes: dict[str, int] = {}
    for name in ("cs", "ss", "ds", "es", "fs", "gs", "ldtr", "tr"):
        segment: SegmentState = getattr(state, name)
        words |= {f"{name}.base": segment.base, f"{name}.limit": segment.limit}
        shorts[f"{name}.selector"] = segment.selector
        attributes[f"{name}.attributes"] = segment.attributes
    for name, table in (("gdtr", state.gdtr), ("idtr", state.idtr)):
        words[f"{name}.base"] = table.base
        shorts[f"{name}.limit"] = table.limit
    msrs = {f"msr[{index:#x}]": value for index, value in state.msr.items()}
    for values, accepted in ((words, 0xFFFFFFFF), (shorts, 0xFFFF), (attributes, _ATTRIBUTES), (msrs, 0xFFFFFFFF_FFFFFFFF)):
        for name, value in values.items():
            if value < 0 or value & ~accepted:
                raise SnapshotError(f"CPU state: {name} is {value:#x}; accepted: the bits of {accepted:#x}")
    if (len(state.gpr), len(state.dr), len(state.fpu)) != (8, 8, 512):
        raise SnapshotError(f"CPU state: {len(state.gpr)} gpr, {len(state.dr)} dr and {len(state.fpu)} bytes of fpu; accepted: 8, 8 and 512")
    if state.msr.get(_MSR_EFER, 0) & ~_EFER_BITS:
        raise SnapshotError(f"CPU state: EFER is {state.msr[_MSR_EFER]:#x}; accepted: the bits of {_EFER_BITS:#x}, and no long mode")
    if state.eflags & FLAG_VM and not state.cr0 & CR0_PE:
        raise SnapshotError("CPU state: virtual-8086 mode (EFLAGS.VM) without protected mode (CR0.PE)")
    if state.tr.attributes & 0xFF not in _TSS_TYPES:
        raise SnapshotError(f"CPU state: TR has attributes {state.tr.attributes:#x}, which is no present task-state segment")


def load(unicorn: Unicorn, env: Env, state: CpuState) -> None:
    """Make the engine's processor equal to `state`; the caller flushes the TLB. Raises `SnapshotError`, and then nothing has changed."""
    check(state)
    env.restore_pristine()
    q, d = env.q, env.d
    unicorn.write_register(binding.REG_CR4, state.cr4)
    for index in _MSRS:
        unicorn.write_msr(index, state.msr.get(index, 0))
    _load_fpu(unicorn, env, state.fpu)
    for index, value in enumerate(state.dr):
        if index not in (4, 5):
            unicorn.write_register(binding.REG_DR0 + index, value)
    for index, value in enumerate(state.gpr):
        q[index] = value
    q[Q_EIP] = state.eip
    q[Q_CR0] = state.cr0 | CR0_ET
    q[Q_CR0 + 2] = state.cr2
    q[Q_CR3] = state.cr3
    q[Q_CR4] = state.cr4
    q[Q_EFER] = state.msr.get(_MSR_EFER, 0)
    env.eflags = state.eflags
    for register, segment in (
        (CS, state.cs), (SS, state.ss), (DS, state.ds), (ES, state.es), (FS, state.fs), (GS, state.gs), (LDT, state.ldtr),
    ):  # fmt: skip
        _set_segment(env, register, segment)
    _set_task_register(env, state.tr)
    env.set_segment(GDT, 0, state.gdtr.base, state.gdtr.limit, 0)
    env.set_segment(IDT, 0, state.idtr.base, state.idtr.limit, 0)
    d[D_HFLAGS2] = d[D_HFLAGS2] & ~HF2_NMI | (HF2_NMI if state.nmi_blocked else 0)
    env.update_hflags(current_ring(state))
    if state.interrupt_shadow:
        d[D_HFLAGS] |= HF_INHIBIT_IRQ


def current_ring(state: CpuState) -> int:
    """CPL: 0 in real mode, 3 in virtual-8086 mode, else the DPL of SS."""
    if not state.cr0 & 1:
        return 0
    if state.eflags & 1 << 17:
        return 3
    return state.ss.attributes >> 5 & 3


def reset_state() -> CpuState:
    """After RESET: the first instruction is fetched from 0xFFFFFFF0."""
    data = SegmentState(selector=0, base=0, limit=0xFFFF, attributes=(DESC_P | DESC_S | DESC_W | DESC_A) >> 8)
    code = SegmentState(selector=0xF000, base=0xFFFF0000, limit=0xFFFF, attributes=(DESC_P | DESC_S | DESC_CODE | DESC_W | DESC_A) >> 8)
    fpu = bytearray(512)
    struct.pack_into("<HHB", fpu, 0, 0x037F, 0, 0)
    struct.pack_into("<II", fpu, 24, 0x1F80, 0xFFFF)
    return CpuState(
        gpr=tuple(_RESET_SIGNATURE_EDX if index == EDX else 0 for index in range(8)),
        eip=0xFFF0,
        eflags=2,
        cs=code,
        ss=data,
        ds=data,
        es=data,
        fs=data,
        gs=data,
        ldtr=SegmentState(selector=0, base=0, limit=0xFFFF, attributes=0x82),
        tr=SegmentState(selector=0, base=0, limit=0xFFFF, attributes=0x8B),
        gdtr=TableState(base=0, limit=0xFFFF),
        idtr=TableState(base=0, limit=0xFFFF),
        cr0=0x60000010,
        cr2=0,
        cr3=0,
        cr4=0,
        dr=(0, 0, 0, 0, 0, 0, 0xFFFF0FF0, 0x400),
        msr={0x174: 0, 0x175: 0, 0x176: 0, 0x1A0: 1, 0x277: 0x0007040600070406, 0xC0000080: 0},
        fpu=bytes(fpu),
    )
