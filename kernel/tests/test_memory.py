"""The address space: flattening, MMIO, bus masters, the A20 gate, change notices."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone.api.errors import AddressOverlapError, AssemblyError, ConfigError, DeviceError
from ringone.api.memory import PAGE_SIZE, MapChange, PageKind
from ringone.memory import AddressSpace

MIB = 1 << 20


class Recorder:
    """MMIO handlers that note accesses; reads return the low bytes of the offset, one after the other."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int, int]] = []

    def read(self, offset: int, size: int) -> int:
        self.reads.append((offset, size))
        return int.from_bytes(bytes(offset + index & 0xFF for index in range(size)), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        self.writes.append((offset, size, value))


@pytest.fixture
def space() -> AddressSpace:
    return AddressSpace(2 * MIB)


@pytest.fixture
def chip() -> Recorder:
    return Recorder()


def test_ram_comes_first_in_the_backing(space: AddressSpace) -> None:
    space.write(0x1234, b"hello")
    assert bytes(space.backing[0x1234:0x1239]) == b"hello"
    assert space.backing_offset(1) == PAGE_SIZE
    assert space.kinds[0x1FF] == PageKind.RAM
    assert space.kinds[0x200] == PageKind.UNMAPPED
    assert space.backing_offset(0x200) == -1


def test_the_backing_is_page_aligned_host_memory(space: AddressSpace) -> None:
    import ctypes

    space.write(0, b"RingOne")
    assert space.backing_address % PAGE_SIZE == 0
    assert ctypes.string_at(space.backing_address, 7) == b"RingOne"


def test_blocks_lie_behind_ram_and_the_backing_keeps_its_size_after_assembly(space: AddressSpace) -> None:
    block = space.block("vga", "vram", 5000)
    assert (block.size, block.backing_offset) == (8192, 2 * MIB)
    block.data[0] = 7
    assert space.backing[2 * MIB] == 7
    space.freeze()
    assert len(space.backing) == 2 * MIB + 8192
    assert set(space.blocks) == {"ram", "vga.vram"}
    with pytest.raises(AssemblyError, match="after assembly"):
        space.block("vga", "late", 1)


@pytest.mark.parametrize("size", [0, 1 << 40])
def test_blocks_that_do_not_fit_are_refused(space: AddressSpace, size: int) -> None:
    with pytest.raises(AssemblyError, match="does not fit"):
        space.block("vga", "vram", size)


@pytest.mark.parametrize("ram", [0, -4096, 100, 0xE000_1000, 1 << 40])
def test_impossible_ram_sizes_are_configuration_errors(ram: int) -> None:
    with pytest.raises(ConfigError, match=r"3\.5 GiB"):
        AddressSpace(ram)


def test_rom_can_be_read_and_not_written(space: AddressSpace) -> None:
    rom = space.block("bios", "rom", PAGE_SIZE)
    rom.data[:4] = b"ROM!"
    space.map_memory("bios", rom, 0xFFFF_F000, PAGE_SIZE, writable=False)
    space.write(0xFFFF_F000, b"gone")
    space.mmio_write(0xFFFF_F000, 4, 0)
    assert space.read(0xFFFF_F000, 4) == b"ROM!"
    assert space.kinds[0xFFFFF] == PageKind.ROM


def test_a_block_can_be_shown_twice_and_in_part(space: AddressSpace) -> None:
    rom = space.block("bios", "rom", 4 * PAGE_SIZE)
    rom.data[3 * PAGE_SIZE] = 0x55
    space.map_memory("bios", rom, 0xFFFF_C000, 4 * PAGE_SIZE, writable=False)
    space.map_memory("bios", rom, 0xF_F000, PAGE_SIZE, block_offset=3 * PAGE_SIZE, writable=False, priority=1)
    assert space.read(0xF_F000, 1) == space.read(0xFFFF_F000, 1) == b"\x55"


def test_a_higher_priority_covers_and_uncovers(space: AddressSpace, chip: Recorder) -> None:
    space.write(0xA_0000, b"ram")
    window = space.map_mmio("vga", 0xA_0000, 0x2_0000, read=chip.read, write=chip.write, priority=1)
    assert space.kinds[0xA0] == PageKind.MMIO
    assert space.backing_offset(0xA0) == -1
    window.set_enabled(False)
    assert space.read(0xA_0000, 3) == b"ram"


def test_equal_priorities_overlap_with_both_names(space: AddressSpace, chip: Recorder) -> None:
    with pytest.raises(AddressOverlapError, match=r"vga .* overlaps ram"):
        space.map_mmio("vga", 0xA_0000, 0x2_0000, read=chip.read, write=chip.write)


@pytest.mark.parametrize(("base", "size"), [(0x10, PAGE_SIZE), (0, 100), (0xFFFF_F000, 2 * PAGE_SIZE), (-PAGE_SIZE, PAGE_SIZE), (0x1000_0000, 0)])
def test_regions_are_whole_pages_below_4_gib(space: AddressSpace, chip: Recorder, base: int, size: int) -> None:
    with pytest.raises(AssemblyError, match="whole pages"):
        space.map_mmio("chip", base, size, read=chip.read, write=chip.write, priority=5)


def test_a_moved_bar_covers_another_quietly(space: AddressSpace, chip: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    other = Recorder()
    space.map_mmio("apic", 0xFEE0_0000, PAGE_SIZE, read=other.read, write=other.write)
    bar = space.map_mmio("nic", 0xF000_0000, PAGE_SIZE, read=chip.read, write=chip.write)
    for _ in range(3):
        bar.move(0xFEE0_0000)
        space.mmio_read(0xFEE0_0000, 4)
        bar.move(0xF000_0000)
    space.mmio_read(0xFEE0_0000, 4)
    assert (len(chip.reads), len(other.reads)) == (3, 1)
    assert space.shadowings == 3
    assert len(caplog.records) == 1


def test_a_bar_may_be_moved_anywhere(space: AddressSpace, chip: Recorder) -> None:
    bar = space.map_mmio("nic", 0xF000_0000, 4 * PAGE_SIZE, read=chip.read, write=chip.write)
    for base in (0xFFFF_FFF0, 0, 0x1_0000_0000, 0xFFFF_E123):
        bar.move(base)
    assert bar.base == 0xFFFF_E000
    assert space.mmio_read(0xFFFF_F004, 1) == 4
    assert space.read(0, 1) == b"\0"


class TestMmio:
    BASE = 0xF000_0000

    @pytest.mark.parametrize(
        ("widths", "offset", "size", "expected"),
        [
            pytest.param((1, 2, 4), 8, 4, [(8, 4)], id="as declared"),
            pytest.param((1, 2, 4), 8, 8, [(8, 4), (12, 4)], id="quadword split"),
            pytest.param((1, 2, 4, 8), 8, 8, [(8, 8)], id="quadword declared"),
            pytest.param((1,), 3, 2, [(3, 1), (4, 1)], id="bytes only"),
            pytest.param((4,), 5, 1, [(4, 4)], id="widened"),
            pytest.param((4,), 6, 2, [(4, 4)], id="half widened"),
            pytest.param((1, 2, 4), 0xFFE, 4, [(0xFFE, 2), (0x1000, 2)], id="over a page boundary"),
            pytest.param((1, 2, 4), 5, 4, [(5, 4)], id="misaligned within a page"),
        ],
    )
    def test_accesses_are_fitted_to_the_declared_widths(
        self, space: AddressSpace, chip: Recorder, widths: tuple[int, ...], offset: int, size: int, expected: list[tuple[int, int]]
    ) -> None:
        space.map_mmio("chip", self.BASE, 2 * PAGE_SIZE, read=chip.read, write=chip.write, widths=widths)
        value = space.mmio_read(self.BASE + offset, size)
        assert value == int.from_bytes(bytes(offset + index & 0xFF for index in range(size)), "little")
        assert chip.reads == expected
        space.mmio_write(self.BASE + offset, size, value)
        assert [(at, width) for at, width, _ in chip.writes] == expected

    def test_nothing_there_reads_all_ones_and_is_counted(self, space: AddressSpace) -> None:
        assert space.mmio_read(0x8000_0000, 4) == 0xFFFF_FFFF
        assert space.mmio_read(0x1_0000_0000, 1) == 0xFF
        space.mmio_write(0x8000_0000, 4, 1)
        assert (space.unmapped_reads, space.unmapped_writes) == (2, 1)

    def test_an_access_from_ram_into_mmio_reaches_both(self, space: AddressSpace, chip: Recorder) -> None:
        space.map_mmio("chip", 2 * MIB, PAGE_SIZE, read=chip.read, write=chip.write)
        space.write(2 * MIB - 2, b"\xaa\xbb")
        assert space.mmio_read(2 * MIB - 2, 4) == 0x0100_BBAA
        space.mmio_write(2 * MIB - 2, 4, 0x4433_2211)
        assert space.read(2 * MIB - 2, 2) == b"\x11\x22"
        assert chip.writes == [(0, 2, 0x4433)]

    def test_a_handlers_exception_becomes_a_device_error(self, space: AddressSpace) -> None:
        def fail(offset: int, *rest: int) -> int:
            raise IndexError(offset)

        space.map_mmio("buggy", self.BASE, PAGE_SIZE, read=fail, write=fail)  # type: ignore[arg-type]
        for size in (4, 8):
            with pytest.raises(DeviceError, match="buggy failed in read"):
                space.mmio_read(self.BASE, size)
            with pytest.raises(DeviceError, match="buggy failed in write"):
                space.mmio_write(self.BASE, size, 0)


class TestBusMasters:
    def test_copies_cross_pages_and_kinds(self, space: AddressSpace, chip: Recorder) -> None:
        space.map_mmio("vga", 0xA_0000, PAGE_SIZE, read=chip.read, write=chip.write, priority=1)
        space.write(0x9_FFFE, bytes(range(1, 9)) + bytes(PAGE_SIZE - 6) + b"end")
        assert space.read(0x9_FFFE, 4) == b"\x01\x02\xff\xff"
        assert space.read(0xA_1000, 3) == b"end"
        assert not chip.reads
        assert not chip.writes
        assert space.dropped_dma == 2

    @pytest.mark.parametrize("address", [0xFFFF_FFFE, 0x1_0000_0000, 0x7000_0000, -1])
    def test_addresses_without_memory_read_all_ones(self, space: AddressSpace, address: int) -> None:
        space.write(address, b"abcd")
        assert space.read(address, 3)[:1] == b"\xff"

    def test_pages_that_lie_apart_in_the_backing_are_copied_one_by_one(self, space: AddressSpace) -> None:
        space.map_memory("alias", space.ram, 0x1_0000, 2 * PAGE_SIZE, block_offset=0x8_0000, priority=1)
        space.write(0x1_0000 - 4, bytes(range(1, 9)))
        assert space.read(0x1_0000 - 4, 8) == bytes(range(1, 9))
        assert bytes(space.ram.data[0x8_0000:0x8_0004]) == b"\x05\x06\x07\x08"

    def test_large_copies_are_exact(self, space: AddressSpace) -> None:
        data = bytes(index * 7 & 0xFF for index in range(70_001))
        space.write(0x1_0001, memoryview(data))
        assert space.read(0x1_0001, len(data)) == data

    def test_the_processor_is_told_once_of_every_stretch_of_ram_that_was_written(self, space: AddressSpace) -> None:
        told: list[tuple[int, int]] = []
        space.listen(None, lambda start, size: told.append((start, size)))
        space.write(0xFFF, b"ab")
        space.write(0x7000_0000, b"x")
        space.write(2 * MIB - 1, b"ab")
        assert told == [(0xFFF, 2), (2 * MIB - 1, 1)]


class TestChanges:
    @pytest.fixture
    def changes(self, space: AddressSpace) -> list[MapChange]:
        changes: list[MapChange] = []
        space.listen(changes.extend, None)
        return changes

    def test_a_mapping_announces_its_pages(self, space: AddressSpace, chip: Recorder, changes: list[MapChange]) -> None:
        window = space.map_mmio("vga", 0xA_0000, 0x2_0000, read=chip.read, write=chip.write, priority=1)
        window.set_enabled(False)
        assert changes == [MapChange(0xA0, 0x20)] * 2

    def test_pages_that_stay_what_they_were_are_not_announced(self, space: AddressSpace, chip: Recorder, changes: list[MapChange]) -> None:
        space.map_mmio("vga", 0xA_0000, 0x2_0000, read=chip.read, write=chip.write, priority=2)
        changes.clear()
        under = space.map_mmio("other", 0x9_F000, 0x2_2000, read=chip.read, write=chip.write, priority=1)
        assert changes == [MapChange(0x9F, 1), MapChange(0xC0, 1)]
        changes.clear()
        under.set_enabled(True)
        assert changes == []

    def test_a_move_announces_both_places(self, space: AddressSpace, chip: Recorder, changes: list[MapChange]) -> None:
        bar = space.map_mmio("nic", 0xF000_0000, 2 * PAGE_SIZE, read=chip.read, write=chip.write)
        changes.clear()
        bar.move(0xF100_0000)
        assert changes == [MapChange(0xF0000, 2), MapChange(0xF1000, 2)]

    def test_switching_a_shadow_alias_announces_it(self, space: AddressSpace, changes: list[MapChange]) -> None:
        rom = space.block("bios", "rom", 0x1_0000)
        space.map_memory("bios", rom, 0xF_0000, 0x1_0000, writable=False, priority=1)
        shadow = space.map_memory("bridge", space.ram, 0xF_0000, 0x4000, block_offset=0xF_0000, priority=2, enabled=False)
        changes.clear()
        shadow.set_enabled(True)
        assert changes == [MapChange(0xF0, 4)]
        assert [PageKind(space.kinds[page]) for page in (0xF0, 0xF3, 0xF4)] == [PageKind.RAM, PageKind.RAM, PageKind.ROM]
        assert space.backing_offset(0xF1) == 0xF_1000

    def test_the_a20_gate_changes_every_page(self, space: AddressSpace, chip: Recorder, changes: list[MapChange]) -> None:
        space.map_mmio("odd", 0x7010_0000, PAGE_SIZE, read=chip.read, write=chip.write)
        changes.clear()
        space.set_a20(False)
        space.set_a20(False)
        assert changes == [MapChange(0, 1 << 20)]
        assert space.a20_mask == 0xFFEF_FFFF
        assert space.mmio_read(0x7010_0004, 4) == 0xFFFF_FFFF
        space.set_a20(True)
        assert space.a20_mask == 0xFFFF_FFFF
        assert space.mmio_read(0x7010_0004, 4) == 0x0706_0504


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 12)), max_size=12))
def test_the_flat_map_is_what_the_regions_say_and_changes_are_exact(moves: list[tuple[int, bool, int]]) -> None:
    space = AddressSpace(4 * PAGE_SIZE)
    rom = space.block("rom", "rom", 4 * PAGE_SIZE)
    regions = [
        space.map_memory("rom", rom, 0x10000, 4 * PAGE_SIZE, writable=False, priority=1),
        space.map_mmio("one", 0x20000, 3 * PAGE_SIZE, read=lambda offset, size: 1, write=lambda offset, size, value: None, priority=1),
        space.map_mmio("two", 0x30000, 2 * PAGE_SIZE, read=lambda offset, size: 2, write=lambda offset, size, value: None, priority=2),
        space.map_memory("alias", space.ram, 0x40000, 2 * PAGE_SIZE, block_offset=PAGE_SIZE, priority=2),
    ]

    def flat() -> list[tuple[int, int, object]]:
        return [(space.kinds[page], space.backing_offset(page), space._mmio.get(page)) for page in range(0x50)]

    changed: set[int] = set()
    space.listen(lambda changes: changed.update(page for change in changes for page in range(change.first_page, change.first_page + change.page_count)), None)
    for index, enabled, page in moves:
        before = flat()
        changed.clear()
        regions[index].set_enabled(enabled)
        middle = flat()
        first = {page for page in range(0x50) if before[page] != middle[page]}
        assert changed == first
        changed.clear()
        regions[index].move(page * PAGE_SIZE)
        assert {page for page, (old, new) in enumerate(zip(middle, flat(), strict=True)) if old != new} <= changed
    for page in range(0x50):
        expected = -1
        for region in sorted(space.regions, key=lambda region: region.priority):
            if region.enabled and region.base <= page * PAGE_SIZE < region.base + region.size:
                expected = -1 if region.handlers else region.first_offset + page * PAGE_SIZE - region.base
        assert space.backing_offset(page) == expected
