"""What can be done to images: created, described, resized, compacted, merged, cloned, given other parents and UUIDs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from ringone.api.errors import MediumError, UnsupportedError
from ringone.api.media import ImageTools, MediumVariant, NewMedium, clone_medium
from ringone_storage.formats import ISO, RAW, VDI
from ringone_storage.vdi.header import NO_UUID, Kind
from ringone_storage.vdi.image import FREE, ZERO

from plugins.storage.tests.vdi_images import BLOCK, CAPACITY, content, entries_of, header_of, make, open_disk, put

MIB = 1 << 20
DIFF = MediumVariant.DIFFERENCING


def tools_of(spec: object) -> ImageTools:
    tools = getattr(spec, "tools", None)
    assert tools is not None
    return tools  # type: ignore[no-any-return]


TOOLS = tools_of(VDI)
RAW_TOOLS = tools_of(RAW)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_created_image_is_described_as_it_was_ordered(tmp_path: Path) -> None:
    path, wanted = tmp_path / "a.vdi", str(uuid.uuid4())
    info = TOOLS.create(NewMedium(path=path, capacity_bytes=10 * MIB - 100, uuid=wanted, comment="for tests"))
    assert info == TOOLS.describe(path)
    assert (info.format, info.variant, info.capacity_bytes, info.allocated_bytes) == ("vdi", MediumVariant.STANDARD, 10 * MIB, 0)
    assert (info.uuid, info.comment, info.parent_uuid) == (wanted, "for tests", "")
    assert files(tmp_path) == {"a.vdi"}
    assert path.stat().st_size == MIB


def test_a_fixed_image_takes_its_room_at_once(tmp_path: Path) -> None:
    done: list[float] = []
    info = TOOLS.create(NewMedium(path=tmp_path / "a.vdi", capacity_bytes=3 * MIB, variant=MediumVariant.FIXED), done.append)
    assert (info.variant, info.allocated_bytes) == (MediumVariant.FIXED, 3 * MIB)
    assert (tmp_path / "a.vdi").stat().st_blocks * 512 >= 3 * MIB
    assert done[-1] == 1.0
    assert content([tmp_path / "a.vdi"]) == bytes(3 * MIB)


def test_a_differencing_image_takes_size_and_uuids_from_its_parent(tmp_path: Path) -> None:
    parent = TOOLS.create(NewMedium(path=tmp_path / "a.vdi", capacity_bytes=5 * MIB))
    child = TOOLS.create(NewMedium(path=tmp_path / "b.vdi", parent=parent.path, variant=DIFF))
    assert (child.capacity_bytes, child.variant) == (5 * MIB, DIFF)
    assert (child.parent_uuid, child.parent_modification_uuid) == (parent.uuid, parent.modification_uuid)
    put([child.path, parent.path], 3, b"x" * 512)
    assert content([child.path, parent.path])[3 * 512 : 4 * 512] == b"x" * 512


def test_a_differencing_image_can_stand_on_a_raw_one(tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(random.Random(1).randbytes(2 * MIB + 512))
    child = TOOLS.create(NewMedium(path=tmp_path / "b.vdi", parent=base, variant=DIFF))
    put([child.path, base], 1, b"x" * 512)
    assert content([child.path, base]) == base.read_bytes()[:512] + b"x" * 512 + base.read_bytes()[1024:]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"capacity_bytes": 0}, "a capacity of 0 bytes is not possible"),
        ({"capacity_bytes": -1}, "a capacity of -1 bytes is not possible"),
        ({"capacity_bytes": 1 << 60}, "accepted are 1 to 17592186044416"),
        ({"variant": DIFF}, "differencing images have a parent"),
        ({"parent": Path("missing.vdi")}, "differencing images have a parent, others have none"),
        ({"parent": Path("missing.vdi"), "variant": DIFF}, "No such file"),
        ({"uuid": "none"}, "'none' is no UUID"),
        ({"uuid": str(NO_UUID)}, "cannot have the UUID"),
        ({"variant": MediumVariant.STREAM}, "cannot be of variant Stream; accepted: Standard, Fixed, Diff"),
    ],
    ids=["no size", "negative", "huge", "no parent", "parent", "missing parent", "bad UUID", "zero UUID", "stream"],
)
def test_what_cannot_be_created_is_refused_and_leaves_nothing(tmp_path: Path, wrong: dict[str, object], says: str) -> None:
    with pytest.raises((MediumError, UnsupportedError), match=says):
        TOOLS.create(NewMedium(**{"path": tmp_path / "a.vdi", "capacity_bytes": MIB, **wrong}))  # type: ignore[arg-type]
    assert files(tmp_path) == set()


@pytest.mark.parametrize("tools", [TOOLS, RAW_TOOLS], ids=["vdi", "raw"])
def test_nothing_is_created_over_another_file(tmp_path: Path, tools: ImageTools) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"precious")
    (tmp_path / "dangling").symlink_to("nowhere")
    for taken in (path, tmp_path / "dangling"):
        with pytest.raises(MediumError, match="exists already"):
            tools.create(NewMedium(path=taken, capacity_bytes=MIB))
    assert path.read_bytes() == b"precious"
    with pytest.raises(MediumError, match="cannot create a file there: No such file"):
        tools.create(NewMedium(path=tmp_path / "no" / "folder.vdi", capacity_bytes=MIB))


def test_names_of_255_bytes_and_any_letters_are_possible(tmp_path: Path) -> None:
    for name in ("ü" * 125 + ".vdi", "a b\n'\".vdi", "-f.vdi"):
        assert TOOLS.create(NewMedium(path=tmp_path / name, capacity_bytes=MIB)).path.exists()


FULL = """
    import resource, sys
    from pathlib import Path
    from ringone.api.errors import DiskFullError
    from ringone.api.media import MediumVariant, NewMedium, clone_medium
    from ringone_storage.formats import RAW, VDI
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20,) * 2)
    folder = Path(sys.argv[1])
    for spec in (VDI, RAW):
        for variant in (MediumVariant.FIXED, MediumVariant.STANDARD):
            try:
                clone_medium(RAW, [folder / "source.img"], spec, NewMedium(path=folder / "new", variant=variant))
            except DiskFullError as error:
                print("full")
"""


def test_a_full_host_disk_leaves_no_half_made_image(tmp_path: Path) -> None:
    (tmp_path / "source.img").write_bytes(b"x" * 8 * MIB)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "full\n" * 4
    assert files(tmp_path) == {"source.img"}


def test_an_image_in_use_can_be_described_but_not_worked_on(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    disk = open_disk(path)
    assert TOOLS.describe(path).capacity_bytes == CAPACITY
    attempts: list[Callable[[], None]] = [
        lambda: TOOLS.resize(path, CAPACITY * 2),
        lambda: TOOLS.compact([path]),
        lambda: TOOLS.set_uuid(path, str(uuid.uuid4())),
    ]
    for work in attempts:
        with pytest.raises(MediumError, match="used by another machine"):
            work()
    disk.close()


def test_growing_keeps_the_content_and_the_file_short(tmp_path: Path) -> None:
    path = tmp_path / "a.vdi"
    TOOLS.create(NewMedium(path=path, capacity_bytes=2 * MIB))
    put([path], 0, b"x" * 512)
    size = path.stat().st_size
    TOOLS.resize(path, 100 << 30)
    assert TOOLS.describe(path).capacity_bytes == 100 << 30
    assert path.stat().st_size == size
    disk = open_disk(path)
    disk.write((100 << 30) // 512 - 1, b"z" * 512)
    assert disk.read(0, 1) == b"x" * 512
    disk.close()


def test_a_disk_can_grow_until_its_map_needs_more_room(tmp_path: Path) -> None:
    """A terabyte's map is longer than the room in front of the data."""
    path = tmp_path / "a.vdi"
    TOOLS.create(NewMedium(path=path, capacity_bytes=9 * MIB))
    data = random.Random(1).randbytes(9 * MIB)
    put([path], 0, data)
    TOOLS.resize(path, 1 << 40)
    disk = open_disk(path)
    assert disk.read(0, 9 * MIB // 512) == data
    disk.write(disk.block_count - 8, b"z" * 4096)
    disk.close()
    disk = open_disk(path)
    assert disk.read(disk.block_count - 8, 8) == b"z" * 4096
    assert header_of(path).data_offset == 5 * MIB


def test_a_fixed_image_grows_with_room(tmp_path: Path) -> None:
    path = tmp_path / "a.vdi"
    TOOLS.create(NewMedium(path=path, capacity_bytes=2 * MIB, variant=MediumVariant.FIXED))
    TOOLS.resize(path, 4 * MIB)
    assert TOOLS.describe(path).allocated_bytes == 4 * MIB
    assert min(entries_of(path)) == 0
    assert max(entries_of(path)) == 3


def test_shrinking_is_refused(tmp_path: Path) -> None:
    path, raw = make(tmp_path / "a.vdi"), tmp_path / "a.img"
    raw.write_bytes(bytes(4096))
    for tools, image in ((TOOLS, path), (RAW_TOOLS, raw)):
        with pytest.raises(UnsupportedError, match="images cannot become smaller"):
            tools.resize(image, 2048)
    RAW_TOOLS.resize(raw, 8192)
    assert raw.read_bytes() == bytes(8192)


def test_differencing_images_keep_their_parents_size(tmp_path: Path) -> None:
    base = make(tmp_path / "a.vdi")
    with pytest.raises(UnsupportedError, match="has the size of its parent"):
        TOOLS.resize(make(tmp_path / "b.vdi", parent=base), CAPACITY * 2)


def test_compacting_gives_back_blocks_of_zeros(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi")
    data = b"".join(bytes([number % 3]) * BLOCK for number in range(60))
    put([path], 0, b"x" * 60 * BLOCK)
    put([path], 0, data)
    before = header_of(path)
    done: list[float] = []
    TOOLS.compact([path], done.append)
    assert content([path])[: 60 * BLOCK] == data
    assert header_of(path).allocated == 40
    assert path.stat().st_size == header_of(path).slots_end(40)
    assert header_of(path).modification_uuid == before.modification_uuid
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_compacting_a_differencing_image_gives_back_what_the_parent_has_too(tmp_path: Path) -> None:
    base = make(tmp_path / "a.vdi")
    put([base], 0, b"A" * 3 * BLOCK)
    child = make(tmp_path / "b.vdi", parent=base)
    put([child, base], 0, b"x" * 6 * BLOCK)
    put([child, base], 0, b"A" * BLOCK + bytes(BLOCK) + b"B" * BLOCK + bytes(2 * BLOCK) + b"C" * BLOCK)
    expected = content([child, base])
    TOOLS.compact([child, base])
    assert content([child, base]) == expected
    assert [min(entry, 100) if entry < ZERO else entry for entry in entries_of(child)[:6]] == [FREE, ZERO, 1, FREE, FREE, 0]


def test_fixed_and_raw_images_are_not_compacted(tmp_path: Path) -> None:
    path = make(tmp_path / "a.vdi", kind=Kind.FIXED)
    with pytest.raises(UnsupportedError, match="always has its full size"):
        TOOLS.compact([path])
    with pytest.raises(UnsupportedError, match="clone it to a VDI image"):
        RAW_TOOLS.compact([path])


def three(tmp_path: Path) -> tuple[list[Path], bytes]:
    base = make(tmp_path / "a.vdi")
    put([base], 0, b"A" * 6 * BLOCK)
    middle = make(tmp_path / "b.vdi", parent=base)
    put([middle, base], 0, bytes(BLOCK) + b"B" * BLOCK)
    put([middle, base], 7 * 8, b"B" * BLOCK)
    top = make(tmp_path / "c.vdi", parent=middle)
    put([top, middle, base], 3, b"C" * 512)
    return [top, middle, base], content([top, middle, base])


def test_merging_down_brings_the_writes_to_the_parent(tmp_path: Path) -> None:
    (top, middle, base), expected = three(tmp_path)
    seen_before = content([middle, base])
    TOOLS.merge(middle, base)
    middle.unlink()
    assert content([base]) == seen_before
    with pytest.raises(MediumError, match="does not match"):
        content([top, base])
    TOOLS.set_parent(top, base)
    assert content([top, base]) == expected


def test_another_child_notices_that_its_parent_was_merged_into(tmp_path: Path) -> None:
    (_, middle, base), _ = three(tmp_path)
    other = make(tmp_path / "other.vdi", parent=base)
    TOOLS.merge(middle, base)
    with pytest.raises(MediumError, match=r"was changed after .*other\.vdi was made on it"):
        content([other, base])


def test_merging_up_makes_a_child_independent_of_its_parent(tmp_path: Path) -> None:
    (top, middle, base), expected = three(tmp_path)
    TOOLS.merge(middle, top)
    middle.unlink()
    assert content([top, base]) == expected
    TOOLS.merge(base, top)
    base.unlink()
    assert content([top]) == expected
    assert TOOLS.describe(top).variant is MediumVariant.STANDARD


def test_merging_with_a_raw_parent_in_both_directions(tmp_path: Path) -> None:
    for number, upwards in enumerate((False, True)):
        base = tmp_path / f"{number}.img"
        base.write_bytes(random.Random(1).randbytes(3 * MIB - 512))
        child = TOOLS.create(NewMedium(path=tmp_path / f"{number}.vdi", parent=base, variant=DIFF)).path
        put([child, base], 5, b"x" * 512)
        put([child, base], 2048, bytes(MIB))
        expected = content([child, base])
        if upwards:
            TOOLS.merge(base, child)
            assert content([child]) == expected
        else:
            TOOLS.merge(child, base)
            assert base.read_bytes() == expected
            assert content([child, base]) == expected


def test_only_neighbours_are_merged(tmp_path: Path) -> None:
    (top, middle, base), expected = three(tmp_path)
    for source, target in ((top, base), (base, top), (top, make(tmp_path / "other.vdi"))):
        with pytest.raises(MediumError, match="neither of them is the parent of the other"):
            TOOLS.merge(source, target)
    coarse = make(tmp_path / "coarse.vdi", parent=top, block=2 * BLOCK)
    with pytest.raises(MediumError, match="their blocks have 8192 and 4096 bytes; clone the chain instead"):
        TOOLS.merge(coarse, top)
    with pytest.raises(MediumError, match="used by another machine"):
        TOOLS.merge(top, top)
    assert content([top, middle, base]) == expected


def test_parents_and_uuids_can_be_changed(tmp_path: Path) -> None:
    (top, middle, base), expected = three(tmp_path)
    fresh = str(uuid.uuid4())
    TOOLS.set_uuid(middle, fresh)
    assert TOOLS.describe(middle).uuid == fresh
    TOOLS.set_parent(top, middle)
    assert content([top, middle, base]) == expected
    for path, parent, says in (
        (base, top, "stands on no other image"),
        (top, top, "the disk image is used by|same UUID"),
        (top, make(tmp_path / "large.vdi", capacity=2 * CAPACITY), "a parent has to be of the same size"),
    ):
        with pytest.raises(MediumError, match=says):
            TOOLS.set_parent(path, parent)


def test_clones_between_formats_hold_the_same(tmp_path: Path) -> None:
    chain, expected = three(tmp_path)
    raw = clone_medium(VDI, chain, RAW, NewMedium(path=tmp_path / "clone.img"))
    assert raw.path.read_bytes() == expected
    assert (raw.format, raw.capacity_bytes) == ("raw", CAPACITY)
    for variant in (MediumVariant.STANDARD, MediumVariant.FIXED):
        done: list[float] = []
        clone = clone_medium(RAW, [raw.path], VDI, NewMedium(path=tmp_path / f"{variant.value}.vdi", variant=variant), done.append)
        assert content([clone.path]) == expected
        assert clone.variant is variant
        assert (done, done[-1]) == (sorted(done), 1.0)


def test_huge_empty_disks_are_cloned_at_once(tmp_path: Path) -> None:
    """Two terabytes, of which nothing is read but the little that is there."""
    size = 2 << 40
    base = TOOLS.create(NewMedium(path=tmp_path / "a.vdi", capacity_bytes=size)).path
    child = TOOLS.create(NewMedium(path=tmp_path / "b.vdi", parent=base, variant=DIFF)).path
    put([base], 5 << 20, b"A" * 512)
    TOOLS.set_parent(child, base)
    put([child, base], size // 512 - 1, b"B" * 512)
    raw = clone_medium(VDI, [child, base], RAW, NewMedium(path=tmp_path / "a.img")).path
    back = clone_medium(RAW, [raw], VDI, NewMedium(path=tmp_path / "c.vdi"))
    assert back.allocated_bytes == 2 * MIB
    disk = open_disk(back.path)
    assert (disk.read(5 << 20, 1), disk.read(disk.block_count - 1, 1)) == (b"A" * 512, b"B" * 512)
    disk.close()


def test_clones_of_chains_hold_what_raw_parents_hide_and_zeros_cover(tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(random.Random(1).randbytes(3 * MIB))
    child = TOOLS.create(NewMedium(path=tmp_path / "a.vdi", parent=base, variant=DIFF)).path
    put([child, base], 2048, bytes(MIB))
    clone = clone_medium(VDI, [child, base], VDI, NewMedium(path=tmp_path / "b.vdi"))
    assert content([clone.path]) == base.read_bytes()[:MIB] + bytes(MIB) + base.read_bytes()[2 * MIB :]
    assert clone.allocated_bytes == 2 * MIB


def test_cds_are_cloned_and_described(tmp_path: Path) -> None:
    path = tmp_path / "cd.iso"
    path.write_bytes(bytes(32768) + b"\x01CD001\x01" + bytes(2041))
    clone = clone_medium(ISO, [path], ISO, NewMedium(path=tmp_path / "copy.iso"))
    assert clone.path.read_bytes() == path.read_bytes()
    assert (clone.format, clone.capacity_bytes) == ("iso", 34816)


def test_a_clone_stands_on_nothing(tmp_path: Path) -> None:
    base = make(tmp_path / "a.vdi")
    with pytest.raises(UnsupportedError, match="a clone stands on no other image"):
        clone_medium(VDI, [base], VDI, NewMedium(path=tmp_path / "b.vdi", parent=base, variant=DIFF))
    with pytest.raises(UnsupportedError, match="cannot stand on another image"):
        RAW_TOOLS.create(NewMedium(path=tmp_path / "b.img", capacity_bytes=512, parent=base, variant=DIFF))


def test_raw_images_have_no_uuids_and_no_parents(tmp_path: Path) -> None:
    raw = RAW_TOOLS.create(NewMedium(path=tmp_path / "a.img", capacity_bytes=MIB)).path
    assert RAW_TOOLS.describe(raw).allocated_bytes == 0
    for work in (
        lambda: RAW_TOOLS.merge(raw, raw),
        lambda: RAW_TOOLS.set_parent(raw, raw),
        lambda: RAW_TOOLS.set_uuid(raw, str(uuid.uuid4())),
        lambda: RAW_TOOLS.create(NewMedium(path=tmp_path / "b.img", capacity_bytes=MIB, uuid=str(uuid.uuid4()))),
    ):
        with pytest.raises(UnsupportedError, match="a raw image"):
            work()
    os.mkfifo(tmp_path / "pipe")
    for tools in (TOOLS, RAW_TOOLS):
        with pytest.raises(MediumError, match="accepted are regular files"):
            tools.describe(tmp_path / "pipe")
