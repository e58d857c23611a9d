"""Raw and ISO images: addresses, padding, access modes, and what the host refuses."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ringone.api.errors import DiskFullError, MediumError
from ringone.api.media import AccessMode
from ringone_storage import hostfile
from ringone_storage.formats import ISO, RAW
from ringone_storage.raw import open_raw


def image(tmp_path: Path, size: int, name: str = "disk.img") -> Path:
    path = tmp_path / name
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def test_blocks_lie_one_after_another(tmp_path: Path) -> None:
    path = image(tmp_path, 8 * 512)
    disk = open_raw([path], AccessMode.PERSISTENT, 512)
    assert (disk.block_size, disk.block_count, disk.read_only) == (512, 8, False)
    assert disk.read(3, 2) == path.read_bytes()[3 * 512 : 5 * 512]
    assert disk.read(8, 0) == b""


@pytest.mark.parametrize("data", [bytes(range(256)) * 4, bytearray(b"\xa5" * 1024), memoryview(b"\x5a" * 1024)], ids=["bytes", "bytearray", "memoryview"])
def test_writes_reach_the_file(tmp_path: Path, data: bytes) -> None:
    path = image(tmp_path, 8 * 512)
    disk = open_raw([path], AccessMode.PERSISTENT, 512)
    disk.write(6, data)
    disk.flush()
    disk.close()
    assert path.read_bytes()[6 * 512 :] == bytes(data)
    assert path.stat().st_size == 8 * 512


def test_the_last_short_block_reads_as_if_filled_with_zeros(tmp_path: Path) -> None:
    path = image(tmp_path, 512 + 100)
    disk = open_raw([path], AccessMode.PERSISTENT, 512)
    assert disk.block_count == 2
    assert disk.read(0, 2) == path.read_bytes() + bytes(412)


def test_the_last_short_block_can_be_written_whole(tmp_path: Path) -> None:
    disk = open_raw([image(tmp_path, 512 + 100)], AccessMode.PERSISTENT, 512)
    disk.write(1, b"\x77" * 512)
    assert disk.read(1, 1) == b"\x77" * 512
    assert disk.block_count == 2


@pytest.mark.parametrize(("block", "count"), [(8, 1), (7, 2), (-1, 1), (1 << 48, 1)])
@pytest.mark.parametrize("mode", [AccessMode.PERSISTENT, AccessMode.THROW_AWAY])
def test_accesses_beyond_the_end_are_refused(tmp_path: Path, mode: AccessMode, block: int, count: int) -> None:
    path = image(tmp_path, 8 * 512)
    disk = open_raw([path], mode, 512)
    with pytest.raises(MediumError, match="has 8 blocks"):
        disk.read(block, count)
    with pytest.raises(MediumError, match="has 8 blocks"):
        disk.write(block, bytes(512 * count))
    assert path.stat().st_size == 8 * 512


@pytest.mark.parametrize("mode", [AccessMode.PERSISTENT, AccessMode.THROW_AWAY])
def test_a_write_of_a_part_of_a_block_is_the_chips_bug(tmp_path: Path, mode: AccessMode) -> None:
    with pytest.raises(ValueError, match="no whole number of 512-byte blocks"):
        open_raw([image(tmp_path, 1024)], mode, 512).write(0, b"x")


def test_read_only_images_refuse_writes(tmp_path: Path) -> None:
    disk = open_raw([image(tmp_path, 512)], AccessMode.READ_ONLY, 512)
    assert disk.read_only
    with pytest.raises(MediumError, match="read-only"):
        disk.write(0, bytes(512))
    disk.flush()


@pytest.mark.parametrize("mode", list(AccessMode))
def test_cds_are_read_only_in_every_mode(tmp_path: Path, mode: AccessMode) -> None:
    disk = ISO.open([image(tmp_path, 3 * 2048, "cd.iso")], mode, 2048)
    assert (disk.block_size, disk.block_count, disk.read_only) == (2048, 3, True)


def test_a_hybrid_iso_in_a_hard_disk_is_a_writable_disk(tmp_path: Path) -> None:
    assert not ISO.open([image(tmp_path, 4096)], AccessMode.PERSISTENT, 512).read_only


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "it is a directory"),
        (lambda path: path.touch(), r"empty \(0 bytes\)"),
        (lambda path: os.mkfifo(path), "accepted are regular files and block devices"),
    ],
    ids=["missing", "directory", "zero length", "pipe"],
)
@pytest.mark.parametrize("mode", list(AccessMode))
def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path, make: object, says: str, mode: AccessMode) -> None:
    path = tmp_path / "thing.img"
    make(path)  # type: ignore[operator]
    with pytest.raises(MediumError, match=says) as caught:
        RAW.open([path], mode, 512)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_no_file_system_takes_is_refused() -> None:
    with pytest.raises(MediumError, match="cannot open the disk image"):
        RAW.open([Path("a\0b")], AccessMode.READ_ONLY, 512)


def test_an_unreadable_image_names_the_file_and_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = image(tmp_path, 512)

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MediumError, match=r"disk\.img: cannot open the disk image for writing .*read-only.*Permission denied"):
        RAW.open([path], AccessMode.PERSISTENT, 512)


def test_two_machines_never_write_one_image(tmp_path: Path) -> None:
    path = image(tmp_path, 512)
    first = open_raw([path], AccessMode.PERSISTENT, 512)
    for mode in AccessMode:
        with pytest.raises(MediumError, match=r"disk\.img: the disk image is (used|written) by another machine"):
            open_raw([path], mode, 512)
    first.close()
    open_raw([path], AccessMode.PERSISTENT, 512).close()


def test_many_machines_read_one_image(tmp_path: Path) -> None:
    path = image(tmp_path, 4096)
    disks = [open_raw([path], mode, 512) for mode in (AccessMode.READ_ONLY, AccessMode.THROW_AWAY, AccessMode.READ_ONLY)]
    assert {disk.read(0, 8) for disk in disks} == {path.read_bytes()}


def test_a_refused_lock_leaves_no_open_file(tmp_path: Path) -> None:
    path = image(tmp_path, 512)
    first = open_raw([path], AccessMode.READ_ONLY, 512)
    with pytest.raises(MediumError):
        open_raw([path], AccessMode.PERSISTENT, 512)
    first.close()
    open_raw([path], AccessMode.PERSISTENT, 512).close()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EFBIG, DiskFullError), (errno.EIO, MediumError)],
    ids=["no space", "quota", "file too big", "I/O error"],
)
@pytest.mark.parametrize("operation", ["write", "flush"])
def test_host_errors_become_medium_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[MediumError], operation: str) -> None:
    disk = open_raw([image(tmp_path, 4096)], AccessMode.PERSISTENT, 512)

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hostfile, "write_at", fail)
    monkeypatch.setattr(hostfile, "sync_data", fail)
    with pytest.raises(MediumError, match=os.strerror(number)) as caught:
        disk.write(1, bytes(512)) if operation == "write" else disk.flush()
    assert type(caught.value) is kind


def test_a_disk_with_room_for_half_a_write_reports_full_and_keeps_the_first_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 700

    def small_disk(fd: int, data: memoryview, position: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(room, len(data))
        room -= taken
        return os.pwrite(fd, data[:taken], position)

    monkeypatch.setattr(hostfile, "write_at", small_disk)
    disk = open_raw([image(tmp_path, 4096)], AccessMode.PERSISTENT, 512)
    with pytest.raises(DiskFullError, match="No space left"):
        disk.write(0, b"\x11" * 1024)
    assert disk.read(0, 2)[:700] == b"\x11" * 700


def test_a_real_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096 + 100))
    script = """
        import resource, sys
        from pathlib import Path
        from ringone.api.errors import DiskFullError
        from ringone.api.media import AccessMode
        from ringone_storage.raw import open_raw
        disk = open_raw([Path(sys.argv[1])], AccessMode.PERSISTENT, 512)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 + 200, 4096 + 200))
        disk.write(0, b"x" * 512)
        try:
            disk.write(8, b"y" * 512)
        except DiskFullError as error:
            sys.exit("full: " + str(error))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(path)], capture_output=True, text=True)
    assert done.stderr.startswith("full: ")
    assert "File too large" in done.stderr


def test_a_file_cut_short_while_in_use_is_an_error(tmp_path: Path) -> None:
    path = image(tmp_path, 4096)
    disk = open_raw([path], AccessMode.READ_ONLY, 512)
    os.truncate(path, 1000)
    with pytest.raises(MediumError, match="became shorter"):
        disk.read(0, 8)


def test_seeking_hosts_read_and_write_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfile, "read_at", hostfile.seek_and_read)
    monkeypatch.setattr(hostfile, "write_at", hostfile.seek_and_write)
    path = image(tmp_path, 4096)
    disk = open_raw([path], AccessMode.PERSISTENT, 512)
    disk.write(2, b"\x42" * 1024)
    assert disk.read(0, 8) == path.read_bytes()
    assert path.read_bytes()[1024:2048] == b"\x42" * 1024


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    disk = open_raw([image(tmp_path, 512)], AccessMode.PERSISTENT, 512)
    disk.close()
    disk.close()
    with pytest.raises(MediumError):
        disk.read(0, 1)
