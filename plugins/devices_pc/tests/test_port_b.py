"""System control port B, alone and with the timer behind it."""

from __future__ import annotations

from itertools import pairwise

from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.i8254 import SPEC as PIT_SPEC
from ringone_devices_pc.port_b import SPEC

PORT = 0x61
GATE2, SPEAKER_ENABLE, REFRESH_TOGGLE, OUT2 = 0x01, 0x02, 0x10, 0x20


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC)

    def exercise(self, harness: DeviceHarness) -> None:
        harness.drive("OUT2", True)
        harness.write(PORT, GATE2 | SPEAKER_ENABLE)


def test_the_low_four_bits_read_as_written() -> None:
    port = DeviceHarness(SPEC)
    port.write(PORT, 0xFF)
    assert port.read(PORT) & 0x0F == 0x0F
    assert port.read(PORT) & 0xC0 == 0, "no parity error, no channel check"


def test_bit_0_gates_counter_2() -> None:
    port = DeviceHarness(SPEC)
    port.write(PORT, GATE2)
    assert port.pin("GATE2")
    port.write(PORT, 0)
    assert not port.pin("GATE2")


def test_the_speaker_follows_out2_while_enabled() -> None:
    port = DeviceHarness(SPEC)
    port.drive("OUT2", True)
    assert not port.pin("SPEAKER")
    port.write(PORT, SPEAKER_ENABLE)
    assert port.pin("SPEAKER")
    port.drive("OUT2", False)
    assert not port.pin("SPEAKER")


def test_the_refresh_toggle_changes_every_18_ticks() -> None:
    port = DeviceHarness(SPEC)
    seen = [port.read(PORT) & REFRESH_TOGGLE]
    for _ in range(1000):
        port.advance(1_000)
        seen.append(port.read(PORT) & REFRESH_TOGGLE)
    changes = sum(old != new for old, new in pairwise(seen))
    assert changes == 1_000_000 // 15_085


def test_out2_is_read_from_the_pin() -> None:
    port = DeviceHarness(SPEC)
    assert not port.read(PORT) & OUT2
    port.drive("OUT2", True)
    assert port.read(PORT) & OUT2


def test_with_the_timer_linked_a_calibration_loop_sees_the_exact_tick() -> None:
    pit = DeviceHarness(PIT_SPEC)
    port = DeviceHarness(SPEC, links={"out2": pit.provided("out2")})
    gate = port.lines.input("test", "GATE2", lambda level: pit.drive("GATE2", level))
    assert not gate.level
    port.lines.connect("device.GATE2", "test.GATE2")
    port.write(PORT, GATE2)
    pit.write(0x43, 0xB0)
    pit.write(0x42, 0x9C)
    pit.write(0x42, 0x2E)
    waited_ns = 0
    while not port.read(PORT) & OUT2:
        pit.advance(1_000)
        waited_ns += 1_000
    assert abs(waited_ns - 11_933 * 838.095) < 1_100
