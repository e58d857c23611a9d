"""The ISA bridge: PCI interrupt routing and the reset port."""

import pytest
from ringone.api.errors import AssemblyError
from ringone.testing import DeviceHarness, FakePciBus
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.piix3 import SPEC
from ringone_devices_pc.piix3.device import IRQS

PIRQRC = 0x60
DISABLED = 0x80


def make_harness() -> DeviceHarness:
    return DeviceHarness(SPEC, links={"pci": FakePciBus()})


@pytest.fixture
def bridge() -> DeviceHarness:
    return make_harness()


def route(harness: DeviceHarness, pirq: int, value: int) -> None:
    harness.links["pci"].write(1, 0, PIRQRC + pirq, value, size=1)  # type: ignore[attr-defined]


def raised(harness: DeviceHarness) -> list[int]:
    return [irq for irq in IRQS if harness.pin(f"IRQ{irq}")]


def test_it_is_function_0_of_a_multifunction_device(bridge: DeviceHarness) -> None:
    bus = bridge.links["pci"]
    assert bus.read(1, 0, 0x00) == 0x7000_8086  # type: ignore[attr-defined]
    assert bus.read(1, 0, 0x0E, size=1) == 0x80  # type: ignore[attr-defined]


def test_no_route_exists_after_reset(bridge: DeviceHarness) -> None:
    bridge.drive("PIRQA", True)
    assert raised(bridge) == []


@pytest.mark.parametrize("irq", IRQS)
def test_a_pin_raises_the_interrupt_it_is_routed_to(bridge: DeviceHarness, irq: int) -> None:
    route(bridge, 2, irq)
    bridge.drive("PIRQC", True)
    assert raised(bridge) == [irq]
    bridge.drive("PIRQC", False)
    assert raised(bridge) == []


def test_a_shared_interrupt_stays_while_one_pin_asks(bridge: DeviceHarness) -> None:
    route(bridge, 0, 11)
    route(bridge, 3, 11)
    bridge.drive("PIRQA", True)
    bridge.drive("PIRQD", True)
    bridge.drive("PIRQA", False)
    assert raised(bridge) == [11]
    bridge.drive("PIRQD", False)
    assert raised(bridge) == []


def test_a_new_route_moves_an_interrupt_that_is_asserted(bridge: DeviceHarness) -> None:
    route(bridge, 0, 10)
    bridge.drive("PIRQA", True)
    route(bridge, 0, 5)
    assert raised(bridge) == [5]
    route(bridge, 0, DISABLED | 5)
    assert raised(bridge) == []


@pytest.mark.parametrize("reserved", [0, 1, 2, 8, 13])
def test_a_reserved_route_leads_nowhere(bridge: DeviceHarness, reserved: int) -> None:
    route(bridge, 0, reserved)
    bridge.drive("PIRQA", True)
    assert raised(bridge) == []


def test_the_reset_port_resets_on_bit_2_alone(bridge: DeviceHarness) -> None:
    bridge.write(0xCF9, 0x02)
    assert bridge.edges("RESET") == []
    assert bridge.read(0xCF9) == 0x02
    bridge.write(0xCF9, 0x06)
    assert [level for _, level in bridge.edges("RESET")] == [True, False]


def test_a_board_without_pci_is_refused() -> None:
    with pytest.raises(AssemblyError, match="host bridge"):
        DeviceHarness(SPEC)


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return make_harness()

    def exercise(self, harness: DeviceHarness) -> None:
        route(harness, 0, 11)
        route(harness, 1, 9)
        harness.drive("PIRQA", True)
