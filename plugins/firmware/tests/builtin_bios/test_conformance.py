"""The service chip under the conformance kit, stopped in the middle of POST and of a fetch from the screen."""

from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone.testing.media import MemoryDisk, MemoryDrive, numbered_blocks
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.operations import Opcode

from .rom_loop import DATA_PORT, STEP_PORT, Guest, bench


class TestInPost(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return bench(disks=(MemoryDisk(numbered_blocks(128)),), floppies=(MemoryDrive(),))

    def exercise(self, harness: DeviceHarness) -> None:
        guest = Guest(harness)
        guest.begin(layout.VECTOR_POST)
        for _ in range(50):
            step = harness.read(STEP_PORT, 4)
            guest.operate(Opcode(step & 0xFF), step >> 16)


class TestInAFetch(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return bench()

    def exercise(self, harness: DeviceHarness) -> None:
        Guest(harness).begin(0x10, ah=0x0A, al=ord("x"), cx=40)
        step = harness.read(STEP_PORT, 4)
        assert step & 0xFF == Opcode.FETCH
        for value in b"abc":
            harness.write(DATA_PORT, value)
