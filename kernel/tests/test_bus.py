"""The port space: routing, widths, conflicts and ranges that move."""

from __future__ import annotations

import logging
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.errors import AddressOverlapError, AssemblyError, DeviceError
from ringone.bus import PortSpace


class Recorder:
    """Handlers that note every access; a read returns the bytes 0x10, 0x11 ... by offset."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int, int]] = []

    def read(self, offset: int, size: int) -> int:
        self.reads.append((offset, size))
        return int.from_bytes(bytes(0x10 + offset + index & 0xFF for index in range(size)), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        self.writes.append((offset, size, value))


@pytest.fixture
def ports() -> PortSpace:
    return PortSpace()


@pytest.fixture
def chip() -> Recorder:
    return Recorder()


def test_handlers_get_offsets_from_the_base(ports: PortSpace, chip: Recorder) -> None:
    ports.claim("pit", 0x40, 4, read=chip.read, write=chip.write)
    assert ports.read(0x42, 1) == 0x12
    ports.write(0x43, 1, 0x36)
    assert (chip.reads, chip.writes) == ([(2, 1)], [(3, 1, 0x36)])


def test_unmapped_reads_are_all_ones_and_writes_vanish_and_both_are_counted(ports: PortSpace) -> None:
    assert [ports.read(0x1234, size) for size in (1, 2, 4)] == [0xFF, 0xFFFF, 0xFFFF_FFFF]
    ports.write(0x1234, 4, 1)
    assert ports.statistics()["UnmappedPortReads"] == 3
    assert ports.statistics()["UnmappedPortWrites"] == 1


def test_an_unmapped_port_is_reported_once(ports: PortSpace, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "ringone.bus"):
        for _ in range(5):
            ports.read(0x99, 1)
    assert len(caplog.records) == 1


def test_the_other_direction_of_a_one_way_range_is_unmapped(ports: PortSpace, chip: Recorder) -> None:
    ports.claim("status", 0x61, 1, read=chip.read)
    ports.write(0x61, 1, 5)
    assert ports.unmapped_writes == 1


def test_two_chips_share_a_port_when_one_reads_and_the_other_writes(ports: PortSpace, chip: Recorder) -> None:
    other = Recorder()
    ports.claim("reader", 0x80, 1, read=chip.read)
    ports.claim("writer", 0x80, 1, write=other.write)
    assert ports.read(0x80, 1) == 0x10
    ports.write(0x80, 1, 7)
    assert other.writes == [(0, 1, 7)]


@pytest.mark.parametrize(
    ("widths", "port", "size", "expected"),
    [
        pytest.param((1,), 0x100, 2, [(0, 1), (1, 1)], id="wider than declared: split, low address first"),
        pytest.param((1, 2), 0x100, 4, [(0, 2), (2, 2)], id="split into the widest that is declared"),
        pytest.param((1, 4), 0x100, 2, [(0, 1), (1, 1)], id="a width between two declared ones is split"),
        pytest.param((2,), 0x101, 1, [(0, 2)], id="narrower than declared: widened at the word"),
        pytest.param((4,), 0x102, 2, [(0, 4)], id="half of a doubleword"),
        pytest.param((2,), 0x101, 2, [(1, 2)], id="misaligned of the declared width goes as it is"),
        pytest.param((1, 2, 4), 0x106, 4, [(6, 2)], id="over the end: split, the rest is not this range's"),
        pytest.param((2,), 0x107, 2, [(6, 2)], id="over the end of a range of words"),
    ],
)
def test_accesses_are_fitted_to_the_declared_widths(
    ports: PortSpace, chip: Recorder, widths: tuple[int, ...], port: int, size: int, expected: list[tuple[int, int]]
) -> None:
    ports.claim("chip", 0x100, 8, read=chip.read, write=chip.write, widths=widths)
    value = ports.read(port, size)
    inside = min(size, 0x108 - port)
    assert chip.reads == expected
    assert value == int.from_bytes(bytes(0x10 + port - 0x100 + index for index in range(inside)) + b"\xff" * (size - inside), "little")
    ports.write(port, size, value)
    assert [(offset, width) for offset, width, _ in chip.writes] == expected


def test_a_narrow_write_arrives_in_its_lane(ports: PortSpace, chip: Recorder) -> None:
    ports.claim("chip", 0x100, 4, write=chip.write, widths=(4,))
    ports.write(0x101, 1, 0xAB)
    assert chip.writes == [(0, 4, 0xAB00)]


def test_one_port_can_be_a_wide_data_register(ports: PortSpace, chip: Recorder) -> None:
    neighbour = Recorder()
    ports.claim("address", 0xCF8, 1, write=chip.write, widths=(4,))
    ports.claim("reset", 0xCF9, 1, write=neighbour.write)
    ports.write(0xCF8, 4, 0x8000_0000)
    ports.write(0xCF9, 1, 6)
    assert (chip.writes, neighbour.writes) == ([(0, 4, 0x8000_0000)], [(0, 1, 6)])


def test_a_word_over_two_chips_reaches_both(ports: PortSpace, chip: Recorder) -> None:
    other = Recorder()
    ports.claim("low", 0x60, 1, read=chip.read)
    ports.claim("high", 0x61, 1, read=other.read)
    assert ports.read(0x60, 2) == 0x1010


def test_the_last_port_does_not_wrap_around(ports: PortSpace, chip: Recorder) -> None:
    ports.claim("first", 0, 4, read=chip.read, write=chip.write)
    ports.claim("last", 0xFFFF, 1, read=chip.read, write=chip.write)
    assert ports.read(0xFFFF, 4) == 0xFFFF_FF10
    ports.write(0xFFFF, 4, 1)
    assert chip.writes == [(0, 1, 1)]


def test_overlapping_claims_name_both_owners(ports: PortSpace, chip: Recorder) -> None:
    ports.claim("com1", 0x3F8, 8, read=chip.read)
    with pytest.raises(AddressOverlapError, match=r"game .*0x03ff.* overlaps com1"):
        ports.claim("game", 0x3FF, 1, read=chip.read)


@pytest.mark.parametrize(("base", "count", "widths"), [(0xFFFF, 2, (1,)), (-1, 1, (1,)), (0, 0, (1,)), (0, 1, (3,)), (0, 1, ())])
def test_impossible_claims_are_refused(ports: PortSpace, chip: Recorder, base: int, count: int, widths: tuple[int, ...]) -> None:
    with pytest.raises(AssemblyError):
        ports.claim("chip", base, count, read=chip.read, widths=widths)


def test_a_range_follows_its_base_and_its_enable_bit(ports: PortSpace, chip: Recorder) -> None:
    claim = ports.claim("bar", 0xC000, 16, read=chip.read, enabled=False)
    assert ports.read(0xC000, 1) == 0xFF
    claim.set_enabled(True)
    claim.move(0xD000)
    assert (ports.read(0xC000, 1), ports.read(0xD000, 1)) == (0xFF, 0x10)
    claim.set_enabled(False)
    assert ports.read(0xD000, 1) == 0xFF


def test_a_moved_range_covers_another_quietly_and_uncovers_it(ports: PortSpace, chip: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    fixed = Recorder()
    ports.claim("com1", 0x3F8, 8, read=fixed.read)
    bar = ports.claim("bar", 0xC000, 16, read=chip.read)
    for _ in range(3):
        bar.move(0x3F0)
        assert ports.read(0x3F8, 1) == 0x18
        bar.move(0xC000)
        assert ports.read(0x3F8, 1) == 0x10
    assert ports.shadowings == 3
    assert len(caplog.records) == 1


def test_a_range_may_be_moved_out_of_the_port_space(ports: PortSpace, chip: Recorder) -> None:
    claim = ports.claim("bar", 0xC000, 16, read=chip.read)
    claim.move(0xFFFF_FFF0)
    claim.move(0xFFF8)
    assert ports.read(0xFFFF, 1) == 0x17


def test_a_handlers_exception_becomes_a_device_error_with_component_and_access(ports: PortSpace) -> None:
    def fail(offset: int, size: int) -> int:
        raise KeyError(offset)

    ports.claim("buggy", 0x300, 4, read=fail)
    for size in (1, 4):
        with pytest.raises(DeviceError, match=rf"buggy failed in read of {size} bytes at port 0x0300") as caught:
            ports.read(0x300, size)
        assert isinstance(caught.value.__cause__, KeyError)


def numbered(chip: int, offset: int, size: int) -> int:
    return chip * 8 + offset


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 40)), max_size=30))
def test_slots_always_show_the_enabled_range_that_moved_last(moves: list[tuple[int, bool, int]]) -> None:
    ports = PortSpace()
    claims = [ports.claim(f"chip{index}", 100 + index * 10, 5, read=partial(numbered, index)) for index in range(4)]
    order = list(range(4))
    for index, enabled, base in moves:
        before = (claims[index].enabled, claims[index].base)
        claims[index].set_enabled(enabled)
        claims[index].move(base)
        if enabled and before != (True, base):
            order.remove(index)
            order.append(index)
    for port in range(60):
        expected = 0xFF
        for index in order:
            claim = claims[index]
            if claim.enabled and claim.base <= port < claim.base + claim.count:
                expected = index * 8 + port - claim.base
        assert ports.read(port, 1) == expected
