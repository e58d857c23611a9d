"""State files: what goes in comes out, alone or over a chain of parents, and nothing damaged comes in."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone.api.errors import SnapshotError
from ringone.snapshot.image import StateImage, hash_state
from ringone.snapshot.sections import SectionData
from ringone.snapshot.statefile import (
    HEADER,
    MAGIC,
    MAX_DEPTH,
    describe_state_file,
    dump_state,
    open_state,
    open_state_file,
    read_state_file,
    rebase_state_file,
    write_state_file,
)

PAGE = 4096
SECTIONS = {"pit": SectionData("i8254", 1, {"counters": [1, 2]}), "uart": SectionData("ns16550", 2, {"fifo": {"base64": ""}})}
RAM = bytes(5000) + b"middle" + bytes(8 << 20) + random.Random(1).randbytes(3 * PAGE) + b"end"


def image(ram: bytes | bytearray = RAM, **sections: SectionData) -> StateImage:
    return StateImage("vm", {**SECTIONS, **sections}, {"ram": memoryview(ram), "vram": memoryview(bytes(PAGE))})


def changed(ram: bytes, at: int, data: bytes) -> bytes:
    return ram[:at] + data + ram[at + len(data) :]


FILE = dump_state(image())


def ram_of(loaded: StateImage) -> bytes:
    return bytes(loaded.memory["ram"])


def test_everything_comes_back() -> None:
    loaded = open_state(FILE).load()
    assert (loaded.machine, loaded.sections) == ("vm", SECTIONS)
    assert {name: bytes(data) for name, data in loaded.memory.items()} == {"ram": RAM, "vram": bytes(PAGE)}


def test_zero_pages_take_no_room() -> None:
    assert len(dump_state(image(bytes(64 << 20)))) < 4096


def test_equal_states_make_equal_files_and_hashes() -> None:
    other = StateImage("vm", dict(reversed(list(SECTIONS.items()))), dict(reversed(list(image().memory.items()))))
    assert dump_state(other) == FILE
    assert hash_state(other.sections, other.memory) == hash_state(SECTIONS, image().memory)
    assert hash_state(SECTIONS, image(RAM[:-1] + b"D").memory) != hash_state(SECTIONS, image().memory)


# --- Files and their parents ----------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_state_file(image(), tmp_path / "base.state")
    return tmp_path / "base.state"


def test_a_file_on_a_parent_holds_what_differs(base: Path) -> None:
    path = base.with_name("child.state")
    ram = changed(RAM, 3 * PAGE, b"new")
    written = write_state_file(image(ram), path, parent=base)
    assert written.parent == base
    assert written.file_bytes == path.stat().st_size < base.stat().st_size
    assert ram_of(read_state_file(path)) == ram


def test_a_page_that_became_zero_is_zero(base: Path) -> None:
    path = base.with_name("child.state")
    ram = changed(RAM, PAGE, bytes(PAGE))
    write_state_file(image(ram), path, parent=base)
    assert ram_of(read_state_file(path)) == ram


def test_sections_are_those_of_the_file_itself(base: Path) -> None:
    path = base.with_name("child.state")
    newer = SectionData("i8254", 1, {"counters": [3]})
    write_state_file(image(pit=newer), path, parent=base)
    assert read_state_file(path).sections["pit"] == newer
    assert read_state_file(base).sections == SECTIONS


def test_info_says_what_a_file_needs(base: Path) -> None:
    path = base.with_name("child.state")
    written = write_state_file(image(changed(RAM, 0, b"x")), path, parent=base)
    assert describe_state_file(path) == written
    assert describe_state_file(base).parent is None
    assert written.machine == "vm"


def test_content_tells_states_apart_whatever_files_they_are_in(base: Path) -> None:
    path, other = base.with_name("child.state"), base.with_name("other.state")
    assert write_state_file(image(), path, parent=base).content == describe_state_file(base).content
    assert write_state_file(image(changed(RAM, 0, b"x")), other, parent=base).content != describe_state_file(base).content


def chain(base: Path, length: int) -> list[Path]:
    """Files on top of each other; file N has N in its first byte."""
    paths = [base]
    for number in range(1, length + 1):
        paths.append(base.with_name(f"{number}.state"))
        write_state_file(image(changed(RAM, 0, bytes((number,)))), paths[-1], parent=paths[-2])
    return paths


def test_a_parent_goes_when_its_children_were_put_on_another_one(base: Path) -> None:
    paths = chain(base, 3)
    kept = describe_state_file(paths[2]).content
    assert rebase_state_file(paths[2], base).parent == base
    paths[1].unlink()
    assert describe_state_file(paths[2]).content == kept
    assert [read_state_file(path).memory["ram"][0] for path in (base, paths[2], paths[3])] == [0, 2, 3]


def test_a_file_can_be_made_to_stand_alone(base: Path) -> None:
    paths = chain(base, 2)
    assert rebase_state_file(paths[2], None).parent is None
    paths[1].unlink()
    base.unlink()
    assert ram_of(read_state_file(paths[2])) == changed(RAM, 0, b"\2")


def test_a_file_cannot_stand_on_itself_or_on_what_needs_it(base: Path) -> None:
    paths = chain(base, 2)
    for parent in paths[1:]:
        with pytest.raises(SnapshotError, match="which needs it or is it"):
            rebase_state_file(paths[1], parent)
    with pytest.raises(SnapshotError, match="lies beside it"):
        write_state_file(image(), base.parent / "folder" / "file.state", parent=base)


def test_a_chain_that_is_too_long_ends_with_a_file_that_stands_alone(base: Path) -> None:
    *_, last, alone = chain(base, MAX_DEPTH)
    assert describe_state_file(last).parent is not None
    assert describe_state_file(alone).parent is None


def test_a_parent_with_other_memory_is_not_used(base: Path) -> None:
    path = base.with_name("child.state")
    assert write_state_file(image(RAM + bytes(PAGE)), path, parent=base).parent is None


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x"), Path.unlink], ids=["damaged", "missing"])
def test_a_parent_that_cannot_be_read_is_not_used(base: Path, damage: Callable[[Path], object]) -> None:
    path = base.with_name("child.state")
    damage(base)
    assert write_state_file(image(), path, parent=base).parent is None
    assert ram_of(read_state_file(path)) == RAM


def test_a_parent_that_holds_another_state_is_refused(base: Path) -> None:
    paths = chain(base, 1)
    write_state_file(image(changed(RAM, 0, b"other")), base)
    with pytest.raises(SnapshotError, match=r"base\.state: holds another state than the one that .*1\.state stands on"):
        read_state_file(paths[1])


def test_a_missing_parent_is_named(base: Path) -> None:
    paths = chain(base, 1)
    base.unlink()
    with pytest.raises(SnapshotError, match=r"base\.state: the state cannot be read: No such file"):
        read_state_file(paths[1])


def test_a_file_that_needs_itself_is_refused(base: Path) -> None:
    paths = chain(base, 1)
    base.write_bytes(paths[1].read_bytes())
    with pytest.raises(SnapshotError):
        read_state_file(paths[1])


def test_progress_goes_from_zero_to_one(base: Path) -> None:
    told: list[float] = []
    write_state_file(image(), base, progress=told.append)
    read_state_file(base, told.append)
    half = told.index(1.0) + 1
    for part in (told[:half], told[half:]):
        assert part == sorted(part) and part[-1] == 1.0 and part[0] <= 0.5


def test_what_fails_leaves_the_old_file_and_nothing_else(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = base.read_bytes()

    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(SnapshotError, match=r"base\.state: the state cannot be written: No space left on device"):
        write_state_file(image(bytes(PAGE)), base)
    assert base.read_bytes() == before
    assert list(base.parent.iterdir()) == [base]


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(base: Path) -> None:
    resource = pytest.importorskip("resource", reason="file sizes are limited by resource.setrlimit")
    before = base.read_bytes()
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, former[1]))
    try:
        with pytest.raises(SnapshotError, match="the state cannot be written: File too large"):
            write_state_file(image(changed(RAM, 0, b"x")), base)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert base.read_bytes() == before
    assert list(base.parent.iterdir()) == [base]


# --- Damage ----------------------------------------------------------------------------------------------------------------------------------


def resigned(edit: Callable[[dict[str, Any]], object], tables: Callable[[bytes], bytes] = lambda data: data) -> bytes:
    """The file with another directory, under a right checksum."""
    *_, offset, size, _checksum = HEADER.unpack_from(FILE)
    raw = zlib.decompress(FILE[offset : offset + size])
    (length,) = struct.unpack_from("<I", raw)
    document = json.loads(raw[4 : 4 + length])
    edit(document)
    text = json.dumps(document).encode()
    packed = zlib.compress(struct.pack("<I", len(text)) + text + tables(raw[4 + length :]))
    return HEADER.pack(MAGIC, 2, 0, offset, len(packed), hashlib.sha256(packed).digest()) + FILE[HEADER.size : offset] + packed


def nothing(document: dict[str, Any]) -> None:
    """Change nothing."""


def with_header(**changes: int) -> bytes:
    fields = dict(zip(("magic", "version", "zero", "offset", "size", "checksum"), HEADER.unpack_from(FILE), strict=True))
    return HEADER.pack(*{**fields, **changes}.values()) + FILE[HEADER.size :]


def swapped(tables: bytes) -> bytes:
    """The first two page numbers of RAM in the wrong order."""
    return tables[4:8] + tables[:4] + tables[8:]


DAMAGED = {
    "empty": (b"", "no saved state"),
    "something else": (b"PK\x03\x04" + bytes(100), "no saved state"),
    "cut short": (FILE[: len(FILE) // 2], "cut off or its header is damaged"),
    "something behind it": (FILE + b"\0", "cut off or its header is damaged"),
    "another version": (with_header(version=1), "format version 1; accepted: 2"),
    "odd header": (with_header(zero=1), "its header is damaged"),
    "absurd directory": (with_header(size=1 << 62), "its header is damaged"),
    "directory in the header": (with_header(offset=8, size=len(FILE) - 8), "its header is damaged"),
    "directory changed": (FILE[:-1] + bytes((FILE[-1] ^ 1,)), "directory does not have its checksum"),
    "entry missing": (resigned(lambda document: document.pop("sections")), "has the entries"),
    "entry unknown": (resigned(lambda document: document.update(more=1)), "has the entries"),
    "section of another shape": (resigned(lambda document: document["sections"]["pit"].pop("kind")), "section 'pit' is not an object"),
    "section changed": (resigned(lambda document: document["sections"]["pit"].update(version=3)), "do not make the state"),
    "name twice": (resigned(lambda document: document.update(sections=[])), "directory is damaged"),
    "too deep": (resigned(lambda document: document["sections"]["pit"].update(state=json.loads("[" * 900 + "]" * 900))), "saved state"),
    "absurd memory": (resigned(lambda document: document["memory"]["ram"].update(size=1 << 60)), "more than 4294967296 bytes of memory"),
    "negative memory": (resigned(lambda document: document["memory"]["ram"].update(size=-1)), "shape .* is damaged"),
    "absurd page table": (resigned(lambda document: document["memory"]["ram"].update(pages=1 << 40)), "page tables are cut off"),
    "pages out of order": (resigned(nothing, swapped), "do not ascend"),
    "pages behind the end": (resigned(lambda document: document["memory"]["ram"].update(size=2 * PAGE)), "do not ascend within their block"),
    "no clusters": (resigned(lambda document: document["memory"]["ram"].update(clusters=0)), "in no cluster"),
    "tables too long": (resigned(nothing, lambda tables: tables + b"\0"), "do not fit the file"),
    "parent elsewhere": (resigned(lambda document: document.update(parent={"file": "../x", "content": ""})), "is no file name"),
    "parent of another shape": (resigned(lambda document: document.update(parent={"file": "x"})), "directory is damaged"),
    "parent": (resigned(lambda document: document.update(parent={"file": "x", "content": ""})), "accepted: one that stands alone"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_state_is_refused_and_says_why(data: bytes, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        open_state(data).load()


def test_damaged_pages_are_refused() -> None:
    data = bytearray(FILE)
    data[HEADER.size + 10] ^= 1
    with pytest.raises(SnapshotError, match="pages from 0x1 on do not have their checksum"):
        open_state(bytes(data)).load()


@settings(deadline=None)
@given(st.integers(0, len(FILE) - 1), st.integers(0, 7))
def test_a_flipped_bit_is_found(position: int, bit: int) -> None:
    data = bytearray(FILE)
    data[position] ^= 1 << bit
    with pytest.raises(SnapshotError):
        open_state(bytes(data)).load()


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A state and the files that it needs; the page that differs is in all of them."""
    base = tmp_path_factory.mktemp("states") / "base.state"
    write_state_file(image(), base)
    return chain(base, 2)


@settings(deadline=None)
@given(which=st.integers(0, 2), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_any_file_of_a_chain_is_found_or_makes_no_difference(which: int, place: float, bit: int, family: list[Path]) -> None:
    path = family[which]
    whole = path.read_bytes()
    data = bytearray(whole)
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        loaded = read_state_file(family[-1])
    except SnapshotError:
        return
    finally:
        path.write_bytes(whole)
    assert ram_of(loaded) == changed(RAM, 0, b"\2")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=20)), max_size=5), st.integers(0, 20_000))
def test_memory_of_any_size_and_content_comes_back(writes: list[tuple[int, bytes]], size: int) -> None:
    memory = bytearray(20_020)
    for offset, data in writes:
        memory[offset : offset + len(data)] = data
    saved = attrs.evolve(image(), memory={"b": memoryview(memory)[:size]})
    assert bytes(open_state(dump_state(saved)).load().memory["b"]) == memory[:size]


def test_a_reader_closes_its_files(base: Path) -> None:
    with open_state_file(chain(base, 2)[-1]) as state:
        files = [layer.file for layer in state.layers]
    assert len(files) == 3 and all(file.closed for file in files)
