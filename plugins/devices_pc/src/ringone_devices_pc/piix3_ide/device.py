"""Intel 82371SB (PIIX3) IDE function (datasheet 290550): PCI configuration, two legacy channels and the bus master behind BAR4.

The legacy ports are always decoded, so the chip also serves a machine without PCI; timing registers are kept and time nothing.
"""

from __future__ import annotations

from functools import partial

from ringone.api.devices import DeviceContext, PciBus
from ringone.api.drivers import BlockDevice, RemovableMedium
from ringone.api.errors import MissingDriverError, SnapshotError

from ringone_devices_pc.pci_config import STATUS_DEVSEL_MEDIUM, STATUS_FAST_BACK_TO_BACK, PciConfigSpace
from ringone_devices_pc.piix3_ide.ata_disk import AtaDisk
from ringone_devices_pc.piix3_ide.atapi_cdrom import AtapiCdrom
from ringone_devices_pc.piix3_ide.channel import Channel, DriveFactory
from ringone_devices_pc.piix3_ide.config import DriveType, Piix3IdeOptions
from ringone_devices_pc.piix3_ide.state import Piix3IdeState

VENDOR_INTEL = 0x8086
DEVICE_82371SB_IDE = 0x7010
CLASS_IDE_BUS_MASTER = 0x010180

IDETIM_PRIMARY = 0x40
IDETIM_SECONDARY = 0x42
SIDETIM = 0x44
IDETIM_DECODE_ENABLE = 1 << 15

BUS_MASTER_BAR = 4
BUS_MASTER_PORTS = 16

LEGACY = ((0x1F0, 0x3F6, "IRQ14"), (0x170, 0x376, "IRQ15"))


class Piix3Ide:
    def __init__(self, context: DeviceContext, options: Piix3IdeOptions) -> None:
        types = ((options.drive00, options.drive01), (options.drive10, options.drive11))
        serials = ((options.serial00, options.serial01), (options.serial10, options.serial11))
        self._channels = [
            Channel(
                context,
                number,
                [_drive_factory(context, f"drive{number}{unit}", types[number][unit], serials[number][unit]) for unit in range(2)],
                command_base=command_base,
                control_port=control_port,
                intrq=intrq,
            )
            for number, (command_base, control_port, intrq) in enumerate(LEGACY)
        ]
        self._pci = self._pci_function(context)
        bus: PciBus | None = context.link("pci", PciBus)
        if bus is not None:
            bus.attach(options.device, options.function, self._pci)

    def _pci_function(self, context: DeviceContext) -> PciConfigSpace:
        config = PciConfigSpace(
            vendor_id=VENDOR_INTEL,
            device_id=DEVICE_82371SB_IDE,
            class_code=CLASS_IDE_BUS_MASTER,
            status=STATUS_DEVSEL_MEDIUM | STATUS_FAST_BACK_TO_BACK,
        )
        for offset in (IDETIM_PRIMARY, IDETIM_SECONDARY):
            config.register(offset, 2, IDETIM_DECODE_ENABLE, writable=0xFFFF)
        config.register(SIDETIM, 1, writable=0xFF)
        ports = context.map_ports(
            0, BUS_MASTER_PORTS, read=self._read_bus_master, write=self._write_bus_master, widths=(1, 2, 4), name="bus master", enabled=False
        )
        config.add_io_bar(BUS_MASTER_BAR, BUS_MASTER_PORTS, ports)
        return config

    def _read_bus_master(self, offset: int, size: int) -> int:
        return self._channels[offset >> 3].bus_master.read(offset & 7, size)

    def _write_bus_master(self, offset: int, size: int, value: int) -> None:
        self._channels[offset >> 3].bus_master.write(offset & 7, size, value)

    def reset(self) -> None:
        self._pci.reset()
        for channel in self._channels:
            channel.reset()

    def save_state(self) -> Piix3IdeState:
        return Piix3IdeState(pci=self._pci.save(), channels=[channel.save() for channel in self._channels])

    def load_state(self, state: Piix3IdeState) -> None:
        if len(state.channels) != len(self._channels):
            raise SnapshotError(f"{len(state.channels)} IDE channels in the saved state; expected {len(self._channels)}")
        self._pci.load(state.pci)
        for channel, saved in zip(self._channels, state.channels, strict=True):
            channel.load(saved)


def _drive_factory(context: DeviceContext, slot: str, kind: DriveType, serial: str) -> DriveFactory | None:
    serial = serial or f"RO-{slot}"
    if kind is DriveType.DISK:
        disk: BlockDevice | None = context.driver(slot, BlockDevice)
        if disk is None:
            raise MissingDriverError(f"slot {slot} has no driver; a hard disk needs an image", component=context.id)
        return partial(AtaDisk, context, medium=disk, serial=serial)
    if kind is DriveType.CDROM:
        drive: RemovableMedium | None = context.driver(slot, RemovableMedium)
        return partial(AtapiCdrom, context, drive=drive, serial=serial)
    return None
