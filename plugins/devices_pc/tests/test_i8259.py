"""The interrupt controller: what the datasheet promises, one sentence each."""

from __future__ import annotations

import pytest
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.i8259 import SPEC
from ringone_devices_pc.i8259.config import I8259Options

MASTER, SLAVE = 0x20, 0xA0
ELCR = 0x4D0
ICW1 = 0x11
ICW4_8086, ICW4_AEOI, ICW4_SFNM = 0x01, 0x02, 0x10
EOI, SPECIFIC_EOI, ROTATE_EOI, ROTATE_SPECIFIC_EOI, SET_PRIORITY = 0x20, 0x60, 0xA0, 0xE0, 0xC0
READ_IRR, READ_ISR, POLL, SET_SPECIAL_MASK = 0x0A, 0x0B, 0x0C, 0x68


def initialize(pic: DeviceHarness, *, base: int = MASTER, vector: int = 0x20, icw3: int = 0x04, icw4: int = ICW4_8086, icw1: int = ICW1) -> None:
    pic.write(base, icw1)
    pic.write(base + 1, vector)
    pic.write(base + 1, icw3)
    pic.write(base + 1, icw4)


@pytest.fixture
def pic() -> DeviceHarness:
    harness = DeviceHarness(SPEC)
    initialize(harness)
    return harness


def pulse(pic: DeviceHarness, number: int) -> None:
    """A rising edge; the line stays high, as a device's does until it is served."""
    pic.drive(f"IR{number}", False)
    pic.drive(f"IR{number}", True)


def acknowledge(pic: DeviceHarness) -> int:
    vector: int = pic.provided("inta").acknowledge()
    return vector


def irr(pic: DeviceHarness) -> int:
    pic.write(MASTER, READ_IRR)
    return pic.read(MASTER)


def isr(pic: DeviceHarness) -> int:
    pic.write(MASTER, READ_ISR)
    return pic.read(MASTER)


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC)

    def exercise(self, harness: DeviceHarness) -> None:
        initialize(harness)
        pulse(harness, 3)
        pulse(harness, 1)
        acknowledge(harness)
        harness.write(MASTER, ICW1)


def test_a_rising_edge_requests_and_acknowledge_puts_it_in_service(pic: DeviceHarness) -> None:
    pulse(pic, 3)
    assert pic.pin("INT")
    assert irr(pic) == 0x08
    assert acknowledge(pic) == 0x23
    assert (irr(pic), isr(pic), pic.pin("INT")) == (0x00, 0x08, False)


def test_a_line_that_stays_high_interrupts_once(pic: DeviceHarness) -> None:
    pulse(pic, 3)
    acknowledge(pic)
    pic.write(MASTER, EOI)
    assert not pic.pin("INT")
    pulse(pic, 3)
    assert pic.pin("INT")


def test_the_highest_priority_goes_first_and_lower_ones_wait_for_the_end_of_interrupt(pic: DeviceHarness) -> None:
    pulse(pic, 5)
    pulse(pic, 1)
    assert acknowledge(pic) == 0x21
    assert not pic.pin("INT")
    pic.write(MASTER, EOI)
    assert pic.pin("INT")
    assert acknowledge(pic) == 0x25


def test_a_higher_priority_nests(pic: DeviceHarness) -> None:
    pulse(pic, 5)
    acknowledge(pic)
    pulse(pic, 1)
    assert pic.pin("INT")
    assert acknowledge(pic) == 0x21
    assert isr(pic) == 0x22
    pic.write(MASTER, EOI)
    assert isr(pic) == 0x20


def test_the_mask_hides_a_request_but_keeps_it(pic: DeviceHarness) -> None:
    pic.write(MASTER + 1, 0x08)
    assert pic.read(MASTER + 1) == 0x08
    pulse(pic, 3)
    assert (pic.pin("INT"), irr(pic)) == (False, 0x08)
    pic.write(MASTER + 1, 0x00)
    assert pic.pin("INT")


def test_a_request_withdrawn_before_its_acknowledge_is_spurious(pic: DeviceHarness) -> None:
    pulse(pic, 3)
    pic.drive("IR3", False)
    assert not pic.pin("INT")
    assert acknowledge(pic) == 0x27
    assert isr(pic) == 0


def test_initialization_forgets_edges_masks_and_what_is_in_service(pic: DeviceHarness) -> None:
    pic.write(MASTER + 1, 0xF0)
    pulse(pic, 1)
    acknowledge(pic)
    pulse(pic, 3)
    initialize(pic, vector=0x08)
    assert (irr(pic), isr(pic), pic.read(MASTER + 1), pic.pin("INT")) == (0, 0, 0, False)
    pulse(pic, 3)
    assert acknowledge(pic) == 0x0B


def test_single_mode_expects_no_third_word_and_the_fourth_only_when_announced(pic: DeviceHarness) -> None:
    pic.write(MASTER, 0x12)
    pic.write(MASTER + 1, 0x40)
    pic.write(MASTER + 1, 0x55)
    assert pic.read(MASTER + 1) == 0x55


@pytest.mark.parametrize(
    ("command", "in_service_after", "next_vector"),
    [
        pytest.param(EOI, 0x00, 0x22, id="unspecific"),
        pytest.param(SPECIFIC_EOI | 2, 0x00, 0x22, id="specific"),
        pytest.param(SPECIFIC_EOI | 4, 0x04, None, id="specific to another"),
        pytest.param(ROTATE_EOI, 0x00, 0x26, id="rotating"),
        pytest.param(ROTATE_SPECIFIC_EOI | 2, 0x00, 0x26, id="rotating specific"),
    ],
)
def test_end_of_interrupt(pic: DeviceHarness, command: int, in_service_after: int, next_vector: int | None) -> None:
    pulse(pic, 2)
    pic.provided("inta").acknowledge()
    pulse(pic, 2)
    pulse(pic, 6)
    pic.write(MASTER, command)
    assert isr(pic) == in_service_after
    assert (acknowledge(pic) if pic.pin("INT") else None) == next_vector


def test_set_priority_makes_a_level_the_lowest(pic: DeviceHarness) -> None:
    pic.write(MASTER, SET_PRIORITY | 4)
    pulse(pic, 4)
    pulse(pic, 5)
    assert acknowledge(pic) == 0x25


def test_automatic_end_of_interrupt_leaves_nothing_in_service(pic: DeviceHarness) -> None:
    initialize(pic, icw4=ICW4_8086 | ICW4_AEOI)
    pulse(pic, 3)
    assert acknowledge(pic) == 0x23
    assert isr(pic) == 0


def test_automatic_rotation_moves_the_served_level_to_the_bottom(pic: DeviceHarness) -> None:
    initialize(pic, icw4=ICW4_8086 | ICW4_AEOI)
    pic.write(MASTER, 0x80)
    pulse(pic, 3)
    acknowledge(pic)
    pulse(pic, 3)
    pulse(pic, 6)
    assert acknowledge(pic) == 0x26


def test_special_mask_lets_lower_levels_through_while_a_masked_one_is_in_service(pic: DeviceHarness) -> None:
    pulse(pic, 1)
    acknowledge(pic)
    pulse(pic, 5)
    assert not pic.pin("INT")
    pic.write(MASTER + 1, 0x02)
    pic.write(MASTER, SET_SPECIAL_MASK)
    assert pic.pin("INT")
    assert acknowledge(pic) == 0x25
    pic.write(MASTER, EOI)
    assert isr(pic) == 0x02, "an unspecific end of interrupt does not touch a masked level"


def test_poll_acknowledges_by_reading(pic: DeviceHarness) -> None:
    pulse(pic, 4)
    pic.write(MASTER, POLL)
    assert pic.read(MASTER) == 0x84
    assert isr(pic) == 0x10
    pic.write(MASTER, POLL)
    assert pic.read(MASTER) == 0x00


def test_a_level_triggered_line_interrupts_for_as_long_as_it_is_high(pic: DeviceHarness) -> None:
    pic.write(ELCR, 0xFF)
    assert pic.read(ELCR) == 0xF8, "the timer, the keyboard and the cascade are always edge-triggered"
    pulse(pic, 5)
    acknowledge(pic)
    pic.write(MASTER, EOI)
    assert pic.pin("INT")
    pic.drive("IR5", False)
    assert not pic.pin("INT")


def test_turning_a_high_line_level_triggered_requests_it(pic: DeviceHarness) -> None:
    pulse(pic, 5)
    acknowledge(pic)
    pic.write(MASTER, EOI)
    pic.write(ELCR, 0x20)
    assert pic.pin("INT")


def test_without_an_elcr_the_first_word_chooses_level_triggering() -> None:
    pic = DeviceHarness(SPEC, options=I8259Options(elcr=None))
    initialize(pic, icw1=ICW1 | 0x08)
    pulse(pic, 0)
    acknowledge(pic)
    pic.write(MASTER, EOI)
    assert pic.pin("INT")


class Cascade:
    """A master with a slave on IR2, wired by hand."""

    def __init__(self, master_icw4: int = ICW4_8086) -> None:
        self.slave = DeviceHarness(SPEC, options=I8259Options(base=SLAVE, elcr=0x4D1, elcr_mask=0xDE))
        self.master = DeviceHarness(SPEC, links={"slave": self.slave.provided("inta")})
        wire = self.slave.lines.input("test", "INT", lambda level: self.master.drive("IR2", level))
        assert not wire.level
        self.slave.lines.connect("device.INT", "test.INT")
        initialize(self.master, icw4=master_icw4)
        initialize(self.slave, base=SLAVE, vector=0x28, icw3=2)


def test_the_slave_gives_the_vector_of_its_inputs() -> None:
    pics = Cascade()
    pulse(pics.slave, 6)
    assert pics.master.pin("INT")
    assert acknowledge(pics.master) == 0x2E
    assert isr(pics.master) == 0x04


def test_a_second_slave_interrupt_arrives_after_both_ends_of_interrupt() -> None:
    pics = Cascade()
    pulse(pics.slave, 6)
    acknowledge(pics.master)
    pulse(pics.slave, 7)
    pics.slave.write(SLAVE, EOI)
    pics.master.write(MASTER, EOI)
    assert pics.master.pin("INT")
    assert acknowledge(pics.master) == 0x2F


def test_a_request_withdrawn_at_the_slave_gives_its_spurious_vector() -> None:
    pics = Cascade()
    pulse(pics.slave, 6)
    slave = pics.slave.provided("inta")
    assert slave.acknowledge() == 0x2E
    assert slave.acknowledge() == 0x2F
    pics.slave.write(SLAVE, READ_ISR)
    assert pics.slave.read(SLAVE) == 0x40


@pytest.mark.parametrize(("icw4", "nests"), [(ICW4_8086, False), (ICW4_8086 | ICW4_SFNM, True)], ids=["fully nested", "special fully nested"])
def test_a_higher_slave_input_interrupts_a_lower_one_only_when_specially_nested(icw4: int, nests: bool) -> None:
    pics = Cascade(icw4)
    pulse(pics.slave, 6)
    acknowledge(pics.master)
    pulse(pics.slave, 0)
    assert pics.master.pin("INT") is nests


def test_an_automatic_end_at_the_slave_raises_int_again_for_the_next_request() -> None:
    pics = Cascade()
    initialize(pics.slave, base=SLAVE, vector=0x28, icw3=2, icw4=ICW4_8086 | ICW4_AEOI)
    pulse(pics.slave, 0)
    pulse(pics.slave, 4)
    assert acknowledge(pics.master) == 0x28
    pics.master.write(MASTER, EOI)
    assert acknowledge(pics.master) == 0x2C
