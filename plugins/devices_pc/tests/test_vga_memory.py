"""The window at A0000-BFFFF: planes, latches, write modes, addressing."""

from __future__ import annotations

import functools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone.testing import DeviceHarness
from ringone_devices_pc.vga import SPEC
from ringone_devices_pc.vga.config import VgaOptions

FRAME_BUFFER = 0xE000_0000
PLANAR, TEXT_WRITES, CHAIN_4 = 0x06, 0x02, 0x0E
ODD_EVEN_READS = 0x10
A0000_64K, B8000 = 0x05, 0x0E


def make_vga() -> DeviceHarness:
    return DeviceHarness(SPEC, options=VgaOptions(vram_bytes=8 << 20, pci=False))


@pytest.fixture
def vga() -> DeviceHarness:
    return make_vga()


def sequencer(vga: DeviceHarness, index: int, value: int) -> None:
    vga.write(0x3C4, value << 8 | index, size=2)


def graphics(vga: DeviceHarness, index: int, value: int) -> None:
    vga.write(0x3CE, value << 8 | index, size=2)


def program(vga: DeviceHarness, *, memory_mode: int, map_mask: int, mode: int, window: int) -> None:
    sequencer(vga, 2, map_mask)
    sequencer(vga, 4, memory_mode)
    for index, value in enumerate((0, 0, 0, 0, 0, mode, window, 0x0F, 0xFF)):
        graphics(vga, index, value)


def text_mode(vga: DeviceHarness) -> None:
    program(vga, memory_mode=TEXT_WRITES, map_mask=0b0011, mode=ODD_EVEN_READS, window=B8000)


def planes_at(vga: DeviceHarness, address: int, count: int = 1) -> list[bytes]:
    memory = vga.memory.read(FRAME_BUFFER + 4 * address, 4 * count)
    return [memory[plane::4] for plane in range(4)]


# --- A slow VGA, bit by bit --------------------------------------------------------------------------------------------------------------------------------


@attrs.define
class SlowPlanes:
    """Four planes and the graphics controller as the data book's drawing has them: one plane at a time, one bit at a time."""

    planes: list[bytearray] = attrs.field(factory=lambda: [bytearray(16) for _ in range(4)])
    latches: list[int] = attrs.field(factory=lambda: [0, 0, 0, 0])
    registers: list[int] = attrs.field(factory=lambda: [0] * 9)
    map_mask: int = 0
    memory_mode: int = PLANAR

    def _bit(self, value: int, plane: int, bit: int) -> int:
        set_reset, enable, rotate, mask = (self.registers[index] for index in (0, 1, 3, 8))
        mode = self.registers[5] & 3
        latch = self.latches[plane] >> bit & 1
        rotated = value >> (bit + (rotate & 7)) % 8 & 1
        if mode == 1:
            return latch
        writable = mask >> bit & 1
        if mode == 0:
            source = set_reset >> plane & 1 if enable >> plane & 1 else rotated
        elif mode == 2:
            source = value >> plane & 1
        else:
            source, writable = set_reset >> plane & 1, writable & rotated
        source = {0: source, 1: source & latch, 2: source | latch, 3: source ^ latch}[rotate >> 3 & 3]
        return source if writable else latch

    def _place(self, offset: int) -> tuple[int, list[int]]:
        if self.memory_mode == CHAIN_4:
            return offset // 4, [offset % 4]
        if self.memory_mode == TEXT_WRITES:
            return offset // 2, [offset % 2, offset % 2 + 2]
        return offset, [0, 1, 2, 3]

    def write(self, offset: int, value: int) -> None:
        address, planes = self._place(offset)
        for plane in planes:
            if self.map_mask >> plane & 1:
                self.planes[plane][address] = sum(self._bit(value, plane, bit) << bit for bit in range(8))

    def read(self, offset: int) -> int:
        odd_even = self.registers[5] & ODD_EVEN_READS and self.memory_mode != CHAIN_4
        address = offset // 4 if self.memory_mode == CHAIN_4 else offset // 2 if odd_even else offset
        self.latches = [plane[address] for plane in self.planes]
        if self.registers[5] & 8:
            compare, care = self.registers[2], self.registers[7]
            cared = [plane for plane in range(4) if care >> plane & 1]
            return sum(all(self.latches[plane] >> bit & 1 == compare >> plane & 1 for plane in cared) << bit for bit in range(8))
        plane = offset % 4 if self.memory_mode == CHAIN_4 else self.registers[4] & 2 | offset % 2 if odd_even else self.registers[4]
        return self.latches[plane]


BYTES = st.integers(0, 0xFF)
OFFSETS = st.integers(0, 12)
WIDTHS = st.sampled_from((1, 2, 4))
GRAPHICS_MASKS = (0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x1B, 0x0F, 0x0F, 0xFF)
GRAPHICS = st.tuples(*[BYTES.map(lambda value, mask=mask: value & mask) for mask in GRAPHICS_MASKS])  # type: ignore[misc]
PLAIN = st.sampled_from([(0, 0, 0, 0, read_map, mode, 0, 0x0F, 0xFF) for read_map in range(4) for mode in (0, ODD_EVEN_READS)])
"""As BIOS modes have them: these take the short ways."""
SETTINGS = st.tuples(st.one_of(GRAPHICS, PLAIN), st.integers(0, 15), st.sampled_from((PLANAR, TEXT_WRITES, CHAIN_4)))
ACCESSES = st.tuples(OFFSETS, WIDTHS, st.integers(0, 0xFFFF_FFFF), OFFSETS, WIDTHS)
"""A read, which loads the latches, after a write of that value: where and how wide each."""


@functools.cache
def shared_vga() -> DeviceHarness:
    """One adapter for all examples: making one costs more than an example."""
    return make_vga()


def configure_both(vga: DeviceHarness, model: SlowPlanes, registers: tuple[int, ...], map_mask: int, memory_mode: int) -> None:
    model.registers, model.map_mask, model.memory_mode = list(registers), map_mask, memory_mode
    sequencer(vga, 2, map_mask)
    sequencer(vga, 4, memory_mode)
    for index, value in enumerate(registers):
        graphics(vga, index, B8000 if index == 6 else value)


def read_both(vga: DeviceHarness, model: SlowPlanes, offset: int, size: int) -> None:
    expected = bytes(model.read(offset + at) for at in range(size))
    assert vga.mmio_read(0xB8000 + offset, size).to_bytes(size, "little") == expected


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.binary(min_size=64, max_size=64), st.lists(st.tuples(SETTINGS, st.lists(ACCESSES, min_size=1, max_size=4)), min_size=1, max_size=3))
def test_the_window_does_what_the_slow_model_does(
    content: bytes, episodes: list[tuple[tuple[tuple[int, ...], int, int], list[tuple[int, int, int, int, int]]]]
) -> None:
    vga = shared_vga()
    vga.reset()
    vga.memory.write(FRAME_BUFFER, content)
    model = SlowPlanes([bytearray(content[plane::4]) for plane in range(4)])
    for settings_of_episode, accesses in episodes:
        configure_both(vga, model, *settings_of_episode)
        for offset, size, value, read_offset, read_size in accesses:
            read_both(vga, model, read_offset, read_size)
            for at in range(size):
                model.write(offset + at, value >> 8 * at & 0xFF)
            vga.mmio_write(0xB8000 + offset, value & (1 << 8 * size) - 1, size)
    assert planes_at(vga, 0, 16) == [bytes(plane) for plane in model.planes]


# --- Addressing --------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 4])
def test_text_is_characters_in_plane_0_and_attributes_in_plane_1(vga: DeviceHarness, size: int) -> None:
    text_mode(vga)
    for at in range(0, 8, size):
        vga.mmio_write(0xB8000 + at, int.from_bytes(b"R\x07i\x17n\x27g\x37"[at : at + size], "little"), size)
    assert planes_at(vga, 0, 4) == [b"Ring", b"\x07\x17\x27\x37", bytes(4), bytes(4)]
    assert b"".join(vga.mmio_read(0xB8000 + at, size).to_bytes(size, "little") for at in range(0, 8, size)) == b"R\x07i\x17n\x27g\x37"


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        (0x01, (0xA0000, 0xBFFFF), ()),
        (0x05, (0xA0000, 0xAFFFF), (0xB0000, 0xBFFFF)),
        (0x09, (0xB0000, 0xB7FFF), (0xAFFFF, 0xB8000)),
        (0x0D, (0xB8000, 0xBFFFF), (0xA0000, 0xB7FFF)),
    ],
    ids=["A0000-BFFFF", "A0000-AFFFF", "B0000-B7FFF", "B8000-BFFFF"],
)
def test_the_window_is_where_the_memory_map_says(vga: DeviceHarness, window: int, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    program(vga, memory_mode=PLANAR, map_mask=0x0F, mode=0, window=window)
    for address in inside + outside:
        vga.mmio_write(address, 0x5A)
    assert [vga.mmio_read(address) for address in inside + outside] == [0x5A] * len(inside) + [0xFF] * len(outside)


def test_a_font_is_written_to_plane_2(vga: DeviceHarness) -> None:
    program(vga, memory_mode=PLANAR, map_mask=0b0100, mode=0, window=0x00)
    vga.mmio_write(0xA0020, 0x44332211, size=4)
    assert planes_at(vga, 0x20, 4) == [bytes(4), bytes(4), b"\x11\x22\x33\x44", bytes(4)]


# --- Direct mapping ----------------------------------------------------------------------------------------------------------------------------------------


def test_chain_4_with_plain_writes_is_ordinary_memory(vga: DeviceHarness) -> None:
    program(vga, memory_mode=CHAIN_4, map_mask=0x0F, mode=0x40, window=A0000_64K)
    vga.memory.write(0xA0100, b"direct")
    assert vga.memory.read(FRAME_BUFFER + 0x100, 6) == b"direct"


@pytest.mark.parametrize(
    ("port", "index", "value"),
    [(0x3C4, 2, 0x07), (0x3C4, 4, PLANAR), (0x3CE, 1, 0x01), (0x3CE, 3, 0x08), (0x3CE, 5, 0x41), (0x3CE, 5, 0x48), (0x3CE, 6, 0x01), (0x3CE, 8, 0x7F)],
    ids=["map mask", "unchained", "set/reset", "function", "write mode", "read mode", "memory map", "bit mask"],
)
def test_anything_else_in_chain_4_is_not(vga: DeviceHarness, port: int, index: int, value: int) -> None:
    program(vga, memory_mode=CHAIN_4, map_mask=0x0F, mode=0x40, window=A0000_64K)
    page = 0xA0000 >> 12
    assert vga.memory.backing_offset(page) >= 0
    vga.write(port, value << 8 | index, size=2)
    assert vga.memory.backing_offset(page) == -1


def test_mapped_and_handled_bytes_are_the_same_bytes(vga: DeviceHarness) -> None:
    program(vga, memory_mode=CHAIN_4, map_mask=0x0F, mode=0x40, window=A0000_64K)
    vga.memory.write(0xA0000, b"same")
    graphics(vga, 6, 0x01)
    assert vga.mmio_read(0xA0000, size=4).to_bytes(4, "little") == b"same"
