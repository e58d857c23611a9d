"""The firmware ``linux``: looks at the kernel's file and enters it by the protocol it speaks.

Images that can only start in real mode (memdisk, iPXE) need BIOS calls; for them SeaBIOS or the built-in BIOS is loaded with the kernel handed to it.
"""

from __future__ import annotations

from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage
from ringone.api.options import NoOptions

from ringone_firmware import seabios
from ringone_firmware.builtin import firmware as builtin
from ringone_firmware.directboot import bzimage, linux, multiboot, placement

LEAST_MEMORY = 2 << 20


def load(config: MachineConfig, options: NoOptions) -> FirmwareImage:
    boot = config.linux
    if boot is None:
        raise ConfigError("firmware linux boots a kernel, but the machine names none")
    if config.memory_bytes < LEAST_MEMORY:
        raise ConfigError(f"direct boot needs {LEAST_MEMORY} bytes of memory; the machine has {config.memory_bytes}")
    data = placement.read_kernel(boot)
    if bzimage.looks_like(data):
        kernel = bzimage.parse(data, f"kernel {boot.kernel}")
        return linux.load_bzimage(config, boot, kernel) if kernel.has_32bit_entry else _through_bios(config)
    header = multiboot.find_header(data)
    if header:
        return multiboot.load(config, boot, data, header)
    if linux.is_vmlinux(data):
        return linux.load_vmlinux(config, boot, data)
    raise ConfigError(f"{boot.kernel} is no kernel: a Linux bzImage, a 32-bit vmlinux and a file with a Multiboot 1 header in its first 8 KiB are accepted")


def _through_bios(config: MachineConfig) -> FirmwareImage:
    """SeaBIOS where it is installed, the built-in BIOS where it is not."""
    options = seabios.SeabiosOptions()
    return builtin.load(config, NoOptions()) if seabios.available(options) else seabios.load(config, options)
