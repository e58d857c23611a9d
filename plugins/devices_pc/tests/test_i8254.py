"""The interval timer: modes, reads and the arithmetic of its ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.i8254 import SPEC
from ringone_devices_pc.i8254.config import I8254Options
from ringone_devices_pc.i8254.counter import bcd_decode, bcd_encode, ns_at, tick_at

CONTROL = 0x43
COUNTER0, COUNTER2 = 0x40, 0x42
WORD = 3
LATCH_COUNTER0 = 0x00
READ_BACK_STATUS = 0xE0
READ_BACK_BOTH = 0xC0


@pytest.fixture
def pit() -> DeviceHarness:
    return DeviceHarness(SPEC)


def control(counter: int, mode: int, access: int = WORD, bcd: bool = False) -> int:
    return counter << 6 | access << 4 | mode << 1 | bcd


def program(pit: DeviceHarness, counter: int, mode: int, count: int, *, bcd: bool = False) -> None:
    pit.write(CONTROL, control(counter, mode, bcd=bcd))
    pit.write(COUNTER0 + counter, count & 0xFF)
    pit.write(COUNTER0 + counter, count >> 8)


def read_word(pit: DeviceHarness, counter: int = 0) -> int:
    return pit.read(COUNTER0 + counter) | pit.read(COUNTER0 + counter) << 8


def latched(pit: DeviceHarness, counter: int = 0) -> int:
    pit.write(CONTROL, counter << 6)
    return read_word(pit, counter)


def status(pit: DeviceHarness, counter: int = 0) -> int:
    pit.write(CONTROL, READ_BACK_STATUS | 2 << counter)
    return pit.read(COUNTER0 + counter)


def go_to_tick(pit: DeviceHarness, tick: int) -> None:
    pit.advance(ns_at(tick) - pit.now_ns)


def level(pit: DeviceHarness, counter: int) -> bool:
    exact: bool = pit.provided(f"out{counter}").level()
    return exact


def rises(pit: DeviceHarness, pin: str = "OUT0") -> list[int]:
    """The ticks of the rising edges."""
    return [tick_at(ns) for ns, high in pit.edges(pin) if high]


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC)

    def exercise(self, harness: DeviceHarness) -> None:
        program(harness, 0, 2, 1000)
        harness.drive("GATE2", True)
        program(harness, 2, 3, 333)
        harness.advance(1_234_567)
        harness.write(COUNTER2, 0x10)
        harness.write(COUNTER2, 0x02)
        harness.write(CONTROL, READ_BACK_BOTH | 0x0E)
        harness.read(COUNTER0)


@given(st.integers(0, 1 << 50))
def test_a_tick_begins_at_its_first_nanosecond(tick: int) -> None:
    assert tick_at(ns_at(tick)) == tick
    assert tick_at(ns_at(tick) - 1) == tick - 1


def test_a_second_has_1193181_whole_ticks() -> None:
    assert tick_at(1_000_000_000) == 1_193_181
    assert tick_at(3_000_000_000) == 3_579_545


@given(st.integers(0, 9999))
def test_bcd_goes_both_ways(value: int) -> None:
    assert bcd_decode(bcd_encode(value)) == value


def test_mode_0_raises_out_one_tick_more_than_the_count_after_the_write(pit: DeviceHarness) -> None:
    program(pit, 0, 0, 100)
    assert not pit.pin("OUT0")
    pit.advance(1_000_000)
    assert pit.edges("OUT0") == [(ns_at(101), True)]
    assert not status(pit) & 0x40


def test_mode_0_counts_on_after_the_terminal_count_and_costs_no_more_events(pit: DeviceHarness) -> None:
    program(pit, 0, 0, 4)
    go_to_tick(pit, 11)
    assert latched(pit) == 0xFFFA
    pit.advance(1_000_000_000)
    assert len(pit.edges("OUT0")) == 1


def test_mode_0_stops_while_the_gate_is_low(pit: DeviceHarness) -> None:
    pit.drive("GATE2", True)
    program(pit, 2, 0, 100)
    go_to_tick(pit, 51)
    pit.drive("GATE2", False)
    assert latched(pit, 2) == 50
    go_to_tick(pit, 1051)
    assert latched(pit, 2) == 50
    pit.drive("GATE2", True)
    pit.advance(1_000_000)
    assert rises(pit, "OUT2") == [1101]


def test_a_gate_opened_after_programming_starts_the_count(pit: DeviceHarness) -> None:
    program(pit, 2, 0, 100)
    go_to_tick(pit, 5000)
    assert not level(pit, 2)
    pit.drive("GATE2", True)
    go_to_tick(pit, 5099)
    assert not level(pit, 2)
    go_to_tick(pit, 5100)
    assert level(pit, 2)


def test_the_first_byte_of_a_word_stops_mode_0(pit: DeviceHarness) -> None:
    program(pit, 0, 0, 100)
    go_to_tick(pit, 51)
    pit.write(COUNTER0, 10)
    pit.advance(1_000_000)
    assert not pit.edges("OUT0")
    pit.write(COUNTER0, 0)
    pit.advance(1_000_000)
    assert pit.pin("OUT0")


def test_mode_1_is_triggered_and_retriggered_by_the_gate(pit: DeviceHarness) -> None:
    program(pit, 2, 1, 100)
    assert pit.pin("OUT2")
    pit.advance(1_000_000)
    assert pit.pin("OUT2")
    pit.drive("GATE2", True)
    start = tick_at(pit.now_ns)
    assert not pit.pin("OUT2")
    pit.drive("GATE2", False)
    go_to_tick(pit, start + 60)
    pit.drive("GATE2", True)
    pit.advance(1_000_000)
    assert rises(pit, "OUT2")[-1] == start + 60 + 101


def test_mode_1_takes_a_new_count_with_the_next_trigger(pit: DeviceHarness) -> None:
    program(pit, 2, 1, 100)
    pit.drive("GATE2", True)
    pit.write(COUNTER2, 50)
    pit.write(COUNTER2, 0)
    assert status(pit, 2) & 0x40
    pit.advance(1_000_000)
    assert rises(pit, "OUT2")[-1] == 101
    pit.drive("GATE2", False)
    start = tick_at(pit.now_ns)
    pit.drive("GATE2", True)
    pit.advance(1_000_000)
    assert rises(pit, "OUT2")[-1] == start + 51


def test_mode_2_interrupts_once_a_period_for_ever(pit: DeviceHarness) -> None:
    program(pit, 0, 2, 11932)
    pit.clear_edges()
    go_to_tick(pit, 11932 * 100 + 1)
    assert rises(pit) == [1 + 11932 * n for n in range(1, 101)]
    assert len(pit.edges("OUT0")) == 200


def test_mode_2_counts_from_the_count_to_one(pit: DeviceHarness) -> None:
    program(pit, 0, 2, 5)
    seen = []
    for tick in range(1, 12):
        go_to_tick(pit, tick)
        seen.append((latched(pit), level(pit, 0)))
    assert [value for value, _ in seen] == [5, 4, 3, 2, 1, 5, 4, 3, 2, 1, 5]
    assert [high for _, high in seen] == [True, True, True, True, False, True, True, True, True, False, True]


def test_mode_2_takes_a_new_count_at_the_end_of_the_period(pit: DeviceHarness) -> None:
    program(pit, 0, 2, 1000)
    go_to_tick(pit, 501)
    pit.write(COUNTER0, 100)
    pit.write(COUNTER0, 0)
    assert status(pit) & 0x40
    assert latched(pit) == 500
    go_to_tick(pit, 1401)
    assert rises(pit)[-5:] == [1001, 1101, 1201, 1301, 1401]
    assert not status(pit) & 0x40


def test_a_control_word_lets_the_next_count_take_effect_at_once(pit: DeviceHarness) -> None:
    program(pit, 0, 2, 60000)
    go_to_tick(pit, 100)
    program(pit, 0, 2, 1000)
    go_to_tick(pit, 3000)
    assert rises(pit)[-2:] == [1101, 2101]


def test_a_low_gate_stops_mode_2_with_out_high_and_a_rising_one_reloads_it(pit: DeviceHarness) -> None:
    pit.drive("GATE2", True)
    program(pit, 2, 2, 100)
    go_to_tick(pit, 100)
    assert not level(pit, 2)
    pit.drive("GATE2", False)
    assert level(pit, 2)
    go_to_tick(pit, 1000)
    pit.drive("GATE2", True)
    go_to_tick(pit, 1001)
    assert latched(pit, 2) == 100


@pytest.mark.parametrize(("count", "expected"), [(4, "1100" * 2), (5, "11100" * 2), (6, "111000" * 2)])
def test_mode_3_is_high_for_the_longer_half(pit: DeviceHarness, count: int, expected: str) -> None:
    program(pit, 0, 3, count)
    seen = ""
    for tick in range(1, 1 + len(expected)):
        go_to_tick(pit, tick)
        seen += str(int(level(pit, 0)))
    assert seen == expected


@pytest.mark.parametrize(("count", "expected"), [(6, [6, 4, 2, 6, 4, 2]), (5, [4, 2, 0, 4, 2])])
def test_mode_3_counts_by_two(pit: DeviceHarness, count: int, expected: list[int]) -> None:
    program(pit, 0, 3, count)
    seen = []
    for tick in range(1, 1 + len(expected)):
        go_to_tick(pit, tick)
        seen.append(latched(pit))
    assert seen == expected


def test_mode_3_costs_the_interrupt_one_rising_edge_a_period(pit: DeviceHarness) -> None:
    program(pit, 0, 3, 0)
    go_to_tick(pit, 65536 * 5 + 100)
    assert rises(pit)[-5:] == [1 + 65536 * n for n in range(1, 6)]


def test_mode_3_shows_both_halves_at_the_speakers_pin(pit: DeviceHarness) -> None:
    pit.drive("GATE2", True)
    program(pit, 2, 3, 1000)
    go_to_tick(pit, 2100)
    assert [(tick_at(ns), high) for ns, high in pit.edges("OUT2")][1:] == [(501, False), (1001, True), (1501, False), (2001, True)]


def test_mode_3_takes_a_new_count_at_the_end_of_the_half(pit: DeviceHarness) -> None:
    pit.drive("GATE2", True)
    program(pit, 2, 3, 1000)
    go_to_tick(pit, 100)
    pit.write(COUNTER2, 200)
    pit.write(COUNTER2, 0)
    go_to_tick(pit, 900)
    assert [(tick_at(ns), high) for ns, high in pit.edges("OUT2")][1:] == [(501, False), (601, True), (701, False), (801, True)]


def test_mode_4_strobes_once_after_the_count(pit: DeviceHarness) -> None:
    program(pit, 0, 4, 100)
    assert pit.pin("OUT0")
    go_to_tick(pit, 101)
    assert not level(pit, 0)
    go_to_tick(pit, 102)
    assert level(pit, 0)
    pit.advance(1_000_000_000)
    assert rises(pit)[1:] == [102]


def test_mode_5_strobes_after_a_trigger(pit: DeviceHarness) -> None:
    program(pit, 2, 5, 100)
    pit.advance(1_000_000)
    start = tick_at(pit.now_ns)
    pit.clear_edges()
    pit.drive("GATE2", True)
    pit.advance(1_000_000)
    assert rises(pit, "OUT2") == [start + 102]


def test_a_bcd_counter_counts_in_decimal(pit: DeviceHarness) -> None:
    program(pit, 0, 0, 0x1000, bcd=True)
    go_to_tick(pit, 2)
    assert latched(pit) == 0x0999
    program(pit, 0, 2, 0x0000, bcd=True)
    start = tick_at(pit.now_ns)
    go_to_tick(pit, start + 1 + 10_000)
    assert rises(pit)[-1] == start + 1 + 10_000


def test_a_latched_count_stands_still_until_it_is_read(pit: DeviceHarness) -> None:
    program(pit, 0, 2, 1000)
    go_to_tick(pit, 11)
    pit.write(CONTROL, LATCH_COUNTER0)
    go_to_tick(pit, 200)
    pit.write(CONTROL, LATCH_COUNTER0)
    assert read_word(pit) == 990
    assert read_word(pit) == 801


def test_a_counter_read_without_a_latch_gives_its_bytes_in_turn(pit: DeviceHarness) -> None:
    program(pit, 0, 2, 0x8000)
    go_to_tick(pit, 1)
    assert pit.read(COUNTER0) == 0x00
    assert pit.read(COUNTER0) == 0x80


@pytest.mark.parametrize(("access", "count", "value"), [(1, 0x34, 0x34), (2, 0x12, 0x12)], ids=["low byte", "high byte"])
def test_single_byte_access_sets_and_reads_one_half(pit: DeviceHarness, access: int, count: int, value: int) -> None:
    pit.write(CONTROL, control(0, 2, access))
    pit.write(COUNTER0, count)
    go_to_tick(pit, 1)
    assert pit.read(COUNTER0) == value
    assert pit.read(COUNTER0) == value


def test_read_back_gives_status_before_count(pit: DeviceHarness) -> None:
    program(pit, 0, 2, 1000)
    go_to_tick(pit, 1)
    pit.write(CONTROL, READ_BACK_BOTH | 2)
    assert pit.read(COUNTER0) == 0x80 | 0x30 | 2 << 1
    assert read_word(pit) == 1000


def test_null_count_lasts_until_the_count_is_loaded(pit: DeviceHarness) -> None:
    pit.write(CONTROL, control(0, 2))
    assert status(pit) & 0x40
    pit.write(COUNTER0, 100)
    pit.write(COUNTER0, 0)
    assert status(pit) & 0x40
    go_to_tick(pit, 1)
    assert not status(pit) & 0x40


@pytest.mark.parametrize("mode", [2, 3])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_tiny_counts_are_bounded_to_one_event_in_ten_microseconds(pit: DeviceHarness, mode: int, count: int) -> None:
    program(pit, 0, mode, count)
    pit.advance(1_000_000)
    assert 50 < len(rises(pit)) <= 101


def test_counter_1_costs_no_events_unless_asked_for() -> None:
    pit = DeviceHarness(SPEC)
    program(pit, 1, 2, 18)
    pit.advance(1_000_000)
    assert not pit.edges("OUT1")
    wired = DeviceHarness(SPEC, options=I8254Options(timed_outputs=0b111))
    program(wired, 1, 2, 18)
    wired.advance(1_000_000)
    assert rises(wired, "OUT1")[-1] == 1 + 18 * (1193 // 18)


def test_the_control_port_reads_all_ones(pit: DeviceHarness) -> None:
    assert pit.read(CONTROL) == 0xFF
