"""PIIX3 IDE with hard disks, seen from a guest's driver."""

from __future__ import annotations

import pytest
from ringone.api.errors import DiskFullError, MediumError, MissingDriverError
from ringone.api.events import MediumFull
from ringone.testing import DeviceHarness
from ringone.testing.harness import FakePciBus
from ringone.testing.media import MemoryDisk, numbered_blocks
from ringone_devices_pc.piix3_ide import SPEC
from ringone_devices_pc.piix3_ide.config import DriveType, Piix3IdeOptions

DATA, ERROR, COUNT, LOW, MID, HIGH, HEAD, STATUS = range(0x1F0, 0x1F8)
CONTROL = 0x3F6
BUS_MASTER = 0xC000

ERR, DRQ, DRDY, BSY = 0x01, 0x08, 0x40, 0x80
IDLE = 0x50
ABRT, IDNF, UNC = 0x04, 0x10, 0x40
NIEN, SRST, HOB = 0x02, 0x04, 0x80
LONG_ENOUGH_NS = 1_000_000

READ_SECTORS, READ_SECTORS_EXT, READ_MULTIPLE, READ_DMA, READ_DMA_EXT = 0x20, 0x24, 0xC4, 0xC8, 0x25
WRITE_SECTORS, WRITE_MULTIPLE, WRITE_DMA, IDENTIFY, SET_MULTIPLE, SET_FEATURES = 0x30, 0xC5, 0xCA, 0xEC, 0xC6, 0xEF


class Guest(DeviceHarness):
    """A driver's view of the primary channel."""

    def __init__(self, sectors: int = 4096, *, read_only: bool = False, slave: MemoryDisk | None = None) -> None:
        self.disk = MemoryDisk(numbered_blocks(sectors), read_only=read_only)
        drivers: dict[str, object] = {"drive00": self.disk}
        if slave is not None:
            drivers["drive01"] = slave
        self.pci = FakePciBus()
        options = Piix3IdeOptions(drive00=DriveType.DISK, drive01=DriveType.DISK if slave else DriveType.NONE, serial00="SN-0815")
        super().__init__(SPEC, options=options, drivers=drivers, links={"pci": self.pci})
        self.pci.write(1, 1, 0x20, BUS_MASTER)
        self.pci.write(1, 1, 0x04, 0x05, 2)

    def wait(self) -> int:
        self.advance(LONG_ENOUGH_NS)
        return self.read(STATUS)

    def begin(self, command: int, lba: int = 0, count: int = 1) -> None:
        self.write(HEAD, 0xE0 | lba >> 24)
        self.write(COUNT, count & 0xFF)
        for port, shift in ((LOW, 0), (MID, 8), (HIGH, 16)):
            self.write(port, lba >> shift & 0xFF)
        self.write(STATUS, command)

    def begin_ext(self, command: int, lba: int, count: int) -> None:
        self.write(HEAD, 0x40)
        for port, older, newer in ((COUNT, count >> 8, count), (LOW, lba >> 24, lba), (MID, lba >> 32, lba >> 8), (HIGH, lba >> 40, lba >> 16)):
            self.write(port, older & 0xFF)
            self.write(port, newer & 0xFF)
        self.write(STATUS, command)

    def command(self, command: int, lba: int = 0, count: int = 1, features: int = 0) -> int:
        self.write(ERROR, features)
        self.begin(command, lba, count)
        return self.wait()

    def take(self, sectors: int = 1, width: int = 2) -> bytes:
        return b"".join(self.read(DATA, width).to_bytes(width, "little") for _ in range(sectors * 512 // width))

    def give(self, data: bytes, width: int = 2) -> None:
        for at in range(0, len(data), width):
            self.write(DATA, int.from_bytes(data[at : at + width], "little"), width)

    def identify(self) -> list[int]:
        self.command(IDENTIFY)
        data = self.take()
        return [int.from_bytes(data[at : at + 2], "little") for at in range(0, 512, 2)]

    def descriptors(self, *regions: tuple[int, int]) -> None:
        """Put a PRD table at 0x1000 and tell the bus master."""
        table = b""
        for index, (address, size) in enumerate(regions):
            last = 0x8000_0000 if index == len(regions) - 1 else 0
            table += address.to_bytes(4, "little") + (size & 0xFFFF | last).to_bytes(4, "little")
        self.memory.write(0x1000, table)
        self.write(BUS_MASTER + 4, 0x1000, 4)
        self.write(BUS_MASTER + 2, 0x06)

    def start_dma(self, direction: int = 0x08) -> None:
        self.write(BUS_MASTER, direction)
        self.write(BUS_MASTER, direction | 1)


@pytest.fixture
def guest() -> Guest:
    return Guest()


def test_a_disk_without_an_image_is_refused() -> None:
    with pytest.raises(MissingDriverError, match="drive00"):
        DeviceHarness(SPEC, options=Piix3IdeOptions(drive00=DriveType.DISK))


def test_a_serial_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="20 printable"):
        Piix3IdeOptions(serial00="x" * 21)


class TestIdentify:
    def test_tells_size_serial_number_and_model(self, guest: Guest) -> None:
        words = guest.identify()
        assert (words[1], words[3], words[6]) == (4, 16, 63)
        assert words[60] | words[61] << 16 == 4096
        assert words[100] | words[101] << 16 == 4096
        assert b"".join(word.to_bytes(2, "big") for word in words[10:20]) == b"SN-0815".ljust(20)
        assert b"".join(word.to_bytes(2, "big") for word in words[27:47]).rstrip() == b"RingOne HARDDISK"

    def test_tells_the_selected_transfer_mode(self, guest: Guest) -> None:
        assert guest.identify()[63] == 0x0407
        assert guest.command(SET_FEATURES, count=0x45, features=3) == IDLE
        words = guest.identify()
        assert (words[63], words[88]) == (0x0007, 0x203F)

    def test_refuses_a_transfer_mode_that_there_is_not(self, guest: Guest) -> None:
        assert guest.command(SET_FEATURES, count=0x47, features=3) & ERR


class TestProgrammedInput:
    def test_shows_busy_then_data_then_nothing(self, guest: Guest) -> None:
        guest.begin(READ_SECTORS, lba=5)
        assert guest.read(STATUS) & BSY
        assert guest.wait() == IDLE | DRQ
        assert guest.take() == guest.disk.read(5, 1)
        assert guest.read(STATUS) == IDLE

    @pytest.mark.parametrize("width", [2, 4])
    def test_reads_several_sectors_in_either_width(self, guest: Guest, width: int) -> None:
        guest.command(READ_SECTORS, lba=100, count=3)
        assert guest.take(3, width) == guest.disk.read(100, 3)

    def test_interrupts_once_a_block(self, guest: Guest) -> None:
        guest.begin(READ_SECTORS, count=2)
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ14")
        guest.read(STATUS)
        assert not guest.pin("IRQ14")
        guest.take()
        assert guest.pin("IRQ14")
        guest.read(STATUS)
        guest.take()
        assert not guest.pin("IRQ14")

    def test_nien_keeps_the_interrupt_back(self, guest: Guest) -> None:
        guest.write(CONTROL, NIEN)
        guest.begin(READ_SECTORS)
        guest.advance(LONG_ENOUGH_NS)
        assert not guest.pin("IRQ14")
        guest.write(CONTROL, 0)
        assert guest.pin("IRQ14")

    def test_the_alternate_status_leaves_the_interrupt_alone(self, guest: Guest) -> None:
        guest.begin(READ_SECTORS)
        guest.advance(LONG_ENOUGH_NS)
        assert guest.read(CONTROL) == IDLE | DRQ
        assert guest.pin("IRQ14")

    def test_a_count_of_zero_is_256_sectors(self, guest: Guest) -> None:
        guest.command(READ_SECTORS, count=0)
        assert guest.take(256) == guest.disk.read(0, 256)
        assert guest.read(STATUS) == IDLE

    def test_read_multiple_moves_blocks_of_the_set_size(self, guest: Guest) -> None:
        assert guest.command(SET_MULTIPLE, count=8) == IDLE
        guest.command(READ_MULTIPLE, lba=3, count=12)
        guest.clear_edges()
        assert guest.take(12) == guest.disk.read(3, 12)
        assert [level for _, level in guest.edges("IRQ14")] == [True]

    def test_read_multiple_is_refused_while_disabled(self, guest: Guest) -> None:
        guest.command(SET_MULTIPLE, count=0)
        assert guest.command(READ_MULTIPLE) & ERR
        assert guest.read(ERROR) == ABRT

    def test_reads_with_48_bit_addresses(self, guest: Guest) -> None:
        guest.begin_ext(READ_SECTORS_EXT, lba=0xABC, count=2)
        assert guest.wait() & DRQ
        assert guest.take(2) == guest.disk.read(0xABC, 2)

    def test_the_older_byte_is_readable_behind_hob(self, guest: Guest) -> None:
        guest.write(COUNT, 0x12)
        guest.write(COUNT, 0x34)
        guest.write(CONTROL, HOB)
        assert guest.read(COUNT) == 0x12
        guest.write(LOW, 0)
        assert guest.read(COUNT) == 0x34

    def test_reads_by_cylinder_head_and_sector(self, guest: Guest) -> None:
        for port, value in ((HEAD, 0xA2), (COUNT, 1), (LOW, 4), (MID, 1), (HIGH, 0)):
            guest.write(port, value)
        guest.write(STATUS, READ_SECTORS)
        guest.wait()
        assert guest.take() == guest.disk.read((1 * 16 + 2) * 63 + 3, 1)

    def test_a_translated_geometry_counts_after_initialize_device_parameters(self, guest: Guest) -> None:
        guest.write(HEAD, 0xA0 | 7)
        guest.write(COUNT, 32)
        guest.write(STATUS, 0x91)
        guest.wait()
        for port, value in ((HEAD, 0xA1), (COUNT, 1), (LOW, 1), (MID, 2), (HIGH, 0)):
            guest.write(port, value)
        guest.write(STATUS, READ_SECTORS)
        guest.wait()
        assert guest.take() == guest.disk.read((2 * 8 + 1) * 32, 1)


class TestProgrammedOutput:
    def test_asks_for_data_at_once_and_interrupts_when_it_is_written(self, guest: Guest) -> None:
        guest.begin(WRITE_SECTORS, lba=9, count=2)
        assert guest.read(STATUS) == IDLE | DRQ
        assert not guest.pin("IRQ14")
        guest.give(b"\x11" * 512)
        assert guest.pin("IRQ14")
        assert guest.read(STATUS) == IDLE | DRQ
        guest.give(b"\x22" * 512, width=4)
        assert guest.pin("IRQ14")
        assert guest.read(STATUS) == IDLE
        assert guest.disk.read(9, 2) == b"\x11" * 512 + b"\x22" * 512

    def test_write_multiple_takes_a_short_last_block(self, guest: Guest) -> None:
        guest.command(SET_MULTIPLE, count=4)
        data = bytes(range(256)) * 2 * 6
        guest.begin(WRITE_MULTIPLE, lba=50, count=6)
        guest.give(data)
        assert guest.read(STATUS) == IDLE
        assert guest.disk.read(50, 6) == data

    def test_a_read_only_disk_refuses(self) -> None:
        guest = Guest(read_only=True)
        assert guest.command(WRITE_SECTORS) & ERR
        assert guest.read(ERROR) == ABRT

    def test_a_full_host_disk_is_an_error_and_an_event(self, guest: Guest) -> None:
        guest.disk.write_error = DiskFullError("no room")
        guest.begin(WRITE_SECTORS)
        guest.give(bytes(512))
        assert guest.read(STATUS) & ERR
        assert guest.events == [MediumFull("device", "no room")]


class TestErrors:
    def test_a_sector_past_the_end_is_not_found(self, guest: Guest) -> None:
        assert guest.command(READ_SECTORS, lba=4095, count=2) & ERR
        assert guest.read(ERROR) == IDNF

    def test_a_bad_block_is_uncorrectable_and_its_address_shown(self, guest: Guest) -> None:
        guest.disk.failing = {0x102}
        guest.command(READ_SECTORS, lba=0x101, count=3)
        guest.take()
        assert guest.read(STATUS) == IDLE | ERR
        assert (guest.read(ERROR), guest.read(LOW), guest.read(MID)) == (UNC, 0x02, 0x01)

    @pytest.mark.parametrize("command", [0x00, 0xB0, 0xA0, 0xA1, 0xFF], ids=hex)
    def test_unknown_and_refused_commands_abort_with_an_interrupt(self, guest: Guest, command: int) -> None:
        guest.begin(command)
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ14")
        assert guest.read(STATUS) == IDLE | ERR
        assert guest.read(ERROR) == ABRT

    def test_an_error_goes_with_the_next_command(self, guest: Guest) -> None:
        guest.command(0xFF)
        assert guest.command(0xE1) == IDLE
        assert guest.read(ERROR) == 0


class TestOtherCommands:
    @pytest.mark.parametrize("command", [0x10, 0x40, 0x70, 0x91, 0xE0, 0xE1, 0xE6, 0xE7, 0xEA, 0x27], ids=hex)
    def test_complete_with_an_interrupt(self, guest: Guest, command: int) -> None:
        guest.begin(command)
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ14")
        assert guest.read(STATUS) == IDLE

    def test_flush_reaches_the_image(self, guest: Guest) -> None:
        guest.command(0xE7)
        assert guest.disk.flushes == 1

    def test_power_mode_is_active_until_standby(self, guest: Guest) -> None:
        guest.command(0xE5)
        assert guest.read(COUNT) == 0xFF
        guest.command(0xE0)
        guest.command(0xE5)
        assert guest.read(COUNT) == 0x00

    def test_read_native_max_gives_the_last_sector(self, guest: Guest) -> None:
        guest.command(0xF8)
        assert guest.read(LOW) | guest.read(MID) << 8 | guest.read(HIGH) << 16 == 4095

    def test_the_write_cache_can_be_turned_off(self, guest: Guest) -> None:
        guest.command(SET_FEATURES, features=0x82)
        assert not guest.identify()[85] & 1 << 5


class TestBusMaster:
    def test_scatters_along_the_descriptors(self, guest: Guest) -> None:
        guest.descriptors((0x8000, 1024), (0xA000, 512))
        guest.begin(READ_DMA, lba=7, count=3)
        guest.start_dma()
        assert guest.read(BUS_MASTER + 2) & 1
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ14")
        assert guest.read(BUS_MASTER + 2) & 7 == 4
        assert guest.read(STATUS) == IDLE
        assert guest.memory.read(0x8000, 1024) + guest.memory.read(0xA000, 512) == guest.disk.read(7, 3)

    def test_may_be_started_before_the_command(self, guest: Guest) -> None:
        guest.descriptors((0x8000, 512))
        guest.start_dma()
        guest.begin(READ_DMA, lba=8)
        assert guest.wait() == IDLE
        assert guest.memory.read(0x8000, 512) == guest.disk.read(8, 1)

    def test_may_be_started_long_after_the_command(self, guest: Guest) -> None:
        guest.descriptors((0x8000, 512))
        guest.begin(READ_DMA, lba=8)
        assert guest.wait() & BSY
        assert not guest.pin("IRQ14")
        guest.start_dma()
        assert guest.wait() == IDLE
        assert guest.memory.read(0x8000, 512) == guest.disk.read(8, 1)

    def test_gathers_for_a_write(self, guest: Guest) -> None:
        data = bytes(range(256)) * 4
        guest.memory.write(0x8000, data[:600])
        guest.memory.write(0x9000, data[600:])
        guest.descriptors((0x8000, 600), (0x9000, 424))
        guest.begin(WRITE_DMA, lba=20, count=2)
        guest.start_dma(direction=0)
        assert guest.wait() == IDLE
        assert guest.disk.read(20, 2) == data

    def test_a_table_that_is_too_long_leaves_the_active_bit(self, guest: Guest) -> None:
        guest.descriptors((0x8000, 4096))
        guest.begin(READ_DMA)
        guest.start_dma()
        guest.wait()
        assert guest.read(BUS_MASTER + 2) & 7 == 5
        guest.write(BUS_MASTER, 0)
        assert guest.read(BUS_MASTER + 2) & 7 == 4

    def test_a_table_that_is_too_short_leaves_the_drive_waiting(self, guest: Guest) -> None:
        guest.descriptors((0x8000, 256))
        guest.begin(READ_DMA, lba=3)
        guest.start_dma()
        assert guest.wait() & BSY
        assert guest.read(BUS_MASTER + 2) & 7 == 0
        guest.descriptors((0x8100, 256))
        guest.start_dma()
        assert guest.wait() == IDLE
        assert guest.memory.read(0x8000, 512) == guest.disk.read(3, 1)

    def test_moves_a_large_48_bit_transfer(self) -> None:
        guest = Guest()
        guest.descriptors(*((0x10000 + at * 0x10000, 0x10000) for at in range(8)))
        guest.begin_ext(READ_DMA_EXT, lba=0, count=1024)
        guest.start_dma()
        assert guest.wait() == IDLE
        assert guest.memory.read(0x10000, 1024 * 512) == guest.disk.read(0, 1024)

    def test_a_medium_error_ends_the_command(self, guest: Guest) -> None:
        guest.disk.failing = {2}
        guest.descriptors((0x8000, 512 * 4))
        guest.begin(READ_DMA, count=4)
        guest.start_dma()
        assert guest.wait() == IDLE | ERR
        assert guest.read(ERROR) == UNC
        assert guest.read(BUS_MASTER + 2) & 4

    def test_status_bits_clear_by_writing_ones(self, guest: Guest) -> None:
        guest.write(BUS_MASTER + 2, 0x66)
        assert guest.read(BUS_MASTER + 2) == 0x60

    def test_registers_read_in_all_widths(self, guest: Guest) -> None:
        guest.write(BUS_MASTER + 12, 0x12345678, 4)
        assert guest.read(BUS_MASTER + 12, 4) == 0x12345678
        assert guest.read(BUS_MASTER + 14, 2) == 0x1234


class TestPresence:
    def test_an_absent_slave_reads_zero_and_takes_no_command(self, guest: Guest) -> None:
        guest.write(HEAD, 0xB0)
        guest.write(COUNT, 0x55)
        assert guest.read(STATUS) == 0
        assert guest.read(COUNT) == 0
        guest.write(STATUS, IDENTIFY)
        assert guest.wait() == 0
        guest.write(HEAD, 0xA0)
        assert guest.read(STATUS) == IDLE

    def test_an_empty_channel_reads_zero(self, guest: Guest) -> None:
        assert guest.read(0x177) == 0
        assert guest.read(0x376) == 0

    def test_master_and_slave_answer_for_themselves(self) -> None:
        slave = MemoryDisk(numbered_blocks(100))
        guest = Guest(slave=slave)
        guest.write(HEAD, 0xB0)
        guest.write(STATUS, IDENTIFY)
        assert guest.wait() & DRQ
        assert int.from_bytes(guest.take()[120:124], "little") == 100

    def test_registers_hold_what_is_written(self, guest: Guest) -> None:
        guest.write(HEAD, 0xA0)
        for port, value in ((COUNT, 0x55), (LOW, 0xAA), (MID, 0x12), (HIGH, 0x34)):
            guest.write(port, value)
        assert [guest.read(port) for port in (COUNT, LOW, MID, HIGH, HEAD)] == [0x55, 0xAA, 0x12, 0x34, 0xA0]

    def test_pci_identity_and_timing_registers(self, guest: Guest) -> None:
        assert guest.pci.read(1, 1, 0x00) == 0x70108086
        assert guest.pci.read(1, 1, 0x08) >> 8 == 0x010180
        guest.pci.write(1, 1, 0x40, 0xA307A307)
        assert guest.pci.read(1, 1, 0x40) == 0xA307A307

    def test_works_without_a_pci_bus(self) -> None:
        harness = DeviceHarness(SPEC, options=Piix3IdeOptions(drive00=DriveType.DISK), drivers={"drive00": MemoryDisk(bytes(5120))})
        assert harness.read(STATUS) == IDLE


class TestReset:
    def test_soft_reset_shows_busy_then_the_signature(self, guest: Guest) -> None:
        guest.begin(READ_SECTORS)
        guest.write(CONTROL, SRST)
        assert guest.read(CONTROL) & BSY
        guest.write(CONTROL, 0)
        assert guest.read(STATUS) == IDLE
        assert [guest.read(port) for port in (ERROR, COUNT, LOW, MID, HIGH)] == [1, 1, 1, 0, 0]
        guest.advance(LONG_ENOUGH_NS)
        assert guest.edges("IRQ14") == []

    def test_diagnostic_passes_and_interrupts(self, guest: Guest) -> None:
        guest.write(STATUS, 0x90)
        assert guest.pin("IRQ14")
        assert guest.read(STATUS) == IDLE
        assert guest.read(ERROR) == 1


class TestSnapshot:
    @pytest.mark.parametrize("taken", [0, 1, 255, 256, 300])
    def test_in_the_middle_of_a_read(self, guest: Guest, taken: int) -> None:
        guest.command(READ_SECTORS, lba=40, count=2)
        before = b"".join(guest.read(DATA, 2).to_bytes(2, "little") for _ in range(taken))
        other = Guest()
        other.load(guest.save())
        after = b"".join(other.read(DATA, 2).to_bytes(2, "little") for _ in range(512 - taken))
        assert before + after == guest.disk.read(40, 2)
        assert other.read(STATUS) == IDLE

    def test_in_the_middle_of_a_write(self, guest: Guest) -> None:
        guest.begin(WRITE_SECTORS, lba=40, count=2)
        guest.give(b"\x33" * 700)
        other = Guest()
        other.disk.data[:] = guest.disk.data
        other.load(guest.save())
        other.give(b"\x44" * 324)
        assert other.read(STATUS) == IDLE
        assert other.disk.read(40, 2) == b"\x33" * 700 + b"\x44" * 324

    def test_while_a_dma_command_waits(self, guest: Guest) -> None:
        guest.descriptors((0x8000, 512))
        guest.begin(READ_DMA, lba=11)
        guest.start_dma()
        other = Guest()
        other.memory.write(0x1000, guest.memory.read(0x1000, 8))
        other.load(guest.save())
        assert other.wait() == IDLE
        assert other.memory.read(0x8000, 512) == guest.disk.read(11, 1)

    def test_medium_errors_are_the_only_host_errors_a_guest_meets(self, guest: Guest) -> None:
        guest.disk.write_error = MediumError("bad")
        guest.begin(WRITE_SECTORS)
        guest.give(bytes(512))
        assert guest.read(STATUS) == IDLE | ERR
        assert guest.events == []
