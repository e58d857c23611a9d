"""INT 14h over the 16550s that POST found, and INT 17h, which reports that there is no printer."""

from __future__ import annotations

from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import Outs, Steps, read
from ringone_firmware.chipset import Out

DATA, DIVISOR_HIGH, LINE_CONTROL, MODEM_CONTROL, LINE_STATUS, MODEM_STATUS = 0, 1, 3, 4, 5, 6
DIVISOR_LATCH = 0x80
DTR_RTS = 0x03
DATA_READY, TRANSMITTER_EMPTY = 1 << 0, 1 << 5
TIMED_OUT = 0x80
DIVISORS = (0x417, 0x300, 0x180, 0xC0, 0x60, 0x30, 0x18, 0x0C)
"""110 to 9600 baud."""
POLLS = 5000
PRINTER_TIMED_OUT = 0x01


def int14(bios: Bios, call: Call) -> Steps | None:
    port = call.peek(layout.BDA + layout.COM_PORTS + 2 * (call.dl & 3), 2) if call.dx < 4 else 0
    if not port:
        call.ah = TIMED_OUT
        return None
    match call.ah:
        case 0x00:
            return _initialize(call, port)
        case 0x01:
            return _send(call, port)
        case 0x02:
            return _receive(call, port)
        case 0x03:
            return _status(call, port)
    return None


def _initialize(call: Call, port: int) -> Steps:
    divisor = DIVISORS[call.al >> 5]
    yield Outs(
        (
            Out(port + LINE_CONTROL, DIVISOR_LATCH),
            Out(port + DATA, divisor & 0xFF),
            Out(port + DIVISOR_HIGH, divisor >> 8),
            Out(port + LINE_CONTROL, call.al & 0x1F),
            Out(port + MODEM_CONTROL, DTR_RTS),
        )
    )
    return (yield from _status(call, port))


def _send(call: Call, port: int) -> Steps:
    for _ in range(POLLS):
        status = yield from read(port + LINE_STATUS)
        if status & TRANSMITTER_EMPTY:
            yield Outs((Out(port + DATA, call.al),))
            call.ah = status
            return None
    call.ah = TIMED_OUT
    return None


def _receive(call: Call, port: int) -> Steps:
    for _ in range(POLLS):
        status = yield from read(port + LINE_STATUS)
        if status & DATA_READY:
            call.al = yield from read(port + DATA)
            call.ah = status & 0x1E
            return None
    call.ah = TIMED_OUT
    return None


def _status(call: Call, port: int) -> Steps:
    call.ah = yield from read(port + LINE_STATUS)
    call.al = yield from read(port + MODEM_STATUS)
    return None


def int17(bios: Bios, call: Call) -> None:
    call.ah = PRINTER_TIMED_OUT
