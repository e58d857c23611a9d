"""INT 11h, 12h, 14h, 15h, 17h and 1Ah."""

import struct

import pytest
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.config import BiosServicesOptions
from ringone_firmware.builtin.operations import Opcode

from .rom_loop import MEMORY_BYTES, Guest, bench, booted

SMAP = 0x534D4150
RESERVED = 0x10000


@pytest.fixture
def guest() -> Guest:
    return booted(bench(options=BiosServicesOptions(reserved_bytes=RESERVED)))


def test_equipment_and_base_memory(guest: Guest) -> None:
    assert guest.call(0x11).ax == guest.byte(layout.EQUIPMENT, 2)
    assert guest.call(0x12).ax == 639


def test_the_memory_map_ends_with_what_the_firmware_keeps(guest: Guest) -> None:
    entries, index = [], 0
    while True:
        after = guest.call(0x15, eax=0xE820, edx=SMAP, ebx=index, ecx=20, es=0x2000)
        assert (after.carry, after.eax, after.ecx) == (False, SMAP, 20)
        entries.append(struct.unpack("<QQI", guest.memory.read(0x20000, 20)))
        index = after.ebx
        if not index:
            break
    assert entries == [
        (0, 0x9FC00, 1),
        (0x9FC00, 0x400, 2),
        (0xF0000, 0x10000, 2),
        (0x100000, MEMORY_BYTES - RESERVED - 0x100000, 1),
        (MEMORY_BYTES - RESERVED, RESERVED, 4),
    ]


@pytest.mark.parametrize("registers", [{"edx": 0, "ecx": 20}, {"edx": SMAP, "ecx": 19}, {"edx": SMAP, "ecx": 20, "ebx": 5}], ids=str)
def test_senseless_memory_map_calls_fail(registers: dict[str, int], guest: Guest) -> None:
    assert guest.call(0x15, eax=0xE820, **registers).carry


def test_extended_memory_by_the_older_calls(guest: Guest) -> None:
    kib = (MEMORY_BYTES - RESERVED >> 10) - 1024
    assert guest.call(0x15, ah=0x88).ax == kib
    after = guest.call(0x15, ax=0xE801)
    assert (after.ax, after.bx, after.cx, after.dx) == (kib, 0, kib, 0)


def test_blocks_move_beyond_one_mib(guest: Guest) -> None:
    guest.memory.write(0x20000, b"payload!")
    descriptors = bytearray(0x30)
    struct.pack_into("<HHBBBB", descriptors, 0x10, 0xFFFF, 0x0000, 0x02, 0x93, 0, 0)
    struct.pack_into("<HHBBBB", descriptors, 0x18, 0xFFFF, 0x0000, 0x18, 0x93, 0, 0)
    guest.memory.write(0x30000, descriptors)
    assert not guest.call(0x15, ah=0x87, cx=4, es=0x3000).carry
    assert guest.memory.read(0x180000, 8) == b"payload!"


@pytest.mark.parametrize(("function", "before", "after"), [(0x2401, 0x00, 0x02), (0x2400, 0x03, 0x00)])
def test_a20_goes_through_port_92h(function: int, before: int, after: int, guest: Guest) -> None:
    guest.ports[0x92] = before
    assert guest.call(0x15, ax=function).ah == 0
    assert guest.writes == [(0x92, after)]


def test_a20_can_be_asked_for(guest: Guest) -> None:
    guest.ports[0x92] = 0x02
    assert guest.call(0x15, ax=0x2402).al == 1


def test_a_short_wait_spins_until_its_time_is_over(guest: Guest) -> None:
    assert guest.call(0x15, ah=0x86, dx=1000).outcome is Opcode.SPIN
    guest.harness.advance(1_000_000)
    after = guest.call(0x15, ah=0x86, dx=1000)
    assert (after.outcome, after.carry) == (Opcode.DONE, False)


def test_a_long_wait_sleeps(guest: Guest) -> None:
    assert guest.call(0x15, ah=0x86, cx=10).outcome is Opcode.HALT


def test_the_keyboard_intercept_leaves_everything_as_it_is(guest: Guest) -> None:
    after = guest.call(0x15, ax=0x4F1E, flags=0x203)
    assert (after.ax, after.carry) == (0x4F1E, True)


def test_unknown_functions_say_so(guest: Guest) -> None:
    after = guest.call(0x15, ah=0x53)
    assert (after.carry, after.ah) == (True, 0x86)


# --- Clock ------------------------------------------------------------------------------------------------------------------------------------------------


def test_ticks_are_read_and_set_and_midnight_is_told_once(guest: Guest) -> None:
    guest.call(0x1A, ah=1, cx=0x12, dx=0x3456)
    guest.memory.write(layout.BDA + layout.TIMER_MIDNIGHT, b"\x01")
    first, second = guest.call(0x1A, ah=0), guest.call(0x1A, ah=0)
    assert (first.cx, first.dx, first.al, second.al) == (0x12, 0x3456, 1, 0)


def test_time_and_date_come_from_the_clock_between_updates(guest: Guest) -> None:
    guest.ports[0x71] = [0x80, 0x80, 0x00, 0x56, 0x34, 0x12, 0x02]
    after = guest.call(0x1A, ah=2)
    assert (after.ch, after.cl, after.dh, after.dl) == (0x12, 0x34, 0x56, 0)
    guest.ports[0x71] = [0x00, 0x31, 0x12, 0x99, 0x19]
    after = guest.call(0x1A, ah=4)
    assert (after.ch, after.cl, after.dh, after.dl) == (0x19, 0x99, 0x12, 0x31)


def test_the_time_is_set_while_updates_are_stopped(guest: Guest) -> None:
    guest.ports[0x71] = 0x02
    guest.call(0x1A, ah=3, ch=0x23, cl=0x59, dh=0x58)
    registers = [(index, value) for (_, index), (_, value) in zip(guest.writes[1::2], guest.writes[2::2], strict=False)]
    assert registers == [(0x0B, 0x82), (0x00, 0x58), (0x02, 0x59), (0x04, 0x23), (0x0B, 0x02)]


# --- PCI BIOS ---------------------------------------------------------------------------------------------------------------------------------------------


def test_pci_bios_is_present(guest: Guest) -> None:
    after = guest.call(0x1A, ax=0xB101)
    assert (after.carry, after.ah, after.edx, after.bx) == (False, 0, 0x20494350, 0x0210)


def test_configuration_space_is_read_through_the_ports(guest: Guest) -> None:
    guest.ports[0xCFE] = 0x7000
    after = guest.call(0x1A, ax=0xB109, bx=0x0008, di=2)
    assert (after.carry, after.cx) == (False, 0x7000)
    assert guest.writes == [(0xCF8, 0x80000800)]


def test_configuration_space_is_written_through_the_ports(guest: Guest) -> None:
    guest.call(0x1A, ax=0xB10D, bx=0x0110, di=0x10, ecx=0xE0000000)
    assert guest.writes == [(0xCF8, 0x80011010), (0xCFC, 0xE0000000)]


@pytest.mark.parametrize(("function", "status"), [(0xB102, 0x86), (0xB103, 0x86), (0xB1FF, 0x81)])
def test_what_pci_bios_does_not_find_or_know(function: int, status: int, guest: Guest) -> None:
    after = guest.call(0x1A, ax=function)
    assert (after.carry, after.ah) == (True, status)


def test_an_unaligned_register_is_refused(guest: Guest) -> None:
    assert guest.call(0x1A, ax=0xB10A, di=2).ah == 0x87


# --- Serial and parallel ports ----------------------------------------------------------------------------------------------------------------------------


def test_bytes_go_out_when_the_uart_is_ready() -> None:
    guest = Guest()
    guest.ports |= {0x71: [0], 0x3F9: 2, 0x3FA: 2}
    guest.call(layout.VECTOR_POST)
    guest.writes.clear()
    guest.ports[0x3FD] = [0x00, 0x00, 0x60]
    assert guest.call(0x14, ax=0x0141).ah == 0x60
    assert guest.writes == [(0x3F8, 0x41)]


def test_an_absent_port_times_out() -> None:
    guest = booted()
    assert guest.call(0x14, ax=0x0141, dx=2).ah == 0x80
    assert guest.call(0x17, dx=0).ah == 0x01
