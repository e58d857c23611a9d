"""The host drivers ``disk-image`` and ``removable-image``, and how they find an image's format."""

from __future__ import annotations

import errno
import os
import queue
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import pytest
from ringone.api.drivers import DriverContext
from ringone.api.errors import MediumError, UnknownNameError
from ringone.api.media import AccessMode, MediumFormatSpec, find_format
from ringone_storage import hostfile, write_behind
from ringone_storage.drivers import DISK_IMAGE, REMOVABLE_IMAGE, DiskImageOptions, RemovableImage, RemovableImageOptions
from ringone_storage.formats import ISO, RAW, VDI
from ringone_storage.raw import open_raw
from ringone_storage.vdi.image import FREE

from plugins.storage.tests.vdi_images import entries_of, make, open_disk, put

FORMATS = {"raw": RAW, "iso": ISO, "vdi": VDI}


class Context:
    component = "ide"
    media_formats: Mapping[str, MediumFormatSpec] = FORMATS

    def call_soon(self, function: Callable[[], None]) -> None: ...
    def emit(self, event: object) -> None: ...


CONTEXT: DriverContext = Context()


def iso(tmp_path: Path, name: str = "cd.iso") -> Path:
    path = tmp_path / name
    path.write_bytes(bytes(32768) + b"\x01CD001\x01" + bytes(2041))
    return path


def floppy(tmp_path: Path, name: str = "a.img", fill: bytes = b"A") -> Path:
    path = tmp_path / name
    path.write_bytes(fill * 1474560)
    return path


def bay(path: Path | None = None, block_size: int = 512) -> RemovableImage:
    made = REMOVABLE_IMAGE.create(CONTEXT, RemovableImageOptions(path=path, block_size=block_size))
    assert isinstance(made, RemovableImage)
    return made


def test_probing_knows_an_iso_and_takes_the_rest_for_raw(tmp_path: Path) -> None:
    assert find_format(FORMATS, iso(tmp_path, "cd.bin")) is ISO
    assert find_format(FORMATS, floppy(tmp_path, "a.iso")) is RAW


def test_the_suffix_decides_between_two_formats_that_both_recognize_a_file(tmp_path: Path) -> None:
    other = attrs.evolve(ISO, name="udf", suffixes=(".udf",))
    formats = {**FORMATS, "udf": other}
    assert find_format(formats, iso(tmp_path, "cd.UDF")) is other
    with pytest.raises(MediumError, match="several disk image formats; give one of: iso, udf"):
        find_format(formats, iso(tmp_path, "cd.bin"))


def test_a_disk_image_is_opened_with_its_options(tmp_path: Path) -> None:
    path = floppy(tmp_path)
    disk = DISK_IMAGE.create(CONTEXT, DiskImageOptions(path=path, mode=AccessMode.THROW_AWAY))
    disk.write(0, b"B" * 512)
    assert disk.read(0, 2) == b"B" * 512 + b"A" * 512
    assert path.read_bytes()[:1] == b"A"


def test_a_disk_is_opened_with_its_parents(tmp_path: Path) -> None:
    base = make(tmp_path / "base.vdi")
    put([base], 0, b"A" * 512)
    folder = tmp_path / "Snapshots"
    folder.mkdir()
    middle = make(folder / "middle.vdi", parent=base)
    child = make(folder / "child.vdi", parent=middle)
    disk = DISK_IMAGE.create(CONTEXT, DiskImageOptions(path=child, parents=f"middle.vdi\n{base}\n"))
    assert disk.chain == (child, middle, base)
    assert disk.read(0, 1) == b"A" * 512


def test_what_a_guest_does_not_flush_is_flushed_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: queue.Queue[Callable[[], None]] = queue.Queue()
    context = Context()
    monkeypatch.setattr(context, "call_soon", calls.put)
    monkeypatch.setattr(write_behind, "DELAY_S", 0.01)
    path = make(tmp_path / "a.vdi")
    disk = DISK_IMAGE.create(context, DiskImageOptions(path=path))
    for number in range(2):
        disk.write(number * 8, b"x" * 512)
        assert entries_of(path)[number] == FREE
        calls.get(timeout=60)()
        assert entries_of(path)[number] == number
    disk.close()
    assert calls.empty()


def test_a_flush_that_fails_behind_the_guests_back_is_only_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    calls: queue.Queue[Callable[[], None]] = queue.Queue()
    monkeypatch.setattr(write_behind, "DELAY_S", 0.01)
    disk = open_disk(make(tmp_path / "a.vdi"))
    assert isinstance(disk, write_behind.HoldsBack)
    disk.write(0, b"x" * 512)
    watcher = write_behind.WriteBehind("a.vdi", calls.put)
    watcher.watch(disk)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(hostfile, "sync_data", fail)
    calls.get(timeout=60)()
    assert "a.vdi: written blocks are not on disk yet" in caplog.text


def test_an_unknown_format_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown disk image format 'ray'.*did you mean 'raw'.*iso, raw, vdi"):
        DISK_IMAGE.create(CONTEXT, DiskImageOptions(path=floppy(tmp_path), format="ray"))


@pytest.mark.parametrize("path", ["missing.img", "."])
def test_a_missing_image_or_a_directory_is_one_clear_line(tmp_path: Path, path: str) -> None:
    with pytest.raises(MediumError, match="cannot open the disk image"):
        DISK_IMAGE.create(CONTEXT, DiskImageOptions(path=tmp_path / path))


def test_other_block_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="block_size"):
        DiskImageOptions(path=Path("x"), block_size=4096)


@pytest.mark.parametrize("path", [None, Path()], ids=["none", "empty text"])
def test_a_drive_may_be_empty(path: Path | None) -> None:
    drive = bay(path)
    assert drive.medium is None
    generation = drive.generation
    drive.eject()
    assert drive.generation == generation


def test_ejecting_closes_the_image_and_raises_the_generation(tmp_path: Path) -> None:
    path = floppy(tmp_path)
    drive = bay(path)
    generation = drive.generation
    drive.eject()
    assert drive.medium is None
    assert drive.generation > generation
    open_raw([path], AccessMode.PERSISTENT, 512).close()


def test_a_medium_change_is_seen_by_generation_and_content(tmp_path: Path) -> None:
    drive = bay(floppy(tmp_path))
    generation = drive.generation
    drive.change(floppy(tmp_path, "b.img", b"B"))
    assert drive.generation > generation
    assert drive.medium is not None
    assert drive.medium.read(0, 1) == b"B" * 512
    drive.change(None)
    assert drive.medium is None


def test_a_medium_that_cannot_be_opened_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    drive = bay(floppy(tmp_path))
    generation = drive.generation
    with pytest.raises(MediumError):
        drive.change(tmp_path / "missing.img")
    assert drive.generation == generation
    assert drive.medium is not None
    assert drive.medium.read(0, 1) == b"A" * 512


def test_putting_the_same_image_in_again_is_a_change(tmp_path: Path) -> None:
    path = floppy(tmp_path)
    drive = bay(path)
    for _ in range(2):
        generation = drive.generation
        drive.change(path)
        assert drive.generation > generation
        assert drive.medium is not None


def test_an_opened_device_can_be_inserted(tmp_path: Path) -> None:
    drive = bay()
    device = open_raw([floppy(tmp_path)], AccessMode.READ_ONLY, 512)
    drive.insert(device)
    assert drive.medium is device
    drive.close()
    assert drive.medium is None
