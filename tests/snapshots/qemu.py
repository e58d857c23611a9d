"""A second opinion on images, where ``qemu-img`` is installed."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

from tests.snapshots.lab import BLOCK_BYTES, DISK_BYTES

KIND_OFFSET, MAP_OFFSET, COUNT_OFFSET, PARENT_OFFSET = 0x4C, 0x154, 0x184, 0x1A8
NO_BLOCK = 0xFFFFFFFE
DYNAMIC = (1).to_bytes(4, "little")
QEMU_IMG = shutil.which("qemu-img") or ""


def check_with_qemu(image: Path, scratch: Path) -> None:
    """QEMU knows no differencing images: it gets a copy that says that it stands on nothing."""
    if QEMU_IMG:
        copy = copied(image, scratch)
        run("check", "-q", "-f", "vdi", copy)
        copy.unlink()


def check_killed_with_qemu(image: Path, scratch: Path) -> None:
    """The header's count of blocks is written before the blocks' entries; a killed process may leave it too high, which QEMU does not accept."""
    if QEMU_IMG:
        copy = copied(image, scratch)
        with copy.open("r+b") as file:
            header = file.read(512)
            file.seek(int.from_bytes(header[MAP_OFFSET : MAP_OFFSET + 4], "little"))
            entries = struct.unpack(f"<{DISK_BYTES // BLOCK_BYTES}I", file.read(4 * (DISK_BYTES // BLOCK_BYTES)))
            file.seek(COUNT_OFFSET)
            file.write(sum(entry < NO_BLOCK for entry in entries).to_bytes(4, "little"))
        run("check", "-q", "-f", "vdi", copy)
        copy.unlink()


def copied(image: Path, scratch: Path) -> Path:
    copy = scratch / "for-qemu.vdi"
    shutil.copyfile(image, copy)
    with copy.open("r+b") as file:
        file.seek(KIND_OFFSET)
        file.write(DYNAMIC)
        file.seek(PARENT_OFFSET)
        file.write(bytes(32))
    return copy


def compare_with_qemu(vdi: Path, raw: Path) -> None:
    run("compare", "-q", "-f", "vdi", "-F", "raw", vdi, raw)


def run(*arguments: str | Path) -> None:
    done = subprocess.run([QEMU_IMG, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"qemu-img {arguments[0]}: {done.stdout}{done.stderr}"
