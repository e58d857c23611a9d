"""ExtraData items ``RingOne/...``: what a machine has and VirtualBox's format has no element for. `KEYS` lists them; the README explains them.

Other items are kept in `MachineConfig.extra_data`.
"""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import attrs
from ringone.api.config import ClockConfig, CpuConfig, DeviceConfig, DriveKind, DriverConfig, FirmwareConfig, Link, LinuxBoot, MachineConfig, Wire
from ringone.api.cpu import CpuModel
from ringone.api.errors import ConfigError
from ringone.api.media import AccessMode

from ringone_config_xml.document import Document, Element
from ringone_config_xml.uart import port_attributes

PREFIX = "RingOne/"
KEYS = (
    "RingOne/Board",
    "RingOne/Cpu/Backend",
    "RingOne/Cpu/Options/<name>",
    "RingOne/Cpu/Model/Vendor|Family|Model|Stepping|Brand|Features",
    "RingOne/Clock/Policy|Base|NsPer1000Progress",
    "RingOne/Linux/Kernel|Initrd|Append",
    "RingOne/Firmware/Name",
    "RingOne/Firmware/Options/<name>",
    "RingOne/Device/<id>/Type",
    "RingOne/Device/<id>/Options/<name>",
    "RingOne/Wire/<n>",
    "RingOne/Link/<n>",
    "RingOne/Driver/<slot>/Type",
    "RingOne/Driver/<slot>/Options/<name>",
    "RingOne/DebugConsole/Type",
    "RingOne/DebugConsole/Options/<name>",
    "RingOne/Serial/<slot>/Driver",
    "RingOne/Serial/<slot>/Options/<name>",
    "RingOne/Drive/<controller>/<port>/<device>/Mode|Serial",
)
ARROW = " -> "
ENDPOINT = re.compile(r"[^\s.]+\.\S+")
NUMBER = re.compile(r"[0-9]{1,5}")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SECOND_NS = 10**9
PAE = "pae"
"""The one processor feature with an element of its own, Hardware/CPU/PAE."""

E = TypeVar("E", bound=enum.Enum)


@attrs.frozen
class Item:
    value: str
    element: Element


@attrs.frozen(kw_only=True)
class Extras:
    """The parts of a machine that ExtraData says. `serial` and `drives` are items for serial ports by slot and for drives by place."""

    board: str
    cpu: CpuConfig
    clock: ClockConfig
    firmware: FirmwareConfig
    linux: LinuxBoot | None
    devices: tuple[DeviceConfig, ...]
    wires: tuple[Wire, ...]
    links: tuple[Link, ...]
    drivers: tuple[DriverConfig, ...]
    debug_console: DriverConfig | None
    serial: Mapping[int, Mapping[str, str]]
    drives: Mapping[str, Mapping[str, str]]
    foreign: Mapping[str, str]


def item_elements(document: Document) -> Iterator[Element]:
    """Those of a snapshot, where it has its own."""
    holder = document.machine if document.find(document.machine, "ExtraData") is not None else document.owner
    return document.find_all(holder, "ExtraData/ExtraDataItem")


def read_extras(document: Document, *, pae: bool) -> Extras:
    items = {document.text(element, "name"): Item(document.text(element, "value"), element) for element in item_elements(document)}
    reader = ExtraDataReader(document, {name.removeprefix(PREFIX): item for name, item in items.items() if name.startswith(PREFIX)})
    extras = Extras(
        board=reader.text("Board", MachineConfig(name="").board),
        cpu=CpuConfig(backend=reader.text("Cpu/Backend", CpuConfig().backend), options=reader.below("Cpu/Options/"), model=_read_model(reader, pae)),
        clock=_read_clock(reader),
        firmware=FirmwareConfig(name=reader.text("Firmware/Name", FirmwareConfig().name), options=reader.below("Firmware/Options/")),
        linux=_read_linux(reader, document.folder),
        devices=tuple(_read_devices(reader)),
        wires=tuple(Wire(*pair) for pair in reader.pairs("Wire/")),
        links=tuple(Link(*pair) for pair in reader.pairs("Link/")),
        drivers=tuple(_read_drivers(reader)),
        debug_console=_read_debug_console(reader),
        serial=_read_serial(reader),
        drives=_read_drives(reader),
        foreign=_foreign(document),
    )
    reader.report_unused()
    return extras


def _foreign(document: Document) -> dict[str, str]:
    """Items that are not ours, which snapshots share with their machine."""
    items = {document.text(element, "name"): document.text(element, "value") for element in document.find_all(document.owner, "ExtraData/ExtraDataItem")}
    return {name: value for name, value in items.items() if not name.startswith(PREFIX)}


class ExtraDataReader:
    """Items by their name behind ``RingOne/``. What nobody asked for is reported in the end."""

    def __init__(self, document: Document, items: Mapping[str, Item]) -> None:
        self._document = document
        self._items = items
        self._used: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def text(self, key: str, default: str = "") -> str:
        self._used.add(key)
        item = self._items.get(key)
        return default if item is None else item.value

    def integer(self, key: str, default: int) -> int:
        text = self.text(key).strip()
        try:
            return default if key not in self else int(text, 0)
        except ValueError:
            self.problem(key, "a whole number")
            return default

    def choice(self, key: str, default: E) -> E:
        text = self.text(key, default.value)
        for member in type(default):
            if member.value == text:
                return member
        self.problem(key, ", ".join(str(member.value) for member in type(default)))
        return default

    def below(self, prefix: str) -> dict[str, str]:
        """Items one level below `prefix`, by the rest of their name."""
        names = [key for key in self._items if key.startswith(prefix) and key != prefix and "/" not in key.removeprefix(prefix)]
        return {key.removeprefix(prefix): self.text(key) for key in names}

    def groups(self, prefix: str, levels: int = 1) -> list[str]:
        """What stands in the `levels` places behind `prefix`, in file order."""
        rests = [key.removeprefix(prefix).split("/") for key in self._items if key.startswith(prefix)]
        return list(dict.fromkeys("/".join(rest[:levels]) for rest in rests if len(rest) > levels))

    def pairs(self, prefix: str) -> Iterator[tuple[str, str]]:
        """``a.X -> b.Y`` items in the order of their numbers."""
        rests = [key.removeprefix(prefix) for key in self._items if key.startswith(prefix)]
        for number in sorted((rest for rest in rests if NUMBER.fullmatch(rest)), key=int):
            source, arrow, target = (part.strip() for part in self.text(prefix + number).partition(ARROW))
            if arrow and ENDPOINT.fullmatch(source) and ENDPOINT.fullmatch(target):
                yield source, target
            else:
                self.problem(prefix + number, "component.pin -> component.pin")

    def place(self, key: str) -> str:
        return self._document.place(self._items[key].element)

    def problem(self, key: str, accepted: str) -> None:
        item = self._items[key]
        self._document.problem(item.element, f"ExtraDataItem {PREFIX}{key} is {item.value[:60]!r}; accepted: {accepted}")

    def report_unused(self) -> None:
        for key, item in self._items.items():
            if key not in self._used:
                self._document.problem(item.element, f"ExtraDataItem {PREFIX}{key[:60]} is unknown; accepted: {', '.join(KEYS)}")


def _read_model(reader: ExtraDataReader, pae: bool) -> CpuModel:
    base = CpuModel()
    features = frozenset(reader.text("Cpu/Model/Features", " ".join(base.features)).split())
    return CpuModel(
        vendor=reader.text("Cpu/Model/Vendor", base.vendor),
        family=reader.integer("Cpu/Model/Family", base.family),
        model=reader.integer("Cpu/Model/Model", base.model),
        stepping=reader.integer("Cpu/Model/Stepping", base.stepping),
        brand=reader.text("Cpu/Model/Brand", base.brand),
        features=features | {PAE} if pae else features - {PAE},
    )


def _read_clock(reader: ExtraDataReader) -> ClockConfig:
    base = ClockConfig()
    rate = reader.integer("Clock/NsPer1000Progress", base.ns_per_1000_progress)
    return ClockConfig(policy=reader.choice("Clock/Policy", base.policy), base_unix_ns=_read_base(reader), ns_per_1000_progress=rate)


def _read_base(reader: ExtraDataReader) -> int | None:
    key = "Clock/Base"
    text = reader.text(key).strip()
    if key not in reader:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        time = datetime.datetime.fromisoformat(text)
        aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        return (aware - EPOCH) // datetime.timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        reader.problem(key, "a time such as 2020-01-01T00:00:00Z, or nanoseconds since 1970")
        return None


def _base_text(base_unix_ns: int) -> str:
    seconds, rest = divmod(base_unix_ns, SECOND_NS)
    try:
        return str(base_unix_ns) if rest else f"{EPOCH + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return str(base_unix_ns)


def _read_linux(reader: ExtraDataReader, folder: Path) -> LinuxBoot | None:
    kernel, initrd, append = (reader.text(f"Linux/{name}") for name in ("Kernel", "Initrd", "Append"))
    if kernel:
        return LinuxBoot(kernel=folder / kernel, initrd=folder / initrd if initrd else None, append=append)
    for key in ("Linux/Initrd", "Linux/Append"):
        if key in reader:
            reader.problem(key, f"this item together with {PREFIX}Linux/Kernel")
    return None


def _read_devices(reader: ExtraDataReader) -> Iterator[DeviceConfig]:
    for id in reader.groups("Device/"):
        prefix = f"Device/{id}/"
        if prefix + "Type" in reader:
            yield DeviceConfig(id=id, type=reader.text(prefix + "Type"), options=reader.below(prefix + "Options/"), source=reader.place(prefix + "Type"))


def _read_drivers(reader: ExtraDataReader) -> Iterator[DriverConfig]:
    for slot in reader.groups("Driver/"):
        prefix = f"Driver/{slot}/"
        if prefix + "Type" in reader:
            yield DriverConfig(slot=slot, type=reader.text(prefix + "Type"), options=reader.below(prefix + "Options/"), source=reader.place(prefix + "Type"))


def _read_debug_console(reader: ExtraDataReader) -> DriverConfig | None:
    key = "DebugConsole/Type"
    if key not in reader:
        return None
    return DriverConfig(slot="", type=reader.text(key), options=reader.below("DebugConsole/Options/"), source=reader.place(key))


def _read_serial(reader: ExtraDataReader) -> dict[int, dict[str, str]]:
    serial = {}
    for slot in reader.groups("Serial/"):
        if not NUMBER.fullmatch(slot):
            continue
        prefix = f"Serial/{slot}/"
        items = {f"Options/{name}": value for name, value in reader.below(prefix + "Options/").items()}
        if prefix + "Driver" in reader:
            items["Driver"] = reader.text(prefix + "Driver")
        serial[int(slot)] = items
    return serial


def _read_drives(reader: ExtraDataReader) -> dict[str, dict[str, str]]:
    drives = {}
    for place in reader.groups("Drive/", levels=3):
        prefix = f"Drive/{place}/"
        items = {}
        if prefix + "Mode" in reader:
            items["Mode"] = reader.choice(prefix + "Mode", AccessMode.PERSISTENT).value
        if prefix + "Serial" in reader:
            items["Serial"] = reader.text(prefix + "Serial")
        drives[place] = items
    return drives


# --- Writing -----------------------------------------------------------------------------------------------------------------------------------------------


def items_of(config: MachineConfig) -> dict[str, str]:
    """The ``RingOne/`` items (without that prefix) that say what differs from the defaults."""
    base = MachineConfig(name="")
    items = {
        key: value
        for key, value, default in (
            ("Board", config.board, base.board),
            ("Cpu/Backend", config.cpu.backend, base.cpu.backend),
            ("Firmware/Name", config.firmware.name, base.firmware.name),
            ("Clock/Policy", config.clock.policy.value, base.clock.policy.value),
            ("Clock/NsPer1000Progress", str(config.clock.ns_per_1000_progress), str(base.clock.ns_per_1000_progress)),
            *_model_texts(config.cpu.model, base.cpu.model),
        )
        if value != default
    }
    if config.clock.base_unix_ns is not None:
        items["Clock/Base"] = _base_text(config.clock.base_unix_ns)
    items |= _options("Cpu", config.cpu.options) | _options("Firmware", config.firmware.options) | _linux_items(config.linux)
    for device in config.devices:
        items |= {f"Device/{device.id}/Type": device.type} | _options(f"Device/{device.id}", device.options)
    for name, pairs in (("Wire", [(wire.source, wire.target) for wire in config.wires]), ("Link", [(link.user, link.provider) for link in config.links])):
        items |= {f"{name}/{number}": ARROW.join(pair) for number, pair in enumerate(pairs, 1)}
    for driver in config.drivers:
        items |= _driver_items(f"Driver/{driver.slot}", driver)
    if config.debug_console is not None:
        items |= _driver_items("DebugConsole", config.debug_console)
    return items | _serial_items(config) | _drive_items(config)


def _model_texts(model: CpuModel, base: CpuModel) -> Iterator[tuple[str, str, str]]:
    for name in ("vendor", "family", "model", "stepping", "brand"):
        yield f"Cpu/Model/{name.capitalize()}", str(getattr(model, name)), str(getattr(base, name))
    yield "Cpu/Model/Features", " ".join(sorted(model.features - {PAE})), " ".join(sorted(base.features - {PAE}))


def _options(prefix: str, options: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}/Options/{name}": value for name, value in options.items()}


def _linux_items(linux: LinuxBoot | None) -> dict[str, str]:
    if linux is None:
        return {}
    items = {"Linux/Kernel": str(linux.kernel)}
    if linux.initrd is not None:
        items["Linux/Initrd"] = str(linux.initrd)
    if linux.append:
        items["Linux/Append"] = linux.append
    return items


def _driver_items(prefix: str, driver: DriverConfig) -> dict[str, str]:
    if driver.instance is not None:
        raise ConfigError(f"the driver of {driver.slot or 'the debug console'} is a Python object, which no file can hold; accepted: a driver by name")
    return {f"{prefix}/Type": driver.type} | _options(prefix, driver.options)


def _serial_items(config: MachineConfig) -> dict[str, str]:
    return {f"Serial/{port.slot}/{name}": value for port in config.serial_ports for name, value in port_attributes(port)[1].items()}


def _drive_items(config: MachineConfig) -> dict[str, str]:
    items = {}
    for drive in config.drives:
        prefix = f"Drive/{drive.controller}/{drive.port}/{drive.device}/"
        if drive.serial:
            items[prefix + "Serial"] = drive.serial
        if drive.kind is not DriveKind.DISK and drive.mode is not AccessMode.PERSISTENT:
            items[prefix + "Mode"] = drive.mode.value
    return items
