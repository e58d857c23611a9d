"""INT 1Ah: the tick count and the real-time clock; PCI BIOS calls are in `pci`."""

from __future__ import annotations

from collections.abc import Generator

from ringone_firmware.builtin import layout, pci
from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import Answer, Operation, Outs, Steps, read
from ringone_firmware.chipset import Out

RTC_INDEX, RTC_DATA = 0x70, 0x71
SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR, STATUS_A, STATUS_B, STATUS_D, CENTURY = 0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0D, 0x32
SECONDS_ALARM, MINUTES_ALARM, HOURS_ALARM = 0x01, 0x03, 0x05
UPDATE_IN_PROGRESS = 1 << 7
SET, ALARM_INTERRUPT, DAYLIGHT = 1 << 7, 1 << 5, 1 << 0
UPDATE_POLLS = 2000
PIC2_MASK = 0xA1
RTC_LINE = 1 << 0


def int1a(bios: Bios, call: Call) -> Steps | None:
    match call.ah:
        case 0x00:
            _ticks(call)
        case 0x01:
            call.poke(layout.BDA + layout.TIMER_TICKS, call.cx << 16 | call.dx, 4)
            call.poke(layout.BDA + layout.TIMER_MIDNIGHT, 0)
            _ok(call)
        case 0x02:
            return _get_time(call)
        case 0x03:
            return _set_time(call)
        case 0x04:
            return _get_date(call)
        case 0x05:
            return _set_date(call)
        case 0x06:
            return _set_alarm(call)
        case 0x07:
            return _clear_alarm(call)
        case 0xB1:
            return pci.bios_call(bios, call)
        case _:
            call.set_carry(True)
    return None


def _ok(call: Call) -> None:
    call.ah = 0
    call.set_carry(False)


def _ticks(call: Call) -> None:
    ticks = call.peek(layout.BDA + layout.TIMER_TICKS, 4)
    call.cx, call.dx = ticks >> 16, ticks & 0xFFFF
    call.al = call.peek(layout.BDA + layout.TIMER_MIDNIGHT)
    call.poke(layout.BDA + layout.TIMER_MIDNIGHT, 0)
    _ok(call)


# --- Real-time clock ----------------------------------------------------------------------------------------------------------------------------------------


def read_cmos(register: int) -> Generator[Operation, Answer, int]:
    yield Outs((Out(RTC_INDEX, register),))
    return (yield from read(RTC_DATA))


def write_cmos(*values: tuple[int, int]) -> Outs:
    return Outs(tuple(out for register, value in values for out in (Out(RTC_INDEX, register), Out(RTC_DATA, value))))


def wait_for_update() -> Generator[Operation, Answer, None]:
    """Until registers may be read together, or the clock seems dead."""
    for _ in range(UPDATE_POLLS):
        if not (yield from read_cmos(STATUS_A)) & UPDATE_IN_PROGRESS:
            return


def _get_time(call: Call) -> Steps:
    yield from wait_for_update()
    call.dh = yield from read_cmos(SECONDS)
    call.cl = yield from read_cmos(MINUTES)
    call.ch = yield from read_cmos(HOURS)
    call.dl = (yield from read_cmos(STATUS_B)) & DAYLIGHT
    _ok(call)
    return None


def _get_date(call: Call) -> Steps:
    yield from wait_for_update()
    call.dl = yield from read_cmos(DAY)
    call.dh = yield from read_cmos(MONTH)
    call.cl = yield from read_cmos(YEAR)
    call.ch = yield from read_cmos(CENTURY)
    _ok(call)
    return None


def _set_time(call: Call) -> Steps:
    status = yield from read_cmos(STATUS_B)
    status = status & ~(SET | DAYLIGHT) | call.dl & DAYLIGHT
    yield write_cmos((STATUS_B, status | SET), (SECONDS, call.dh), (MINUTES, call.cl), (HOURS, call.ch), (STATUS_B, status))
    _ok(call)
    return None


def _set_date(call: Call) -> Steps:
    status = (yield from read_cmos(STATUS_B)) & ~SET
    yield write_cmos((STATUS_B, status | SET), (DAY, call.dl), (MONTH, call.dh), (YEAR, call.cl), (CENTURY, call.ch), (STATUS_B, status))
    _ok(call)
    return None


def _set_alarm(call: Call) -> Steps:
    status = yield from read_cmos(STATUS_B)
    if status & ALARM_INTERRUPT:
        call.set_carry(True)
        return None
    mask = yield from read(PIC2_MASK)
    yield Outs((Out(PIC2_MASK, mask & ~RTC_LINE),))
    yield write_cmos((SECONDS_ALARM, call.dh), (MINUTES_ALARM, call.cl), (HOURS_ALARM, call.ch), (STATUS_B, status & ~SET | ALARM_INTERRUPT))
    _ok(call)
    return None


def _clear_alarm(call: Call) -> Steps:
    status = yield from read_cmos(STATUS_B)
    yield write_cmos((STATUS_B, status & ~(SET | ALARM_INTERRUPT)))
    _ok(call)
    return None
