"""The ROMs: where they lie and what they read."""

import pytest
from ringone.api.errors import AssemblyError
from ringone.api.firmware import FirmwareImage
from ringone.api.memory import PageKind
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.system_rom import SPEC

KIB = 1 << 10
FOUR_GIB = 1 << 32


def make_harness(rom: bytes = b"", **option_roms: bytes) -> DeviceHarness:
    image = FirmwareImage(name="test", rom=rom, option_roms={int(place, 16): data for place, data in option_roms.items()})
    return DeviceHarness(SPEC, drivers={"firmware-rom": image})


def numbered(size: int) -> bytes:
    """Every 4 KiB filled with its own number, from 1."""
    return b"".join(bytes((number + 1,)) * 4096 for number in range(size // 4096))


def test_a_large_rom_ends_at_4_gib_and_its_last_128_kib_are_below_1_mib() -> None:
    bench = make_harness(numbered(256 * KIB))
    assert bench.memory.read(FOUR_GIB - 256 * KIB, 1) == b"\1"
    assert bench.memory.read(FOUR_GIB - 1, 1) == b"\x40"
    assert bench.memory.read(0xE0000, 1) == b"\x21"
    assert bench.memory.read(0xFFFFF, 1) == b"\x40"


def test_a_small_rom_is_repeated_whole() -> None:
    bench = make_harness(numbered(64 * KIB))
    assert bench.memory.read(0xF0000, 1) == b"\1"
    assert bench.memory.kinds[0xEF] == PageKind.RAM


def test_a_rom_that_fills_no_page_ends_at_the_end() -> None:
    bench = make_harness(b"\xea" * 16)
    assert bench.memory.read(0xFFFEF, 2) == b"\xff\xea"


def test_rom_cannot_be_written() -> None:
    bench = make_harness(numbered(64 * KIB))
    bench.memory.write(0xF0000, b"\0")
    bench.mmio_write(0xF0000, 0)
    assert bench.memory.read(0xF0000, 1) == b"\1"


def test_an_option_rom_lies_where_the_firmware_wants_it() -> None:
    bench = make_harness(numbered(64 * KIB), C8000=b"\x55\xaa\x04")
    assert bench.memory.read(0xC8000, 4) == b"\x55\xaa\x04\xff"
    assert bench.memory.kinds[0xC9] == PageKind.RAM


def test_the_host_bridge_reads_rom_behind_its_shadow() -> None:
    rom = make_harness(numbered(64 * KIB), C8000=b"\x55\xaa").provided("rom")
    assert (rom.read_low(0xC8000, 2), rom.read_low(0xF0000, 1), rom.read_low(0xE0000, 4)) == (0xAA55, 1, 0xFFFF_FFFF)


@pytest.mark.parametrize("place", ["C8010", "B8000", "FF000"], ids=["misaligned", "in video memory", "over the end"])
def test_an_option_rom_in_a_senseless_place_is_refused(place: str) -> None:
    with pytest.raises(AssemblyError, match="accepted: page-aligned places"):
        make_harness(**{place: bytes(8192)})


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return make_harness(numbered(128 * KIB), C0000=b"\x55\xaa")
