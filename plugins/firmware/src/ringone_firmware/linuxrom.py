"""Direct kernel boot through SeaBIOS: the image under the fw_cfg keys that QEMU's ``-kernel`` uses, and an option ROM of our own that loads and enters it.

For images that start in real mode and need a BIOS (memdisk, iPXE, kernels older than protocol 2.06).
"""

from __future__ import annotations

import struct
from importlib import resources

from ringone.api.config import MachineConfig

from ringone_firmware.assembler import assemble
from ringone_firmware.builtin.layout import SETUP_SEGMENT, SETUP_STACK
from ringone_firmware.directboot import bzimage, placement, realmode

ROM_NAME = "genroms/linuxboot.bin"
BLOCK = 512
PNP_OFFSET, PNP_SIZE, PNP_CHECKSUM_OFFSET = 0x1C, 32, 9
BIOS_HIGH_MEMORY = 2 << 20
"""What SeaBIOS may keep at the end of RAM."""
KEYS = {
    "KERNEL_ADDR": 0x07,
    "KERNEL_SIZE": 0x08,
    "KERNEL_DATA": 0x11,
    "INITRD_ADDR": 0x0A,
    "INITRD_SIZE": 0x0B,
    "INITRD_DATA": 0x12,
    "CMDLINE_ADDR": 0x13,
    "CMDLINE_SIZE": 0x14,
    "CMDLINE_DATA": 0x15,
    "SETUP_ADDR": 0x16,
    "SETUP_SIZE": 0x17,
    "SETUP_DATA": 0x18,
}
CONSTANTS = {
    "PNP_IPL_DEVICE": 0x20,
    "PNP_IPL_CODE": 0x64,
    "FW_CFG_SELECTOR": 0x510,
    "FW_CFG_DATA": 0x511,
    "FW_CFG_DMA_LOW": 0x518,
    "DMA_READ": 1 << 1,
    "DMA_SELECT": 1 << 3,
    "SETUP_SEGMENT": SETUP_SEGMENT,
    "SETUP_STACK": SETUP_STACK,
}


def build_rom() -> bytes:
    """Padded to whole blocks, with the checksums of the ROM and of its expansion header."""
    source = resources.files(__package__).joinpath("linuxrom.s").read_text(encoding="ascii")
    draft = assemble(source, {**KEYS, **CONSTANTS, "ROM_BLOCKS": 0, "PNP_CHECKSUM": 0}, name="linuxrom.s")
    rom = bytearray(draft.data)
    rom += bytes(-(len(rom) + 1) % BLOCK + 1)
    rom[2] = len(rom) // BLOCK
    rom[PNP_OFFSET + PNP_CHECKSUM_OFFSET] = -sum(rom[PNP_OFFSET : PNP_OFFSET + PNP_SIZE]) & 0xFF
    rom[-1] = -sum(rom) & 0xFF
    return bytes(rom)


def fw_cfg_files(config: MachineConfig) -> dict[str, bytes]:
    """The configured kernel, to be booted before everything else."""
    assert config.linux is not None
    kernel = bzimage.parse(placement.read_kernel(config.linux), f"kernel {config.linux.kernel}")
    parts = realmode.prepare(config, kernel, config.memory_bytes - BIOS_HIGH_MEMORY)
    items = (
        ("SETUP", realmode.SETUP, parts.setup),
        ("CMDLINE", placement.CMDLINE, parts.command_line),
        ("KERNEL", bzimage.HIGH_MEMORY, parts.payload),
        ("INITRD", parts.initrd_address, parts.initrd),
    )
    files = {ROM_NAME: build_rom(), "bootorder": f"/rom@{ROM_NAME}\nHALT\0".encode()}
    for name, address, data in items:
        files[_key(f"{name}_ADDR")] = struct.pack("<I", address)
        files[_key(f"{name}_SIZE")] = struct.pack("<I", len(data))
        files[_key(f"{name}_DATA")] = data
    return files


def _key(name: str) -> str:
    return f"key:0x{KEYS[name]:02x}"
