"""The processor's state at a direct boot, and the short program that prepares the chips before the kernel runs."""

from __future__ import annotations

import struct
from importlib import resources

import attrs
from ringone.api.cpu import CpuState, SegmentState, TableState
from ringone.api.firmware import MemoryImage

from ringone_firmware import chipset
from ringone_firmware.assembler import assemble
from ringone_firmware.fonts import font_8x16

STUB, GDT, FONT = 0x7000, 0x7800, 0x8000
BOOT_CS, BOOT_DS = 0x10, 0x18
FLAT_CODE, FLAT_DATA = 0x00CF9B000000FFFF, 0x00CF93000000FFFF
CR0_PE, CR0_ET = 1 << 0, 1 << 4
EFLAGS_RESERVED = 1 << 1
DR6_RESET, DR7_RESET = 0xFFFF0FF0, 0x400
FCW_RESET, MXCSR_RESET = 0x037F, 0x1F80


@attrs.frozen(kw_only=True)
class KernelEntry:
    """Where the kernel starts and what its protocol wants in the registers."""

    address: int
    eax: int = 0
    ebx: int = 0
    esi: int = 0


def stub_images(entry: KernelEntry) -> tuple[MemoryImage, ...]:
    """Program, tables and font in low memory; `cpu_state` enters the program."""
    writes = _table([*chipset.board(), *chipset.vga_mode(chipset.MODE_3), *chipset.dac(chipset.ega_colours()), *chipset.FONT_PLANE_OPEN])
    writes += _table(chipset.FONT_PLANE_CLOSE)
    table = FONT + len(font_8x16())
    program = assemble(
        resources.files(__package__).joinpath("entry.s").read_text(encoding="ascii"),
        {
            "WRITES": table,
            "WRITES_END": table + len(writes),
            "FONT": FONT,
            "INPUT_STATUS_1": chipset.INPUT_STATUS_1,
            "KERNEL_EAX": entry.eax,
            "KERNEL_EBX": entry.ebx,
            "KERNEL_ESI": entry.esi,
            "KERNEL_SEGMENT": BOOT_CS,
            "KERNEL_ENTRY": entry.address,
        },
        origin=STUB,
        name="entry.s",
    )
    return (
        MemoryImage(address=STUB, data=program.data),
        MemoryImage(address=GDT, data=struct.pack("<4Q", 0, 0, FLAT_CODE, FLAT_DATA)),
        MemoryImage(address=FONT, data=font_8x16() + writes),
    )


def _table(writes: list[chipset.Out]) -> bytes:
    return b"".join(struct.pack("<HHI", out.port, out.size, out.value) for out in writes) + bytes(8)


def cpu_state() -> CpuState:
    """Protected mode without paging, flat segments, interrupts off."""
    data = _segment(BOOT_DS, 0xFFFFFFFF, 0xC093)
    fpu = bytearray(512)
    struct.pack_into("<H", fpu, 0, FCW_RESET)
    struct.pack_into("<I", fpu, 24, MXCSR_RESET)
    return CpuState(
        gpr=(0,) * 8,
        eip=STUB,
        eflags=EFLAGS_RESERVED,
        cs=_segment(BOOT_CS, 0xFFFFFFFF, 0xC09B),
        ss=data,
        ds=data,
        es=data,
        fs=data,
        gs=data,
        ldtr=_segment(0, 0xFFFF, 0x82),
        tr=_segment(0, 0xFFFF, 0x8B),
        gdtr=TableState(base=GDT, limit=31),
        idtr=TableState(base=0, limit=0),
        cr0=CR0_PE | CR0_ET,
        cr2=0,
        cr3=0,
        cr4=0,
        dr=(0, 0, 0, 0, 0, 0, DR6_RESET, DR7_RESET),
        msr={},
        fpu=bytes(fpu),
    )


def _segment(selector: int, limit: int, attributes: int) -> SegmentState:
    return SegmentState(selector=selector, base=0, limit=limit, attributes=attributes)
