"""The host bridge: configuration ports, the hole below 1 MiB and the BIOS shadow."""

import pytest
from ringone.api.errors import AssemblyError
from ringone.api.memory import PageKind
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.i440fx import SPEC
from ringone_devices_pc.i440fx.device import SEGMENTS

CONFADD, CONFDATA = 0xCF8, 0xCFC
PAM0 = 0x59
ROM_BYTE, RAM_BYTE = 0x0F, 0xA0
NO_RAM, READ_RAM, WRITE_RAM, ALL_RAM = 0, 1, 2, 3


class FakeRom:
    def read_low(self, address: int, size: int) -> int:
        return int.from_bytes(bytes((ROM_BYTE,)) * size, "little")


class FakeFunction:
    def __init__(self) -> None:
        self.written: list[tuple[int, int, int]] = []

    def config_read(self, offset: int, size: int) -> int:
        return offset << 8 | size

    def config_write(self, offset: int, size: int, value: int) -> None:
        self.written.append((offset, size, value))


@pytest.fixture
def bridge() -> DeviceHarness:
    return DeviceHarness(SPEC, links={"rom": FakeRom()})


def select(harness: DeviceHarness, register: int, device: int = 0, function: int = 0, bus: int = 0) -> None:
    harness.write(CONFADD, 1 << 31 | bus << 16 | device << 11 | function << 8 | register, size=4)


def write_pam(harness: DeviceHarness, register: int, value: int) -> None:
    select(harness, register & ~3)
    harness.write(CONFDATA + (register & 3), value)


def test_seabios_recognizes_the_machine(bridge: DeviceHarness) -> None:
    select(bridge, 0x00)
    assert bridge.read(CONFDATA, size=4) == 0x1237_8086
    select(bridge, 0x2C)
    assert bridge.read(CONFDATA, size=4) == 0x1100_1AF4


def test_configuration_address_reads_back_as_mechanism_1_probes_expect(bridge: DeviceHarness) -> None:
    bridge.write(CONFADD, 0x8000_0000, size=4)
    assert bridge.read(CONFADD, size=4) == 0x8000_0000


def test_only_doublewords_reach_the_configuration_address(bridge: DeviceHarness) -> None:
    select(bridge, 0x00)
    bridge.write(CONFADD, 0x12)
    bridge.write(CONFADD, 0x1234, size=2)
    assert bridge.read(CONFADD, size=4) == 0x8000_0000
    assert bridge.read(CONFADD) == 0xFF


def test_the_byte_at_cf9_is_left_to_the_isa_bridge(bridge: DeviceHarness) -> None:
    written: list[int] = []
    bridge.ports.claim("isa", 0xCF9, 1, read=lambda offset, size: 0x42, write=lambda offset, size, value: written.append(value))
    bridge.write(0xCF9, 6)
    assert (written, bridge.read(0xCF9)) == ([6], 0x42)
    select(bridge, 0x00)
    assert written == [6]


def test_a_function_is_reached_by_device_and_function_number(bridge: DeviceHarness) -> None:
    function = FakeFunction()
    bridge.provided("pci").attach(5, 2, function)
    select(bridge, 0x40, device=5, function=2)
    assert bridge.read(CONFDATA + 2, size=2) == 0x4202
    bridge.write(CONFDATA + 1, 0x77)
    assert function.written == [(0x41, 1, 0x77)]


@pytest.mark.parametrize("place", [{"device": 9}, {"device": 0, "function": 1}, {"bus": 1}], ids=["no device", "no function", "no such bus"])
def test_an_empty_place_reads_ones(bridge: DeviceHarness, place: dict[str, int]) -> None:
    select(bridge, 0x00, **place)
    bridge.write(CONFDATA, 0, size=4)
    assert bridge.read(CONFDATA, size=4) == 0xFFFF_FFFF


def test_nothing_answers_while_the_enable_bit_is_clear(bridge: DeviceHarness) -> None:
    bridge.write(CONFADD, 0, size=4)
    assert bridge.read(CONFDATA, size=4) == 0xFFFF_FFFF


@pytest.mark.parametrize("place", [(0, 0), (32, 0), (1, 8)], ids=["the bridge's own", "device 32", "function 8"])
def test_a_place_that_cannot_be_had_is_refused(bridge: DeviceHarness, place: tuple[int, int]) -> None:
    with pytest.raises(AssemblyError, match="PCI place"):
        bridge.provided("pci").attach(*place, FakeFunction())


def test_the_hole_reads_ones_and_keeps_ram_behind_it(bridge: DeviceHarness) -> None:
    bridge.context.memory.write(0xD0000, b"\0")
    bridge.mmio_write(0xD0000, 0x12)
    assert bridge.mmio_read(0xD0000, size=4) == 0xFFFF_FFFF
    assert bridge.memory.ram.data[0xD0000] == 0


@pytest.mark.parametrize(("register", "bit", "base", "size"), SEGMENTS, ids=[f"{segment[2]:05X}" for segment in SEGMENTS])
def test_a_segment_follows_its_own_attribute(bridge: DeviceHarness, register: int, bit: int, base: int, size: int) -> None:
    write_pam(bridge, register, ALL_RAM << bit)
    shown = [page << 12 for page in range(0xC0, 0x100) if bridge.memory.kinds[page] == PageKind.RAM]
    assert shown == list(range(base, base + size, 0x1000))


@pytest.mark.parametrize(
    ("attribute", "kind", "reads"),
    [(NO_RAM, PageKind.MMIO, 0xFF), (READ_RAM, PageKind.ROM, RAM_BYTE), (WRITE_RAM, PageKind.MMIO, ROM_BYTE), (ALL_RAM, PageKind.RAM, RAM_BYTE)],
    ids=["no RAM", "read only", "write only", "RAM"],
)
def test_an_attribute_says_where_reads_come_from(bridge: DeviceHarness, attribute: int, kind: PageKind, reads: int) -> None:
    bridge.memory.ram.data[0xF1234] = RAM_BYTE
    write_pam(bridge, PAM0, attribute << 4)
    assert bridge.memory.kinds[0xF1] == kind
    assert bridge.mmio_read(0xF1234) == reads


def test_a_bios_copies_itself_over_itself(bridge: DeviceHarness) -> None:
    write_pam(bridge, PAM0, WRITE_RAM << 4)
    for address in range(0xF0000, 0xF0010, 4):
        bridge.mmio_write(address, bridge.mmio_read(address, size=4), size=4)
    write_pam(bridge, PAM0, ALL_RAM << 4)
    assert bridge.memory.read(0xF0000, 16) == bytes((ROM_BYTE,)) * 16


def test_reset_takes_the_shadow_away(bridge: DeviceHarness) -> None:
    write_pam(bridge, 0x5F, 0x33)
    bridge.reset()
    assert bridge.memory.kinds[0xE8] == PageKind.MMIO
    select(bridge, 0x5C)
    assert bridge.read(CONFDATA + 3) == 0


def test_an_unchanged_attribute_changes_no_mapping(bridge: DeviceHarness) -> None:
    write_pam(bridge, 0x5A, 0x33)
    changes: list[object] = []
    bridge.memory.listen(changes.append, None)
    write_pam(bridge, 0x5A, 0x33)
    assert changes == []
    write_pam(bridge, 0x5A, 0x31)
    assert {change.first_page for batch in changes for change in batch} == {0xC0}  # type: ignore[attr-defined]


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(SPEC, links={"rom": FakeRom()})

    def exercise(self, harness: DeviceHarness) -> None:
        write_pam(harness, PAM0, ALL_RAM << 4)
        write_pam(harness, 0x5A, WRITE_RAM << 4 | READ_RAM)
        select(harness, 0x40, device=3)
