"""Power-on: chips, interrupt vectors, BIOS data area. The service behind the ROM's first call."""

from __future__ import annotations

from collections.abc import Generator

from ringone_firmware import chipset
from ringone_firmware.builtin import layout, pci
from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.clock import HOURS, MINUTES, SECONDS, STATUS_A, STATUS_B, read_cmos, wait_for_update, write_cmos
from ringone_firmware.builtin.keyboard import ENHANCED_KEYBOARD
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import Answer, Operation, Outs, Steps, read
from ringone_firmware.builtin.rom import program
from ringone_firmware.builtin.video import set_mode
from ringone_firmware.chipset import Out

PIC1_COMMAND, PIC1_DATA, PIC2_COMMAND, PIC2_DATA = 0x20, 0x21, 0xA0, 0xA1
ICW1_CASCADE_ICW4, ICW4_8086 = 0x11, 0x01
IRQ_BASE_1, IRQ_BASE_2 = 0x08, 0x70
MASK_1, MASK_2 = 0xB8, 0x8F
"""Open: timer, keyboard, cascade, floppy; mouse, coprocessor, primary IDE."""
PIT_COUNTER_0, PIT_COUNTER_1, PIT_CONTROL = 0x40, 0x41, 0x43
COUNTER_0_MODE_3, COUNTER_1_MODE_2, REFRESH_COUNT = 0x36, 0x54, 0x12
DMA1_MASTER_CLEAR, DMA2_MASTER_CLEAR = 0x0D, 0xDA
RTC_24_HOURS, RTC_RATE = 0x02, 0x26

KBD_DATA, KBD_COMMAND = 0x60, 0x64
OUTPUT_FULL, INPUT_FULL = 1 << 0, 1 << 1
SELF_TEST, DISABLE_KEYBOARD, DISABLE_MOUSE, ENABLE_KEYBOARD, WRITE_COMMAND_BYTE = 0xAA, 0xAD, 0xA7, 0xAE, 0x60
COMMAND_BYTE = 0x65
"""Translate, mouse clock off, system flag, keyboard interrupt."""
KEYBOARD_RESET, KEYBOARD_ENABLE = 0xFF, 0xF4
KEYBOARD_POLLS = 2000
FLUSH_LIMIT = 32
FLOATING_BUS = 0xFF

COM_BASES = (0x3F8, 0x2F8, 0x3E8, 0x2E8)
UART_INTERRUPT_ENABLE, UART_INTERRUPT_IDENTITY = 1, 2
UART_TEST_PATTERN, UART_IDENTITY_MASK = 0x02, 0x3F
TICKS_PER_HOUR_NUMERATOR, TICKS_DENOMINATOR = 1193182, 65536

Plain = Generator[Operation, Answer, None]


def power_on_self_test(bios: Bios, call: Call) -> Steps:
    yield Outs(tuple(_chips()))
    yield from _keyboard()
    entries = yield from pci.initialize()
    if entries:
        yield Outs(tuple(chipset.piix()))
    ports = yield from _serial_ports()
    ticks = yield from _clock()
    _vectors(bios, call)
    _data_area(bios, call, ports, ticks)
    yield from set_mode(3, call)
    bios.state.pci = entries
    return None


def _chips() -> list[Out]:
    return [
        Out(chipset.PORT92, chipset.PORT92_A20),
        Out(PIC1_COMMAND, ICW1_CASCADE_ICW4),
        Out(PIC1_DATA, IRQ_BASE_1),
        Out(PIC1_DATA, 1 << 2),
        Out(PIC1_DATA, ICW4_8086),
        Out(PIC2_COMMAND, ICW1_CASCADE_ICW4),
        Out(PIC2_DATA, IRQ_BASE_2),
        Out(PIC2_DATA, 2),
        Out(PIC2_DATA, ICW4_8086),
        Out(PIC1_DATA, MASK_1),
        Out(PIC2_DATA, MASK_2),
        Out(PIT_CONTROL, COUNTER_0_MODE_3),
        Out(PIT_COUNTER_0, 0),
        Out(PIT_COUNTER_0, 0),
        Out(PIT_CONTROL, COUNTER_1_MODE_2),
        Out(PIT_COUNTER_1, REFRESH_COUNT),
        Out(DMA1_MASTER_CLEAR, 0),
        Out(DMA2_MASTER_CLEAR, 0),
        Out(chipset.DMA2_MODE, chipset.DMA_CASCADE_CHANNEL_0),
        Out(chipset.DMA2_MASK, 0),
    ]


# --- Keyboard -------------------------------------------------------------------------------------------------------------------------------------------------


def _keyboard() -> Plain:
    """Self-test the controller, reset the keyboard, and let it send. A machine may have none."""
    if (yield from read(KBD_COMMAND)) == FLOATING_BUS:
        return
    yield from _command(DISABLE_KEYBOARD)
    yield from _command(DISABLE_MOUSE)
    yield from _flush()
    yield from _command(SELF_TEST)
    yield from _answer()
    yield from _command(WRITE_COMMAND_BYTE)
    yield from _send(COMMAND_BYTE & ~1)
    yield from _command(ENABLE_KEYBOARD)
    yield from _send(KEYBOARD_RESET)
    yield from _answer()
    yield from _answer()
    yield from _send(KEYBOARD_ENABLE)
    yield from _answer()
    yield from _command(WRITE_COMMAND_BYTE)
    yield from _send(COMMAND_BYTE)


def _wait_for(bit: int, level: bool) -> Generator[Operation, Answer, bool]:
    for _ in range(KEYBOARD_POLLS):
        status = yield from read(KBD_COMMAND)
        if bool(status & bit) == level:
            return True
    return False


def _command(command: int) -> Plain:
    yield from _wait_for(INPUT_FULL, False)
    yield Outs((Out(KBD_COMMAND, command),))


def _send(value: int) -> Plain:
    yield from _wait_for(INPUT_FULL, False)
    yield Outs((Out(KBD_DATA, value),))


def _answer() -> Plain:
    if (yield from _wait_for(OUTPUT_FULL, True)):
        yield from read(KBD_DATA)


def _flush() -> Plain:
    for _ in range(FLUSH_LIMIT):
        if not (yield from read(KBD_COMMAND)) & OUTPUT_FULL:
            return
        yield from read(KBD_DATA)


# --- Serial ports and clock -----------------------------------------------------------------------------------------------------------------------------------


def _serial_ports() -> Generator[Operation, Answer, list[int]]:
    found = []
    for base in COM_BASES:
        yield Outs((Out(base + UART_INTERRUPT_ENABLE, UART_TEST_PATTERN),))
        enabled = yield from read(base + UART_INTERRUPT_ENABLE)
        identity = yield from read(base + UART_INTERRUPT_IDENTITY)
        yield Outs((Out(base + UART_INTERRUPT_ENABLE, 0),))
        if enabled == UART_TEST_PATTERN and identity & UART_IDENTITY_MASK == UART_TEST_PATTERN:
            found.append(base)
    return found


def _clock() -> Generator[Operation, Answer, int]:
    """Sets the clock's mode and returns the time of day in timer ticks."""
    yield write_cmos((STATUS_A, RTC_RATE), (STATUS_B, RTC_24_HOURS))
    yield from wait_for_update()
    seconds = 0
    for register in (HOURS, MINUTES, SECONDS):
        value = yield from read_cmos(register)
        seconds = seconds * 60 + (value >> 4) * 10 + (value & 0x0F)
    return seconds * TICKS_PER_HOUR_NUMERATOR // TICKS_DENOMINATOR % layout.TICKS_A_DAY


# --- Memory ---------------------------------------------------------------------------------------------------------------------------------------------------


def _vectors(bios: Bios, call: Call) -> None:
    labels = program(bios.options.base).labels
    offsets = [layout.DUMMY_IRET] * layout.DEFAULT_VECTORS + [0] * (256 - layout.DEFAULT_VECTORS)
    for vector, label in layout.INTERRUPT_HANDLERS.items():
        offsets[vector] = labels[label]
    for vector, table in ((0x1D, 0), (0x1E, layout.DISKETTE_TABLE), (0x1F, layout.FONT_8X8_UPPER_OFFSET), (0x43, layout.FONT_8X16_OFFSET)):
        offsets[vector] = table
    far = b"".join(offset.to_bytes(2, "little") + (layout.BIOS_SEGMENT if offset else 0).to_bytes(2, "little") for offset in offsets)
    call.write(0, far)


def _data_area(bios: Bios, call: Call, ports: list[int], ticks: int) -> None:
    floppies = bios.drives.floppy_count(None)
    equipment = layout.EQUIPMENT_FPU | layout.EQUIPMENT_MOUSE | layout.EQUIPMENT_80X25 | len(ports) << 9
    if floppies:
        equipment |= layout.EQUIPMENT_FLOPPY | floppies - 1 << 6
    call.write(layout.BDA, bytes(0x100))
    for index, port in enumerate(ports):
        call.poke(layout.BDA + layout.COM_PORTS + 2 * index, port, 2)
        call.poke(layout.BDA + layout.COM_TIMEOUTS + index, 1)
    for offset, value, size in (
        (layout.EBDA_POINTER, layout.EBDA_SEGMENT, 2),
        (layout.EQUIPMENT, equipment, 2),
        (layout.MEMORY_SIZE, layout.BASE_MEMORY_KIB, 2),
        (layout.KEYBOARD_HEAD, layout.KEYBOARD_BUFFER, 2),
        (layout.KEYBOARD_TAIL, layout.KEYBOARD_BUFFER, 2),
        (layout.KEYBOARD_START, layout.KEYBOARD_BUFFER, 2),
        (layout.KEYBOARD_END, layout.KEYBOARD_BUFFER_FINISH, 2),
        (layout.KEYBOARD_FLAGS_3, ENHANCED_KEYBOARD, 1),
        (layout.TIMER_TICKS, ticks, 4),
        (layout.DISK_COUNT, len(bios.drives.disks), 1),
    ):
        call.poke(layout.BDA + offset, value, size)
    call.write(layout.EBDA_SEGMENT << 4, bytes([layout.EBDA_KIB]).ljust(layout.EBDA_KIB << 10, b"\0"))
