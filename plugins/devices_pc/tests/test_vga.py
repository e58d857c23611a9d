"""The display adapter's registers: VGA ports, VBE, PCI and status timing."""

from __future__ import annotations

import attrs
import pytest
from ringone.api.errors import AssemblyError, SnapshotError
from ringone.testing import DeviceHarness, FakePciBus
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.vga import SPEC
from ringone_devices_pc.vga.config import VgaOptions

VRAM_BYTES = 8 << 20
FRAME_BUFFER = 0xFD00_0000
REGISTERS = 0xFEB0_0000
COMMAND_MEMORY = 2
ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY_64K = range(11)
ENABLED, GETCAPS, DAC_8BIT, LFB, NOCLEARMEM = 0x01, 0x02, 0x20, 0x40, 0x80
MODE_3_CRTC = bytes.fromhex("5f4f50825581bf1f004f0d0e000000009c8e8f281f96b9a3ff")
LINE_NS = 900 * 1_000_000_000 // 28_322_000


def make_vga(*, pci: bool = True, vram_bytes: int = VRAM_BYTES) -> DeviceHarness:
    return DeviceHarness(SPEC, options=VgaOptions(vram_bytes=vram_bytes, pci=pci), links={"pci": FakePciBus()} if pci else {})


@pytest.fixture
def vga() -> DeviceHarness:
    return make_vga()


def index_write(vga: DeviceHarness, port: int, index: int, value: int) -> None:
    vga.write(port, value << 8 | index, size=2)


def index_read(vga: DeviceHarness, port: int, index: int) -> int:
    vga.write(port, index)
    return vga.read(port + 1)


def vbe_write(vga: DeviceHarness, index: int, value: int) -> None:
    vga.write(0x1CE, index, size=2)
    vga.write(0x1CF, value, size=2)


def vbe_read(vga: DeviceHarness, index: int) -> int:
    vga.write(0x1CE, index, size=2)
    return vga.read(0x1CF, size=2)


def vbe_mode(vga: DeviceHarness, width: int, height: int, bpp: int, flags: int = LFB) -> None:
    vbe_write(vga, ENABLE, 0)
    for index, value in ((XRES, width), (YRES, height), (BPP, bpp), (ENABLE, ENABLED | flags)):
        vbe_write(vga, index, value)


def place_bars(vga: DeviceHarness) -> None:
    bus = vga.links["pci"]
    assert isinstance(bus, FakePciBus)
    bus.write(2, 0, 0x10, FRAME_BUFFER)
    bus.write(2, 0, 0x18, REGISTERS)
    bus.write(2, 0, 0x04, COMMAND_MEMORY, size=2)


def colour(vga: DeviceHarness) -> None:
    vga.write(0x3C2, 0x67)


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return make_vga()

    def exercise(self, harness: DeviceHarness) -> None:
        place_bars(harness)
        colour(harness)
        harness.write(0x3C8, 7)
        harness.write(0x3C9, 21)
        harness.read(0x3DA)
        harness.write(0x3C0, 0x33)
        vbe_mode(harness, 320, 200, 8, flags=0)
        vbe_write(harness, BANK, 3)
        harness.memory.write(0xA0010, b"banked")


# --- VGA registers -----------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "index", "kept"),
    [
        (0x3C4, 0, 0x03),
        (0x3C4, 2, 0x0F),
        (0x3C4, 4, 0x0E),
        (0x3CE, 3, 0x1F),
        (0x3CE, 5, 0x7B),
        (0x3CE, 8, 0xFF),
        (0x3D4, 0x0E, 0xFF),
        (0x3D4, 0x30, 0x00),
        (0x3C4, 7, 0),
    ],
)
def test_indexed_registers_keep_the_bits_that_exist(vga: DeviceHarness, port: int, index: int, kept: int) -> None:
    colour(vga)
    index_write(vga, port, index, 0xFF)
    assert index_read(vga, port, index) == kept


def test_the_crtc_answers_at_the_addresses_that_misc_output_selects(vga: DeviceHarness) -> None:
    index_write(vga, 0x3B4, 0x0F, 0x12)
    assert (index_read(vga, 0x3B4, 0x0F), vga.read(0x3D5)) == (0x12, 0xFF)
    colour(vga)
    assert (index_read(vga, 0x3D4, 0x0F), vga.read(0x3B5)) == (0x12, 0xFF)


def test_the_protect_bit_keeps_timing_but_not_line_compare(vga: DeviceHarness) -> None:
    colour(vga)
    index_write(vga, 0x3D4, 0x11, 0x80)
    for index in range(8):
        index_write(vga, 0x3D4, index, 0xFF)
    assert [index_read(vga, 0x3D4, index) for index in range(8)] == [0, 0, 0, 0, 0, 0, 0, 0x10]


def test_reading_input_status_makes_the_attribute_port_expect_an_index(vga: DeviceHarness) -> None:
    colour(vga)
    vga.write(0x3C0, 0x05)
    vga.read(0x3DA)
    vga.write(0x3C0, 0x14)
    vga.write(0x3C0, 0x0A)
    assert (vga.read(0x3C0), vga.read(0x3C1)) == (0x14, 0x0A)


def test_the_dac_steps_through_guns_and_entries(vga: DeviceHarness) -> None:
    vga.write(0x3C8, 255)
    for value in (1, 2, 3, 0xFF, 5, 6):
        vga.write(0x3C9, value)
    vga.write(0x3C7, 255)
    assert vga.read(0x3C7) == 3
    assert [vga.read(0x3C9) for _ in range(6)] == [1, 2, 3, 0x3F, 5, 6]
    assert vga.read(0x3C8) == 1


def test_the_dac_takes_eight_bits_when_vbe_asks_for_them(vga: DeviceHarness) -> None:
    vbe_mode(vga, 320, 200, 8, DAC_8BIT)
    vga.write(0x3C8, 0)
    vga.write(0x3C9, 0xFE)
    vga.write(0x3C7, 0)
    assert vga.read(0x3C9) == 0xFE


def test_status_follows_the_beam(vga: DeviceHarness) -> None:
    vga.write(0x3C2, 0x67)
    for index, value in enumerate(MODE_3_CRTC):
        index_write(vga, 0x3D4, index, value)
    seen = []
    for line, at in ((0, 10), (0, LINE_NS - 10), (399, 10), (401, 10), (412, 10), (414, 10), (449, 10)):
        vga.advance(line * LINE_NS + at - vga.now_ns)
        seen.append(vga.read(0x3DA))
    assert seen == [0, 1, 0, 1, 9, 1, 0]


def test_status_shows_retraces_even_before_a_mode_is_set(vga: DeviceHarness) -> None:
    colour(vga)
    seen = set()
    for _ in range(449):
        seen.add(vga.read(0x3DA) & 8)
        vga.advance(LINE_NS)
    assert seen == {0, 8}


# --- VBE ---------------------------------------------------------------------------------------------------------------------------------------------------


def test_vbe_ids_from_b0c0_to_b0c5_are_accepted(vga: DeviceHarness) -> None:
    assert vbe_read(vga, ID) == 0xB0C5
    for value, kept in ((0xB0C0, 0xB0C0), (0xB0C6, 0xB0C0), (0xB0C4, 0xB0C4), (0x1234, 0xB0C4)):
        vbe_write(vga, ID, value)
        assert vbe_read(vga, ID) == kept


def test_vbe_data_is_at_1d0_too(vga: DeviceHarness) -> None:
    vga.write(0x1CE, XRES, size=2)
    vga.write(0x1D0, 1280, size=2)
    assert vga.read(0x1CF, size=2) == 1280


def test_getcaps_reads_maxima(vga: DeviceHarness) -> None:
    vbe_write(vga, ENABLE, GETCAPS)
    assert [vbe_read(vga, index) for index in (XRES, YRES, BPP)] == [3840, 2400, 32]
    vbe_write(vga, ENABLE, 0)
    assert vbe_read(vga, XRES) == 0


def test_vbe_tells_its_memory(vga: DeviceHarness) -> None:
    assert vbe_read(vga, MEMORY_64K) == VRAM_BYTES >> 16


def test_a_vbe_mode_starts_with_its_own_width_and_no_offset(vga: DeviceHarness) -> None:
    vbe_write(vga, VIRT_WIDTH, 4000)
    vbe_write(vga, Y_OFFSET, 9)
    vbe_mode(vga, 1024, 768, 32)
    assert [vbe_read(vga, index) for index in (VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET)] == [1024, VRAM_BYTES // 4096, 0, 0]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((1027, 768, 32), (1024, 768, 32)),
        ((0, 0, 7), (8, 1, 8)),
        ((0xFFFF, 0xFFFF, 32), (3840, VRAM_BYTES // 15360, 32)),
        ((0xFFFF, 0xFFFF, 4), (3840, 2400, 4)),
    ],
)
def test_vbe_modes_are_trimmed_to_what_is_possible(vga: DeviceHarness, asked: tuple[int, int, int], given: tuple[int, int, int]) -> None:
    vbe_mode(vga, *asked)
    assert (vbe_read(vga, XRES), vbe_read(vga, YRES), vbe_read(vga, BPP)) == given


def test_a_wider_virtual_screen_leaves_fewer_virtual_rows(vga: DeviceHarness) -> None:
    vbe_mode(vga, 800, 600, 16)
    vbe_write(vga, VIRT_WIDTH, 2048)
    assert (vbe_read(vga, VIRT_WIDTH), vbe_read(vga, VIRT_HEIGHT)) == (2048, VRAM_BYTES // 4096)


@pytest.mark.parametrize(("flags", "left"), [(LFB, 0), (LFB | NOCLEARMEM, 0x5A)], ids=["clears", "keeps"])
def test_enabling_a_vbe_mode_clears_its_memory_unless_told_not_to(vga: DeviceHarness, flags: int, left: int) -> None:
    place_bars(vga)
    last = FRAME_BUFFER + 640 * 480 - 1
    vga.memory.write(last, b"\x5a\x5a")
    vbe_mode(vga, 640, 480, 8, flags)
    assert vga.memory.read(last, 2) == bytes((left, 0x5A))


def test_a_vbe_bank_is_plain_memory_at_a0000(vga: DeviceHarness) -> None:
    place_bars(vga)
    vbe_mode(vga, 640, 480, 8, flags=0)
    vbe_write(vga, BANK, 5)
    vga.memory.write(0xA1234, b"bank five")
    assert vga.memory.read(FRAME_BUFFER + 0x51234, 9) == b"bank five"


def test_a_bank_beyond_memory_is_the_last_one(vga: DeviceHarness) -> None:
    vbe_mode(vga, 640, 480, 8, flags=0)
    vbe_write(vga, BANK, 0xFFFF)
    assert vbe_read(vga, BANK) == (VRAM_BYTES >> 16) - 1


# --- PCI and assembly --------------------------------------------------------------------------------------------------------------------------------------


def test_pci_identity_and_bar_sizes(vga: DeviceHarness) -> None:
    bus = vga.links["pci"]
    assert isinstance(bus, FakePciBus)
    assert (bus.read(2, 0, 0x00), bus.read(2, 0, 0x08) >> 8) == (0x1111_1234, 0x030000)
    for bar in (0x10, 0x18):
        bus.write(2, 0, bar, 0xFFFF_FFFF)
    assert (bus.read(2, 0, 0x10), bus.read(2, 0, 0x18)) == (0x1_0000_0000 - VRAM_BYTES | 8, 0xFFFF_F000)


def test_memory_mapped_registers_are_the_ports(vga: DeviceHarness) -> None:
    place_bars(vga)
    colour(vga)
    vga.mmio_write(REGISTERS + 0x400 + 0x14, 0x34 << 8 | 0x0F, size=2)
    assert index_read(vga, 0x3D4, 0x0F) == 0x34
    assert vga.mmio_read(REGISTERS + 0x400 + 0x0C) == 0x67


def test_memory_mapped_vbe_registers_are_words(vga: DeviceHarness) -> None:
    place_bars(vga)
    vga.mmio_write(REGISTERS + 0x500 + 2 * XRES, 1280, size=2)
    assert vbe_read(vga, XRES) == 1280
    assert vga.mmio_read(REGISTERS + 0x500, size=2) == 0xB0C5
    assert vga.mmio_read(REGISTERS + 0x500, size=4) == 1280 << 16 | 0xB0C5
    assert vga.mmio_read(REGISTERS + 0x501) == 0xB0


def test_without_pci_the_frame_buffer_is_at_e0000000() -> None:
    vga = make_vga(pci=False)
    vga.memory.write(0xE000_0000, b"here")
    vbe_mode(vga, 640, 480, 8, flags=NOCLEARMEM)
    assert vga.memory.read(0xA0000, 4) == b"here"


def test_pci_needs_a_bus() -> None:
    with pytest.raises(AssemblyError, match="pci=off"):
        DeviceHarness(SPEC)


@pytest.mark.parametrize("size", [4 << 20, 128 << 20, (16 << 20) + 4096])
def test_other_memory_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="8M, 16M, 32M and 64M"):
        VgaOptions(vram_bytes=size)


@pytest.mark.parametrize(
    "damage",
    [{"crtc": [0]}, {"graphics": [0x10] + [0] * 8}, {"dac": [256] * 768}, {"dac_write_position": 768}, {"latch": -1}, {"sequencer_index": 8}],
    ids=lambda damage: next(iter(damage)),
)
def test_damaged_registers_are_refused(vga: DeviceHarness, damage: dict[str, object]) -> None:
    with pytest.raises(SnapshotError, match=next(iter(damage))):
        vga.device.load_state(attrs.evolve(vga.device.save_state(), **damage))
