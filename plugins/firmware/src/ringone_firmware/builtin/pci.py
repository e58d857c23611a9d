"""PCI: the walk over bus 0 at POST that gives every function its addresses, and PCI BIOS 2.1 calls (INT 1Ah AH=B1h)."""

from __future__ import annotations

from collections.abc import Generator

from ringone_firmware import chipset
from ringone_firmware.acpi.tables import SCI_INT
from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import Answer, Operation, Outs, Steps, read
from ringone_firmware.builtin.state import PciEntry
from ringone_firmware.chipset import Out

IDENTITY, COMMAND, CLASS, HEADER_TYPE, BARS, ROM_BAR, INTERRUPT_LINE, INTERRUPT_PIN = 0x00, 0x04, 0x08, 0x0E, 0x10, 0x30, 0x3C, 0x3D
COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER = 1 << 0, 1 << 1, 1 << 2
BAR_IO, BAR_64BIT, BAR_TYPE = 1 << 0, 1 << 2, 3 << 1
MULTIFUNCTION, HEADER_LAYOUT = 0x80, 0x7F
ABSENT = 0xFFFF
CLASS_BRIDGE = 0x06
MEMORY_WINDOW, IO_WINDOW = 0xE0000000, 0xC000
MEMORY_WINDOW_END, IO_WINDOW_END = 0xFEC00000, 0x10000
PAGE = 4096

SUCCESSFUL, FUNC_NOT_SUPPORTED, DEVICE_NOT_FOUND, BAD_REGISTER_NUMBER = 0x00, 0x81, 0x86, 0x87
SIGNATURE = 0x20494350
VERSION_2_10 = 0x0210
CONFIG_MECHANISM_1 = 0x01

Value = Generator[Operation, Answer, int]


def config_address(function: int, register: int) -> int:
    """`function` is bus, device and function in 16 bits."""
    return 1 << 31 | function << 8 | register & 0xFC


def config_read(function: int, register: int, size: int) -> Value:
    yield Outs((Out(chipset.PCI_CONFIG_ADDRESS, config_address(function, register), 4),))
    return (yield from read(chipset.PCI_CONFIG_DATA + (register & 3), size))


def config_write(function: int, register: int, value: int, size: int) -> Outs:
    return Outs((Out(chipset.PCI_CONFIG_ADDRESS, config_address(function, register), 4), Out(chipset.PCI_CONFIG_DATA + (register & 3), value, size)))


# --- POST ---------------------------------------------------------------------------------------------------------------------------------------------------


class Allocator:
    """Hands out aligned addresses upwards; `take` returns 0 when the window is full."""

    def __init__(self, start: int, end: int) -> None:
        self._next = start
        self._end = end

    def take(self, size: int) -> int:
        address = self._next + size - 1 & -size
        if address + size > self._end:
            return 0
        self._next = address + size
        return address


def initialize() -> Generator[Operation, Answer, list[PciEntry]]:
    """Find the functions of bus 0, place their BARs, route their interrupts and switch them on."""
    memory, io = Allocator(MEMORY_WINDOW, MEMORY_WINDOW_END), Allocator(IO_WINDOW, IO_WINDOW_END)
    found: list[PciEntry] = []
    for device in range(32):
        functions = 1
        number = 0
        while number < functions:
            function = device << 3 | number
            identity = yield from config_read(function, IDENTITY, 4)
            if identity & 0xFFFF != ABSENT:
                header = yield from config_read(function, HEADER_TYPE, 1)
                functions = 8 if header & MULTIFUNCTION else functions
                class_code = yield from config_read(function, CLASS, 4)
                found.append(PciEntry(address=function, identity=identity, class_code=class_code))
                if header & HEADER_LAYOUT == 0 and class_code >> 24 != CLASS_BRIDGE:
                    yield from _place(function, memory, io)
                yield from _route(function)
            number += 1
    return found


def _place(function: int, memory: Allocator, io: Allocator) -> Generator[Operation, Answer, None]:
    enabled = COMMAND_MASTER
    register = BARS
    while register < BARS + 24:
        original = yield from config_read(function, register, 4)
        yield config_write(function, register, 0xFFFFFFFF, 4)
        mask = yield from config_read(function, register, 4)
        is_io = bool(mask & BAR_IO)
        size = -(mask & (0xFFFFFFFC if is_io else 0xFFFFFFF0)) & (0xFFFF if is_io and mask >> 16 == 0 else 0xFFFFFFFF)
        address = (io.take(size) if is_io else memory.take(max(size, PAGE))) if mask and size else 0
        yield config_write(function, register, address or original, 4)
        if address:
            enabled |= COMMAND_IO if is_io else COMMAND_MEMORY
        if not is_io and mask & BAR_TYPE == BAR_64BIT:
            register += 4
            yield config_write(function, register, 0, 4)
        register += 4
    command = yield from config_read(function, COMMAND, 2)
    yield config_write(function, COMMAND, command | enabled | COMMAND_IO, 2)


def _route(function: int) -> Generator[Operation, Answer, None]:
    pin = yield from config_read(function, INTERRUPT_PIN, 1)
    slot = function >> 3
    if 1 <= pin <= 4:
        is_power_management = function == chipset.ISA_SLOT << 3 | chipset.PM_FUNCTION
        line = SCI_INT if is_power_management else chipset.PIRQ_ROUTES[(slot - 1 + pin - 1) % 4]
        yield config_write(function, INTERRUPT_LINE, line, 1)


# --- PCI BIOS -----------------------------------------------------------------------------------------------------------------------------------------------

READS = {0x08: 1, 0x09: 2, 0x0A: 4}
WRITES = {0x0B: 1, 0x0C: 2, 0x0D: 4}


def bios_call(bios: Bios, call: Call) -> Steps | None:
    function = call.al
    if function == 0x01:
        call.edx, call.bx, call.cl, call.al = SIGNATURE, VERSION_2_10, 0, CONFIG_MECHANISM_1
        _finish(call, SUCCESSFUL)
    elif function == 0x02:
        wanted = call.cx << 16 | call.dx
        _find(call, [entry for entry in bios.state.pci if entry.identity == wanted])
    elif function == 0x03:
        _find(call, [entry for entry in bios.state.pci if entry.class_code >> 8 == call.ecx & 0xFFFFFF])
    elif function in READS:
        return _read(call, READS[function])
    elif function in WRITES:
        return _write(call, WRITES[function])
    else:
        _finish(call, FUNC_NOT_SUPPORTED)
    return None


def _finish(call: Call, status: int) -> None:
    call.ah = status
    call.set_carry(status != SUCCESSFUL)


def _find(call: Call, matches: list[PciEntry]) -> None:
    """The function with index SI among those that match."""
    if call.si < len(matches):
        call.bx = matches[call.si].address
        _finish(call, SUCCESSFUL)
    else:
        _finish(call, DEVICE_NOT_FOUND)


def _read(call: Call, size: int) -> Steps:
    register = call.di
    if register > 0xFF or register % size:
        _finish(call, BAD_REGISTER_NUMBER)
        return None
    value = yield from config_read(call.bx, register, size)
    match size:
        case 1:
            call.cl = value
        case 2:
            call.cx = value
        case _:
            call.ecx = value
    _finish(call, SUCCESSFUL)
    return None


def _write(call: Call, size: int) -> Steps:
    register = call.di
    if register > 0xFF or register % size:
        _finish(call, BAD_REGISTER_NUMBER)
        return None
    yield config_write(call.bx, register, call.ecx & (1 << 8 * size) - 1, size)
    _finish(call, SUCCESSFUL)
    return None
