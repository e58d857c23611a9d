"""Machine descriptions: loading them by file suffix, and checking one as a whole before anything is created.

The check knows what no single part can see (two drives in one place, a missing image, an unknown name) and reports every mistake at once. What a part can
have is the part's own business: options are bound, and the board's limits found, at assembly.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ringone.api.config import ClockPolicy, Drive, DriveKind, DriverConfig, MachineConfig
from ringone.api.errors import ConfigError, ConfigErrors, UnknownNameError
from ringone.api.media import AccessMode
from ringone.plugins import Offers, PluginRegistry

MIB = 1 << 20
PAGE_BYTES = 4096
MEMORY_MIN_BYTES = MIB
MEMORY_MAX_BYTES = 3584 * MIB
"""Above lie the PCI window and the ROM."""
VRAM_MAX_BYTES = 256 * MIB
SERIAL_NUMBER_CHARACTERS = 20
UART_PORTS = 8
ISA_INTERRUPTS = frozenset(range(16)) - {0, 2}
"""0 is the interval timer's and 2 the cascade; neither reaches the bus."""

PLACES = {"ide": (2, 2), "floppy": (1, 2)}
"""Controller to (ports, devices a port)."""
RESERVED_IDS = frozenset({"cpu", "system", "console"})
"""The machine's own ends of wires and links."""

_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ENDPOINT = re.compile(r"[a-z][a-z0-9-]*\.[A-Za-z0-9#_-]+")

T = TypeVar("T")
Rule = Callable[[MachineConfig, PluginRegistry], Iterator[str | ConfigError]]


def load_config(path: Path, registry: PluginRegistry) -> MachineConfig:
    """Read a machine file with the loader of its suffix. Raises `ConfigError`, or `ConfigErrors` for several mistakes."""
    suffix = path.suffix.lower()
    loaders = registry.config_loaders().values()
    for loader in loaders:
        if suffix in loader.suffixes:
            return loader.load(path)
    known = sorted({suffix for loader in loaders for suffix in loader.suffixes})
    raise ConfigError(f"no plugin reads machine files ending in {suffix!r}; known: {', '.join(known) or 'none'}", source=str(path))


def check_config(config: MachineConfig, registry: PluginRegistry) -> None:
    """Raise `ConfigErrors` with every mistake that `config` has."""
    source = str(config.source or "")
    errors = [mistake if isinstance(mistake, ConfigError) else ConfigError(mistake, source=source) for rule in _RULES for mistake in rule(config, registry)]
    if errors:
        raise ConfigErrors(errors)


def _check_memory(config: MachineConfig, registry: PluginRegistry) -> Iterator[str]:
    if not config.name.strip():
        yield "the machine has no name"
    if not MEMORY_MIN_BYTES <= config.memory_bytes <= MEMORY_MAX_BYTES:
        yield f"memory of {config.memory_bytes} bytes; accepted are {MEMORY_MIN_BYTES // MIB} MiB to {MEMORY_MAX_BYTES // MIB} MiB"
    for what, size in (("memory", config.memory_bytes), ("video memory", config.vram_bytes)):
        if size % PAGE_BYTES:
            yield f"{what} of {size} bytes is not a multiple of {PAGE_BYTES}"
    if not 0 < config.vram_bytes <= VRAM_MAX_BYTES:
        yield f"video memory of {config.vram_bytes} bytes; accepted are up to {VRAM_MAX_BYTES // MIB} MiB"


def _check_processor_and_clock(config: MachineConfig, registry: PluginRegistry) -> Iterator[str | ConfigError]:
    backends = registry.cpu_backends()
    yield from _unknown(config, config.cpu.backend, backends)
    vendor = config.cpu.model.vendor
    if len(vendor) != 12 or not vendor.isascii():
        yield f"processor vendor {vendor!r} has to be 12 ASCII characters"
    if config.clock.ns_per_1000_progress <= 0:
        yield f"clock rate of {config.clock.ns_per_1000_progress} ns per 1,000 progress units has to be positive"
    if config.clock.policy is ClockPolicy.DETERMINISTIC and config.cpu.backend in backends and not backends[config.cpu.backend].capabilities.exact_progress:
        exact = sorted(name for name, spec in backends.items() if spec.capabilities.exact_progress)
        yield f"the deterministic clock needs a CPU backend with exact progress, which {config.cpu.backend!r} is not; these are: {', '.join(exact) or 'none'}"


def _check_board_and_firmware(config: MachineConfig, registry: PluginRegistry) -> Iterator[str | ConfigError]:
    yield from _unknown(config, config.board, registry.boards())
    if config.firmware.name != "auto":
        yield from _unknown(config, config.firmware.name, registry.firmwares())
    for device in _repeated(config.boot_order):
        yield f"{device.value} is twice in the boot order"
    if config.linux is not None:
        yield from _unreadable("Linux kernel", config.linux.kernel)
        if config.linux.initrd is not None:
            yield from _unreadable("initial RAM disk", config.linux.initrd)
        if "\0" in config.linux.append:
            yield "the Linux command line contains a zero byte"


def _check_drives(config: MachineConfig, registry: PluginRegistry) -> Iterator[str | ConfigError]:
    for drive in config.drives:
        yield from _check_drive(drive)
        if drive.format:
            yield from _unknown(config, drive.format, registry.media_formats())
    for controller, port, device in _repeated((drive.controller, drive.port, drive.device) for drive in config.drives):
        yield f"two drives at {controller} port {port} device {device}"
    written = [drive.image.resolve() for drive in config.drives if drive.image and drive.kind is not DriveKind.CDROM and drive.mode is AccessMode.PERSISTENT]
    for image in _repeated(written):
        yield f"two drives write to {image}; attach one of them read-only or throw-away"


def _check_drive(drive: Drive) -> Iterator[str]:
    where = f"{drive.kind.value} at {drive.controller} port {drive.port} device {drive.device}"
    ports, devices = PLACES.get(drive.controller, (0, 0))
    if not ports:
        yield f"{where}: unknown controller {drive.controller!r}; known: {', '.join(PLACES)}"
    elif not (0 <= drive.port < ports and 0 <= drive.device < devices):
        yield f"{where}: {drive.controller} has ports 0 to {ports - 1} with devices 0 to {devices - 1}"
    elif (drive.controller == "floppy") != (drive.kind is DriveKind.FLOPPY):
        yield f"{where}: a {drive.kind.value} cannot be attached there"
    if drive.image is not None:
        yield from _unreadable(where, drive.image)
    elif drive.kind is DriveKind.DISK:
        yield f"{where}: a disk needs an image"
    if len(drive.serial) > SERIAL_NUMBER_CHARACTERS or not (drive.serial.isascii() and drive.serial.isprintable()):
        yield f"{where}: serial number {drive.serial!r} has to be at most {SERIAL_NUMBER_CHARACTERS} printable ASCII characters"


def _check_serial_ports(config: MachineConfig, registry: PluginRegistry) -> Iterator[str | ConfigError]:
    for port in config.serial_ports:
        where = f"serial port {port.slot}"
        if not 0 <= port.io_base <= 0x10000 - UART_PORTS or port.io_base % UART_PORTS:
            yield f"{where}: I/O base {port.io_base:#x} has to be a multiple of {UART_PORTS} below 0x10000"
        if port.irq not in ISA_INTERRUPTS:
            yield f"{where}: interrupt {port.irq} is none of {', '.join(map(str, sorted(ISA_INTERRUPTS)))}"
        if port.driver:
            yield from _unknown(config, port.driver, registry.host_drivers())
    for slot in _repeated(port.slot for port in config.serial_ports):
        yield f"two serial ports in slot {slot}"
    for base in _repeated(port.io_base for port in config.serial_ports):
        yield f"two serial ports at I/O base {base:#x}"


def _check_components(config: MachineConfig, registry: PluginRegistry) -> Iterator[str | ConfigError]:
    for device in config.devices:
        if not _ID.fullmatch(device.id) or device.id in RESERVED_IDS:
            yield ConfigError(
                f"device id {device.id!r} has to be lower-case words joined by hyphens, and none of {', '.join(sorted(RESERVED_IDS))}", source=device.source
            )
        yield from _unknown(config, device.type, registry.device_types(), device.source)
    for id in _repeated(device.id for device in config.devices):
        yield f"two devices have the id {id!r}"
    ends = [end for wire in config.wires for end in (wire.source, wire.target)] + [end for link in config.links for end in (link.user, link.provider)]
    for end in ends + [driver.slot for driver in config.drivers]:
        if not _ENDPOINT.fullmatch(end):
            yield f"{end!r} has to be component.name"
    for slot in _repeated(driver.slot for driver in config.drivers):
        yield f"two drivers in slot {slot}"
    for driver in (*config.drivers, *_present(config.debug_console)):
        if driver.instance is None and not driver.shares:
            yield from _unknown(config, driver.type, registry.host_drivers(), driver.source)


_RULES: tuple[Rule, ...] = (_check_memory, _check_processor_and_clock, _check_board_and_firmware, _check_drives, _check_serial_ports, _check_components)


def _present(driver: DriverConfig | None) -> tuple[DriverConfig, ...]:
    return () if driver is None else (driver,)


def _unknown(config: MachineConfig, name: str, offers: Offers[T], source: str = "") -> Iterator[ConfigError]:
    try:
        offers.pick(name, source=source or str(config.source or ""))
    except UnknownNameError as error:
        yield error


def _repeated(values: Iterable[T]) -> list[T]:
    """What occurs more than once, once each, in order."""
    seen: list[T] = []
    repeated: list[T] = []
    for value in values:
        if value in seen and value not in repeated:
            repeated.append(value)
        seen.append(value)
    return repeated


def _unreadable(what: str, path: Path) -> Iterator[str]:
    if not path.exists():
        yield f"{what}: {path} does not exist"
    elif path.is_dir():
        yield f"{what}: {path} is a directory"
    elif not os.access(path, os.R_OK):
        yield f"{what}: {path} is not readable"
