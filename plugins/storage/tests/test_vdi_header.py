"""VDI headers and maps from outside: read as they are meant, or refused in one line."""

from __future__ import annotations

import uuid
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ringone.api.errors import MediumError
from ringone.api.media import AccessMode, find_format
from ringone_storage.formats import ISO, RAW, VDI
from ringone_storage.vdi.header import HEADER, SHORT_HEADER_BYTES, Header, Kind, parse
from ringone_storage.vdi.image import FREE, ZERO, to_bytes

from plugins.storage.tests.vdi_images import BLOCK, CAPACITY, change_header, content, header_of, make, open_disk, put, write


def test_fields_lie_where_virtualbox_has_them(tmp_path: Path) -> None:
    head = make(tmp_path / "a.vdi").read_bytes()
    header = header_of(tmp_path / "a.vdi")
    fields = {0x40: 0xBEDA107F, 0x44: 0x00010001, 0x48: 0x190, 0x4C: 1, 0x154: header.map_offset, 0x158: header.data_offset, 0x168: 512}
    fields |= {0x178: BLOCK, 0x17C: 0, 0x180: 64, 0x184: 0}
    assert {offset: int.from_bytes(head[offset : offset + 4], "little") for offset in fields} == fields
    assert int.from_bytes(head[0x170:0x178], "little") == CAPACITY
    assert uuid.UUID(bytes_le=head[0x188:0x198]) == header.uuid
    assert uuid.UUID(bytes_le=head[0x198:0x1A8]) == header.modification_uuid
    assert HEADER.size == 0x1D8


def test_a_header_is_written_back_as_it_was_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi", extra=512)
    change_header(
        path, comment=b"as it was", flags=0x100, text=b"<<< Oracle VM VirtualBox Disk Image >>>\n", geometry=(1024, 16, 63, 512, 7), bios_geometry=b"B" * 16
    )
    packed = path.read_bytes()[: HEADER.size]
    assert header_of(path).pack() == packed


def test_headers_without_the_bios_geometry_are_accepted_and_stay_short(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    change_header(path, size=SHORT_HEADER_BYTES)
    with path.open("r+b") as file:
        file.seek(0x1C8)
        file.write(b"other things here")
    put([path], 0, b"x" * 512)
    assert content([path])[:512] == b"x" * 512
    assert path.read_bytes()[0x1C8:0x1D9] == b"other things here"


def test_probing_knows_a_vdi_by_its_signature(tmp_path: Path) -> None:
    formats = {"raw": RAW, "iso": ISO, "vdi": VDI}
    assert find_format(formats, make(tmp_path / "disk.img")) is VDI
    (tmp_path / "a.vdi").write_bytes(bytes(8192))
    assert find_format(formats, tmp_path / "a.vdi") is RAW


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 0x00000001}, "version 0.1; accepted is 1.1"),
        ({"version": 0x00020000}, "version 2.0; accepted is 1.1"),
        ({"kind": Kind.UNDO}, "is an undo image; accepted are dynamic"),
        ({"kind": 9}, "is of kind 9; accepted are dynamic"),
        ({"size": 0x100}, "its size is 256 bytes"),
        ({"block_bytes": 0}, "the block size is 0"),
        ({"block_bytes": 3000}, "the block size is 3000"),
        ({"block_bytes": 1 << 31}, "the block size is 2147483648"),
        ({"extra_bytes": 1 << 30}, "extra bytes a block are more than"),
        ({"capacity_bytes": 0}, "capacity of 0 bytes"),
        ({"capacity_bytes": CAPACITY + 5}, "no whole number of sectors"),
        ({"capacity_bytes": CAPACITY * 9}, "64 blocks of 4096 bytes do not make"),
        ({"block_count": 0xFFFFFFFF}, "4294967295 blocks; at most 16777216"),
        ({"map_offset": 0x100}, "the block map cannot lie at 0x100"),
        ({"map_offset": 0x203}, "the block map cannot lie at 0x203"),
        ({"data_offset": 0x210}, "overlaps the block map"),
        ({"map_offset": 1 << 30, "data_offset": 1 << 31}, "the file is cut short"),
        ({"size": 0xFFFFFFFF}, "the block map cannot lie at"),
    ],
    ids=lambda value: ",".join(f"{name}={int(number)}" for name, number in value.items()) if isinstance(value, dict) else "",
)
def test_damaged_headers_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = make(tmp_path / "a.vdi")
    change_header(path, **changes)
    for mode in AccessMode:
        with pytest.raises(MediumError, match=says) as caught:
            open_disk(path, mode=mode)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "slots", "says"),
    [
        ([0, 1, 0], 3, "two blocks share the place 0"),
        ([0, 1, 2], 2, r"the file is cut short: it has \d+ bytes, its blocks end at"),
        ([0xFFFFFFFD], 1, "has the place 4294967293, and the disk only 64 blocks"),
    ],
    ids=["cross-linked", "beyond the end", "absurd"],
)
def test_damaged_maps_are_refused(tmp_path: Path, entries: list[int], slots: int, says: str) -> None:
    path = make(tmp_path / "a.vdi")
    write(path, header_of(path), array("I", entries + [FREE] * (64 - len(entries))), bytes(slots * BLOCK))
    with pytest.raises(MediumError, match=says):
        open_disk(path)


@pytest.mark.parametrize("size", [1, 0x44, 0x1C7, 0x1D8, 513, 600])
def test_files_cut_short_are_refused(tmp_path: Path, size: int) -> None:
    path = make(tmp_path / "a.vdi")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(MediumError, match=r"signature|cut short"):
        open_disk(path)


def test_a_count_of_allocated_blocks_that_is_wrong_does_no_harm(tmp_path: Path) -> None:
    """VirtualBox and others crash too."""
    path = make(tmp_path / "a.vdi")
    put([path], 0, b"x" * 5 * BLOCK)
    change_header(path, allocated=1)
    put([path], 6 * 8, b"y" * BLOCK)
    assert content([path])[: 7 * BLOCK] == b"x" * 5 * BLOCK + bytes(BLOCK) + b"y" * BLOCK
    assert header_of(path).allocated == 6


WORD = st.one_of(st.integers(0, 0xFFFFFFFF), st.sampled_from([0, 1, 2, 511, 512, 4096, 1 << 20, 0x7FFFFFFF, ZERO, FREE]))

ENTRIES = st.lists(st.tuples(st.integers(0, 63), st.integers(0, 70) | WORD), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.integers(0x10, 0x75), WORD), max_size=4),
    st.lists(st.tuples(st.integers(0, 63), st.integers(0, 70) | WORD), max_size=6),
    st.integers(0, 9000),
)
@example([(0x15C // 4, 0), (0x170 // 4, 0xFFFFFFFF)], [], 0)
def test_no_header_and_no_map_does_more_than_be_refused(tmp_path: Path, words: list[tuple[int, int]], entries: list[tuple[int, int]], cut: int) -> None:
    path = make(tmp_path / "a.vdi")
    data = bytearray(path.read_bytes() + bytes(BLOCK))
    table = array("I", [FREE]) * 64
    for index, entry in entries:
        table[index] = entry
    data[512 : 512 + 256] = to_bytes(table)
    for word, value in words:
        data[word * 4 : word * 4 + 4] = value.to_bytes(4, "little")
    path.write_bytes(data[: len(data) - cut])
    try:
        disk = open_disk(path)
    except MediumError:
        return
    try:
        disk.write(0, b"x" * 512)
        assert disk.read(0, 1) == b"x" * 512
        disk.read(disk.block_count - 1, 1)
    finally:
        disk.close()


@given(st.binary(max_size=600), st.integers(0, 1 << 40))
def test_any_bytes_are_a_header_or_refused(head: bytes, size: int) -> None:
    signed = head[:0x40].ljust(0x40, b"\0") + (0xBEDA107F).to_bytes(4, "little") + (0x10001).to_bytes(4, "little") + head[0x48:]
    for data in (head, signed):
        try:
            assert isinstance(parse(Path("any.vdi"), data, size), Header)
        except MediumError as error:
            assert str(error).startswith("any.vdi: ")
