"""System control port A: fast A20 and fast reset."""

from __future__ import annotations

from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.port92 import SPEC

PORT = 0x92
FAST_INIT, FAST_A20 = 0x01, 0x02


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC)

    def exercise(self, harness: DeviceHarness) -> None:
        harness.write(PORT, FAST_A20)


def test_bit_1_opens_a20() -> None:
    port = DeviceHarness(SPEC)
    port.write(PORT, FAST_A20)
    assert port.pin("A20")
    assert port.read(PORT) == FAST_A20
    port.write(PORT, 0)
    assert not port.pin("A20")


def test_only_a_rising_bit_0_resets() -> None:
    port = DeviceHarness(SPEC)
    port.write(PORT, FAST_A20 | FAST_INIT)
    port.write(PORT, FAST_A20 | FAST_INIT)
    assert port.edges("RESET") == [(0, True)]


def test_reset_closes_this_gate_and_drops_the_reset_line() -> None:
    port = DeviceHarness(SPEC)
    port.write(PORT, FAST_A20 | FAST_INIT)
    port.reset()
    assert (port.pin("A20"), port.pin("RESET"), port.read(PORT)) == (False, False, 0)
