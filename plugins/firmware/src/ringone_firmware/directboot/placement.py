"""Where a direct boot puts things: a few fixed places below 640 KiB, the kernel where its file says, ACPI tables at the top of RAM."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import attrs
from ringone.api.config import LinuxBoot, MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import MemoryImage

from ringone_firmware import e820, files
from ringone_firmware.acpi import tables

INFO, CMDLINE = 0x10000, 0x20000
"""Boot information (Linux boot_params, Multiboot information) and command line."""
PAGE = 4096
RSDP_ALIGNMENT = 16
ROM_SIZE = 0x10000
FILE_LIMIT = 3 << 30
UNPACKED_LIMIT = 1 << 30
GZIP_MAGIC = b"\x1f\x8b"


@attrs.frozen(kw_only=True)
class Acpi:
    """Linked tables with their RSDP behind them, `reserved` bytes at the top of RAM. All empty for a machine without ACPI."""

    address: int
    data: bytes
    rsdp: int
    reserved: int

    def images(self) -> tuple[MemoryImage, ...]:
        return (MemoryImage(address=self.address, data=self.data),) if self.data else ()

    def rom(self) -> bytes:
        """A ROM below 1 MiB that holds nothing but a copy of the RSDP, where guests without a better way look for it."""
        return self.data[self.rsdp - self.address :].ljust(ROM_SIZE, b"\0") if self.data else b""


def place_acpi(config: MachineConfig) -> Acpi:
    if not config.acpi:
        return Acpi(address=config.memory_bytes, data=b"", rsdp=0, reserved=0)
    built = tables.build(config)
    rsdp_offset = len(built.data) + -len(built.data) % RSDP_ALIGNMENT
    reserved = rsdp_offset + tables.RSDP_SIZE + e820.ALIGNMENT - 1 & ~(e820.ALIGNMENT - 1)
    address = config.memory_bytes - reserved
    data = built.link(address).ljust(rsdp_offset, b"\0") + tables.rsdp(address + built.rsdt)
    return Acpi(address=address, data=data, rsdp=address + rsdp_offset, reserved=reserved)


def read_kernel(boot: LinuxBoot) -> bytes:
    """The kernel's file, unpacked where it is a gzip file as a whole."""
    data = files.read(boot.kernel, "kernel", limit=FILE_LIMIT)
    return _unpacked(data, boot.kernel) if data.startswith(GZIP_MAGIC) else data


def _unpacked(data: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(UNPACKED_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"kernel {path} is a damaged gzip file: {error}") from error
    if len(unpacked) > UNPACKED_LIMIT:
        raise ConfigError(f"kernel {path} unpacks to more than {UNPACKED_LIMIT} bytes")
    return unpacked


def read_initrd(boot: LinuxBoot) -> bytes:
    return files.read(boot.initrd, "initrd", limit=FILE_LIMIT) if boot.initrd else b""


def command_line(text: str, limit: int, kernel: str) -> bytes:
    """Zero-terminated, in the bytes that the file system's encoding gave it."""
    encoded = text.encode("utf-8", "surrogateescape")
    if len(encoded) > limit:
        raise ConfigError(f"the command line has {len(encoded)} bytes; {kernel} accepts {limit}")
    return encoded + b"\0"


def check_fits(what: str, start: int, size: int, limit: int) -> None:
    if start + size > limit:
        needed = start + size - limit + (1 << 20) - 1 >> 20
        raise ConfigError(f"{what} needs memory up to {start + size:#x}, but usable memory ends at {limit:#x}: give the machine at least {needed} MiB more")
