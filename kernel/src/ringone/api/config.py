"""The description of a machine: `MachineConfig`, the one truth, and `Blueprint`, the parts and wires that a board makes of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ringone.api import API_VERSION
from ringone.api.cpu import CpuModel
from ringone.api.firmware import FirmwareImage
from ringone.api.media import AccessMode

if TYPE_CHECKING:
    from ringone.api.appliance import ApplianceFormat
    from ringone.api.settings import GlobalSettings, MachineSettings


class DriveKind(enum.Enum):
    DISK = "disk"
    CDROM = "cdrom"
    FLOPPY = "floppy"


class BootDevice(enum.Enum):
    FLOPPY = "floppy"
    CDROM = "cdrom"
    DISK = "disk"
    NETWORK = "network"


class ClockPolicy(enum.Enum):
    HOST = "host"
    DETERMINISTIC = "deterministic"
    MANUAL = "manual"


@attrs.frozen(kw_only=True)
class CpuConfig:
    """`backend` names a plugin's CPU backend; `options` is text for its options class."""

    backend: str = "patm"
    options: Mapping[str, str] = attrs.field(factory=dict)
    model: CpuModel = CpuModel()


@attrs.frozen(kw_only=True)
class ClockConfig:
    """`base_unix_ns` fixes the real-time clock at virtual time 0 (None: the host's time at power-on, or 2020-01-01 00:00 UTC under the deterministic policy).
    `offset_ms` is added to the host's time where `base_unix_ns` is None (VirtualBox's TimeOffset).
    `ns_per_1000_progress` is the deterministic policy's rate: virtual nanoseconds per 1,000 progress units."""

    policy: ClockPolicy = ClockPolicy.HOST
    base_unix_ns: int | None = None
    offset_ms: int = 0
    local_time: bool = False
    ns_per_1000_progress: int = 3000


@attrs.frozen(kw_only=True)
class FirmwareConfig:
    """`name` is a plugin's firmware or ``auto``."""

    name: str = "auto"
    options: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class LinuxBoot:
    """Boot a Linux kernel directly, without the disk's boot loader."""

    kernel: Path
    initrd: Path | None = None
    append: str = ""


@attrs.frozen(kw_only=True)
class Drive:
    """One drive. `controller` is ``ide`` or ``floppy``; `port` is the channel (0 primary, 1 secondary), `device` 0 master or 1 slave. Floppy drives use
    `device` 0 and 1. `image` None is an empty removable drive. `format` "" means: probe. `serial` is the disk's serial number, up to 20 characters.
    `parents` are the images that a differencing `image` stands on, nearest first.
    """

    kind: DriveKind
    controller: str
    port: int
    device: int
    image: Path | None = None
    parents: tuple[Path, ...] = ()
    format: str = ""
    mode: AccessMode = AccessMode.PERSISTENT
    serial: str = ""


@attrs.frozen(kw_only=True)
class StorageController:
    """A controller as its owner named it. `type` is VirtualBox's word for the chip: ``PIIX3``, ``PIIX4`` and ``ICH6`` carry the drives on ``ide``, ``I82078``
    those on ``floppy``; others are kept and carry none."""

    name: str
    type: str
    ports: int = 2
    bootable: bool = True
    host_io_cache: bool = True


@attrs.frozen(kw_only=True)
class SerialPort:
    """A UART at `io_base` on ISA interrupt `irq`; `driver` names a host driver of kind CharStream ("" = nothing connected)."""

    slot: int
    io_base: int
    irq: int
    driver: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RemoteDisplay:
    """Where and for whom the screen is served over the network. `auth_type` is ``Null``, ``External`` or ``Guest``; `properties` are VirtualBox's VRDE
    properties, such as ``TCP/Ports`` and ``TCP/Address``."""

    enabled: bool = False
    auth_type: str = "Null"
    auth_timeout_ms: int = 5000
    allow_multi_connection: bool = False
    reuse_single_connection: bool = False
    properties: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Recording:
    """A video of the screen that is made while the machine runs. Without `file` it gets the machine's name and stands beside its file. `rate_kbps` is kept and
    without effect: videos have one quality."""

    enabled: bool = False
    file: Path | None = None
    width: int = 1024
    height: int = 768
    fps: int = 25
    rate_kbps: int = 512


@attrs.frozen(kw_only=True)
class DeviceConfig:
    """A component: `options` is text, bound to the device's options class at assembly. `source` is ``file:line`` for messages."""

    id: str
    type: str
    options: Mapping[str, str] = attrs.field(factory=dict)
    source: str = ""


@attrs.frozen
class Wire:
    """From an output pin to an input pin, each ``component.PIN``. The processor's pins are ``cpu.INTR``, ``cpu.NMI``, ``cpu.A20M`` (high = A20 open);
    ``system.RESET`` and ``system.POWER_OFF`` act on a rising edge."""

    source: str
    target: str


@attrs.frozen
class Link:
    """`user` (``component.interface``) is given what `provider` (``component.interface``) provides. ``cpu.inta``, ``console.display``, ``console.keyboard``,
    ``console.mouse`` and ``console.power-button`` are the machine's own users.
    """

    user: str
    provider: str


@attrs.frozen(kw_only=True)
class DriverConfig:
    """Binds a host driver to ``component.slot``. `instance`, where given, is a ready object (firmware data, an opened disk) in place of a named driver;
    `shares` names a slot that stands earlier in the list and whose driver this one uses too (a BIOS reads the disk that a controller has)."""

    slot: str
    type: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict)
    instance: Any = None
    shares: str = ""
    source: str = ""


@attrs.frozen(kw_only=True)
class MachineConfig:
    """A machine as its owner describes it. Frozen; `attrs.evolve` makes variants. `extra_data` keeps what RingOne does not interpret (VirtualBox ExtraData);
    `unmodelled` is what a machine file says of hardware that RingOne does not have, under VBoxManage's names (``ioapic``, ``nic1``). Empty
    `storage_controllers` mean those that the drives need."""

    name: str
    uuid: str = ""
    os_type: str = "Other"
    description: str = ""
    board: str = "pc"
    memory_bytes: int = 128 << 20
    vram_bytes: int = 8 << 20
    cpu: CpuConfig = CpuConfig()
    clock: ClockConfig = ClockConfig()
    firmware: FirmwareConfig = FirmwareConfig()
    boot_order: tuple[BootDevice, ...] = (BootDevice.FLOPPY, BootDevice.CDROM, BootDevice.DISK)
    boot_menu: bool = False
    linux: LinuxBoot | None = None
    storage_controllers: tuple[StorageController, ...] = ()
    drives: tuple[Drive, ...] = ()
    serial_ports: tuple[SerialPort, ...] = ()
    remote_display: RemoteDisplay = RemoteDisplay()
    recording: Recording = Recording()
    debug_console: DriverConfig | None = None
    """Driver for ports 0x402 and 0xE9; its `slot` is ignored."""
    devices: tuple[DeviceConfig, ...] = ()
    wires: tuple[Wire, ...] = ()
    links: tuple[Link, ...] = ()
    drivers: tuple[DriverConfig, ...] = ()
    acpi: bool = True
    triple_fault_reset: bool = True
    source: Path | None = None
    extra_data: Mapping[str, str] = attrs.field(factory=dict)
    unmodelled: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Blueprint:
    """The parts list of one machine: devices in creation order (providers before users), wires, links and drivers."""

    devices: tuple[DeviceConfig, ...]
    wires: tuple[Wire, ...]
    links: tuple[Link, ...]
    drivers: tuple[DriverConfig, ...]


@attrs.frozen(kw_only=True)
class BoardSpec:
    """Yielded by the hook ``ringone_boards``: a machine description becomes parts and wires. `blueprint` raises `ConfigError` for what it cannot have."""

    name: str
    summary: str
    blueprint: Callable[[MachineConfig, FirmwareImage], Blueprint]
    api_version: int = API_VERSION


class SettingsFormat(Protocol):
    """Machine files and the home's own file as a whole. Saving is atomic, keeps the previous file, and keeps what was not understood at loading.

    The drives of `MachineSettings` are what the file says is attached (`MediumRecord.auto_reset` images too); what RingOne cannot run is in its `refusals`, not
    an error. A save that brings back a snapshot (`current_snapshot` is in the tree and `current_state_modified` becomes false) brings back all of its hardware,
    what is not understood included; a new snapshot gets all of the machine's.
    """

    home_file: str
    """Name of the file that a home's `GlobalSettings` are in."""

    def load_machine(self, path: Path) -> MachineSettings: ...
    def save_machine(self, settings: MachineSettings, path: Path, like: Path | None = None) -> None:
        """A file that does not exist yet starts from a copy of the machine file `like` where one is given, and takes its hardware over."""
        ...

    def load_home(self, path: Path) -> GlobalSettings: ...
    def save_home(self, settings: GlobalSettings, path: Path) -> None: ...
    def items(self, config: MachineConfig) -> Mapping[str, str]:
        """What a machine has that the format's own words do not cover, as text under names that begin with ``RingOne/``."""
        ...

    def with_item(self, config: MachineConfig, name: str, value: str) -> MachineConfig:
        """The machine with one such item set; "" takes it away. Raises `ConfigError` for a name or value that no machine has."""
        ...


@attrs.frozen(kw_only=True)
class ConfigLoaderSpec:
    """Yielded by the hook ``ringone_config_loaders``. `load` raises `ConfigError` or `ConfigErrors`; `save` writes atomically and keeps what it did not
    understand when loading `path`.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    load: Callable[[Path], MachineConfig]
    save: Callable[[MachineConfig, Path], None]
    settings: SettingsFormat | None = None
    """Where the format also holds what `ringone.api.settings` describes."""
    appliances: ApplianceFormat | None = None
    """Where the plugin also reads and writes the envelopes of appliances."""
    api_version: int = API_VERSION
