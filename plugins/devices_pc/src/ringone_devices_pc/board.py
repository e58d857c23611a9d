"""The PC's schematic: a machine description becomes chips, wires, links and drivers, on this page.

An i440FX board of the QEMU kind, so that SeaBIOS and every PC system find what they look for::

    PCI  0.0 host bridge   1.0 ISA bridge   1.1 IDE   1.3 power management   2.0 VGA
    IRQ  0 timer  1 keyboard  2 cascade  3,4 serial  6 floppy  8 clock  9 SCI  12 mouse  14,15 IDE  and what PCI interrupts are routed to

What the firmware is told about it all is in `board_firmware`; what drives the board has places for in `board_drives`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ringone.api.config import Blueprint, BoardSpec, ClockPolicy, DeviceConfig, DriverConfig, Link, MachineConfig, Wire
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage

from ringone_devices_pc import board_drives, board_firmware

MIB = 1 << 20
PAGE_BYTES = 4096
MIN_MEMORY_BYTES = MIB
MAX_MEMORY_BYTES = 3584 * MIB
"""PCI windows and the ROM take the rest of 4 GiB."""
MIN_VRAM_BYTES = 8 * MIB
MAX_VRAM_BYTES = 64 * MIB
MAX_SERIAL_PORTS = 4
ISA_IRQS = (3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15)
SEABIOS_PM_BASE = 0x600
DETERMINISTIC_EPOCH_NS = 1_577_836_800 * 1_000_000_000
"""2020-01-01 00:00 UTC."""


def irq(number: int) -> str:
    """The interrupt controllers' input for an ISA interrupt."""
    return f"pic1.IR{number}" if number < 8 else f"pic2.IR{number - 8}"


FIXED_CHIPS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    # id, type, options
    ("post", "post_port", {}),
    ("pic2", "i8259", {"base": "0xA0", "elcr": "0x4D1", "elcr_mask": "0xDE"}),
    ("pic1", "i8259", {"base": "0x20"}),
    ("pit", "i8254", {}),
    ("port-b", "port_b", {}),
    ("port92", "port92", {}),
    ("kbd", "i8042", {}),
    ("dma", "i8237", {}),
    ("rom", "system_rom", {}),
    ("pci", "i440fx", {}),
    ("isa", "piix3", {}),
    ("fwcfg", "fw_cfg", {}),
)

WIRES = (
    # interrupts
    ("pic1.INT", "cpu.INTR"),
    ("pic2.INT", irq(2)),
    ("pit.OUT0", irq(0)),
    ("kbd.IRQ1", irq(1)),
    ("fdc.IRQ", irq(6)),
    ("rtc.IRQ", irq(8)),
    ("kbd.IRQ12", irq(12)),
    ("ide.IRQ14", irq(14)),
    ("ide.IRQ15", irq(15)),
    *((f"isa.IRQ{number}", irq(number)) for number in ISA_IRQS),
    # timer 2 and the speaker
    ("port-b.GATE2", "pit.GATE2"),
    ("pit.OUT2", "port-b.OUT2"),
    # A20: open while either gate is
    ("kbd.A20", "cpu.A20M"),
    ("port92.A20", "cpu.A20M"),
    # reset
    ("kbd.RESET", "system.RESET"),
    ("port92.RESET", "system.RESET"),
    ("isa.RESET", "system.RESET"),
)

LINKS = (
    # user, provider
    ("cpu.inta", "pic1.inta"),
    ("pic1.slave", "pic2.inta"),
    ("port-b.out2", "pit.out2"),
    ("pci.rom", "rom.rom"),
    ("isa.pci", "pci.pci"),
    ("ide.pci", "pci.pci"),
    ("vga.pci", "pci.pci"),
    ("fdc.dma", "dma.channel2"),
    ("console.display", "vga.display"),
    ("console.keyboard", "kbd.keyboard"),
    ("console.mouse", "kbd.mouse"),
)

ACPI_WIRES = (("pm.SCI", irq(9)), ("pm.POWER_OFF", "system.POWER_OFF"))
ACPI_LINKS = (("pm.pci", "pci.pci"), ("console.power-button", "pm.power-button"))


def blueprint(config: MachineConfig, firmware: FirmwareImage) -> Blueprint:
    """All parts of `config` on this board; `ConfigError` names what the board cannot have."""
    _check(config)
    return Blueprint(
        devices=_unique(config, _devices(config, firmware)),
        wires=(*(Wire(*wire) for wire in _wires(config)), *config.wires),
        links=(*(Link(*link) for link in _links(config)), *config.links),
        drivers=(*_drivers(config, firmware), *config.drivers),
    )


BOARD = BoardSpec(name="pc", summary="i440FX/PIIX PC with ISA, PCI, IDE, VGA and ACPI power management", blueprint=blueprint)


# --- Parts -------------------------------------------------------------------------------------------------------------------------------------------------


def _devices(config: MachineConfig, firmware: FirmwareImage) -> Iterator[DeviceConfig]:
    for device_id, kind, options in FIXED_CHIPS:
        yield DeviceConfig(id=device_id, type=kind, options=options)
    yield DeviceConfig(id="rtc", type="mc146818", options=board_firmware.cmos_options(config))
    yield DeviceConfig(id="fdc", type="i82077", options=board_drives.floppy_options(config))
    yield DeviceConfig(id="ide", type="piix3_ide", options=board_drives.ide_options(config))
    if config.acpi:
        yield DeviceConfig(id="pm", type="piix4_pm", options={} if firmware.rom else {"preset_pm_base": hex(SEABIOS_PM_BASE)})
    yield DeviceConfig(id="vga", type="vga", options={"vram_bytes": str(_vram_bytes(config))})
    for port in config.serial_ports:
        yield DeviceConfig(id=f"com{port.slot + 1}", type="ns16550", options={"base": hex(port.io_base)})
    if config.debug_console is not None:
        yield DeviceConfig(id="debug", type="debug_port")
    if firmware.service_device:
        yield DeviceConfig(id="firmware", type=firmware.service_device, options=firmware.service_options)
    yield from config.devices


def _wires(config: MachineConfig) -> Iterator[tuple[str, str]]:
    yield from WIRES
    if config.acpi:
        yield from ACPI_WIRES
    for port in config.serial_ports:
        yield f"com{port.slot + 1}.IRQ", irq(port.irq)


def _links(config: MachineConfig) -> Iterator[tuple[str, str]]:
    yield from LINKS
    if config.acpi:
        yield from ACPI_LINKS


def _drivers(config: MachineConfig, firmware: FirmwareImage) -> Iterator[DriverConfig]:
    data = board_firmware.FirmwareFiles(board_firmware.files(config, firmware))
    yield DriverConfig(slot="rom.firmware-rom", instance=firmware)
    yield DriverConfig(slot="fwcfg.firmware", instance=data)
    yield DriverConfig(slot="rtc.wall-clock", type="wall-clock", options=_wall_clock_options(config))
    for drive in config.drives:
        yield board_drives.driver(drive)
    if firmware.service_device:
        yield from board_drives.firmware_drivers(config)
    for port in config.serial_ports:
        if port.driver:
            yield DriverConfig(slot=f"com{port.slot + 1}.stream", type=port.driver, options=port.options)
    if config.debug_console is not None:
        console = config.debug_console
        yield DriverConfig(slot="debug.stream", type=console.type, options=console.options, instance=console.instance, source=console.source)


def _wall_clock_options(config: MachineConfig) -> dict[str, str]:
    clock = config.clock
    base = clock.base_unix_ns
    if base is None and clock.policy is ClockPolicy.DETERMINISTIC:
        base = DETERMINISTIC_EPOCH_NS
    options = {} if base is None else {"base_unix_ns": str(base)}
    return options | {"offset_ms": str(clock.offset_ms), "local_time": "on" if clock.local_time else "off"}


def _vram_bytes(config: MachineConfig) -> int:
    """The next size that the display adapter has."""
    return max(MIN_VRAM_BYTES, 1 << (config.vram_bytes - 1).bit_length())


# --- Limits ------------------------------------------------------------------------------------------------------------------------------------------------


def _check(config: MachineConfig) -> None:
    for mistake in (*_mistakes(config), *board_drives.mistakes(config.drives)):
        raise ConfigError(f"board pc: {mistake}", source=str(config.source or ""))


def _mistakes(config: MachineConfig) -> Iterator[str]:
    memory = config.memory_bytes
    if not MIN_MEMORY_BYTES <= memory <= MAX_MEMORY_BYTES or memory % PAGE_BYTES:
        yield f"memory of {memory} bytes; accepted: {MIN_MEMORY_BYTES // MIB} MiB to {MAX_MEMORY_BYTES // MIB} MiB in whole pages"
    if not 0 < config.vram_bytes <= MAX_VRAM_BYTES:
        yield f"video memory of {config.vram_bytes} bytes; accepted: up to {MAX_VRAM_BYTES // MIB} MiB"
    for port in config.serial_ports:
        if not 0 <= port.slot < MAX_SERIAL_PORTS:
            yield f"serial port in slot {port.slot}; accepted: 0 to {MAX_SERIAL_PORTS - 1}"
        if port.irq not in ISA_IRQS:
            yield f"serial port in slot {port.slot} on interrupt {port.irq}; accepted: {', '.join(map(str, ISA_IRQS))}"


def _unique(config: MachineConfig, devices: Iterable[DeviceConfig]) -> tuple[DeviceConfig, ...]:
    by_id: dict[str, DeviceConfig] = {}
    for device in devices:
        if device.id in by_id:
            where = device.source or str(config.source or "")
            raise ConfigError(f"board pc: two components are called {device.id!r} ({by_id[device.id].type} and {device.type})", source=where)
        by_id[device.id] = device
    return tuple(by_id.values())
