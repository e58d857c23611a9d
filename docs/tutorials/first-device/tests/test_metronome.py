from __future__ import annotations

import pytest
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_device_metronome.device import SPEC

TEMPO = 0x350
BEATS = 0x351
HALF_A_SECOND_NS = 500_000_000


@pytest.fixture
def metronome() -> DeviceHarness:
    return DeviceHarness(SPEC)


def test_120_beats_per_minute_are_two_a_second(metronome: DeviceHarness) -> None:
    metronome.write(TEMPO, 120)
    metronome.advance(2 * HALF_A_SECOND_NS)
    assert metronome.read(BEATS) == 2


def test_a_beat_raises_the_interrupt_and_reading_lowers_it(metronome: DeviceHarness) -> None:
    metronome.write(TEMPO, 120)
    metronome.advance(HALF_A_SECOND_NS)
    assert metronome.pin("IRQ")
    metronome.read(BEATS)
    assert metronome.edges("IRQ") == [(HALF_A_SECOND_NS, True), (HALF_A_SECOND_NS, False)]


def test_tempo_0_stops_it(metronome: DeviceHarness) -> None:
    metronome.write(TEMPO, 120)
    metronome.write(TEMPO, 0)
    metronome.advance(10 * HALF_A_SECOND_NS)
    assert metronome.read(BEATS) == 0


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC)

    def exercise(self, harness: DeviceHarness) -> None:
        harness.write(TEMPO, 120)
        harness.advance(HALF_A_SECOND_NS + 1)
