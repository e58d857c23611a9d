"""PIIX3 IDE with a CD-ROM drive as secondary master, seen from a guest's driver."""

from __future__ import annotations

import pytest
from ringone.testing import DeviceHarness
from ringone.testing.harness import FakePciBus
from ringone.testing.media import MemoryDisk, MemoryDrive, numbered_blocks
from ringone_devices_pc.piix3_ide import SPEC
from ringone_devices_pc.piix3_ide.config import DriveType, Piix3IdeOptions

DATA, ERROR, REASON, LOW, COUNT_LOW, COUNT_HIGH, HEAD, STATUS = range(0x170, 0x178)
CONTROL = 0x376
BUS_MASTER = 0xC008

ERR, DRQ, BSY = 0x01, 0x08, 0x80
IDLE = 0x50
PACKET, IDENTIFY_PACKET, IDENTIFY, DEVICE_RESET = 0xA0, 0xA1, 0xEC, 0x08
LONG_ENOUGH_NS = 1_000_000

NOT_READY, MEDIUM_ERROR, ILLEGAL_REQUEST, UNIT_ATTENTION = 2, 3, 5, 6
TEST_UNIT_READY = bytes(12)


def disc(blocks: int = 400) -> MemoryDisk:
    return MemoryDisk(numbered_blocks(blocks, 2048), block_size=2048, read_only=True)


def read_10(lba: int, count: int) -> bytes:
    return b"\x28\x00" + lba.to_bytes(4, "big") + b"\x00" + count.to_bytes(2, "big") + b"\x00\x00\x00"


def packet(*head: int) -> bytes:
    return bytes(head).ljust(12, b"\x00")


class Guest(DeviceHarness):
    def __init__(self, medium: MemoryDisk | None = None) -> None:
        self.disc = medium or disc()
        self.bay = MemoryDrive(medium)
        self.pci = FakePciBus()
        super().__init__(SPEC, options=Piix3IdeOptions(drive10=DriveType.CDROM), drivers={"drive10": self.bay}, links={"pci": self.pci})
        self.pci.write(1, 1, 0x20, BUS_MASTER - 8)
        self.pci.write(1, 1, 0x04, 0x05, 2)

    def wait(self) -> int:
        self.advance(LONG_ENOUGH_NS)
        return self.read(STATUS)

    def command(self, command: int) -> int:
        self.write(STATUS, command)
        return self.wait()

    def send(self, cdb: bytes, limit: int = 0xFFFE, features: int = 0) -> None:
        self.write(ERROR, features)
        self.write(COUNT_LOW, limit & 0xFF)
        self.write(COUNT_HIGH, limit >> 8)
        self.write(STATUS, PACKET)
        assert self.read(STATUS) == IDLE | DRQ
        assert self.read(REASON) == 1
        for at in range(0, 12, 2):
            self.write(DATA, int.from_bytes(cdb[at : at + 2], "little"), 2)

    def take_part(self) -> bytes:
        size = self.read(COUNT_LOW) | self.read(COUNT_HIGH) << 8
        return b"".join(self.read(DATA, 2).to_bytes(2, "little") for _ in range((size + 1) // 2))[:size]

    def run(self, cdb: bytes, limit: int = 0xFFFE) -> bytes:
        """The command's whole reply; fails on CHECK CONDITION."""
        self.send(cdb, limit)
        self.advance(LONG_ENOUGH_NS)
        reply = b""
        while (status := self.read(STATUS)) & DRQ:
            assert self.read(REASON) == 2
            reply += self.take_part()
        assert status == IDLE
        assert self.read(REASON) == 3
        return reply

    def refused(self, cdb: bytes) -> tuple[int, int]:
        """Sense key and additional sense of a command that must end with CHECK CONDITION."""
        self.send(cdb)
        assert self.wait() == IDLE | ERR
        key = self.read(ERROR) >> 4
        sense = self.run(packet(0x03, 0, 0, 0, 18))
        assert sense[2] == key
        return key, sense[12] << 8 | sense[13]


@pytest.fixture
def guest() -> Guest:
    return Guest(disc())


class TestIdentity:
    def test_signature_after_reset(self, guest: Guest) -> None:
        assert guest.read(STATUS) == 0
        assert [guest.read(port) for port in (ERROR, REASON, LOW, COUNT_LOW, COUNT_HIGH)] == [1, 1, 1, 0x14, 0xEB]

    def test_identify_device_aborts_and_shows_the_signature(self, guest: Guest) -> None:
        guest.write(COUNT_LOW, 0)
        assert guest.command(IDENTIFY) == IDLE | ERR
        assert (guest.read(ERROR), guest.read(COUNT_LOW), guest.read(COUNT_HIGH)) == (4, 0x14, 0xEB)

    def test_identify_packet_device_describes_a_removable_cd_rom(self, guest: Guest) -> None:
        assert guest.command(IDENTIFY_PACKET) & DRQ
        words = [guest.read(DATA, 2) for _ in range(256)]
        assert words[0] == 0x85C0
        assert b"".join(word.to_bytes(2, "big") for word in words[27:47]).rstrip() == b"RingOne CD-ROM"
        assert guest.read(STATUS) == IDLE

    def test_device_reset_works_in_mid_transfer(self, guest: Guest) -> None:
        guest.send(read_10(0, 1))
        assert guest.wait() & DRQ
        guest.write(STATUS, DEVICE_RESET)
        assert guest.read(STATUS) == 0
        assert guest.read(COUNT_HIGH) == 0xEB

    def test_inquiry(self, guest: Guest) -> None:
        reply = guest.run(packet(0x12, 0, 0, 0, 36))
        assert reply[:2] == b"\x05\x80"
        assert reply[8:16] == b"RingOne "
        assert guest.run(packet(0x12, 0, 0, 0, 5)) == reply[:5]


class TestReading:
    def test_interrupts_for_data_and_for_the_end(self, guest: Guest) -> None:
        guest.send(read_10(3, 1))
        assert guest.read(STATUS) & BSY
        guest.advance(LONG_ENOUGH_NS)
        assert guest.pin("IRQ15")
        assert guest.read(STATUS) == IDLE | DRQ
        assert not guest.pin("IRQ15")
        assert guest.take_part() == guest.disc.read(3, 1)
        assert guest.pin("IRQ15")
        assert guest.read(STATUS) == IDLE

    @pytest.mark.parametrize("limit", [2048, 512, 3000, 0xFFFE, 0xFFFF, 0])
    def test_obeys_the_byte_count_limit(self, guest: Guest, limit: int) -> None:
        guest.send(read_10(5, 40), limit)
        guest.advance(LONG_ENOUGH_NS)
        parts = []
        while guest.read(STATUS) & DRQ:
            parts.append(guest.take_part())
        assert b"".join(parts) == guest.disc.read(5, 40)
        assert max(len(part) for part in parts) <= (limit or 0xFFFE)

    def test_read_12(self, guest: Guest) -> None:
        assert guest.run(packet(0xA8, 0, 0, 0, 0, 9, 0, 0, 0, 2)) == guest.disc.read(9, 2)

    def test_read_cd_gives_user_data_or_raw_blocks(self, guest: Guest) -> None:
        assert guest.run(packet(0xBE, 0, 0, 0, 0, 4, 0, 0, 1, 0x10)) == guest.disc.read(4, 1)
        raw = guest.run(packet(0xBE, 0, 0, 0, 0, 4, 0, 0, 1, 0xF8))
        assert len(raw) == 2352
        assert raw[12:16] == b"\x00\x02\x04\x01"
        assert raw[16:2064] == guest.disc.read(4, 1)

    def test_by_dma(self, guest: Guest) -> None:
        guest.memory.write(0x1000, (0x20000).to_bytes(4, "little") + (0x8000_0000).to_bytes(4, "little"))
        guest.write(BUS_MASTER + 4, 0x1000, 4)
        guest.send(read_10(100, 32), features=1)
        guest.write(BUS_MASTER, 9)
        assert guest.wait() == IDLE
        assert guest.read(REASON) == 3
        assert guest.read(BUS_MASTER + 2) & 7 == 4
        assert guest.memory.read(0x20000, 65536) == guest.disc.read(100, 32)

    def test_past_the_end_is_refused(self, guest: Guest) -> None:
        assert guest.refused(read_10(399, 2)) == (ILLEGAL_REQUEST, 0x2100)

    def test_a_bad_block_is_a_medium_error(self, guest: Guest) -> None:
        guest.disc.failing = {7}
        assert guest.refused(read_10(7, 1)) == (MEDIUM_ERROR, 0x1100)

    def test_nothing_to_read_is_no_error(self, guest: Guest) -> None:
        assert guest.run(read_10(0, 0)) == b""


class TestDiscInformation:
    def test_capacity(self, guest: Guest) -> None:
        assert guest.run(packet(0x25)) == (399).to_bytes(4, "big") + (2048).to_bytes(4, "big")

    def test_table_of_contents(self, guest: Guest) -> None:
        toc = guest.run(packet(0x43, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF))
        assert toc == bytes.fromhex("0012 0101 00140100 00000000 0014aa00") + (400).to_bytes(4, "big")

    def test_table_of_contents_in_msf(self, guest: Guest) -> None:
        toc = guest.run(packet(0x43, 2, 0, 0, 0, 0, 0xAA, 0, 12))
        assert toc == bytes.fromhex("000a 0101 0014aa00 00 00 07 19")

    def test_session_information(self, guest: Guest) -> None:
        assert guest.run(packet(0x43, 0, 1, 0, 0, 0, 0, 0, 12)) == bytes.fromhex("000a 0101 00140100 00000000")

    def test_full_table_of_contents_has_the_three_points(self, guest: Guest) -> None:
        toc = guest.run(packet(0x43, 0, 2, 0, 0, 0, 0, 1, 0))
        assert [toc[4 + 11 * n + 3] for n in range(4)] == [0xA0, 0xA1, 0xA2, 1]

    def test_the_profile_follows_the_size(self) -> None:
        for blocks, profile in ((400, 0x08), (360_001, 0x10)):
            medium = MemoryDisk(b"", block_size=2048)
            medium.block_count = blocks
            assert Guest(medium).run(packet(0x46, 0, 0, 0, 0, 0, 0, 1, 0))[6:8] == bytes((0, profile))

    @pytest.mark.parametrize(
        ("cdb", "first"),
        [
            (packet(0x1A, 0, 0x2A, 0, 255), b"\x17\x01\x00\x00\x2a\x12"),
            (packet(0x5A, 0, 0x01, 0, 0, 0, 0, 0, 255), b"\x00\x0e\x01\x00\x00\x00\x00\x00\x01\x06"),
            (packet(0x5A, 0, 0x0E, 0, 0, 0, 0, 0, 255), b"\x00\x16\x01\x00\x00\x00\x00\x00\x0e\x0e"),
            (packet(0x51, 0, 0, 0, 0, 0, 0, 0, 255), b"\x00\x20\x0e\x01"),
            (packet(0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8), b"\x00\x00"),
        ],
        ids=["mode sense 6 page 2A", "mode sense 10 page 1", "mode sense 10 page E", "disc information", "mechanism status"],
    )
    def test_descriptions(self, guest: Guest, cdb: bytes, first: bytes) -> None:
        assert guest.run(cdb).startswith(first)

    def test_what_there_is_not_is_refused(self, guest: Guest) -> None:
        assert guest.refused(packet(0x5A, 0, 0x05, 0, 0, 0, 0, 0, 255)) == (ILLEGAL_REQUEST, 0x2400)
        assert guest.refused(packet(0x2A)) == (ILLEGAL_REQUEST, 0x2000)


class TestMedium:
    def test_a_disc_that_was_there_at_power_on_is_no_news(self, guest: Guest) -> None:
        assert guest.run(TEST_UNIT_READY) == b""

    def test_an_empty_drive_is_not_ready(self) -> None:
        guest = Guest()
        assert guest.refused(TEST_UNIT_READY) == (NOT_READY, 0x3A01)
        assert guest.refused(read_10(0, 1)) == (NOT_READY, 0x3A01)

    def test_a_drive_without_a_driver_is_empty(self) -> None:
        harness = DeviceHarness(SPEC, options=Piix3IdeOptions(drive10=DriveType.CDROM))
        assert harness.read(COUNT_HIGH) == 0xEB

    def test_a_new_disc_gives_one_unit_attention(self, guest: Guest) -> None:
        guest.bay.insert(disc(200))
        assert guest.run(packet(0x12, 0, 0, 0, 36))
        assert guest.refused(TEST_UNIT_READY) == (UNIT_ATTENTION, 0x2800)
        assert guest.run(TEST_UNIT_READY) == b""
        assert guest.run(packet(0x25))[:4] == (199).to_bytes(4, "big")

    def test_events_are_reported_once(self, guest: Guest) -> None:
        poll = packet(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8)
        guest.bay.insert(disc())
        assert guest.run(poll) == bytes((0, 6, 4, 0x10, 2, 2, 0, 0))
        assert guest.run(poll) == bytes((0, 6, 4, 0x10, 0, 2, 0, 0))
        guest.bay.insert(None)
        assert guest.run(poll) == bytes((0, 6, 4, 0x10, 3, 0, 0, 0))

    def test_the_guest_can_eject(self, guest: Guest) -> None:
        guest.run(packet(0x1B, 0, 0, 0, 2))
        assert guest.bay.medium is None
        assert guest.refused(TEST_UNIT_READY) == (NOT_READY, 0x3A02)

    def test_a_locked_drive_does_not_eject(self, guest: Guest) -> None:
        guest.run(packet(0x1E, 0, 0, 0, 1))
        assert guest.refused(packet(0x1B, 0, 0, 0, 2)) == (ILLEGAL_REQUEST, 0x5302)
        assert guest.bay.medium is not None
        guest.run(packet(0x1E))
        guest.run(packet(0x1B, 0, 0, 0, 2))
        assert guest.bay.medium is None

    def test_a_disc_that_disappears_in_mid_read_is_an_error(self, guest: Guest) -> None:
        guest.send(read_10(0, 4), limit=2048)
        guest.advance(LONG_ENOUGH_NS)
        guest.read(STATUS)
        guest.bay.insert(None)
        guest.take_part()
        assert guest.read(STATUS) == IDLE | ERR


class TestSnapshot:
    def test_between_packet_and_answer(self, guest: Guest) -> None:
        guest.send(read_10(3, 1))
        other = Guest(disc())
        other.load(guest.save())
        other.advance(LONG_ENOUGH_NS)
        assert other.read(STATUS) & DRQ
        assert other.take_part() == guest.disc.read(3, 1)

    def test_in_the_middle_of_the_packet(self, guest: Guest) -> None:
        guest.write(COUNT_HIGH, 8)
        guest.write(STATUS, PACKET)
        guest.write(DATA, 0x0025, 2)
        other = Guest(disc())
        other.load(guest.save())
        for _ in range(5):
            other.write(DATA, 0, 2)
        assert other.wait() & DRQ
        assert other.take_part()[:4] == (399).to_bytes(4, "big")

    def test_in_the_middle_of_the_data(self, guest: Guest) -> None:
        guest.send(read_10(3, 3), limit=2048)
        guest.advance(LONG_ENOUGH_NS)
        guest.read(STATUS)
        begun = b"".join(guest.read(DATA, 4).to_bytes(4, "little") for _ in range(100))
        other = Guest(disc())
        other.load(guest.save())
        rest = b"".join(other.read(DATA, 4).to_bytes(4, "little") for _ in range(412))
        assert begun + rest == guest.disc.read(3, 1)
        assert other.read(STATUS) & DRQ
        assert other.take_part() + other.take_part() == guest.disc.read(4, 2)

    def test_a_change_that_the_guest_has_not_noticed_survives(self, guest: Guest) -> None:
        guest.bay.insert(disc())
        other = Guest(disc())
        other.load(guest.save())
        assert other.refused(TEST_UNIT_READY) == (UNIT_ATTENTION, 0x2800)
        assert other.run(TEST_UNIT_READY) == b""
