"""A fixed disk in the machine: layers for checkpoints, other images under it for snapshots."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.drivers import FixedDisk
from ringone.api.errors import DiskFullError, MediumError, StateError
from ringone.api.media import AccessMode, MediumFormatSpec, MediumVariant, NewMedium
from ringone.testing.media import MemoryDisk
from ringone_storage.fixed_disk import DiskImage
from ringone_storage.formats import RAW, VDI
from ringone_storage.layers import CHUNK_BYTES, DEFAULT_LIMIT_BYTES
from ringone_storage.raw import open_raw

from plugins.storage.tests.vdi_images import make

FORMATS = {"raw": RAW}
BLOCKS = 200


def image(tmp_path: Path, name: str = "disk.img", seed: int = 1, blocks: int = BLOCKS) -> Path:
    path = tmp_path / name
    path.write_bytes(random.Random(seed).randbytes(blocks * 512))
    return path


def in_memory(device: MemoryDisk, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> DiskImage:
    spec = MediumFormatSpec(name="raw", summary="memory", suffixes=(), probe=lambda path, head: True, open=lambda chain, mode, block_size: device)
    return DiskImage({"raw": spec}, [Path("memory.img")], format="raw", limit_bytes=limit_bytes)


def content(disk: FixedDisk) -> bytes:
    return disk.read(0, disk.block_count)


def test_writes_above_a_layer_leave_the_image_alone_and_rewinding_forgets_them(tmp_path: Path) -> None:
    path = image(tmp_path)
    before = path.read_bytes()
    disk = DiskImage(FORMATS, [path])
    disk.push_layer()
    disk.write(3, b"A" * 1024)
    disk.flush()
    assert disk.read(2, 4) == before[1024:1536] + b"A" * 1024 + before[2560:3072]
    assert path.read_bytes() == before
    disk.rewind_layer(0)
    assert content(disk) == before


def test_a_layer_can_be_rewound_to_again_and_again(tmp_path: Path) -> None:
    disk = DiskImage(FORMATS, [image(tmp_path)])
    disk.write(0, b"0" * 512)
    disk.push_layer()
    for fill in b"abc":
        disk.write(0, bytes([fill]) * 512)
        disk.rewind_layer(0)
        assert disk.read(0, 1) == b"0" * 512
        assert disk.memory_bytes == 0


def test_rewinding_to_a_lower_layer_forgets_the_higher_ones(tmp_path: Path) -> None:
    disk = DiskImage(FORMATS, [image(tmp_path)])
    before = content(disk)
    for fill in b"ab":
        disk.push_layer()
        disk.write(0, bytes([fill]) * 512)
    disk.rewind_layer(0)
    assert content(disk) == before
    with pytest.raises(StateError, match="no layer 1; this disk has 1"):
        disk.rewind_layer(1)


def test_dropping_the_lowest_of_two_layers_keeps_what_the_other_one_was_pushed_on(tmp_path: Path) -> None:
    path = image(tmp_path)
    before = path.read_bytes()
    disk = DiskImage(FORMATS, [path])
    disk.push_layer()
    disk.write(0, b"a" * 512)
    disk.push_layer()
    disk.write(0, b"b" * 512)
    disk.drop_layer(0)
    assert path.read_bytes() == before
    assert disk.read(0, 1) == b"b" * 512
    disk.rewind_layer(0)
    assert disk.read(0, 1) == b"a" * 512


def test_dropping_the_last_layer_brings_its_writes_to_the_image(tmp_path: Path) -> None:
    path = image(tmp_path)
    disk = DiskImage(FORMATS, [path])
    disk.push_layer()
    disk.write(BLOCKS - 1, b"z" * 512)
    disk.drop_layer(0)
    assert path.read_bytes()[-512:] == b"z" * 512
    assert disk.memory_bytes == 0


def test_closing_with_checkpoints_keeps_the_present_content(tmp_path: Path) -> None:
    path = image(tmp_path)
    disk = DiskImage(FORMATS, [path])
    for fill in b"ab":
        disk.push_layer()
        disk.write(fill - ord("a"), bytes([fill]) * 512)
    disk.close()
    assert path.read_bytes()[:1024] == b"a" * 512 + b"b" * 512


def test_read_only_disks_stay_read_only_under_layers(tmp_path: Path) -> None:
    disk = DiskImage(FORMATS, [image(tmp_path)], mode=AccessMode.READ_ONLY)
    disk.push_layer()
    with pytest.raises(MediumError, match="read-only"):
        disk.write(0, bytes(512))


def test_throw_away_disks_have_layers_too(tmp_path: Path) -> None:
    path = image(tmp_path)
    before = path.read_bytes()
    disk = DiskImage(FORMATS, [path], mode=AccessMode.THROW_AWAY)
    disk.write(0, b"a" * 512)
    disk.push_layer()
    disk.write(0, b"b" * 512)
    disk.rewind_layer(0)
    assert disk.read(0, 1) == b"a" * 512
    disk.write(0, b"c" * 512)
    disk.drop_layer(0)
    assert disk.read(0, 1) == b"c" * 512
    disk.close()
    assert path.read_bytes() == before


def test_the_memory_of_all_layers_together_is_bounded() -> None:
    disk = in_memory(MemoryDisk(bytes(8 * CHUNK_BYTES)), limit_bytes=2 * CHUNK_BYTES)
    chunk = CHUNK_BYTES // 512
    disk.push_layer()
    disk.write(0, b"a" * 512)
    disk.push_layer()
    disk.write(0, b"b" * 512)
    with pytest.raises(DiskFullError, match="forget checkpoints"):
        disk.write(chunk, b"c" * 512)
    disk.drop_layer(1)
    disk.write(chunk, b"c" * 512)
    assert disk.memory_bytes == 2 * CHUNK_BYTES


def test_what_a_full_host_disk_did_not_take_is_kept_and_tried_again_at_the_next_flush(caplog: pytest.LogCaptureFixture) -> None:
    device = MemoryDisk(bytes(8 * CHUNK_BYTES))
    disk = in_memory(device)
    disk.push_layer()
    disk.write(0, b"a" * 512)
    device.write_error = DiskFullError("no room")
    disk.drop_layer(0)
    assert "writes stay in memory until the next flush: no room" in caplog.text
    assert disk.read(0, 1) == b"a" * 512
    disk.write(1, b"b" * 512)
    with pytest.raises(DiskFullError):
        disk.flush()
    device.write_error = None
    disk.flush()
    assert device.data[:1024] == b"a" * 512 + b"b" * 512
    assert disk.memory_bytes == 0


def test_switching_goes_on_with_another_image_and_releases_the_old_one(tmp_path: Path) -> None:
    old, new = image(tmp_path), image(tmp_path, "other.img", seed=2)
    disk = DiskImage(FORMATS, [old])
    disk.write(0, b"a" * 512)
    disk.switch([new])
    assert disk.chain == (new,)
    assert content(disk) == new.read_bytes()
    assert open_raw([old], AccessMode.PERSISTENT, 512).read(0, 1) == b"a" * 512


def test_a_chain_that_cannot_be_opened_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    path = image(tmp_path)
    disk = DiskImage(FORMATS, [path])
    for other, says in (
        (tmp_path / "missing.img", "No such file"),
        (image(tmp_path, "small.img", blocks=3), "has 3 blocks, but the disk in the machine has 200"),
    ):
        with pytest.raises(MediumError, match=says):
            disk.switch([other])
        assert disk.chain == (path,)
        disk.write(0, b"a" * 512)
        assert path.read_bytes()[:512] == b"a" * 512


def test_images_can_be_changed_while_the_disk_is_between_two_chains(tmp_path: Path) -> None:
    path = image(tmp_path)
    disk = DiskImage(FORMATS, [path])

    def exchange() -> None:
        raw = open_raw([path], AccessMode.PERSISTENT, 512)
        raw.write(0, b"x" * 512)
        raw.close()

    disk.switch([path], exchange)
    assert disk.read(0, 1) == b"x" * 512

    def fail() -> None:
        raise MediumError("no")

    with pytest.raises(MediumError, match="no"):
        disk.switch([tmp_path / "other.img"], fail)
    assert disk.read(0, 1) == b"x" * 512


def test_a_disk_with_checkpoints_or_throw_away_writes_is_not_switched(tmp_path: Path) -> None:
    path = image(tmp_path)
    disk = DiskImage(FORMATS, [path], mode=AccessMode.THROW_AWAY)
    with pytest.raises(StateError, match="thrown away"):
        disk.switch([path])
    disk.push_layer()
    with pytest.raises(StateError, match="checkpoints keep 1 layers"):
        disk.switch([path])


def snapshot(base: Path, name: str) -> Path:
    assert VDI.tools is not None
    return VDI.tools.create(NewMedium(path=base.with_name(name), parent=base, variant=MediumVariant.DIFFERENCING)).path


def test_snapshots_of_a_raw_disk_are_differencing_images_above_it(tmp_path: Path) -> None:
    assert VDI.tools is not None
    merge = VDI.tools.merge
    base = image(tmp_path)
    before = base.read_bytes()
    disk = DiskImage({"raw": RAW, "vdi": VDI}, [base], format="raw")
    first: list[Path] = []
    disk.switch([tmp_path / "1.vdi", base], lambda: first.append(snapshot(base, "1.vdi")))
    disk.write(0, b"1" * 512)
    disk.switch([tmp_path / "2.vdi", *first, base], lambda: first.insert(0, snapshot(first[0], "2.vdi")))
    disk.write(1, b"2" * 512)
    expected = b"1" * 512 + b"2" * 512 + before[1024:]
    assert content(disk) == expected
    assert base.read_bytes() == before
    disk.switch([first[0], base], lambda: merge(first[1], first[0]))
    assert content(disk) == expected
    disk.switch([base], lambda: merge(first[0], base))
    assert content(disk) == expected
    disk.close()
    assert base.read_bytes() == expected


def test_a_named_format_holds_for_its_image_alone(tmp_path: Path) -> None:
    """The guest of a raw disk writes a VDI header to it."""
    base = image(tmp_path)
    formats = {"raw": RAW, "vdi": VDI}
    disk = DiskImage(formats, [base], format="raw")
    disk.switch([snapshot(base, "1.vdi"), base])
    with pytest.raises(MediumError):
        disk.switch([tmp_path / "missing.vdi"])
    disk.write(0, b"x" * 512)
    disk.switch([base])
    disk.write(0, make(tmp_path / "any.vdi").read_bytes()[:4096])
    disk.switch([base])
    assert disk.block_count == BLOCKS


LEVEL = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, BLOCKS - 1), st.integers(1, 80), st.integers(0, 255)),
        st.tuples(st.just("push")),
        st.tuples(st.just("rewind"), LEVEL),
        st.tuples(st.just("drop"), LEVEL),
        st.tuples(st.just("flush")),
    ),
    max_size=30,
)


@given(STEPS)
def test_layers_behave_like_copies_of_the_whole_disk(steps: list[tuple[str, *tuple[int, ...]]]) -> None:
    device = MemoryDisk(random.Random(3).randbytes(BLOCKS * 512))
    disk = in_memory(device)
    present = bytearray(device.data)
    kept: list[bytes] = []
    on_image = bytes(present)
    for name, *values in steps:
        if name == "write":
            block, count, fill = values
            data = bytes([fill]) * (min(count, BLOCKS - block) * 512)
            disk.write(block, data)
            present[block * 512 : block * 512 + len(data)] = data
        elif name == "push":
            disk.push_layer()
            kept.append(bytes(present))
        elif name == "flush":
            disk.flush()
        elif values[0] < len(kept):
            if name == "rewind":
                disk.rewind_layer(values[0])
                present = bytearray(kept[values[0]])
                del kept[values[0] + 1 :]
            else:
                disk.drop_layer(values[0])
                del kept[values[0]]
        assert content(disk) == present
        if not kept:
            on_image = bytes(present)
        assert device.data == on_image
    disk.close()
    assert device.data == present
