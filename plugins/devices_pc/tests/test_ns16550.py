"""The UART as its datasheet and the drivers that probe it expect it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.ns16550 import SPEC

BASE = 0x3F8
DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR = BASE, BASE + 1, BASE + 2, BASE + 2, BASE + 3, BASE + 4, BASE + 5, BASE + 6, BASE + 7
RECEIVED, TRANSMITTED, LINE_STATUS, MODEM_STATUS = 1, 2, 4, 8
NO_INTERRUPT = 0x01
DTR, RTS, OUT1, OUT2, LOOP = 1, 2, 4, 8, 16
FIFO_14 = 0xC1


class Peer:
    """The other end of the cable."""

    def __init__(self) -> None:
        self.sent = b""
        self._pending = b""
        self._received: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        self.sent += data

    def attach(self, received: Callable[[], None]) -> None:
        self._received = received

    def read(self, size: int) -> bytes:
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def type(self, data: bytes) -> None:
        was_empty = not self._pending
        self._pending += data
        if was_empty:
            self._received()

    def close(self) -> None:
        raise AssertionError("the chip does not own its stream")


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def uart(peer: Peer) -> DeviceHarness:
    return DeviceHarness(SPEC, drivers={"stream": peer})


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC, drivers={"stream": Peer()})

    def exercise(self, harness: DeviceHarness) -> None:
        harness.write(FCR, FIFO_14)
        harness.write(IER, 0x0F)
        harness.write(MCR, LOOP | RTS)
        for byte in b"looped":
            harness.write(DATA, byte)
        harness.write(MCR, OUT2)


def test_a_written_byte_is_transmitted_and_the_transmitter_is_empty_again(uart: DeviceHarness, peer: Peer) -> None:
    for byte in b"Linux":
        uart.write(DATA, byte)
        assert uart.read(LSR) == 0x60
    assert peer.sent == b"Linux"


def test_the_divisor_latch_lies_over_data_and_ier(uart: DeviceHarness, peer: Peer) -> None:
    uart.write(IER, 0x0F)
    uart.write(LCR, 0x83)
    uart.write(DATA, 0x01)
    uart.write(IER, 0x02)
    assert (uart.read(DATA), uart.read(IER)) == (0x01, 0x02)
    uart.write(LCR, 0x03)
    assert uart.read(IER) == 0x0F
    assert peer.sent == b""


def test_without_a_fifo_one_byte_is_received_at_a_time_and_none_is_lost(uart: DeviceHarness, peer: Peer) -> None:
    peer.type(b"abc")
    received = b""
    while uart.read(LSR) & 1:
        received += bytes([uart.read(DATA)])
    assert received == b"abc"


def test_the_fifo_takes_sixteen_bytes_and_the_rest_waits(uart: DeviceHarness, peer: Peer) -> None:
    uart.write(FCR, FIFO_14)
    peer.type(bytes(range(100)))
    received = []
    while uart.read(LSR) & 1:
        received.append(uart.read(DATA))
    assert received == list(range(100))


def test_received_data_interrupts_at_the_trigger_level(uart: DeviceHarness, peer: Peer) -> None:
    uart.write(MCR, OUT2)
    uart.write(IER, RECEIVED)
    uart.write(FCR, FIFO_14)
    peer.type(bytes(13))
    assert not uart.pin("IRQ")
    peer.type(b"x")
    assert uart.pin("IRQ")
    assert uart.read(IIR) == 0xC4
    uart.read(DATA)
    assert uart.read(IIR) == 0xC1


def test_data_below_the_trigger_level_times_out_after_four_characters(uart: DeviceHarness, peer: Peer) -> None:
    uart.write(LCR, 0x83)
    uart.write(DATA, 1)
    uart.write(IER, 0)
    uart.write(LCR, 0x03)
    uart.write(MCR, OUT2)
    uart.write(IER, RECEIVED)
    uart.write(FCR, FIFO_14)
    peer.type(b"x")
    uart.advance(340_000)
    assert not uart.pin("IRQ")
    uart.advance(10_000)
    assert uart.read(IIR) == 0xCC
    assert uart.read(DATA) == ord("x")
    assert uart.read(IIR) == 0xC1
    assert not uart.pin("IRQ")


def test_interrupts_pass_only_while_out2_is_set(uart: DeviceHarness) -> None:
    uart.write(IER, TRANSMITTED)
    assert not uart.pin("IRQ")
    uart.write(MCR, OUT2)
    assert uart.pin("IRQ")
    uart.write(MCR, OUT2 | LOOP)
    assert not uart.pin("IRQ")


def test_reading_iir_ends_the_transmitter_interrupt_and_writing_data_starts_it_again(uart: DeviceHarness) -> None:
    uart.write(MCR, OUT2)
    uart.write(IER, TRANSMITTED)
    assert uart.read(IIR) == 0x02
    assert (uart.pin("IRQ"), uart.read(IIR)) == (False, NO_INTERRUPT)
    uart.write(DATA, 0x55)
    assert uart.pin("IRQ")


def test_every_transmitted_byte_gives_an_edge(uart: DeviceHarness) -> None:
    uart.write(MCR, OUT2)
    uart.write(IER, TRANSMITTED)
    uart.clear_edges()
    uart.write(DATA, 0x55)
    assert [level for _, level in uart.edges("IRQ")] == [False, True]


def test_the_transmitter_interrupt_is_asserted_again_whenever_it_is_enabled(uart: DeviceHarness) -> None:
    for _ in range(2):
        uart.write(IER, TRANSMITTED)
        assert uart.read(IIR) == 0x02
        uart.write(IER, 0)


def test_receiving_has_priority_over_transmitting_and_both_over_modem_status(uart: DeviceHarness, peer: Peer) -> None:
    uart.write(IER, 0x0F)
    uart.write(MCR, LOOP | DTR)
    uart.write(DATA, 1)
    uart.write(DATA, 2)
    assert uart.read(IIR) == 0x06
    assert uart.read(LSR) & 0x02
    assert uart.read(IIR) == 0x04
    assert uart.read(DATA) == 2
    assert uart.read(IIR) == 0x02
    assert uart.read(IIR) == 0x00
    uart.read(MSR)
    assert uart.read(IIR) == NO_INTERRUPT


def test_loopback_turns_outputs_into_inputs_as_autoconfig_checks(uart: DeviceHarness) -> None:
    uart.write(MCR, LOOP | RTS | OUT2)
    assert uart.read(MSR) & 0xF0 == 0x90
    uart.write(MCR, LOOP | DTR | OUT1)
    assert uart.read(MSR) & 0xF0 == 0x60


def test_loopback_sends_nothing_and_the_fifo_holds_sixteen(uart: DeviceHarness, peer: Peer) -> None:
    uart.write(FCR, 0x07)
    uart.write(MCR, LOOP)
    for byte in range(256):
        uart.write(DATA, byte)
    received = []
    while uart.read(LSR) & 1:
        received.append(uart.read(DATA))
    assert received == list(range(16))
    assert peer.sent == b""


def test_a_falling_ring_indicator_sets_its_trailing_edge(uart: DeviceHarness) -> None:
    uart.write(MCR, LOOP | OUT1)
    assert not uart.read(MSR) & 0x04
    uart.write(MCR, LOOP)
    assert uart.read(MSR) & 0x0F == 0x04
    assert uart.read(MSR) & 0x0F == 0


def test_the_fifo_bits_identify_a_16550a(uart: DeviceHarness) -> None:
    assert uart.read(IIR) == NO_INTERRUPT
    uart.write(FCR, 0x01)
    assert uart.read(IIR) == 0xC1
    uart.write(LCR, 0x80)
    uart.write(FCR, 0x21)
    assert uart.read(IIR) == 0xC1, "no 64-byte FIFO of a 16750"


def test_ier_has_four_bits_and_the_scratch_register_eight(uart: DeviceHarness) -> None:
    uart.write(IER, 0xFF)
    uart.write(SCR, 0xA5)
    assert (uart.read(IER), uart.read(SCR)) == (0x0F, 0xA5)


def test_clearing_the_receiver_fifo_forgets_its_bytes(uart: DeviceHarness, peer: Peer) -> None:
    uart.write(FCR, FIFO_14)
    peer.type(b"gone")
    uart.write(FCR, FIFO_14 | 2)
    assert not uart.read(LSR) & 1


def test_a_connected_peer_is_ready_and_an_open_plug_is_not(uart: DeviceHarness) -> None:
    assert uart.read(MSR) == 0xB0
    assert DeviceHarness(SPEC).read(MSR) == 0x00
