"""INT 11h, 12h and 15h: equipment, memory, A20 and waiting. There are no APM and no pointing device calls: systems that want either have ACPI and drivers."""

from __future__ import annotations

import struct

from ringone_firmware import chipset, e820
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import Call, linear
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import In, Outcome, Outs, Steps
from ringone_firmware.builtin.state import IDLE
from ringone_firmware.chipset import Out

UNSUPPORTED = 0x86
SMAP = 0x534D4150
ONE_MIB, SIXTEEN_MIB = 1 << 20, 16 << 20
MOST_KIB_IN_A_WORD = 0xFC00
BETWEEN_1_AND_16_MIB_KIB = 15 << 10
BLOCK_MOVE_LIMIT = 0x8000
"""Words, as the call's definition says."""
TICK_NS = 54_925_400


def int11(bios: Bios, call: Call) -> None:
    call.ax = call.peek(layout.BDA + layout.EQUIPMENT, 2)


def int12(bios: Bios, call: Call) -> None:
    call.ax = call.peek(layout.BDA + layout.MEMORY_SIZE, 2)


def int15(bios: Bios, call: Call) -> Steps | Outcome | None:
    match call.ah:
        case 0x24:
            return _a20(call)
        case 0x4F:
            return None
        case 0x86:
            return _wait(bios, call)
        case 0x87:
            _block_move(call)
        case 0x88:
            call.ax = min(_extended_kib(bios), MOST_KIB_IN_A_WORD)
            call.set_carry(False)
        case 0x90 | 0x91:
            call.ah = 0
            call.set_carry(False)
        case 0xC0:
            call.es, call.bx, call.ah = layout.BIOS_SEGMENT, layout.CONFIGURATION_TABLE, 0
            call.set_carry(False)
        case 0xC1:
            call.es = call.peek(layout.BDA + layout.EBDA_POINTER, 2)
            call.set_carry(False)
        case 0xE8:
            _memory_map_calls(bios, call)
        case _:
            _unsupported(call)
    return None


def _unsupported(call: Call) -> None:
    call.ah = UNSUPPORTED
    call.set_carry(True)


def _extended_kib(bios: Bios) -> int:
    return bios.usable_end - ONE_MIB >> 10


# --- A20 and waiting ----------------------------------------------------------------------------------------------------------------------------------------


def _a20(call: Call) -> Steps:
    """2400h closes, 2401h opens, 2402h asks, 2403h says that port 92h can do it."""
    present = (yield In(chipset.PORT92))[0]
    call.ah = 0
    call.set_carry(False)
    match call.al:
        case 0x00 | 0x01:
            wanted = chipset.PORT92_A20 if call.al else 0
            yield Outs((Out(chipset.PORT92, present & ~(chipset.PORT92_A20 | 1) | wanted),))
        case 0x02:
            call.al = 1 if present & chipset.PORT92_A20 else 0
        case 0x03:
            call.bx = 2
        case _:
            _unsupported(call)
    return None


def _wait(bios: Bios, call: Call) -> Outcome | None:
    """CX:DX microseconds. Short waits let interrupts in and ask again, long ones sleep until the next."""
    now = bios.now_ns()
    if bios.state.deadline_ns == IDLE:
        bios.state.deadline_ns = now + (call.cx << 16 | call.dx) * 1000
    left = bios.state.deadline_ns - now
    if left > 0:
        return Outcome.HALT if left > 2 * TICK_NS else Outcome.SPIN
    bios.state.deadline_ns = IDLE
    call.ah = 0
    call.set_carry(False)
    return None


# --- Memory -------------------------------------------------------------------------------------------------------------------------------------------------


def _block_move(call: Call) -> None:
    """CX words between the areas that the third and fourth descriptor of the table at ES:SI describe."""
    table = call.read(linear(call.es, call.si), 0x20)
    source, target = _descriptor_base(table, 0x10), _descriptor_base(table, 0x18)
    words = min(call.cx, BLOCK_MOVE_LIMIT)
    call.write(target, call.read(source, words * 2))
    call.ah = 0
    call.set_carry(False)
    call.set_zero(True)


def _descriptor_base(table: bytes, offset: int) -> int:
    low, middle = struct.unpack_from("<HB", table, offset + 2)
    return int(low) | int(middle) << 16 | table[offset + 7] << 24


def _memory_map_calls(bios: Bios, call: Call) -> None:
    match call.al:
        case 0x01:
            _e801(bios, call)
        case 0x20 if call.edx == SMAP:
            _e820(bios, call)
        case _:
            _unsupported(call)


def _e801(bios: Bios, call: Call) -> None:
    """KiB from 1 to 16 MiB in AX and CX, 64 KiB blocks above in BX and DX."""
    call.ax = call.cx = min(_extended_kib(bios), BETWEEN_1_AND_16_MIB_KIB)
    call.bx = call.dx = max(bios.usable_end - SIXTEEN_MIB, 0) >> 16
    call.set_carry(False)


def _e820(bios: Bios, call: Call) -> None:
    """EBX counts the entries."""
    entries = e820.memory_map(bios.memory.ram_size, bios.options.reserved_bytes)
    index = call.ebx
    if index >= len(entries) or call.ecx < 20:
        _unsupported(call)
        return
    call.write(linear(call.es, call.di), e820.encode(entries[index : index + 1]))
    call.eax = SMAP
    call.ecx = 20
    call.ebx = index + 1 if index + 1 < len(entries) else 0
    call.set_carry(False)
