"""The PC's DMA controllers, seen from a driver and from the devices that they serve."""

from __future__ import annotations

import pytest
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.i8237 import SPEC

PAGES = {0: 0x87, 1: 0x83, 2: 0x81, 3: 0x82, 5: 0x8B, 6: 0x89, 7: 0x8A}
VERIFY, WRITE, READ = 0x40, 0x44, 0x48
AUTOINITIALIZE, DECREMENT, BLOCK = 0x10, 0x20, 0x80


class Guest(DeviceHarness):
    def __init__(self) -> None:
        super().__init__(SPEC)

    def register(self, channel: int, register: int) -> int:
        """A port of the controller that `channel` belongs to."""
        return register if channel < 4 else 0xC0 + 2 * register

    def program(self, channel: int, mode: int, page: int, address: int, count: int) -> None:
        number = channel & 3
        self.write(self.register(channel, 0xA), 4 | number)
        self.write(self.register(channel, 0xC), 0)
        self.write(self.register(channel, 0xB), mode | number)
        for register, value in ((2 * number, address), (2 * number + 1, count)):
            self.write(self.register(channel, register), value & 0xFF)
            self.write(self.register(channel, register), value >> 8)
        self.write(PAGES[channel], page)
        self.write(self.register(channel, 0xA), number)

    def word(self, channel: int, register: int) -> int:
        self.write(self.register(channel, 0xC), 0)
        port = self.register(channel, 2 * (channel & 3) + register)
        return self.read(port) | self.read(port) << 8


@pytest.fixture
def guest() -> Guest:
    return Guest()


def test_channels_are_masked_after_reset(guest: Guest) -> None:
    channel = guest.provided("channel2")
    assert channel.masked
    assert channel.write_memory(b"data") == 0
    assert channel.read_memory(4) == b""


def test_a_device_writes_memory_until_terminal_count(guest: Guest) -> None:
    guest.program(2, WRITE, page=3, address=0x1000, count=511)
    channel = guest.provided("channel2")
    assert channel.write_memory(b"a" * 500) == 500
    assert not channel.terminal_count
    assert channel.write_memory(b"b" * 500) == 12
    assert channel.terminal_count
    assert guest.memory.read(0x31000, 513) == b"a" * 500 + b"b" * 12 + b"\x00"
    assert channel.masked


def test_a_device_reads_memory(guest: Guest) -> None:
    guest.memory.write(0x25000, bytes(range(100)))
    guest.program(3, READ, page=2, address=0x5000, count=99)
    channel = guest.provided("channel3")
    assert channel.read_memory(40) == bytes(range(40))
    assert channel.read_memory(400) == bytes(range(40, 100))
    assert channel.terminal_count


def test_address_and_count_are_readable_while_they_run(guest: Guest) -> None:
    guest.program(2, WRITE, page=0, address=0x1000, count=0x1FF)
    guest.provided("channel2").write_memory(bytes(0x10))
    assert (guest.word(2, 0), guest.word(2, 1)) == (0x1010, 0x1EF)


def test_the_address_wraps_within_its_64_kib(guest: Guest) -> None:
    guest.program(1, WRITE, page=4, address=0xFFFE, count=3)
    guest.provided("channel1").write_memory(b"wxyz")
    assert guest.memory.read(0x4FFFE, 3) == b"wx\x00"
    assert guest.memory.read(0x40000, 2) == b"yz"


def test_a_decrementing_channel_runs_downwards_and_wraps(guest: Guest) -> None:
    guest.program(1, WRITE | DECREMENT, page=4, address=1, count=3)
    guest.provided("channel1").write_memory(b"abcd")
    assert guest.memory.read(0x40000, 2) == b"ba"
    assert guest.memory.read(0x4FFFE, 2) == b"dc"


def test_a_16_bit_channel_counts_words_in_128_kib_pages(guest: Guest) -> None:
    guest.program(5, WRITE, page=0x05, address=0x8000, count=1)
    channel = guest.provided("channel5")
    assert channel.write_memory(b"123456") == 4
    assert channel.terminal_count
    assert guest.memory.read(0x40000 + 0x10000, 5) == b"1234\x00"


def test_autoinitialize_starts_again(guest: Guest) -> None:
    guest.program(1, WRITE | AUTOINITIALIZE, page=1, address=0, count=3)
    channel = guest.provided("channel1")
    for data in (b"1234", b"5678"):
        assert channel.write_memory(data) == 4
        assert channel.terminal_count
        assert not channel.masked
    assert guest.memory.read(0x10000, 4) == b"5678"
    assert guest.word(1, 1) == 3


def test_verify_counts_without_touching_memory(guest: Guest) -> None:
    guest.program(2, VERIFY, page=1, address=0, count=3)
    channel = guest.provided("channel2")
    assert channel.write_memory(b"1234") == 4
    assert channel.terminal_count
    assert guest.memory.read(0x10000, 4) == bytes(4)


def test_the_wrong_direction_moves_nothing(guest: Guest) -> None:
    guest.program(2, READ, page=1, address=0, count=3)
    assert guest.provided("channel2").write_memory(b"1234") == 0


def test_status_shows_terminal_count_once(guest: Guest) -> None:
    guest.program(2, WRITE, page=1, address=0, count=0)
    guest.provided("channel2").write_memory(b"1")
    assert guest.read(0x08) == 0x04
    assert guest.read(0x08) == 0x00


def test_a_software_request_of_a_block_runs_to_terminal_count(guest: Guest) -> None:
    guest.program(1, BLOCK | 0x04, page=1, address=0, count=7)
    guest.write(0x09, 5)
    assert guest.read(0x08) == 0x02
    assert guest.memory.read(0x10000, 9) == b"\xff" * 8 + b"\x00"


def test_a_software_request_in_single_mode_waits_in_the_status(guest: Guest) -> None:
    guest.program(1, WRITE, page=1, address=0, count=7)
    guest.write(0x09, 5)
    assert guest.read(0x08) == 0x20
    guest.write(0x09, 1)
    assert guest.read(0x08) == 0x00


def test_the_disable_bit_stops_a_controller(guest: Guest) -> None:
    guest.program(2, WRITE, page=1, address=0, count=7)
    guest.write(0x08, 0x04)
    assert guest.provided("channel2").write_memory(b"1") == 0
    guest.write(0x08, 0x00)
    assert guest.provided("channel2").write_memory(b"1") == 1


def test_masks_are_set_and_cleared_together_and_alone(guest: Guest) -> None:
    guest.write(0x0E, 0)
    assert guest.read(0x0F) == 0xF0
    guest.write(0x0A, 6)
    assert guest.read(0x0F) == 0xF4
    guest.write(0xDE, 0x0F)
    assert guest.read(0xDE) == 0xFF
    guest.write(0x0D, 0)
    assert guest.read(0x0F) == 0xFF


def test_page_registers_hold_their_values_and_port_80_is_not_theirs(guest: Guest) -> None:
    for port in range(0x81, 0x90):
        guest.write(port, port ^ 0xFF)
    assert [guest.read(port) for port in range(0x81, 0x90)] == [port ^ 0xFF for port in range(0x81, 0x90)]
    assert guest.read(0x80) == 0xFF


class TestConformance(DeviceConformance):
    def make_harness(self) -> Guest:
        return Guest()

    def exercise(self, harness: DeviceHarness) -> None:
        assert isinstance(harness, Guest)
        harness.program(2, WRITE | AUTOINITIALIZE, page=1, address=0x1234, count=99)
        harness.provided("channel2").write_memory(bytes(30))
        harness.write(0x04, 0x55)
