"""The file of a saved machine: what goes in comes out, and nothing damaged comes in."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone.api.errors import SnapshotError
from ringone.snapshot.container import hash_state, read_container, write_container
from ringone.snapshot.sections import SectionData

SECTIONS = {"pit": SectionData("i8254", 1, {"counters": [1, 2]}), "uart": SectionData("ns16550", 2, {"fifo": {"blob": "uart.fifo"}})}
RAM = bytes(5000) + b"middle" + bytes(8 << 20) + b"end"
BLOBS: dict[str, memoryview | bytes] = {"ram": memoryview(RAM), "uart.fifo": b"abc"}
PIT = b'{"kind":"i8254","state":{"counters":[1,2]},"version":1}'
FILE = write_container(SECTIONS, BLOBS, {"machine": "vm", "virtual_ns": 7})


def test_everything_comes_back() -> None:
    container = read_container(FILE)
    assert container.sections == SECTIONS
    assert container.manifest == {"machine": "vm", "virtual_ns": 7}
    assert container.blob_sizes == {"ram": len(RAM), "uart.fifo": 3}
    assert container.blob("ram") == RAM


def test_a_blob_overwrites_all_of_its_target() -> None:
    target = bytearray(b"\xff" * len(RAM))
    read_container(FILE).load_blob("ram", memoryview(target))
    assert target == RAM


def test_a_blob_of_another_size_is_refused() -> None:
    with pytest.raises(SnapshotError, match=r"blob 'uart\.fifo' has 3 bytes, but this machine has 4 there"):
        read_container(FILE).load_blob("uart.fifo", memoryview(bytearray(4)))


def test_zero_pages_take_no_room() -> None:
    assert len(write_container({}, {"ram": bytes(64 << 20)}, {})) < 4096


def test_equal_states_make_equal_files_and_hashes() -> None:
    backwards = dict(reversed(SECTIONS.items())), dict(reversed(BLOBS.items()))
    assert write_container(*backwards, {"virtual_ns": 7, "machine": "vm"}) == FILE
    assert hash_state(*backwards) == hash_state(SECTIONS, BLOBS)
    assert hash_state(SECTIONS, {**BLOBS, "ram": RAM[:-1] + b"D"}) != hash_state(SECTIONS, BLOBS)


@pytest.mark.parametrize(
    ("sections", "blobs", "message"),
    [
        (["pit"], ["ram"], "section that this machine does not: 'uart'"),
        (["pit", "uart", "vga"], ["ram"], "lacks the section 'vga'"),
        (["pit", "uart"], ["ram", "vram"], "lacks the blob 'vram'"),
        (["pit", "uart"], [], "blob that this machine does not: 'ram'"),
    ],
)
def test_sections_and_blobs_must_be_the_machines(sections: list[str], blobs: list[str], message: str) -> None:
    container = read_container(FILE)
    container.require(sections=["pit", "uart"], blobs=["ram"])
    with pytest.raises(SnapshotError, match=message):
        container.require(sections=sections, blobs=blobs)


def test_the_containers_own_manifest_keys_are_kept() -> None:
    with pytest.raises(ValueError, match="format"):
        write_container({}, {}, {"format": "mine"})


def rebuilt(change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The file with its entries changed."""
    with zipfile.ZipFile(io.BytesIO(FILE)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def with_manifest(edit: Callable[[Any], None]) -> bytes:
    def change(entries: dict[str, bytes]) -> None:
        manifest = json.loads(entries["manifest.json"])
        edit(manifest)
        entries["manifest.json"] = json.dumps(manifest).encode()

    return rebuilt(change)


def with_entry(name: str, data: bytes) -> bytes:
    return rebuilt(lambda entries: entries.update({name: data}))


def without_entry(name: str) -> bytes:
    def change(entries: dict[str, bytes]) -> None:
        del entries[name]

    return rebuilt(change)


DAMAGED = {
    "empty": (b"", "damaged"),
    "not a zip": (b"not a zip at all", "damaged"),
    "cut short": (FILE[: len(FILE) // 2], "damaged"),
    "no manifest": (without_entry("manifest.json"), r"lacks manifest\.json"),
    "manifest is no JSON": (with_entry("manifest.json", b"{"), "is not JSON"),
    "manifest too deep": (with_entry("manifest.json", b"[" * 200_000), "is not JSON"),
    "manifest is a list": (with_entry("manifest.json", b"[]"), "no saved state"),
    "another format": (with_manifest(lambda manifest: manifest.update(format="zip")), "no saved state"),
    "another format version": (with_manifest(lambda manifest: manifest.update(format_version=99)), "format version 99; accepted: 1"),
    "manifest without sections": (with_manifest(lambda manifest: manifest.pop("sections")), "damaged"),
    "section size of text": (with_manifest(lambda manifest: manifest["sections"]["pit"].update(size="3")), "'pit' of sections is damaged"),
    "absurd blob size": (with_manifest(lambda manifest: manifest["blobs"]["ram"].update(size=1 << 60)), "accepted: up to"),
    "section missing": (without_entry("sections/pit.json"), r"lacks the entry 'sections/pit\.json'"),
    "extra entry": (with_entry("sections/extra.json", b"{}"), "entry that this machine does not: 'sections/extra.json'"),
    "section changed": (with_entry("sections/pit.json", PIT.replace(b"2", b"3")), "section 'pit' does not have its checksum"),
    "section longer": (with_entry("sections/pit.json", b" " * 1000), "has 1000 bytes where the manifest says"),
    "blob changed": (with_entry("blobs/uart.fifo.bin", b"\x01abd"), "blob 'uart.fifo' does not have its checksum"),
    "blob too long": (with_entry("blobs/uart.fifo.bin", bytes(100)), "has 100 bytes; accepted: up to 4"),
    "blob of another size": (with_manifest(lambda manifest: manifest["blobs"]["uart.fifo"].update(size=9)), "its pages do not fit its 9 bytes"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_refused_and_says_why(data: bytes, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        read_container(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused() -> None:
    file = io.BytesIO(FILE)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("sections/pit.json", b"{}")
    with pytest.raises(SnapshotError, match="some of one name"):
        read_container(file.getvalue())


@settings(deadline=None)
@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_found_or_makes_no_difference(position: int, bits: int) -> None:
    data = bytearray(FILE)
    data[position] ^= bits
    try:
        container = read_container(bytes(data))
    except SnapshotError:
        return
    assert container.sections == SECTIONS
    assert container.blob("ram") == RAM


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=20)), max_size=5), st.integers(0, 20_000))
def test_blobs_of_any_size_and_content_come_back(writes: list[tuple[int, bytes]], size: int) -> None:
    blob = bytearray(20_020)
    for offset, data in writes:
        blob[offset : offset + len(data)] = data
    data = bytes(blob[:size])
    assert read_container(write_container({}, {"b": data}, {})).blob("b") == data
