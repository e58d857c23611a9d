"""Disks on VDI images: what is read and written through chains, and which chains are refused."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError
from ringone.api.media import AccessMode, ImageTools
from ringone_storage.formats import VDI
from ringone_storage.vdi.disk import VdiDisk
from ringone_storage.vdi.header import NO_UUID, Kind
from ringone_storage.vdi.image import FREE, PENDING_BLOCKS, ZERO

from plugins.storage.tests.vdi_images import BLOCK, CAPACITY, SECTORS, change_header, content, entries_of, header_of, make, open_disk, put

SECTORS_PER_BLOCK = BLOCK // 512
assert VDI.tools is not None
TOOLS: ImageTools = VDI.tools


def raw_base(tmp_path: Path) -> Path:
    path = tmp_path / "base.img"
    path.write_bytes(random.Random(7).randbytes(CAPACITY))
    return path


def family(tmp_path: Path, depth: int) -> list[Path]:
    """A chain, the youngest first; the base has the letter A in every byte of its block 0, and so on."""
    chain = [make(tmp_path / "0.vdi")]
    put(chain, 0, b"A" * BLOCK)
    for number in range(1, depth):
        chain.insert(0, make(tmp_path / f"{number}.vdi", parent=chain[0]))
        put(chain, number * SECTORS_PER_BLOCK, bytes([ord("A") + number % 26]) * BLOCK)
    return chain


def test_a_new_image_reads_as_zeros_and_takes_no_room(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    size = path.stat().st_size
    disk = open_disk(path)
    assert (disk.block_size, disk.block_count, disk.read_only) == (512, SECTORS, False)
    assert disk.read(0, SECTORS) == bytes(CAPACITY)
    disk.write(5, bytes(40 * 512))
    disk.close()
    assert path.stat().st_size == size


@pytest.mark.parametrize("extra", [0, 512, 24], ids=["no extra bytes", "a sector", "an odd number"])
def test_what_was_written_is_there_when_the_image_is_opened_again(tmp_path: Path, extra: int) -> None:
    path = make(tmp_path / "a.vdi", extra=extra)
    disk = open_disk(path)
    disk.write(SECTORS - 3, b"z" * 1536)
    disk.write(3, b"x" * 512 * 20)
    disk.close()
    assert content([path])[: 24 * 512] == bytes(3 * 512) + b"x" * 512 * 20 + bytes(512)
    assert content([path])[-2048:] == bytes(512) + b"z" * 1536
    assert path.stat().st_size == header_of(path).slots_end(header_of(path).allocated)


def test_blocks_are_found_where_the_format_says(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi", extra=512)
    put([path], 2 * SECTORS_PER_BLOCK, b"x" * BLOCK)
    header = header_of(path)
    position = header.data_offset + entries_of(path)[2] * (BLOCK + 512) + 512
    assert path.read_bytes()[position : position + BLOCK] == b"x" * BLOCK


def test_the_first_write_renews_the_modification_uuid_and_reading_does_not(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    before = header_of(path)
    disk = open_disk(path)
    disk.read(0, 1)
    disk.flush()
    assert header_of(path) == before
    disk.write(0, b"x" * 512)
    changed = header_of(path).modification_uuid
    assert changed != before.modification_uuid
    disk.write(0, b"y" * 512)
    disk.close()
    assert header_of(path).modification_uuid == changed
    assert header_of(path).uuid == before.uuid


def test_allocated_blocks_are_counted_in_the_header(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    put([path], 0, b"x" * 3 * BLOCK)
    assert header_of(path).allocated == 3


def test_a_chain_shows_the_youngest_writes(tmp_path: Path) -> None:
    chain = family(tmp_path, 3)
    assert content(chain)[: 4 * BLOCK] == b"A" * BLOCK + b"B" * BLOCK + b"C" * BLOCK + bytes(BLOCK)
    put(chain, 1, b"x" * 512)
    assert content(chain)[:BLOCK] == b"A" * 512 + b"x" * 512 + b"A" * (BLOCK - 1024)
    assert content(chain[1:])[:BLOCK] == b"A" * BLOCK


def test_a_chain_may_be_deep(tmp_path: Path) -> None:
    assert content(family(tmp_path, 60))[::BLOCK][:60] == bytes(ord("A") + number % 26 for number in range(60))


def test_zeros_hide_what_the_parent_has(tmp_path: Path) -> None:
    chain = family(tmp_path, 2)
    put(chain, 0, bytes(BLOCK))
    assert entries_of(chain[0])[0] == ZERO
    assert content(chain)[:BLOCK] == bytes(BLOCK)
    put(chain, 1, b"x" * 512)
    assert content(chain)[:BLOCK] == bytes(512) + b"x" * 512 + bytes(BLOCK - 1024)
    assert content(chain[1:])[:BLOCK] == b"A" * BLOCK


def test_zeros_take_no_room_in_a_differencing_image(tmp_path: Path) -> None:
    chain = family(tmp_path, 2)
    put(chain, 40, bytes(BLOCK))
    assert min(entries_of(chain[0])[2:]) == ZERO


def test_an_image_can_stand_on_a_raw_one(tmp_path: Path) -> None:
    base = raw_base(tmp_path)
    child = make(tmp_path / "a.vdi", parent=make(tmp_path / "any.vdi"))
    change_header(child, parent_uuid=NO_UUID, parent_modification_uuid=NO_UUID)
    before = base.read_bytes()
    put([child, base], SECTORS - 1, b"z" * 512)
    assert content([child, base]) == before[:-512] + b"z" * 512
    assert base.read_bytes() == before


def test_images_of_one_chain_may_have_blocks_of_different_sizes(tmp_path: Path) -> None:
    base = make(tmp_path / "a.vdi", block=2048)
    put([base], 0, b"A" * CAPACITY)
    child = make(tmp_path / "b.vdi", parent=base, block=8192)
    put([child, base], 5, b"x" * 512)
    assert content([child, base]) == b"A" * 5 * 512 + b"x" * 512 + b"A" * (CAPACITY - 6 * 512)


def test_fixed_images_are_read_and_written_in_place(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi", kind=Kind.FIXED)
    put([path], 9, b"x" * 512)
    assert content([path])[9 * 512 : 10 * 512] == b"x" * 512


@pytest.mark.parametrize("mode", [AccessMode.READ_ONLY, AccessMode.THROW_AWAY], ids=lambda mode: mode.value)
def test_other_modes_leave_the_files_as_they_are(tmp_path: Path, mode: AccessMode) -> None:
    chain = family(tmp_path, 2)
    before = [path.read_bytes() for path in chain]
    disk = open_disk(*chain, mode=mode)
    if mode is AccessMode.READ_ONLY:
        with pytest.raises(MediumError, match="read-only"):
            disk.write(0, bytes(512))
    else:
        disk.write(0, b"x" * 512)
        assert disk.read(0, 2) == b"x" * 512 + b"A" * 512
    disk.close()
    assert [path.read_bytes() for path in chain] == before


def test_parents_are_read_by_several_machines_and_written_by_none(tmp_path: Path) -> None:
    base = make(tmp_path / "base.vdi")
    children = [make(tmp_path / name, parent=base) for name in ("a.vdi", "b.vdi")]
    disks = [open_disk(child, base) for child in children]
    with pytest.raises(MediumError, match=r"base\.vdi: the disk image is used by another machine"):
        open_disk(base)
    with pytest.raises(MediumError, match=r"a\.vdi: the disk image is used by another machine"):
        open_disk(children[0], base)
    for disk in disks:
        disk.close()
    open_disk(base).close()


def foreign(tmp_path: Path) -> list[Path]:
    chain = family(tmp_path, 2)
    return [chain[0], make(tmp_path / "other.vdi")]


def changed(tmp_path: Path) -> list[Path]:
    chain = family(tmp_path, 2)
    put(chain[1:], 0, b"!" * 512)
    return chain


def other_size(tmp_path: Path) -> list[Path]:
    base = make(tmp_path / "base.vdi")
    child = make(tmp_path / "child.vdi", parent=base, capacity=CAPACITY + 512)
    return [child, base]


def itself(tmp_path: Path) -> list[Path]:
    path = family(tmp_path, 2)[0]
    change_header(path, parent_uuid=header_of(path).uuid)
    return [path]


def twice(tmp_path: Path) -> list[Path]:
    chain = family(tmp_path, 2)
    return [chain[0], chain[0]]


def linked(tmp_path: Path) -> list[Path]:
    chain = family(tmp_path, 2)
    (tmp_path / "link.vdi").hardlink_to(chain[0])
    return [chain[0], tmp_path / "link.vdi"]


def small_raw(tmp_path: Path) -> list[Path]:
    child = family(tmp_path, 2)[0]
    change_header(child, parent_uuid=NO_UUID)
    (tmp_path / "small.img").write_bytes(bytes(512))
    return [child, tmp_path / "small.img"]


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        (lambda tmp_path: family(tmp_path, 2)[:1], "is a differencing image; its parent {.*} is missing"),
        (lambda tmp_path: family(tmp_path, 3)[::2], "does not match"),
        (lambda tmp_path: [*family(tmp_path, 2), make(tmp_path / "more.vdi")], "more.vdi: is no parent of .*0.vdi, which stands on no other image"),
        (foreign, "other.vdi: UUID {.*} of the image does not match {.*}, the parent of .*1.vdi"),
        (changed, "0.vdi: the image was changed after .*1.vdi was made on it"),
        (other_size, "the parent's capacity is .* they have to be equal"),
        (itself, "the image is its own parent"),
        (twice, "stands twice in the chain"),
        (linked, "stands twice in the chain"),
        (lambda tmp_path: [family(tmp_path, 2)[0], raw_base(tmp_path)], "base.img: is no VDI image; .*1.vdi stands on the one with the UUID"),
        (small_raw, "the parent's capacity is 512 bytes"),
    ],
    ids=["no parent", "one left out", "one too many", "foreign", "changed", "other size", "own parent", "twice", "twice by link", "raw for VDI", "small raw"],
)
def test_chains_that_do_not_fit_are_refused_and_left_closed(tmp_path: Path, chain: object, says: str) -> None:
    paths: list[Path] = chain(tmp_path)  # type: ignore[operator]
    for mode in AccessMode:
        with pytest.raises(MediumError, match=says):
            open_disk(*paths, mode=mode)
    assert not [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link).startswith(str(tmp_path))]


@pytest.mark.parametrize(("block", "count"), [(SECTORS, 1), (SECTORS - 1, 2), (-1, 1), (1 << 60, 1)])
def test_accesses_beyond_the_end_are_refused(tmp_path: Path, block: int, count: int) -> None:
    disk = open_disk(make(tmp_path / "a.vdi"))
    for access in (lambda: disk.read(block, count), lambda: disk.write(block, bytes(512 * count))):
        with pytest.raises(MediumError, match=f"has {SECTORS} blocks"):
            access()


def discard(disk: BlockDevice, block: int, count: int) -> None:
    assert isinstance(disk, VdiDisk)
    disk.discard(block, count)


def test_discarded_blocks_read_as_zeros_and_give_their_room_back(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    disk = open_disk(path)
    for number in range(10):
        disk.write(number * SECTORS_PER_BLOCK, bytes([65 + number]) * BLOCK)
    discard(disk, SECTORS_PER_BLOCK - 1, 4 * SECTORS_PER_BLOCK + 2)
    expected = b"A" * BLOCK + bytes(4 * BLOCK) + b"".join(bytes([65 + number]) * BLOCK for number in range(5, 10))
    assert disk.read(0, 10 * SECTORS_PER_BLOCK) == expected
    disk.close()
    assert content([path])[: 10 * BLOCK] == expected
    assert sorted(entry for entry in entries_of(path) if entry != FREE) == [0, 1, 2, 3, 4, 5]
    assert path.stat().st_size == header_of(path).slots_end(6)


def test_discarding_in_a_differencing_image_hides_the_parent(tmp_path: Path) -> None:
    chain = family(tmp_path, 2)
    disk = open_disk(*chain)
    discard(disk, 0, SECTORS)
    disk.close()
    assert content(chain) == bytes(CAPACITY)


def test_the_room_of_discarded_blocks_is_used_again(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    disk = open_disk(path)
    disk.write(0, b"A" * (CAPACITY))
    size = path.stat().st_size
    for fill in b"bcd":
        discard(disk, 0, SECTORS)
        disk.write(0, bytes([fill]) * CAPACITY)
    disk.close()
    assert content([path]) == b"d" * CAPACITY
    assert path.stat().st_size <= size


def test_a_guest_that_never_flushes_loses_a_bounded_number_of_blocks(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    disk = open_disk(path)
    for number in range(PENDING_BLOCKS + 5):
        disk.write(number * SECTORS_PER_BLOCK, b"x" * 512)
    assert len([entry for entry in entries_of(path) if entry != FREE]) == PENDING_BLOCKS


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from ringone.api.errors import DiskFullError
    from ringone.api.media import AccessMode
    from ringone_storage.vdi.disk import open_vdi
    disk = open_vdi([Path(name) for name in sys.argv[2:]], AccessMode.PERSISTENT, 512)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
    written, refused = [], []
    for number in range(40):
        try:
            disk.write(number * 8 + 1, b"x" * 1024)
            written.append(number)
        except DiskFullError:
            refused.append(number)
    disk.write(written[0] * 8, b"y" * 512)
    disk.flush()
    disk.close()
    print(written, refused)
"""


@pytest.mark.parametrize("depth", [1, 2], ids=["dynamic", "differencing"])
def test_a_full_host_disk_leaves_a_good_image(tmp_path: Path, depth: int) -> None:
    chain = [make(tmp_path / "0.vdi")]
    if depth == 2:
        put(chain, 0, b"A" * CAPACITY)
        chain.insert(0, make(tmp_path / "1.vdi", parent=chain[0]))
    limit = header_of(chain[0]).slots_end(10) + 1000
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FULL_DISK), str(limit), *map(str, chain)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{list(range(10))} {list(range(10, 40))}\n"
    fill = b"A" if depth == 2 else b"\0"
    expected = bytearray(fill * CAPACITY)
    for number in range(10):
        expected[number * BLOCK + 512 : number * BLOCK + 1536] = b"x" * 1024
    expected[:512] = b"y" * 512
    assert content(chain) == expected
    assert header_of(chain[0]).allocated == 10


def merge_neighbours(chain: list[Path], index: int, direction: str) -> None:
    """The image at `index` and its parent."""
    child, parent = chain[index], chain[index + 1]
    if direction == "merge up":
        TOOLS.merge(parent, child)
        del chain[index + 1]
        return
    TOOLS.merge(child, parent)
    del chain[index]
    if index:
        TOOLS.set_parent(chain[index - 1], parent)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, SECTORS - 1), st.integers(1, 60), st.integers(0, 3)),
        st.tuples(st.just("discard"), st.integers(0, SECTORS - 1), st.integers(1, 60), st.just(0)),
        st.tuples(st.sampled_from(["flush", "reopen", "child", "child", "compact"]), st.just(0), st.just(0), st.just(0)),
        st.tuples(st.sampled_from(["merge down", "merge up"]), st.integers(0, 3), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(STEPS)
def test_a_disk_that_is_opened_again_given_children_merged_and_compacted_behaves_like_a_disk(tmp_path: Path, steps: list[tuple[str, int, int, int]]) -> None:
    folder = tmp_path / str(uuid.uuid4())
    folder.mkdir()
    chain = [make(folder / "0.vdi", extra=8)]
    disk = open_disk(*chain)
    model = bytearray(CAPACITY)
    for name, block, count, fill in steps:
        end = min(block + count, SECTORS)
        if name == "write":
            model[block * 512 : end * 512] = bytes([fill]) * ((end - block) * 512)
            disk.write(block, bytes(model[block * 512 : end * 512]))
        elif name == "discard":
            discard(disk, block, end - block)
            first, last = -(-block // SECTORS_PER_BLOCK), (end if end < SECTORS else SECTORS + 1) // SECTORS_PER_BLOCK
            model[first * BLOCK : max(first, last) * BLOCK] = bytes(max(0, min(last * BLOCK, CAPACITY) - first * BLOCK))
        elif name == "flush":
            disk.flush()
        else:
            disk.close()
            if name == "child":
                chain.insert(0, make(folder / f"{uuid.uuid4()}.vdi", parent=chain[0], extra=8))
            elif name == "compact":
                TOOLS.compact(chain)
            elif block + 1 < len(chain):
                merge_neighbours(chain, block, name)
            disk = open_disk(*chain)
        assert disk.read(0, SECTORS) == model
    disk.close()
    assert content(chain) == model
