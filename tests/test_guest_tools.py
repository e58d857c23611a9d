"""What prepares guests: keys, initramfs archives, the order of kernel modules, and a catalog that is complete."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from guests import images
from guests.catalog import BY_NAME, CATALOG
from guests.console import scancodes
from guests.cpio import TRAILER, Archive
from guests.initramfs import modules_in_order

HEADER_BYTES = 110


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("a", "1e 9e"),
        ("A", "2a 1e 9e aa"),
        ("?", "2a 35 b5 aa"),
        ("`1", "29 a9 02 82"),
        ("\n", "1c 9c"),
        ("\x02", "1d 30 b0 9d"),
    ],
)
def test_text_becomes_key_strokes(text: str, codes: str) -> None:
    assert scancodes(text) == bytes.fromhex(codes)


def entries(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and content, as the kernel reads them."""
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * number : at + 14 + 8 * number], 16) for number in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[at + HEADER_BYTES : at + HEADER_BYTES + name_size - 1].decode()
        content_at = at + HEADER_BYTES + name_size + (-(HEADER_BYTES + name_size) % 4)
        yield name, mode, archive[content_at : content_at + size]
        if name == TRAILER:
            return
        at = content_at + size + (-size % 4)


def test_archive_holds_what_was_put_in() -> None:
    archive = Archive()
    archive.folder("bin")
    archive.file("bin/tool", b"12345", 0o755)
    archive.link("bin/sh", "tool")
    archive.character_device("console", 5, 1)
    assert list(entries(archive.finished())) == [
        ("bin", stat.S_IFDIR | 0o755, b""),
        ("bin/tool", stat.S_IFREG | 0o755, b"12345"),
        ("bin/sh", stat.S_IFLNK | 0o777, b"tool"),
        ("console", stat.S_IFCHR | 0o600, b""),
        (TRAILER, 0, b""),
    ]


def test_module_comes_after_what_it_depends_on(tmp_path: Path) -> None:
    folder = tmp_path / "lib/modules/6.1.0/kernel/drivers"
    folder.mkdir(parents=True)
    for name, depends in (("sd_mod", "scsi-common,scsi_mod"), ("scsi_mod", "scsi-common"), ("scsi-common", ""), ("unused", "")):
        (folder / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0")
    assert [path.stem for path in modules_in_order(tmp_path)] == ["scsi-common", "scsi_mod", "sd_mod"]


def test_every_image_in_the_catalog_has_a_recipe() -> None:
    assert len(BY_NAME) == len(CATALOG)
    assert {image for guest in CATALOG for image in guest.images} == set(images.RECIPES)
