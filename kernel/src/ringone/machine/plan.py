"""What a machine will consist of: every name looked up, every option bound, every wire's end found, before anything is created.

Mistakes in options are collected and reported together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from ringone.api.config import Blueprint, DeviceConfig, DriverConfig, Link, MachineConfig, Wire
from ringone.api.cpu import CpuBackendSpec
from ringone.api.devices import DeviceSpec
from ringone.api.drivers import HostDriverSpec
from ringone.api.errors import AssemblyError, ConfigError, ConfigErrors, UnconnectedPinError
from ringone.api.firmware import FirmwareImage, FirmwareSpec
from ringone.api.scan import CodeScannerSpec
from ringone.config import RESERVED_IDS
from ringone.device_context import matches
from ringone.options import bind_options
from ringone.plugins import PluginRegistry

LINUX_FIRMWARE = "linux"
"""The firmware that enters `MachineConfig.linux`; never chosen without one."""
MACHINE_INPUTS: Mapping[str, tuple[str, ...]] = {"cpu": ("INTR", "NMI", "A20M"), "system": ("RESET", "POWER_OFF")}
MACHINE_LINKS: Mapping[str, tuple[str, ...]] = {"cpu": ("inta",), "console": ("display", "keyboard", "mouse", "power-button")}

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class PlannedDevice:
    config: DeviceConfig
    spec: DeviceSpec
    options: Any


@attrs.frozen(kw_only=True)
class PlannedDriver:
    """`spec` is None where the configuration brings a ready object or shares another slot's driver."""

    config: DriverConfig
    spec: HostDriverSpec | None
    options: Any


@attrs.frozen(kw_only=True)
class Plan:
    config: MachineConfig
    cpu: CpuBackendSpec
    cpu_options: Any
    scanners: Mapping[str, CodeScannerSpec]
    firmware: FirmwareImage
    devices: tuple[PlannedDevice, ...]
    drivers: tuple[PlannedDriver, ...]
    wires: tuple[Wire, ...]
    links: tuple[Link, ...]


def make_plan(config: MachineConfig, registry: PluginRegistry) -> Plan:
    """Raises `ConfigError` for what the description gets wrong and `AssemblyError` where the board's parts do not fit together."""
    base_dir = config.source.parent if config.source else None
    cpu = registry.cpu_backends()[config.cpu.backend]
    firmware = _load_firmware(config, registry, base_dir)
    blueprint = registry.boards()[config.board].blueprint(config, firmware)

    errors: list[ConfigError] = []
    cpu_options = _attempt(errors, _bind_cpu_options, cpu, config, base_dir)
    devices = tuple(_attempt(errors, _plan_device, device, registry, base_dir) for device in blueprint.devices)
    drivers = tuple(_attempt(errors, _plan_driver, driver, registry, base_dir) for driver in blueprint.drivers)
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors)
    _check_connections(blueprint, {device.config.id: device.spec for device in devices})
    return Plan(
        config=config,
        cpu=cpu,
        cpu_options=cpu_options,
        scanners=registry.code_scanners(),
        firmware=firmware,
        devices=devices,
        drivers=drivers,
        wires=blueprint.wires,
        links=blueprint.links,
    )


def _bind_cpu_options(spec: CpuBackendSpec, config: MachineConfig, base_dir: Path | None) -> Any:
    return bind_options(spec.options, config.cpu.options, source=f"options of CPU backend {spec.name}", base_dir=base_dir)


def _plan_device(device: DeviceConfig, registry: PluginRegistry, base_dir: Path | None) -> PlannedDevice:
    spec = registry.device_types().pick(device.type, source=device.source)
    return PlannedDevice(config=device, spec=spec, options=bind_options(spec.options, device.options, source=device.source or device.id, base_dir=base_dir))


def _plan_driver(driver: DriverConfig, registry: PluginRegistry, base_dir: Path | None) -> PlannedDriver:
    if driver.instance is not None or driver.shares:
        return PlannedDriver(config=driver, spec=None, options=None)
    spec = registry.host_drivers().pick(driver.type, source=driver.source or driver.slot)
    return PlannedDriver(config=driver, spec=spec, options=bind_options(spec.options, driver.options, source=driver.source or driver.slot, base_dir=base_dir))


def _attempt(errors: list[ConfigError], action: Callable[..., T], *arguments: Any) -> T:
    """The result of an action; where it is a mistake of the description, that is kept in `errors`, and the result is never looked at."""
    try:
        return action(*arguments)
    except ConfigErrors as several:
        errors.extend(several.errors)
    except ConfigError as error:
        errors.append(error)
    return cast(T, None)


# --- Firmware ----------------------------------------------------------------------------------------------------------------------------------------------


def _load_firmware(config: MachineConfig, registry: PluginRegistry, base_dir: Path | None) -> FirmwareImage:
    name = LINUX_FIRMWARE if config.linux else config.firmware.name
    text = config.firmware.options if name == config.firmware.name else {}

    def bind(spec: FirmwareSpec) -> Any:
        return bind_options(spec.options, text, source=f"options of firmware {spec.name}", base_dir=base_dir)

    if name != "auto":
        spec = registry.firmwares().pick(name, source=str(config.source or ""))
        return spec.load(config, bind(spec))
    refusals = []
    candidates = [spec for spec in registry.firmwares().values() if spec.name != LINUX_FIRMWARE]
    for spec in sorted(candidates, key=lambda spec: -spec.preference):
        try:
            options = bind(spec)
            reason = spec.available(options)
        except ConfigError as error:
            reason = str(error)
        if not reason:
            return spec.load(config, options)
        refusals.append(f"{spec.name}: {reason}")
    raise ConfigError(f"no firmware is available; {'; '.join(refusals) or 'no plugin offers one'}", source=str(config.source or ""))


# --- Wires, links and slots --------------------------------------------------------------------------------------------------------------------------------


def _check_connections(blueprint: Blueprint, specs: Mapping[str, DeviceSpec]) -> None:
    ids = [device.id for device in blueprint.devices]
    for id in ids:
        if id in RESERVED_IDS or ids.count(id) > 1:
            raise AssemblyError("the id is the machine's own" if id in RESERVED_IDS else "two devices have this id", component=id)
    outputs = {id: spec.outputs for id, spec in specs.items()}
    inputs = {**{id: spec.inputs for id, spec in specs.items()}, **MACHINE_INPUTS}
    users = {**{id: spec.links for id, spec in specs.items()}, **MACHINE_LINKS}
    providers = {id: spec.interfaces for id, spec in specs.items()}
    slots = {id: spec.slots for id, spec in specs.items()}
    for wire in blueprint.wires:
        _check_end("wire", "output pin", wire.source, outputs)
        _check_end("wire", "input pin", wire.target, inputs)
    for link in blueprint.links:
        _check_end("link", "link", link.user, users)
        _check_end("link", "interface", link.provider, providers)
    for driver in blueprint.drivers:
        _check_end("driver", "slot", driver.slot, slots)


def _check_end(what: str, kind: str, end: str, declared: Mapping[str, tuple[str, ...]]) -> None:
    component, _, name = end.partition(".")
    if component not in declared:
        raise UnconnectedPinError(f"a {what} names {end!r}, but there is no such component; there are: {', '.join(declared)}", component=component)
    if not matches(declared[component], name):
        raise UnconnectedPinError(f"a {what} names the {kind} {name!r}; {kind}s: {', '.join(declared[component]) or 'none'}", component=component)
