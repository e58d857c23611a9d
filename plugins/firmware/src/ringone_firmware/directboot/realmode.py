"""A Linux image for its 16-bit entry ("The kernel command line" and "Running the kernel" of Documentation/arch/x86/boot.rst): for a BIOS to start.

The setup lies at 10000h with the command line behind it at 20000h, the rest at 1 MiB (or 10000h higher for old small kernels, which are refused), the initrd
as high as it may be.
"""

from __future__ import annotations

import struct

import attrs
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import MemoryImage

from ringone_firmware.directboot import bzimage, placement
from ringone_firmware.directboot.bzimage import BzImage

SETUP = 0x10000
TYPE_OF_LOADER, LOADFLAGS, RAMDISK_IMAGE, RAMDISK_SIZE, HEAP_END_PTR, CMD_LINE_PTR = 0x210, 0x211, 0x218, 0x21C, 0x224, 0x228
UNDEFINED_LOADER = 0xFF
CAN_USE_HEAP = 1 << 7
HEAP_END = 0xE000 - 0x200
HIGHEST_SETUP = 0x8000


@attrs.frozen(kw_only=True)
class RealModeBoot:
    """The parts with their addresses; `setup` has its header filled in."""

    setup: bytes
    payload: bytes
    initrd: bytes
    initrd_address: int
    command_line: bytes


def prepare(config: MachineConfig, kernel: BzImage, usable: int) -> RealModeBoot:
    boot = config.linux
    assert boot is not None
    name = f"kernel {boot.kernel}"
    if not kernel.loadflags & bzimage.LOADED_HIGH:
        raise ConfigError(f"{name} is a zImage, to be loaded below 1 MiB; a bzImage is accepted")
    if len(kernel.setup) > HIGHEST_SETUP:
        raise ConfigError(f"{name} has {len(kernel.setup)} bytes of setup code; at most {HIGHEST_SETUP} are accepted")
    placement.check_fits(name, bzimage.HIGH_MEMORY, len(kernel.payload), usable)
    initrd = placement.read_initrd(boot)
    limit = min(usable, kernel.initrd_addr_max + 1)
    initrd_at = limit - len(initrd) & -placement.PAGE if initrd else 0
    if initrd and initrd_at < bzimage.HIGH_MEMORY + len(kernel.payload):
        placement.check_fits(f"initrd {boot.initrd}", bzimage.HIGH_MEMORY + len(kernel.payload) + placement.PAGE, len(initrd), limit)
    setup = bytearray(kernel.setup)
    setup[TYPE_OF_LOADER] = UNDEFINED_LOADER
    setup[LOADFLAGS] |= CAN_USE_HEAP
    struct.pack_into("<H", setup, HEAP_END_PTR, HEAP_END)
    struct.pack_into("<II", setup, RAMDISK_IMAGE, initrd_at, len(initrd))
    struct.pack_into("<I", setup, CMD_LINE_PTR, placement.CMDLINE)
    cmdline = placement.command_line(boot.append, max(kernel.cmdline_size, bzimage.DEFAULT_CMDLINE_SIZE), name)
    return RealModeBoot(setup=bytes(setup), payload=kernel.payload, initrd=initrd, initrd_address=initrd_at, command_line=cmdline)


def images(config: MachineConfig, kernel: BzImage, usable: int) -> tuple[MemoryImage, ...]:
    """For a BIOS that leaves memory alone where these lie."""
    parts = prepare(config, kernel, usable)
    initrd = (MemoryImage(address=parts.initrd_address, data=parts.initrd),) if parts.initrd else ()
    return (
        MemoryImage(address=SETUP, data=parts.setup),
        MemoryImage(address=placement.CMDLINE, data=parts.command_line),
        MemoryImage(address=bzimage.HIGH_MEMORY, data=parts.payload),
        *initrd,
    )
