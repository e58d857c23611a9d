"""A second opinion on images, where ``qemu-img`` is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

KIND_OFFSET, PARENT_OFFSET = 0x4C, 0x1A8
DYNAMIC = (1).to_bytes(4, "little")
QEMU_IMG = shutil.which("qemu-img") or ""


def check_with_qemu(image: Path, scratch: Path) -> None:
    """QEMU knows no differencing images: it gets a copy that says that it stands on nothing."""
    if not QEMU_IMG:
        return
    copy = scratch / "for-qemu.vdi"
    shutil.copyfile(image, copy)
    with copy.open("r+b") as file:
        file.seek(KIND_OFFSET)
        file.write(DYNAMIC)
        file.seek(PARENT_OFFSET)
        file.write(bytes(32))
    run("check", "-q", "-f", "vdi", copy)
    copy.unlink()


def compare_with_qemu(vdi: Path, raw: Path) -> None:
    run("compare", "-q", "-f", "vdi", "-F", "raw", vdi, raw)


def run(*arguments: str | Path) -> None:
    done = subprocess.run([QEMU_IMG, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"qemu-img {arguments[0]}: {done.stdout}{done.stderr}"
