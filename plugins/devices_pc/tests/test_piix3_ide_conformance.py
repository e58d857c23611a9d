"""PIIX3 IDE on the conformance bench, stopped in the middle of each kind of command."""

from __future__ import annotations

from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone.testing.harness import FakePciBus
from ringone.testing.media import MemoryDisk, MemoryDrive, numbered_blocks
from ringone_devices_pc.piix3_ide import SPEC
from ringone_devices_pc.piix3_ide.config import DriveType, Piix3IdeOptions

LONG_ENOUGH_NS = 1_000_000


class Bench(DeviceHarness):
    def __init__(self) -> None:
        self.disk = MemoryDisk(numbered_blocks(64))
        disc = MemoryDisk(numbered_blocks(16, 2048), block_size=2048, read_only=True)
        super().__init__(
            SPEC,
            options=Piix3IdeOptions(drive00=DriveType.DISK, drive10=DriveType.CDROM),
            drivers={"drive00": self.disk, "drive10": MemoryDrive(disc)},
            links={"pci": FakePciBus()},
        )

    def command(self, base: int, *registers: int) -> None:
        for offset, value in enumerate(registers, 1):
            self.write(base + offset, value)


class Conformance(DeviceConformance):
    def make_harness(self) -> Bench:
        return Bench()

    def carry_host_state(self, source: DeviceHarness, target: DeviceHarness) -> None:
        assert isinstance(source, Bench)
        assert isinstance(target, Bench)
        target.disk.data[:] = source.disk.data
        target.memory.write(0, source.memory.read(0, source.memory.ram_size))


class TestAmidAPioWrite(Conformance):
    def exercise(self, harness: DeviceHarness) -> None:
        assert isinstance(harness, Bench)
        harness.command(0x1F0, 0, 3, 5, 0, 0, 0xE0, 0xC5)
        for word in range(100):
            harness.write(0x1F0, word, 2)


class TestAmidADmaCommandAndAPacketCommand(Conformance):
    def exercise(self, harness: DeviceHarness) -> None:
        assert isinstance(harness, Bench)
        self._read_by_dma(harness)
        self._read_a_disc(harness)

    def _read_by_dma(self, harness: Bench) -> None:
        """Two sectors, of which the descriptor table has room for one."""
        pci = harness.links["pci"]
        assert isinstance(pci, FakePciBus)
        pci.write(1, 1, 0x20, 0xC000)
        pci.write(1, 1, 0x04, 5, 2)
        harness.memory.write(0x1000, bytes.fromhex("0080000000020080"))
        harness.write(0xC004, 0x1000, 4)
        harness.command(0x1F0, 0, 2, 5, 0, 0, 0xE0, 0xC8)
        harness.write(0xC000, 9)
        harness.advance(LONG_ENOUGH_NS)

    def _read_a_disc(self, harness: Bench) -> None:
        harness.command(0x170, 0, 0, 0, 0, 8, 0xA0, 0xA0)
        for word in (0x28, 0, 0, 0x0100, 0x0300, 0):
            harness.write(0x170, word, 2)
        harness.advance(LONG_ENOUGH_NS)
        for _ in range(100):
            harness.read(0x170, 2)
