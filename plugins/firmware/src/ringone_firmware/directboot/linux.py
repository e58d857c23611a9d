"""Linux by its 32-bit boot protocol (Documentation/arch/x86/boot.rst and zero-page.rst), from a bzImage or an unpacked vmlinux."""

from __future__ import annotations

import struct

from ringone.api.config import LinuxBoot, MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage, MemoryImage

from ringone_firmware import e820
from ringone_firmware.directboot import bzimage, elf32, placement
from ringone_firmware.directboot.bzimage import BzImage
from ringone_firmware.directboot.entry import KernelEntry, cpu_state, stub_images

BOOT_PARAMS_SIZE = 4096
ACPI_RSDP_ADDR, ALT_MEM_K, E820_ENTRIES, VID_MODE, TYPE_OF_LOADER, LOADFLAGS = 0x070, 0x1E0, 0x1E8, 0x1FA, 0x210, 0x211
RAMDISK_IMAGE, RAMDISK_SIZE, CMD_LINE_PTR, E820_TABLE = 0x218, 0x21C, 0x228, 0x2D0
NORMAL_MODE = 0xFFFF
UNDEFINED_LOADER = 0xFF
SCREEN_INFO = struct.Struct("<BBHHBBBBHHBBH")
VGA_MEMORY_256K = 3
VMLINUX_PROTOCOL = 0x20F
VMLINUX_CMDLINE_SIZE = 2047
BANNER = b"Linux version "


def load_bzimage(config: MachineConfig, boot: LinuxBoot, kernel: BzImage) -> FirmwareImage:
    name = f"kernel {boot.kernel}"
    start = kernel.code32_start
    run_at = max(start, kernel.pref_address) if kernel.relocatable else start
    end = max(start + len(kernel.payload), run_at + kernel.init_size)
    header = bytearray(BOOT_PARAMS_SIZE)
    header[bzimage.HEADER_START : kernel.header_end] = kernel.setup[bzimage.HEADER_START : kernel.header_end]
    payload = (MemoryImage(address=start, data=kernel.payload),)
    cmdline = placement.command_line(boot.append, kernel.cmdline_size, name)
    return _image(config, boot, payload, header, cmdline, entry=start, kernel_end=end, initrd_limit=kernel.initrd_addr_max + 1)


def is_vmlinux(data: bytes) -> bool:
    return elf32.looks_like(data) and BANNER in data


def load_vmlinux(config: MachineConfig, boot: LinuxBoot, data: bytes) -> FirmwareImage:
    """The kernel proper, as the bzImage's decompressor would leave it: its entry wants the same boot_params."""
    name = f"kernel {boot.kernel}"
    executable = elf32.parse(data, name)
    if any(segment.address < e820.HIGH_START for segment in executable.segments):
        raise ConfigError(f"{name} wants to be loaded below 1 MiB; a Linux kernel for this machine lies above")
    header = bytearray(BOOT_PARAMS_SIZE)
    struct.pack_into("<H", header, bzimage.BOOT_FLAG_OFFSET, bzimage.BOOT_FLAG)
    struct.pack_into("<4sH", header, bzimage.HEADER_MAGIC_OFFSET, bzimage.HEADER_MAGIC, VMLINUX_PROTOCOL)
    header[LOADFLAGS] = bzimage.LOADED_HIGH
    end = max(segment.address + segment.memory_size for segment in executable.segments)
    cmdline = placement.command_line(boot.append, VMLINUX_CMDLINE_SIZE, name)
    segments = tuple(MemoryImage(address=segment.address, data=segment.data.ljust(segment.memory_size, b"\0")) for segment in executable.segments)
    return _image(config, boot, segments, header, cmdline, entry=executable.entry, kernel_end=end, initrd_limit=bzimage.DEFAULT_INITRD_ADDR_MAX + 1)


def _image(
    config: MachineConfig,
    boot: LinuxBoot,
    kernel: tuple[MemoryImage, ...],
    boot_params: bytearray,
    cmdline: bytes,
    *,
    entry: int,
    kernel_end: int,
    initrd_limit: int,
) -> FirmwareImage:
    acpi = placement.place_acpi(config)
    usable = config.memory_bytes - acpi.reserved
    placement.check_fits(f"kernel {boot.kernel}", 0, kernel_end, usable)
    initrd = placement.read_initrd(boot)
    initrd_at = min(usable, initrd_limit) - len(initrd) & -placement.PAGE if initrd else 0
    if initrd and initrd_at < kernel_end:
        placement.check_fits(f"initrd {boot.initrd}", kernel_end + placement.PAGE, len(initrd), min(usable, initrd_limit))
    _fill(boot_params, config, acpi, initrd_at, len(initrd))
    images = (
        *stub_images(KernelEntry(address=entry, esi=placement.INFO)),
        MemoryImage(address=placement.INFO, data=bytes(boot_params)),
        MemoryImage(address=placement.CMDLINE, data=cmdline),
        *kernel,
        *acpi.images(),
        *((MemoryImage(address=initrd_at, data=initrd),) if initrd else ()),
    )
    return FirmwareImage(name="linux", rom=acpi.rom(), ram=images, entry=cpu_state())


def _fill(boot_params: bytearray, config: MachineConfig, acpi: placement.Acpi, initrd_at: int, initrd_size: int) -> None:
    SCREEN_INFO.pack_into(boot_params, 0, 0, 0, 0, 0, 3, 80, 0, 0, VGA_MEMORY_256K, 0, 25, 1, 16)
    ranges = e820.memory_map(config.memory_bytes, acpi.reserved)
    encoded = e820.encode(ranges)
    boot_params[E820_TABLE : E820_TABLE + len(encoded)] = encoded
    boot_params[E820_ENTRIES] = len(ranges)
    boot_params[TYPE_OF_LOADER] = UNDEFINED_LOADER
    struct.pack_into("<H", boot_params, VID_MODE, NORMAL_MODE)
    struct.pack_into("<I", boot_params, ALT_MEM_K, config.memory_bytes - e820.HIGH_START >> 10)
    struct.pack_into("<II", boot_params, RAMDISK_IMAGE, initrd_at, initrd_size)
    struct.pack_into("<I", boot_params, CMD_LINE_PTR, placement.CMDLINE)
    struct.pack_into("<Q", boot_params, ACPI_RSDP_ADDR, acpi.rsdp)
