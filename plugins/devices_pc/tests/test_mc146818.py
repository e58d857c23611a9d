"""The real-time clock and the CMOS memory."""

from __future__ import annotations

import calendar as days
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.errors import ConfigError
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.mc146818 import SPEC, calendar
from ringone_devices_pc.mc146818.config import FloppyType, Mc146818Options

SECOND = 1_000_000_000
START = datetime.datetime(2023, 11, 22, 23, 59, 58, tzinfo=datetime.UTC)
A, B, C, D = 0x0A, 0x0B, 0x0C, 0x0D
UIP = 0x80
SET, PIE, AIE, UIE, BINARY, HOURS_24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
IRQF, PF, AF, UF = 0x80, 0x40, 0x20, 0x10
DIVIDER_ON, DIVIDER_RESET = 0x26, 0x76


class Clock:
    def base_ns(self) -> int:
        return int(START.timestamp()) * SECOND


def machine(**options: object) -> DeviceHarness:
    return DeviceHarness(SPEC, options=Mc146818Options(**options), drivers={"wall-clock": Clock()})  # type: ignore[arg-type]


@pytest.fixture
def rtc() -> DeviceHarness:
    return machine()


def get(rtc: DeviceHarness, index: int) -> int:
    rtc.write(0x70, index)
    return rtc.read(0x71)


def put(rtc: DeviceHarness, index: int, value: int) -> None:
    rtc.write(0x70, index)
    rtc.write(0x71, value)


def get16(rtc: DeviceHarness, index: int) -> int:
    return get(rtc, index) | get(rtc, index + 1) << 8


def show(rtc: DeviceHarness) -> str:
    """The BCD clock as text."""
    return "{:02x}{:02x}-{:02x}-{:02x} {:02x}:{:02x}:{:02x}".format(*(get(rtc, index) for index in (0x32, 9, 8, 7, 4, 2, 0)))


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return machine()

    def exercise(self, harness: DeviceHarness) -> None:
        put(harness, A, 0x2A)
        put(harness, B, PIE | UIE | HOURS_24)
        harness.advance(123_456_789)
        get(harness, C)
        harness.advance(100_000)
        put(harness, 0x40, 0x12)


def test_the_clock_shows_the_wall_clock_in_bcd(rtc: DeviceHarness) -> None:
    assert show(rtc) == "2023-11-22 23:59:58"
    assert get(rtc, 6) == 4, "1 is Sunday"
    rtc.advance(2 * SECOND)
    assert show(rtc) == "2023-11-23 00:00:00"
    assert get(rtc, 6) == 5


def test_binary_and_twelve_hour_formats(rtc: DeviceHarness) -> None:
    put(rtc, B, BINARY)
    assert (get(rtc, 0), get(rtc, 2), get(rtc, 4), get(rtc, 9)) == (58, 59, 0x80 | 11, 23)
    rtc.advance(2 * SECOND)
    assert get(rtc, 4) == 12
    put(rtc, B, 0)
    assert get(rtc, 4) == 0x12
    rtc.advance(12 * 3600 * SECOND)
    assert get(rtc, 4) == 0x92


def test_uip_rises_before_the_update_and_falls_with_the_new_second(rtc: DeviceHarness) -> None:
    assert not get(rtc, A) & UIP
    rtc.advance(SECOND - 2_228_001)
    assert not get(rtc, A) & UIP
    rtc.advance(1)
    assert get(rtc, A) & UIP
    assert get(rtc, 0) == 0x58
    rtc.advance(2_228_000)
    assert not get(rtc, A) & UIP
    assert get(rtc, 0) == 0x59


def test_setting_the_clock_as_linux_does(rtc: DeviceHarness) -> None:
    put(rtc, B, SET | HOURS_24)
    put(rtc, A, DIVIDER_RESET)
    for index, value in {0x32: 0x19, 9: 0x99, 8: 0x12, 7: 0x31, 4: 0x23, 2: 0x59, 0: 0x59}.items():
        put(rtc, index, value)
    rtc.advance(10 * SECOND)
    assert show(rtc) == "1999-12-31 23:59:59", "nothing moves while it is being set"
    assert not get(rtc, A) & UIP
    put(rtc, B, HOURS_24)
    put(rtc, A, DIVIDER_ON)
    rtc.advance(SECOND // 2 - 1)
    assert show(rtc) == "1999-12-31 23:59:59"
    rtc.advance(1)
    assert show(rtc) == "2000-01-01 00:00:00", "the first update comes half a second after the divider is released"


def test_a_cell_can_be_written_while_the_clock_runs(rtc: DeviceHarness) -> None:
    rtc.advance(SECOND // 4)
    put(rtc, 2, 0x30)
    assert show(rtc) == "2023-11-22 23:30:58"
    rtc.advance(SECOND * 3 // 4)
    assert show(rtc) == "2023-11-22 23:30:59"


def test_the_guest_may_count_its_weekdays_from_another_day(rtc: DeviceHarness) -> None:
    put(rtc, 6, 7)
    rtc.advance(2 * SECOND)
    assert get(rtc, 6) == 1


def test_the_update_interrupt_comes_every_second_and_is_ended_by_reading_c(rtc: DeviceHarness) -> None:
    put(rtc, B, UIE | HOURS_24)
    rtc.advance(SECOND)
    assert rtc.edges("IRQ") == [(SECOND, True)]
    assert get(rtc, C) == IRQF | UF | PF
    assert (rtc.pin("IRQ"), get(rtc, C) & IRQF) == (False, 0)
    rtc.advance(SECOND)
    assert rtc.pin("IRQ")


def test_an_unread_interrupt_costs_no_more_events(rtc: DeviceHarness) -> None:
    put(rtc, A, 0x23)
    put(rtc, B, PIE | HOURS_24)
    rtc.advance(SECOND)
    assert len(rtc.edges("IRQ")) == 1
    assert rtc.clock.next_deadline() is None


@pytest.mark.parametrize(("rate", "expected"), [(3, 8192), (6, 1024), (15, 2), (1, 256), (2, 128)])
def test_the_periodic_interrupt_has_the_rate_of_the_datasheets_table(rtc: DeviceHarness, rate: int, expected: int) -> None:
    put(rtc, A, 0x20 | rate)
    put(rtc, B, PIE | HOURS_24)
    count = 0
    step = SECOND // expected // 2
    for _ in range(16):
        rtc.advance(step)
        count += bool(get(rtc, C) & PF)
    assert 7 <= count <= 8


def test_flags_are_set_without_their_interrupts_being_enabled(rtc: DeviceHarness) -> None:
    get(rtc, C)
    rtc.advance(SECOND)
    assert get(rtc, C) == PF | UF
    assert get(rtc, C) == 0
    assert not rtc.edges("IRQ")


@pytest.mark.parametrize(
    ("alarm", "after_s"),
    [
        pytest.param((0x23, 0x59, 0x59), 1, id="this minute"),
        pytest.param((0x00, 0x00, 0x05), 7, id="tomorrow"),
        pytest.param((0xFF, 0xFF, 0x10), 12, id="every minute"),
        pytest.param((0xC0, 0x01, 0x00), 62, id="every hour"),
        pytest.param((0xFF, 0xFF, 0xFF), 1, id="every second"),
        pytest.param((0x23, 0x59, 0x58), 86_400, id="exactly a day later"),
    ],
)
def test_the_alarm_rings_when_the_time_matches(rtc: DeviceHarness, alarm: tuple[int, int, int], after_s: int) -> None:
    for index, value in zip((5, 3, 1), alarm, strict=True):
        put(rtc, index, value)
    put(rtc, B, AIE | HOURS_24)
    rtc.advance(100_000 * SECOND)
    assert rtc.edges("IRQ") == [(after_s * SECOND, True)]
    assert get(rtc, C) & AF


def test_an_impossible_alarm_never_rings(rtc: DeviceHarness) -> None:
    put(rtc, 5, 0x77)
    put(rtc, B, AIE | HOURS_24)
    rtc.advance(100_000 * SECOND)
    assert not rtc.edges("IRQ")


@pytest.mark.parametrize("century", [0x00, 0x99, 0xFF])
def test_any_century_survives_a_snapshot(rtc: DeviceHarness, century: int) -> None:
    put(rtc, 0x32, century)
    resumed = machine()
    resumed.load(rtc.save())
    assert show(resumed) == show(rtc)


def test_a_reset_keeps_time_and_memory_and_clears_interrupts(rtc: DeviceHarness) -> None:
    put(rtc, 0x0F, 0x0A)
    put(rtc, B, UIE | PIE | HOURS_24)
    rtc.advance(SECOND)
    rtc.reset()
    assert get(rtc, 0x0F) == 0x0A
    assert get(rtc, B) == HOURS_24
    assert not rtc.pin("IRQ")
    assert show(rtc) == "2023-11-22 23:59:59"


def test_registers_c_and_d_cannot_be_written_and_the_battery_is_good(rtc: DeviceHarness) -> None:
    put(rtc, D, 0x00)
    assert get(rtc, D) == 0x80


def test_bit_7_of_the_index_masks_the_nmi(rtc: DeviceHarness) -> None:
    rtc.write(0x70, 0x80 | 0x0F)
    assert rtc.pin("NMI_MASK")
    rtc.write(0x70, 0x0F)
    assert not rtc.pin("NMI_MASK")


def test_the_second_bank_is_separate(rtc: DeviceHarness) -> None:
    rtc.write(0x72, 0x40)
    rtc.write(0x73, 0x5A)
    assert rtc.read(0x73) == 0x5A
    assert get(rtc, 0x40) == 0


def test_the_firmware_is_told_about_memory() -> None:
    rtc = machine(ram_bytes=256 << 20)
    assert get16(rtc, 0x15) == 640
    assert get16(rtc, 0x17) == get16(rtc, 0x30) == 65535
    assert get16(rtc, 0x34) == (240 << 20) >> 16
    small = machine(ram_bytes=4 << 20)
    assert (get16(small, 0x30), get16(small, 0x34)) == (3072, 0)


def test_the_firmware_is_told_about_drives_and_equipment() -> None:
    rtc = machine(floppy0=FloppyType.SIZE_1_44M, floppy1=FloppyType.SIZE_2_88M, disk0="1000/16/63")
    assert get(rtc, 0x10) == 0x45
    assert get(rtc, 0x14) == 0x47
    assert (get(rtc, 0x12), get(rtc, 0x19), get16(rtc, 0x1B), get(rtc, 0x1D), get(rtc, 0x23)) == (0xF0, 47, 1000, 16, 63)
    assert get(machine(), 0x14) == 0x06


def test_the_boot_order_is_where_seabios_looks() -> None:
    rtc = machine(boot_order="cdrom, disk,floppy")
    assert (get(rtc, 0x3D), get(rtc, 0x38)) == (0x23, 0x10)


def test_the_checksum_covers_10_to_2d(rtc: DeviceHarness) -> None:
    assert get(rtc, 0x2E) << 8 | get(rtc, 0x2F) == sum(get(rtc, index) for index in range(0x10, 0x2E))


@pytest.mark.parametrize("options", [{"boot_order": "tape"}, {"boot_order": "disk,disk,disk,disk"}, {"disk0": "1000x16"}, {"disk1": "0/16/63"}])
def test_senseless_options_are_refused_with_what_would_be_accepted(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"cylinders|comma|range"):
        Mc146818Options(**options)  # type: ignore[arg-type]


@given(st.dates(min_value=datetime.date(1, 1, 1)))
def test_the_calendar_agrees_with_pythons(date: datetime.date) -> None:
    count = date.toordinal() - datetime.date(1970, 1, 1).toordinal()
    assert calendar.days_from_civil(date.year, date.month, date.day) == count
    assert calendar.civil_from_days(count) == (date.year, date.month, date.day)
    assert calendar.weekday(count) == (days.weekday(date.year, date.month, date.day) + 1) % 7
