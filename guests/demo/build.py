"""Builds the demo's disk image with the compiler of the Python package ziglang, the same on every host, when a source is newer than the image.

The image is a bare disk: boot sector, kernel, and far enough behind them the pattern that the demo reads back.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

from guests.cache import CACHE, write_atomically

SOURCES = Path(__file__).parent / "src"
BUILD = CACHE / "demo"
IMAGE = BUILD / "demo.img"

TARGET = ("-target", "x86-freestanding-none", "-march=i686", "-ffreestanding")
C_FLAGS = (
    *("-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-g0", "-mno-mmx", "-mno-sse", "-fno-pic", "-fno-jump-tables", "-fno-builtin"),
    *("-fno-stack-protector", "-fno-sanitize=undefined", "-fno-asynchronous-unwind-tables", "-fno-strict-aliasing"),
)
KERNEL_FILES = ("entry.S", "console.c", "cpu.c", "paging.c", "devices.c", "tasks.c", "user.c", "checks.c")

SECTOR = 512
IMAGE_SECTORS = 4096
KERNEL_SECTORS_OFFSET = 436
"""In the boot sector: how many sectors it loads."""
PATTERN_SECTOR = 256
PATTERN_SECTORS = 64
PATTERN_HEADER = struct.Struct("<4sII")

ELF_PROGRAM_HEADERS, ELF_PROGRAM_HEADER_SIZE = 28, 42
"""Where the ELF header says where they are, and how large and how many."""
PROGRAM_HEADER = struct.Struct("<5I")
PT_LOAD = 1


class BuildError(Exception):
    """The demo cannot be built; the message says why and what to do."""


def build() -> Path:
    """The image's path, built anew if need be."""
    sources = [*SOURCES.iterdir(), Path(__file__)]
    if IMAGE.exists() and IMAGE.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return IMAGE
    if importlib.util.find_spec("ziglang") is None:
        raise BuildError("building the demo guest needs the Python package ziglang: pip install ziglang")
    BUILD.mkdir(parents=True, exist_ok=True)
    boot = _link([_compile("boot.S")], BUILD / "boot.elf", "--image-base=0", "-Ttext=0x7c00", "--entry=start")
    kernel = _link([_compile(name) for name in KERNEL_FILES], BUILD / "kernel.elf", "-T", str(SOURCES / "kernel.ld"))
    return write_atomically(IMAGE, _image(_load_image(boot), _load_image(kernel)))


def _compile(name: str) -> Path:
    output = BUILD / f"{Path(name).stem}.o"
    flags = C_FLAGS if name.endswith(".c") else ()
    _zig("cc", *TARGET, *flags, "-c", str(SOURCES / name), "-o", str(output))
    return output


def _link(objects: list[Path], output: Path, *options: str) -> Path:
    _zig("ld.lld", "-m", "elf_i386", "-z", "noseparate-code", "--nmagic", *options, *map(str, objects), "-o", str(output))
    return output


def _load_image(path: Path) -> bytes:
    """What an ELF file's segments put into memory, from the lowest physical address on; segments without content are left out."""
    elf = path.read_bytes()
    (first,) = struct.unpack_from("<I", elf, ELF_PROGRAM_HEADERS)
    size, count = struct.unpack_from("<HH", elf, ELF_PROGRAM_HEADER_SIZE)
    segments = [PROGRAM_HEADER.unpack_from(elf, first + number * size) for number in range(count)]
    loaded = [(physical, elf[offset : offset + length]) for kind, offset, _, physical, length in segments if kind == PT_LOAD and length]
    start = min(physical for physical, _ in loaded)
    image = bytearray(max(physical + len(data) for physical, data in loaded) - start)
    for physical, data in loaded:
        image[physical - start : physical - start + len(data)] = data
    return bytes(image)


def _zig(*arguments: str) -> None:
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(CACHE / "zig"), "ZIG_LOCAL_CACHE_DIR": str(CACHE / "zig")}
    done = subprocess.run([sys.executable, "-m", "ziglang", *arguments], env=os.environ | caches, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"zig {' '.join(arguments)} failed:\n{done.stderr}")


def _image(boot: bytes, kernel: bytes) -> bytes:
    sectors = -(-len(kernel) // SECTOR)
    if len(boot) != SECTOR or 1 + sectors > PATTERN_SECTOR:
        raise BuildError(f"boot sector of {len(boot)} bytes and kernel of {sectors} sectors; there is room for {SECTOR} and {PATTERN_SECTOR - 1}")
    image = bytearray(IMAGE_SECTORS * SECTOR)
    image[: len(boot)] = boot
    struct.pack_into("<H", image, KERNEL_SECTORS_OFFSET, sectors)
    image[SECTOR : SECTOR + len(kernel)] = kernel
    at = PATTERN_SECTOR * SECTOR
    pattern = _pattern(PATTERN_SECTORS * SECTOR)
    PATTERN_HEADER.pack_into(image, at, b"RPAT", PATTERN_SECTORS, zlib.crc32(pattern))
    image[at + SECTOR : at + SECTOR + len(pattern)] = pattern
    return bytes(image)


def _pattern(size: int) -> bytes:
    """Bytes that no sector has twice in the same place: a linear congruential generator's high byte."""
    value = 1
    pattern = bytearray()
    for _ in range(size):
        value = (value * 1664525 + 1013904223) & 0xFFFFFFFF
        pattern.append(value >> 24)
    return bytes(pattern)
