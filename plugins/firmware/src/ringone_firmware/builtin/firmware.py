"""The firmware ``builtin``: the ROM, ACPI tables at the top of RAM, and the service chip's options."""

from __future__ import annotations

from ringone.api.config import BootDevice, LinuxBoot, MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage, MemoryImage
from ringone.api.options import NoOptions

from ringone_firmware.builtin import rom
from ringone_firmware.builtin.config import DEFAULT_BASE
from ringone_firmware.directboot import bzimage, placement

SERVICE_DEVICE = "bios_services"
LEAST_MEMORY = 2 << 20
BOOT_NAMES = {BootDevice.FLOPPY: "floppy", BootDevice.CDROM: "cdrom", BootDevice.DISK: "disk"}


def load(config: MachineConfig, options: NoOptions) -> FirmwareImage:
    if config.memory_bytes < LEAST_MEMORY:
        raise ConfigError(f"firmware builtin needs {LEAST_MEMORY} bytes of memory; the machine has {config.memory_bytes}")
    acpi = placement.place_acpi(config)
    order = [BOOT_NAMES[device] for device in config.boot_order if device in BOOT_NAMES]
    kernel: tuple[MemoryImage, ...] = ()
    if config.linux:
        from ringone_firmware.directboot import realmode

        kernel = realmode.images(config, _kernel(config.linux), acpi.address)
        order.insert(0, "kernel")
    rsdp = acpi.data[acpi.rsdp - acpi.address :] if acpi.data else b""
    return FirmwareImage(
        name="builtin",
        rom=rom.build(DEFAULT_BASE, rsdp),
        ram=(*acpi.images(), *kernel),
        service_device=SERVICE_DEVICE,
        service_options={"boot_order": ",".join(order), "reserved_bytes": str(acpi.reserved)},
    )


def _kernel(boot: LinuxBoot) -> bzimage.BzImage:
    return bzimage.parse(placement.read_kernel(boot), f"kernel {boot.kernel}")
