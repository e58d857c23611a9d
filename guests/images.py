"""Makes bootable images of what Debian's packages hold. Each is built once, and anew where a part of it or its recipe is newer."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from guests import catalog, initramfs
from guests.apt import FetchError, folder
from guests.cache import write_atomically
from guests.catalog import BUSYBOX, GNUMACH, GRUB_LEGACY, GRUB_TOOLS, IMAGES, ISOLINUX, LINUX_686, LINUX_PAE, SYSLINUX, find, image

FLOPPY_BYTES = 1440 << 10
FAT_HEADS, FAT_TRACK_SECTORS = 16, 63
FAT_DISK_SECTORS = 33 * FAT_HEADS * FAT_TRACK_SECTORS
DATA_BYTES = 1 << 20

SYSLINUX_CONFIG = """SERIAL 0 115200
PROMPT 1
TIMEOUT 0
DEFAULT nothing
"""
ISOLINUX_CONFIG = f"""SERIAL 0 115200
PROMPT 1
TIMEOUT 0
LABEL linux
  KERNEL /linux
  INITRD /initrd
  APPEND console=ttyS0 {catalog.LINUX_APPEND}
"""
SYSLINUX_MODULES = ("ldlinux.c32", "libcom32.c32", "libutil.c32", "libgpl.c32", "libmenu.c32", "cpuidtest.c32", "meminfo.c32", "hdt.c32", "pcitest.c32")

GRUB_TESTS = ("shift_test", "mul_test", "div_test", "cmp_test", "ctz_test", "bswap_test", "setjmp_test", "xnu_uuid_test", "functional_test")
GRUB_IMAGE_MODULES = ("biosdisk", "iso9660", "normal", "serial", "terminal", "echo")
GRUB_CONFIG = "\n".join(
    (
        "serial --unit=0 --speed=115200",
        "terminal_output serial console",
        "terminal_input serial console",
        "echo GRUB-CFG",
        "set pager=0",
        *(f"insmod {module}" for module in GRUB_TESTS),
        "functional_test",
        "echo ALLDONE",
        "lsmmap",
        "hashsum --hash sha256 /boot/grub/i386-pc/normal.mod",
        "echo GRUB-FINISHED",
        "halt",
        "",
    )
)


def data() -> bytes:
    """The file that guests read from disk and CD: the same for everybody."""
    return random.Random(1).randbytes(DATA_BYTES)


def build(name: str) -> Path:
    """The image's path; built if it is missing or older than the packages and this module."""
    recipe, packages = RECIPES[name]
    target = IMAGES / name
    inputs = [Path(__file__), Path(initramfs.__file__), *(folder(package) for package in packages)]
    if target.exists() and target.stat().st_mtime >= max(path.stat().st_mtime for path in inputs):
        return target
    print(f"fetch: building {name}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        return write_atomically(target, recipe(Path(scratch)))


def _initramfs(package: str) -> Callable[[Path], bytes]:
    return lambda scratch: initramfs.initramfs(folder(BUSYBOX) / "bin/busybox", folder(package))


def _fat_disk(scratch: Path) -> bytes:
    target = _zeros(scratch / "fat.img", FAT_DISK_SECTORS * 512)
    _run("mformat", "-i", target, "-T", FAT_DISK_SECTORS, "-h", FAT_HEADS, "-s", FAT_TRACK_SECTORS, "::")
    (scratch / "data.bin").write_bytes(data())
    _run("mcopy", "-i", target, scratch / "data.bin", "::")
    return target.read_bytes()


def _grub_legacy(scratch: Path) -> bytes:
    stages = folder(GRUB_LEGACY) / "usr/lib/grub/x86_64-pc"
    return b"".join((stages / stage).read_bytes() for stage in ("stage1", "stage2")).ljust(FLOPPY_BYTES, b"\0")


def _gnumach(scratch: Path) -> bytes:
    return gzip.decompress((folder(GNUMACH) / "boot/gnumach-1.8-486.gz").read_bytes())


def _syslinux(scratch: Path) -> bytes:
    program, modules = (folder(package) for package in SYSLINUX)
    target = _zeros(scratch / "syslinux.img", FLOPPY_BYTES)
    (scratch / "syslinux.cfg").write_text(SYSLINUX_CONFIG)
    _run("mformat", "-f", 1440, "-i", target, "::")
    _run(program / "usr/bin/syslinux", "--install", target)
    files = [modules / "usr/lib/syslinux/modules/bios" / module for module in SYSLINUX_MODULES if module != "ldlinux.c32"]
    _run("mcopy", "-i", target, scratch / "syslinux.cfg", *files, "::")
    return target.read_bytes()


def _isolinux(scratch: Path) -> bytes:
    loader, modules = (folder(package) for package in ISOLINUX)
    tree = scratch / "tree"
    (tree / "isolinux").mkdir(parents=True)
    shutil.copy(loader / "usr/lib/ISOLINUX/isolinux.bin", tree / "isolinux")
    shutil.copy(modules / "usr/lib/syslinux/modules/bios/ldlinux.c32", tree / "isolinux")
    (tree / "isolinux/isolinux.cfg").write_text(ISOLINUX_CONFIG)
    shutil.copy(find(catalog.in_package(LINUX_686, "boot/vmlinuz-*")), tree / "linux")
    shutil.copy(find(image("initramfs-686.gz")), tree / "initrd")
    (tree / "data.bin").write_bytes(data())
    return _bootable_cd(scratch, tree, "isolinux/isolinux.bin")


def _grub_tests(scratch: Path) -> bytes:
    modules, tools, library = (folder(package) for package in GRUB_TOOLS)
    tree = scratch / "tree"
    shutil.copytree(modules / "usr/lib/grub/i386-pc", tree / "boot/grub/i386-pc", ignore=shutil.ignore_patterns("*.img", "*.bin", "efiemu*"))
    (tree / "boot/grub/grub.cfg").write_text(GRUB_CONFIG)
    loader = tree / "boot/grub/eltorito.img"
    options = ("-O", "i386-pc-eltorito", "-d", modules / "usr/lib/grub/i386-pc", "-p", "/boot/grub", "-o", loader, *GRUB_IMAGE_MODULES)
    _run(tools / "usr/bin/grub-mkimage", *options, library=library / "lib/x86_64-linux-gnu")
    return _bootable_cd(scratch, tree, "boot/grub/eltorito.img")


def _bootable_cd(scratch: Path, tree: Path, loader: str) -> bytes:
    target = scratch / "cd.iso"
    boot = ("-b", loader, "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", 4, "-boot-info-table")
    _run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", target, *boot, tree)
    return target.read_bytes()


def _zeros(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def _run(program: str | Path, *arguments: object, library: Path | None = None) -> None:
    if shutil.which(program) is None:
        package = {"xorriso": "xorriso", "mformat": "mtools", "mcopy": "mtools"}.get(str(program), str(program))
        raise FetchError(f"building guests' images needs {program} (Debian package {package})")
    environment = os.environ | {"MTOOLS_SKIP_CHECK": "1"} | ({"LD_LIBRARY_PATH": str(library)} if library else {})
    done = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise FetchError(f"{program} failed: {done.stderr.strip()}")


RECIPES: Mapping[str, tuple[Callable[[Path], bytes], tuple[str, ...]]] = {
    # image: how it is made, of which packages
    "initramfs-686.gz": (_initramfs(LINUX_686), (LINUX_686, BUSYBOX)),
    "initramfs-686-pae.gz": (_initramfs(LINUX_PAE), (LINUX_PAE, BUSYBOX)),
    "fat.img": (_fat_disk, ()),
    "grub-legacy.img": (_grub_legacy, (GRUB_LEGACY,)),
    "gnumach": (_gnumach, (GNUMACH,)),
    "syslinux.img": (_syslinux, SYSLINUX),
    "isolinux.iso": (_isolinux, (*ISOLINUX, LINUX_686, BUSYBOX)),
    "grub-tests.iso": (_grub_tests, GRUB_TOOLS),
}
"""In an order in which each has what it is made of."""
