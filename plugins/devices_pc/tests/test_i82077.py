"""The floppy controller with two drives, seen from a guest's driver."""

from __future__ import annotations

import pytest
from ringone.api.errors import DiskFullError
from ringone.api.events import MediumFull
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone.testing.media import MemoryDisk, MemoryDrive, numbered_blocks
from ringone_devices_pc.i82077 import SPEC
from ringone_devices_pc.i82077.config import DriveType, I82077Options
from ringone_devices_pc.i82077.drive import format_of

DOR, MSR, DSR, FIFO, DIR, CCR = 0x3F2, 0x3F4, 0x3F4, 0x3F5, 0x3F7, 0x3F7
RQM, DIO, NON_DMA, BUSY = 0x80, 0x40, 0x20, 0x10
RUNNING = 0x1C
LONG_ENOUGH_NS = 20_000_000
RATE_500K, RATE_250K = 0, 2

READ, WRITE, READ_ID, FORMAT, SEEK, RECALIBRATE, SENSE_INTERRUPT = 0xE6, 0xC5, 0x4A, 0x4D, 0x0F, 0x07, 0x08
ABNORMAL = 0x40


class FakeDma:
    """A DMA channel over a buffer of its own: terminal count after `size` bytes."""

    def __init__(self) -> None:
        self.memory = bytearray()
        self.size = 0
        self.position = 0
        self.masked = False

    @property
    def terminal_count(self) -> bool:
        return self.position == self.size

    def write_memory(self, data: bytes) -> int:
        taken = 0 if self.masked else min(len(data), self.size - self.position)
        self.memory[self.position : self.position + taken] = data[:taken]
        self.position += taken
        return taken

    def read_memory(self, size: int) -> bytes:
        taken = 0 if self.masked else min(size, self.size - self.position)
        self.position += taken
        return bytes(self.memory[self.position - taken : self.position])

    def program(self, size: int, data: bytes = b"") -> None:
        self.memory = bytearray(data.ljust(size, b"\0"))
        self.size = size
        self.position = 0


class Guest(DeviceHarness):
    def __init__(self, blocks: int = 2880, *, read_only: bool = False, medium: bool = True) -> None:
        self.disk = MemoryDisk(numbered_blocks(blocks), read_only=read_only)
        self.bay = MemoryDrive(self.disk if medium else None)
        self.dma = FakeDma()
        super().__init__(SPEC, options=I82077Options(drive0=DriveType.HD_3), drivers={"drive0": self.bay}, links={"dma": self.dma})

    def start(self) -> None:
        """Out of reset, the four interrupts read, 500 kbit/s, DMA mode."""
        self.write(DOR, RUNNING)
        self.advance(LONG_ENOUGH_NS)
        for _ in range(4):
            self.command(SENSE_INTERRUPT)
        self.write(CCR, RATE_500K)
        self.command(0x03, 0xDF, 0x02)

    def send(self, *command: int) -> None:
        for byte in command:
            assert self.read(MSR) & (RQM | DIO) == RQM
            self.write(FIFO, byte)

    def result(self) -> list[int]:
        result = []
        while self.read(MSR) & (RQM | DIO | BUSY) == RQM | DIO | BUSY:
            result.append(self.read(FIFO))
        return result

    def command(self, *command: int) -> list[int]:
        self.send(*command)
        self.advance(LONG_ENOUGH_NS)
        return self.result()

    def seek(self, track: int) -> list[int]:
        self.command(SEEK, 0, track)
        return self.command(SENSE_INTERRUPT)

    def sectors(self, opcode: int, cylinder: int = 0, head: int = 0, sector: int = 1, last: int = 18, size_code: int = 2) -> list[int]:
        return self.command(opcode, head << 2, cylinder, head, sector, size_code, last, 0x1B, 0xFF)


@pytest.fixture
def guest() -> Guest:
    guest = Guest()
    guest.start()
    return guest


class TestReset:
    def test_the_controller_is_silent_until_dor_lets_it_run(self) -> None:
        guest = Guest()
        assert guest.read(MSR) == 0
        guest.write(DOR, RUNNING)
        assert guest.read(MSR) == RQM

    def test_one_interrupt_and_four_sense_results(self) -> None:
        guest = Guest()
        guest.write(DOR, RUNNING)
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ")
        assert [guest.command(SENSE_INTERRUPT)[0] for _ in range(5)] == [0xC0, 0xC1, 0xC2, 0xC3, 0x80]
        assert [level for _, level in guest.edges("IRQ")] == [True, False]

    def test_the_gate_keeps_the_interrupt_back(self) -> None:
        guest = Guest()
        guest.write(DOR, RUNNING & ~8)
        guest.advance(LONG_ENOUGH_NS)
        assert not guest.pin("IRQ")
        guest.write(DOR, RUNNING)
        assert guest.pin("IRQ")

    def test_dsr_resets_by_itself(self, guest: Guest) -> None:
        guest.write(DSR, 0x80)
        guest.advance(LONG_ENOUGH_NS)
        assert guest.command(SENSE_INTERRUPT) == [0xC0, 0]

    def test_polling_can_be_disabled(self, guest: Guest) -> None:
        guest.command(0x13, 0, 0x10, 0)
        guest.write(DOR, 0)
        guest.write(DOR, RUNNING)
        guest.advance(LONG_ENOUGH_NS)
        assert not guest.pin("IRQ")

    def test_lock_keeps_the_fifo_settings_over_a_software_reset(self, guest: Guest) -> None:
        guest.command(0x13, 0, 0x47, 5)
        assert guest.command(0x94) == [0x10]
        guest.write(DOR, 0)
        guest.write(DOR, RUNNING)
        assert guest.command(0x0E)[7:] == [0x80, 0x47, 5]
        assert guest.command(0x14) == [0x00]
        guest.write(DOR, 0)
        guest.write(DOR, RUNNING)
        assert guest.command(0x0E)[7:] == [0x00, 0x60, 0]


class TestControlCommands:
    def test_it_is_an_82077(self, guest: Guest) -> None:
        assert guest.command(0x10) == [0x90]
        assert guest.command(0x18) == [0x80]

    @pytest.mark.parametrize("opcode", [0x00, 0x01, 0x11, 0x1F, 0x2E, 0x8E], ids=hex)
    def test_unknown_commands_are_invalid(self, guest: Guest, opcode: int) -> None:
        assert guest.command(opcode) == [0x80]
        assert guest.read(MSR) == RQM

    def test_busy_from_the_first_byte_to_the_last_result(self, guest: Guest) -> None:
        guest.write(FIFO, 0x04)
        assert guest.read(MSR) == RQM | BUSY
        guest.write(FIFO, 0x00)
        assert guest.read(MSR) == RQM | DIO | BUSY
        guest.read(FIFO)
        assert guest.read(MSR) == RQM

    def test_sense_drive_status(self, guest: Guest) -> None:
        assert guest.command(0x04, 4) == [0x28 | 0x10 | 4]
        guest.seek(3)
        assert guest.command(0x04, 0) == [0x28]

    def test_a_read_only_image_is_write_protected(self) -> None:
        guest = Guest(read_only=True)
        guest.start()
        assert guest.command(0x04, 0)[0] & 0x40

    def test_dumpreg_shows_what_was_set(self, guest: Guest) -> None:
        guest.seek(7)
        guest.command(0x12, 0x04)
        assert guest.command(0x0E) == [7, 0, 0, 0, 0xDF, 0x02, 0, 0x04, 0x20, 0]


class TestSeeks:
    def test_seek_frees_the_controller_and_interrupts_at_the_end(self, guest: Guest) -> None:
        guest.send(SEEK, 4, 10)
        assert guest.read(MSR) == RQM | 1
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ")
        assert guest.read(MSR) == RQM
        assert guest.command(SENSE_INTERRUPT) == [0x24, 10]
        assert not guest.pin("IRQ")

    def test_recalibrate_returns_to_track_0(self, guest: Guest) -> None:
        guest.seek(40)
        guest.command(RECALIBRATE, 0)
        assert guest.command(SENSE_INTERRUPT) == [0x20, 0]

    def test_recalibrating_a_missing_drive_fails(self, guest: Guest) -> None:
        guest.command(RECALIBRATE, 1)
        assert guest.command(SENSE_INTERRUPT) == [0x71, 0]

    def test_relative_seeks_go_both_ways(self, guest: Guest) -> None:
        guest.command(0xCF, 0, 5)
        assert guest.command(SENSE_INTERRUPT) == [0x20, 5]
        guest.command(0x8F, 0, 2)
        assert guest.command(SENSE_INTERRUPT) == [0x20, 3]

    def test_two_drives_seek_at_once_and_interrupt_one_after_the_other(self, guest: Guest) -> None:
        guest.send(SEEK, 0, 2)
        guest.send(SEEK, 1, 2)
        assert guest.read(MSR) == RQM | 3
        guest.advance(LONG_ENOUGH_NS)
        assert guest.command(SENSE_INTERRUPT) == [0x20, 2]
        assert guest.pin("IRQ")
        assert guest.command(SENSE_INTERRUPT) == [0x21, 2]
        assert not guest.pin("IRQ")


class TestReading:
    def test_sectors_arrive_by_dma_until_terminal_count(self, guest: Guest) -> None:
        guest.dma.program(3 * 512)
        assert guest.sectors(READ, sector=2) == [0, 0, 0, 0, 0, 5, 2]
        assert guest.dma.memory == guest.disk.read(1, 3)

    def test_busy_without_requests_while_sectors_pass(self, guest: Guest) -> None:
        guest.dma.program(512)
        guest.send(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
        assert guest.read(MSR) == BUSY
        assert not guest.pin("IRQ")
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ")
        guest.read(FIFO)
        assert not guest.pin("IRQ")

    def test_multi_track_goes_on_with_the_other_head(self, guest: Guest) -> None:
        guest.seek(1)
        guest.dma.program(36 * 512)
        assert guest.sectors(READ, cylinder=1) == [0, 0, 0, 2, 0, 1, 2]
        assert guest.dma.memory == guest.disk.read(36, 36)

    def test_the_end_of_the_track_without_terminal_count_is_an_error(self, guest: Guest) -> None:
        guest.dma.program(36 * 512)
        assert guest.sectors(0x46, last=9) == [ABNORMAL, 0x80, 0, 1, 0, 1, 2]

    def test_terminal_count_may_come_within_a_sector(self, guest: Guest) -> None:
        guest.dma.program(100)
        assert guest.sectors(READ)[0] == 0
        assert guest.dma.memory == guest.disk.read(0, 1)[:100]

    def test_a_masked_channel_is_an_overrun(self, guest: Guest) -> None:
        guest.dma.program(512)
        guest.dma.masked = True
        assert guest.sectors(READ)[:2] == [ABNORMAL, 0x10]

    def test_the_head_must_be_on_the_cylinder(self, guest: Guest) -> None:
        guest.dma.program(512)
        assert guest.sectors(READ, cylinder=5)[:3] == [ABNORMAL, 0x04, 0x10]

    def test_implied_seek_takes_it_there(self, guest: Guest) -> None:
        guest.command(0x13, 0, 0x40, 0)
        guest.dma.program(512)
        assert guest.sectors(READ, cylinder=5)[0] == 0
        assert guest.dma.memory == guest.disk.read(5 * 36, 1)

    @pytest.mark.parametrize(("sector", "size_code"), [(0, 2), (19, 2), (1, 3)])
    def test_a_sector_that_there_is_not_has_no_data(self, guest: Guest, sector: int, size_code: int) -> None:
        guest.dma.program(512)
        assert guest.sectors(READ, sector=sector, last=30, size_code=size_code)[:2] == [ABNORMAL, 0x04]

    def test_the_wrong_data_rate_finds_no_address_mark(self, guest: Guest) -> None:
        guest.write(CCR, RATE_250K)
        guest.dma.program(512)
        assert guest.sectors(READ)[:2] == [ABNORMAL, 0x01]
        assert guest.command(READ_ID, 0)[:2] == [ABNORMAL, 0x01]

    def test_an_empty_drive_finds_no_address_mark(self) -> None:
        guest = Guest(medium=False)
        guest.start()
        assert guest.command(READ_ID, 0)[:2] == [ABNORMAL, 0x01]

    def test_a_bad_sector_is_a_data_error(self, guest: Guest) -> None:
        guest.disk.failing = {1}
        guest.dma.program(1024)
        assert guest.sectors(READ) == [ABNORMAL, 0x20, 0x20, 0, 0, 2, 2]

    def test_read_id_sees_the_sectors_pass(self, guest: Guest) -> None:
        assert guest.command(READ_ID, 4) == [4, 0, 0, 0, 1, 1, 2]
        assert guest.command(READ_ID, 4) == [4, 0, 0, 0, 1, 2, 2]

    def test_read_track_starts_with_the_first_sector(self, guest: Guest) -> None:
        guest.dma.program(18 * 512)
        assert guest.sectors(0x42, sector=9)[0] == 0
        assert guest.dma.memory == guest.disk.read(0, 18)

    def test_verify_counts_sectors_without_moving_them(self, guest: Guest) -> None:
        assert guest.command(0xD6, 0x80, 0, 0, 3, 2, 18, 0x1B, 4) == [0, 0, 0, 0, 0, 7, 2]
        guest.disk.failing = {5}
        assert guest.command(0xD6, 0x80, 0, 0, 3, 2, 18, 0x1B, 4)[1] == 0x20


class TestWriting:
    def test_sectors_leave_by_dma(self, guest: Guest) -> None:
        data = bytes(range(256)) * 4
        guest.dma.program(1024, data)
        assert guest.sectors(WRITE, head=1, sector=5) == [4, 0, 0, 0, 1, 7, 2]
        assert guest.disk.read(18 + 4, 2) == data

    def test_a_short_last_sector_is_filled_with_zeros(self, guest: Guest) -> None:
        guest.dma.program(100, b"\xee" * 100)
        assert guest.sectors(WRITE)[0] == 0
        assert guest.disk.read(0, 1) == b"\xee" * 100 + bytes(412)

    def test_a_read_only_image_is_not_writable(self) -> None:
        guest = Guest(read_only=True)
        guest.start()
        guest.dma.program(512)
        assert guest.sectors(WRITE)[:2] == [ABNORMAL, 0x02]

    def test_a_full_host_disk_is_an_error_and_an_event(self, guest: Guest) -> None:
        guest.disk.write_error = DiskFullError("no room")
        guest.dma.program(512)
        assert guest.sectors(WRITE)[:2] == [ABNORMAL, 0x20]
        assert guest.events == [MediumFull("device", "no room")]

    def test_format_track_fills_its_sectors(self, guest: Guest) -> None:
        ids = b"".join(bytes((0, 1, sector, 2)) for sector in range(1, 19))
        guest.dma.program(len(ids), ids)
        assert guest.command(FORMAT, 4, 2, 18, 0x54, 0xF6)[:3] == [4, 0, 0]
        assert guest.disk.read(18, 18) == b"\xf6" * 18 * 512
        assert guest.disk.read(36, 1) == numbered_blocks(37)[-512:]


class TestWithoutDma:
    def test_a_read_comes_through_the_fifo_sector_by_sector(self, guest: Guest) -> None:
        guest.command(0x03, 0xDF, 0x03)
        guest.send(READ & 0x7F, 0, 0, 0, 1, 2, 2, 0x1B, 0xFF)
        data = b""
        for _ in range(2):
            guest.advance(LONG_ENOUGH_NS)
            assert guest.pin("IRQ")
            while guest.read(MSR) & (RQM | NON_DMA) == RQM | NON_DMA:
                data += bytes((guest.read(FIFO),))
        assert data == guest.disk.read(0, 2)
        assert guest.result() == [ABNORMAL, 0x80, 0, 1, 0, 1, 2]

    def test_a_write_goes_through_the_fifo(self, guest: Guest) -> None:
        guest.command(0x03, 0xDF, 0x03)
        guest.send(WRITE & 0x7F, 0, 0, 0, 3, 2, 3, 0x1B, 0xFF)
        guest.advance(LONG_ENOUGH_NS)
        assert guest.read(MSR) == RQM | NON_DMA | BUSY
        for byte in b"\x5a" * 512:
            guest.write(FIFO, byte)
        assert guest.result()[1] == 0x80
        assert guest.disk.read(2, 1) == b"\x5a" * 512


class TestMedia:
    @pytest.mark.parametrize(
        ("kind", "size_kib", "expected"),
        [
            (DriveType.HD_3, 1440, (80, 2, 18)),
            (DriveType.HD_3, 720, (80, 2, 9)),
            (DriveType.HD_3, 1200, (80, 2, 18)),
            (DriveType.HD_3, 1, (80, 2, 18)),
            (DriveType.HD_3, 1680, (80, 2, 21)),
            (DriveType.HD_5, 1200, (80, 2, 15)),
            (DriveType.HD_5, 360, (40, 2, 9)),
            (DriveType.DD_5, 360, (40, 2, 9)),
            (DriveType.DD_5, 160, (40, 1, 8)),
            (DriveType.DD_3, 720, (80, 2, 9)),
            (DriveType.ED_3, 2880, (80, 2, 36)),
            (DriveType.ED_3, 1440, (80, 2, 18)),
            (DriveType.ED_3, 99999, (80, 2, 36)),
        ],
    )
    def test_the_size_says_the_format(self, kind: DriveType, size_kib: int, expected: tuple[int, int, int]) -> None:
        layout = format_of(kind, size_kib * 2)
        assert (layout.cylinders, layout.heads, layout.sectors) == expected

    def test_a_short_image_reads_zeros_behind_its_end_and_takes_no_writes_there(self) -> None:
        guest = Guest(blocks=10)
        guest.start()
        guest.dma.program(2 * 512)
        assert guest.sectors(READ, sector=10)[0] == 0
        assert guest.dma.memory == guest.disk.read(9, 1) + bytes(512)
        guest.dma.program(512)
        assert guest.sectors(WRITE, sector=11)[:2] == [ABNORMAL, 0x20]

    def test_a_40_track_medium_is_stepped_twice_in_an_80_track_drive(self) -> None:
        disk = MemoryDisk(numbered_blocks(720))
        dma = FakeDma()
        harness = DeviceHarness(SPEC, options=I82077Options(drive0=DriveType.HD_5), drivers={"drive0": MemoryDrive(disk)}, links={"dma": dma})
        harness.write(DOR, RUNNING)
        harness.write(CCR, 1)
        for byte in (SEEK, 0, 6):
            harness.write(FIFO, byte)
        harness.advance(LONG_ENOUGH_NS)
        dma.program(512)
        for byte in (READ, 0, 3, 0, 1, 2, 9, 0x1B, 0xFF):
            harness.write(FIFO, byte)
        harness.advance(LONG_ENOUGH_NS)
        assert dma.memory == disk.read(3 * 18, 1)

    def test_the_change_line_clears_with_a_step(self, guest: Guest) -> None:
        assert guest.read(DIR) & 0x80
        guest.command(RECALIBRATE, 0)
        assert guest.read(DIR) & 0x80
        guest.seek(1)
        assert not guest.read(DIR) & 0x80
        guest.bay.insert(MemoryDisk(bytes(1474560)))
        assert guest.read(DIR) & 0x80
        guest.seek(0)
        assert not guest.read(DIR) & 0x80

    def test_an_empty_drive_keeps_the_change_line(self, guest: Guest) -> None:
        guest.seek(1)
        guest.bay.eject()
        guest.seek(2)
        assert guest.read(DIR) & 0x80

    def test_a_drive_that_there_is_not_has_no_change_line(self, guest: Guest) -> None:
        guest.write(DOR, RUNNING | 1)
        assert not guest.read(DIR) & 0x80


class TestSnapshot:
    def test_in_the_middle_of_a_dma_read(self, guest: Guest) -> None:
        guest.dma.program(2 * 512)
        guest.send(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
        guest.advance(150_000)
        other = Guest()
        other.dma.program(2 * 512, bytes(guest.dma.memory))
        other.dma.position = guest.dma.position
        other.load(guest.save())
        other.advance(LONG_ENOUGH_NS)
        assert other.result()[0] == 0
        assert other.dma.memory == guest.disk.read(0, 2)

    def test_a_change_that_nobody_has_noticed_survives(self, guest: Guest) -> None:
        guest.seek(1)
        guest.bay.insert(guest.disk)
        other = Guest()
        other.load(guest.save())
        assert other.read(DIR) & 0x80


class TestConformance(DeviceConformance):
    """Stopped in the middle of a write through the FIFO."""

    def make_harness(self) -> Guest:
        return Guest()

    def exercise(self, harness: DeviceHarness) -> None:
        assert isinstance(harness, Guest)
        harness.start()
        harness.command(0x03, 0xDF, 0x03)
        harness.send(WRITE, 0, 0, 0, 3, 2, 3, 0x1B, 0xFF)
        harness.advance(150_000)
        for byte in range(100):
            harness.write(FIFO, byte)

    def carry_host_state(self, source: DeviceHarness, target: DeviceHarness) -> None:
        assert isinstance(source, Guest)
        assert isinstance(target, Guest)
        target.disk.data[:] = source.disk.data
        target.dma.__dict__.update({**vars(source.dma), "memory": bytearray(source.dma.memory)})
