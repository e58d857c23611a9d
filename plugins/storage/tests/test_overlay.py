"""Throw-away writes: seen by the guest, never by the file, bounded."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.drivers import BlockDevice
from ringone.api.errors import DiskFullError
from ringone.api.media import AccessMode
from ringone_storage.layers import CHUNK_BYTES
from ringone_storage.overlay import ThrowAwayOverlay
from ringone_storage.raw import open_raw

SIZE = 13 * CHUNK_BYTES + 700


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def test_writes_are_read_back_and_the_file_stays_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    disk = open_raw([path], AccessMode.THROW_AWAY, 512)
    disk.write(126, b"\xee" * 2048)
    disk.flush()
    assert disk.read(125, 6) == before[125 * 512 : 126 * 512] + b"\xee" * 2048 + before[130 * 512 : 131 * 512]
    disk.close()
    assert path.read_bytes() == before


def test_a_new_machine_starts_from_the_file(path: Path) -> None:
    first = open_raw([path], AccessMode.THROW_AWAY, 512)
    first.write(0, bytes(512))
    first.close()
    assert open_raw([path], AccessMode.THROW_AWAY, 512).read(0, 1) == path.read_bytes()[:512]


def test_memory_for_writes_is_bounded(path: Path) -> None:
    disk = ThrowAwayOverlay(open_raw([path], AccessMode.READ_ONLY, 512), "disk.img", limit_bytes=2 * CHUNK_BYTES)
    disk.write(0, bytes(512))
    disk.write(1, bytes(512))
    disk.write(32, bytes(512))
    assert disk.memory_bytes == 2 * CHUNK_BYTES
    with pytest.raises(DiskFullError, match=r"disk\.img: the memory for writes is used up .*use mode persistent"):
        disk.write(64, bytes(512))
    disk.write(34, bytes(512))


def test_the_bound_is_said_when_the_image_is_opened(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        open_raw([path], AccessMode.THROW_AWAY, 512)
    assert "at most 1024 MiB" in caplog.text


class MemoryDisk:
    block_size = 512
    read_only = True

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.block_count = len(data) // 512

    def read(self, block: int, count: int) -> bytes:
        return self.data[block * 512 : (block + count) * 512]

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        raise AssertionError("the overlay wrote to its base")

    def flush(self) -> None: ...
    def close(self) -> None: ...


@given(st.lists(st.tuples(st.integers(0, 449), st.integers(0, 300), st.integers(0, 255)), max_size=12))
def test_an_overlay_behaves_like_a_disk(writes: list[tuple[int, int, int]]) -> None:
    model = bytearray(random.Random(2).randbytes(450 * 512))
    base: BlockDevice = MemoryDisk(bytes(model))
    disk = ThrowAwayOverlay(base, "model")
    for block, count, fill in writes:
        data = bytes([fill]) * (min(count, 450 - block) * 512)
        disk.write(block, data)
        model[block * 512 : block * 512 + len(data)] = data
        assert disk.read(block, len(data) // 512) == data
    assert disk.read(0, 450) == model
