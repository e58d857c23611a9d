"""Our images in the eyes of qemu-img, its images in ours, and formats that are converted."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ringone.api.errors import DiskFullError, MediumError, UnsupportedError
from ringone.api.media import AccessMode, ImageTools, MediumFormatSpec, MediumVariant, NewMedium, clone_medium, find_format
from ringone_storage import qemu_img
from ringone_storage.foreign import FOREIGN
from ringone_storage.formats import ISO, RAW, VDI
from ringone_storage.vdi.disk import VdiDisk

from plugins.storage.tests.vdi_images import content, make, open_disk, put

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed (Debian's package qemu-utils)")

FORMATS: dict[str, MediumFormatSpec] = {spec.name: spec for spec in (RAW, ISO, VDI, *FOREIGN)}
MIB = 1 << 20
SIZE = 6 * MIB
VARIANTS = [
    pytest.param(spec, variant, id=f"{spec.name} {variant.value}")
    for spec in FOREIGN
    for variant in MediumVariant
    if spec.tools is not None and variant in getattr(spec.tools, "variants", ())
]


def tools_of(spec: MediumFormatSpec) -> ImageTools:
    assert spec.tools is not None
    return spec.tools


def qemu(*arguments: str | Path) -> str:
    done = subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def source(tmp_path: Path) -> tuple[Path, bytes]:
    path = tmp_path / "source.img"
    path.write_bytes(random.Random(1).randbytes(MIB) + bytes(3 * MIB) + random.Random(2).randbytes(2 * MIB))
    return path, path.read_bytes()


@pytest.mark.parametrize("seed", range(2))
def test_qemu_finds_no_fault_after_random_io_with_children_and_merges_in_between(tmp_path: Path, seed: int) -> None:
    luck = random.Random(seed)
    tools = tools_of(VDI)
    capacity = 12 * MIB + 512
    chain = [tools.create(NewMedium(path=tmp_path / "0.vdi", capacity_bytes=capacity)).path]
    model = bytearray(capacity)
    for turn in range(1, 12):
        disk = open_disk(*chain)
        assert isinstance(disk, VdiDisk)
        for _ in range(8):
            block = luck.randrange(disk.block_count)
            size = min(luck.choice([512, 4096, 65536, 2 * MIB]), capacity - block * 512)
            data = luck.choice([luck.randbytes(size), bytes(size)])
            disk.write(block, data)
            model[block * 512 : block * 512 + size] = data
        first = luck.randrange(12)
        disk.discard(first * 2048, 2048)
        model[first * MIB : (first + 1) * MIB] = bytes(MIB)
        disk.close()
        if len(chain) < 2 or luck.random() < 0.5:
            chain.insert(0, tools.create(NewMedium(path=tmp_path / f"{turn}.vdi", parent=chain[0], variant=MediumVariant.DIFFERENCING)).path)
        elif luck.random() < 0.5:
            tools.merge(chain[0], chain[1])
            chain.pop(0).unlink()
        else:
            tools.merge(chain[1], chain[0])
            chain.pop(1).unlink()
        assert content(chain) == model
    while len(chain) > 1:
        tools.merge(chain[0], chain[1])
        chain.pop(0)
    tools.compact(chain)
    (tmp_path / "model.img").write_bytes(model)
    assert "No errors" in qemu("check", "-f", "vdi", chain[0])
    assert "identical" in qemu("compare", "-f", "vdi", "-F", "raw", chain[0], tmp_path / "model.img")


@pytest.mark.parametrize("variant", [MediumVariant.STANDARD, MediumVariant.FIXED], ids=lambda variant: variant.value)
def test_qemu_reads_what_was_cloned_resized_and_compacted(tmp_path: Path, variant: MediumVariant) -> None:
    path, data = source(tmp_path)
    clone = clone_medium(RAW, [path], VDI, NewMedium(path=tmp_path / "a.vdi", variant=variant)).path
    assert "No errors" in qemu("check", "-f", "vdi", clone)
    assert "identical" in qemu("compare", "-f", "vdi", "-F", "raw", clone, path)
    tools_of(VDI).resize(clone, 2 * SIZE)
    assert "No errors" in qemu("check", "-f", "vdi", clone)
    path.write_bytes(data.ljust(2 * SIZE, b"\0"))
    assert "identical" in qemu("compare", "-f", "vdi", "-F", "raw", clone, path)


@pytest.mark.parametrize("options", ["", "static=on"], ids=["dynamic", "static"])
def test_vdi_images_of_qemu_are_read_and_written(tmp_path: Path, options: str) -> None:
    path, data = source(tmp_path)
    qemu("convert", "-f", "raw", "-O", "vdi", *(["-o", options] if options else []), path, tmp_path / "a.vdi")
    assert content([tmp_path / "a.vdi"]) == data
    put([tmp_path / "a.vdi"], 1500, b"x" * 4096 * 512)
    assert "No errors" in qemu("check", "-f", "vdi", tmp_path / "a.vdi")
    path.write_bytes(data[: 1500 * 512] + b"x" * 4096 * 512 + data[5596 * 512 :])
    assert "identical" in qemu("compare", "-f", "vdi", "-F", "raw", tmp_path / "a.vdi", path)


@pytest.mark.parametrize(("spec", "variant"), VARIANTS)
def test_other_formats_come_in_and_go_out(tmp_path: Path, spec: MediumFormatSpec, variant: MediumVariant) -> None:
    path, data = source(tmp_path)
    done: list[float] = []
    out = clone_medium(RAW, [path], spec, NewMedium(path=tmp_path / f"out{spec.suffixes[0]}", variant=variant), done.append)
    assert (out.format, out.capacity_bytes) == (spec.name, SIZE)
    assert find_format(FORMATS, out.path) is spec
    back = clone_medium(spec, [out.path], VDI, NewMedium(path=tmp_path / "back.vdi"), done.append)
    assert content([back.path]) == data
    assert done[-1] == 1.0
    assert {entry.name for entry in tmp_path.iterdir()} == {"source.img", out.path.name, "back.vdi"}


@pytest.mark.parametrize("spec", FOREIGN, ids=lambda spec: spec.name)
def test_other_formats_are_not_run_from_and_say_how_to_convert_them(tmp_path: Path, spec: MediumFormatSpec) -> None:
    path = tmp_path / f"my disk{spec.suffixes[0]}"
    tools_of(spec).create(NewMedium(path=path, capacity_bytes=SIZE))
    found = find_format(FORMATS, path)
    for mode in AccessMode:
        with pytest.raises(
            MediumError, match=r"cannot be used by a machine directly; convert it first: ringone clonemedium disk '.*my disk.*' '.*my disk\.vdi' --format VDI"
        ):
            found.open([path], mode, 512)
    tools = tools_of(spec)
    refused: list[Callable[[], None]] = [
        lambda: tools.resize(path, 1),
        lambda: tools.compact([path]),
        lambda: tools.merge(path, path),
        lambda: tools.set_uuid(path, ""),
        lambda: tools.set_parent(path, path),
    ]
    for work in refused:
        with pytest.raises(UnsupportedError, match="convert it first"):
            work()


def test_images_that_refer_to_other_files_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.img"
    secret.write_bytes(b"secret" * MIB)
    folder = tmp_path / "folder"
    folder.mkdir()
    qemu("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", folder / "a.qcow2")
    qemu("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", folder / "b.vmdk", "1M")
    descriptor = (folder / "b.vmdk").read_text(errors="replace")
    assert "b-flat.vmdk" in descriptor
    (folder / "b.vmdk").write_text(descriptor.replace("b-flat.vmdk", "../secret.img"))
    for name in ("a.qcow2", "b.vmdk"):
        spec = find_format(FORMATS, folder / name)
        with pytest.raises(MediumError, match=r"refers to another file, '.*secret\.img'"):
            clone_medium(spec, [folder / name], RAW, NewMedium(path=tmp_path / "out.img"))
    assert not (tmp_path / "out.img").exists()


def test_extents_beside_their_descriptor_are_read(tmp_path: Path) -> None:
    path, data = source(tmp_path)
    qemu("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", path, tmp_path / "a.vmdk")
    clone = clone_medium(FORMATS["vmdk"], [tmp_path / "a.vmdk"], VDI, NewMedium(path=tmp_path / "a.vdi"))
    assert content([clone.path]) == data


def test_encrypted_images_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    qemu("create", "-q", "-f", "qcow2", path, "1M")
    with path.open("r+b") as file:
        file.seek(32)
        file.write(b"\0\0\0\1")
    (tmp_path / "b.vmdk").write_text('# Disk DescriptorFile\nversion=1\nencryption.keySafe = "vmware:key/list"\n')
    for image in (path, tmp_path / "b.vmdk"):
        with pytest.raises(MediumError, match="encrypted images are not supported"):
            find_format(FORMATS, image).open([image], AccessMode.READ_ONLY, 512)
    with pytest.raises(MediumError, match="encrypted images are not supported"):
        clone_medium(FORMATS["qcow2"], [path], VDI, NewMedium(path=tmp_path / "b.vdi"))


def test_damaged_images_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    path.write_bytes(b"QFI\xfb" + b"\xff" * 100)
    with pytest.raises(MediumError, match=r"a\.qcow2: qemu-img cannot read the image: ") as caught:
        tools_of(FORMATS["qcow2"]).describe(path)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="a VMDK image of variant Fixed cannot be created; accepted: Standard, Stream"):
        tools_of(FORMATS["vmdk"]).create(NewMedium(path=tmp_path / "a.vmdk", capacity_bytes=MIB, variant=MediumVariant.FIXED))
    with pytest.raises(UnsupportedError, match="cannot be given a UUID"):
        tools_of(FORMATS["vhd"]).create(NewMedium(path=tmp_path / "a.vhd", capacity_bytes=MIB, comment="mine"))


def test_without_qemu_img_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MediumError, match=r"needs the program qemu-img, which is not installed .*qemu-utils"):
        tools_of(FORMATS["qcow2"]).create(NewMedium(path=tmp_path / "a.qcow2", capacity_bytes=MIB))


def test_a_full_disk_is_told_from_other_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A qemu-img that has no room, without filling a disk for it."""
    program = tmp_path / "qemu-img"
    program.write_text("#!/bin/sh\necho 'error while writing: No space left on device' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DiskFullError, match="No space left"):
        qemu_img.convert(make(tmp_path / "a.vdi"), "vdi", tmp_path / "b", "raw", "", lambda done: None)
