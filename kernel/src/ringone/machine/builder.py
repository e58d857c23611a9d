"""Assembly: from a plan to parts that are wired and ready for their first reset.

Drivers come first, then devices in the board's order, then the processor, then wires. Nothing half-created stays behind: what exists when a step fails is
closed in reverse order.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from ringone.api.cpu import CpuBackend, CpuModel
from ringone.api.devices import Device, DeviceSpec, InterruptController
from ringone.api.errors import AssemblyError, BackendError, DeviceError, RingOneError, UnconnectedPinError
from ringone.api.firmware import FirmwareImage
from ringone.api.scan import CodeScanner, CodeScannerSpec
from ringone.bus import PortSpace
from ringone.clock import VirtualClock
from ringone.device_context import ComponentContext, InterfaceRegistry, MachineParts
from ringone.irq import LineNetwork
from ringone.log import component_logger
from ringone.machine.pacing import Pace, make_pace
from ringone.machine.plan import MACHINE_LINKS, Plan, PlannedDevice, PlannedDriver
from ringone.memory import AddressSpace
from ringone.options import bind_options
from ringone.stats import Statistics

if TYPE_CHECKING:
    from ringone.api.config import MachineConfig
    from ringone.api.media import MediumFormatSpec


SPURIOUS_VECTOR = 0xFF
"""What an INTA cycle reads from a bus that nobody drives."""


class Host(Protocol):
    """What parts can ask of the machine that they are built into."""

    def emit(self, event: object) -> None: ...
    def call_soon(self, component: str, function: Callable[[], None]) -> None: ...
    def reset_line(self, level: bool) -> None: ...
    def power_off_line(self, level: bool) -> None: ...


@attrs.frozen
class Component:
    """A device in its place."""

    spec: DeviceSpec
    device: Device[Any]
    context: ComponentContext


@attrs.frozen
class Provided:
    """An interface that the machine itself uses, and whose it is."""

    component: str
    implementation: Any


@attrs.frozen(kw_only=True)
class Assembly:
    """All parts of one machine. `drivers` are by ``component.slot``, `console` by the interface of ``console.*``."""

    config: MachineConfig
    firmware: FirmwareImage
    memory: AddressSpace
    ports: PortSpace
    lines: LineNetwork
    pace: Pace
    clock: VirtualClock
    statistics: Statistics
    drivers: Mapping[str, Any]
    devices: Mapping[str, Component]
    cpu: CpuBackend
    console: Mapping[str, Provided]
    undo: contextlib.ExitStack

    def present_levels(self) -> None:
        """Show the processor the levels of its pins, after something other than a change of them: reset or restore."""
        inputs = self.lines.inputs
        self.cpu.set_intr(inputs["cpu.INTR"].level)
        gate = inputs["cpu.A20M"]
        self.memory.set_a20(gate.level or not gate.sources)

    def close(self) -> None:
        """Close the processor and the drivers, the last created first."""
        self.undo.close()


@attrs.frozen(kw_only=True)
class _CpuContext:
    """`ringone.api.cpu.CpuContext`."""

    memory: AddressSpace
    model: CpuModel
    log: logging.Logger
    read_port: Callable[[int, int], int]
    write_port: Callable[[int, int, int], None]
    acknowledge_interrupt: Callable[[], int]
    now_ns: Callable[[], int]
    scanners: Mapping[str, CodeScannerSpec]

    def code_scanner(self, name: str) -> CodeScanner:
        spec = self.scanners[name]
        return spec.create(bind_options(spec.options, {}, source=f"code scanner {name}"))


@attrs.frozen(kw_only=True)
class _DriverContext:
    """`ringone.api.drivers.DriverContext`."""

    component: str
    media_formats: Mapping[str, MediumFormatSpec]
    host: Host

    def call_soon(self, function: Callable[[], None]) -> None:
        self.host.call_soon(self.component, function)

    def emit(self, event: object) -> None:
        self.host.emit(event)


class Progress:
    """Guest progress, for a clock that is needed before there is a processor."""

    def __init__(self) -> None:
        self.read: Callable[[], int] = lambda: 0

    def __call__(self) -> int:
        return self.read()


def assemble(plan: Plan, media_formats: Mapping[str, MediumFormatSpec], host: Host) -> Assembly:
    """`host` is the machine that the parts are built into; `media_formats` are what its disk drivers may open."""
    undo = contextlib.ExitStack()
    try:
        return _Assembler(plan, media_formats, host, undo).build()
    except BaseException:
        undo.close()
        raise


class _Assembler:
    def __init__(self, plan: Plan, media_formats: Mapping[str, MediumFormatSpec], host: Host, undo: contextlib.ExitStack) -> None:
        self._plan = plan
        self._media_formats = media_formats
        self._host = host
        self._undo = undo
        self._log = logging.getLogger(f"ringone.{plan.config.name.replace('.', '_')}")
        self._progress = Progress()
        self._pace = make_pace(plan.config.clock, self._progress)
        self._statistics = Statistics()
        self._parts = MachineParts(
            ports=PortSpace(self._bus_logger("ports")),
            memory=AddressSpace(plan.config.memory_bytes, self._bus_logger("memory")),
            lines=LineNetwork(),
            clock=VirtualClock(self._pace.source),
            interfaces=InterfaceRegistry(),
            emit=host.emit,
        )
        undo.callback(self._parts.memory.close)
        self._statistics.counters("IOM").provide(self._parts.ports.statistics)
        self._statistics.counters("PGM").provide(self._parts.memory.statistics)

    def _bus_logger(self, name: str) -> logging.Logger:
        return component_logger(self._plan.config.name, name, lambda: self._parts.clock.last_ns())

    def build(self) -> Assembly:
        plan, parts = self._plan, self._parts
        for link in plan.links:
            parts.interfaces.connect(link.user, link.provider)
        drivers = self._create_drivers()
        devices = {device.config.id: self._create_device(device, drivers) for device in plan.devices}
        parts.memory.freeze()
        cpu = self._create_cpu()
        self._wire(cpu)
        for component in devices.values():
            component.context.close()
        return Assembly(
            config=plan.config,
            firmware=plan.firmware,
            memory=parts.memory,
            ports=parts.ports,
            lines=parts.lines,
            pace=self._pace,
            clock=parts.clock,
            statistics=self._statistics,
            drivers=drivers,
            devices=devices,
            cpu=cpu,
            console=self._console(),
            undo=self._undo,
        )

    def _create_drivers(self) -> dict[str, Any]:
        drivers: dict[str, Any] = {}
        for planned in self._plan.drivers:
            slot, shares = planned.config.slot, planned.config.shares
            if shares and shares not in drivers:
                raise AssemblyError(f"slot {slot!r} shares the driver of {shares!r}, which has none or comes later; earlier slots: {', '.join(drivers)}")
            drivers[slot] = drivers[shares] if shares else self._create_driver(planned)
        return drivers

    def _create_driver(self, planned: PlannedDriver) -> Any:
        slot = planned.config.slot
        driver = planned.config.instance
        if planned.spec is not None:
            try:
                driver = planned.spec.create(_DriverContext(component=slot, media_formats=self._media_formats, host=self._host), planned.options)
            except RingOneError:
                raise
            except Exception as error:
                raise AssemblyError(f"host driver {planned.spec.name!r} cannot be created: {type(error).__name__}: {error}", component=slot) from error
        close = getattr(driver, "close", None)
        if close is not None:
            self._undo.callback(self._close, slot, close)
        return driver

    def _create_device(self, planned: PlannedDevice, drivers: Mapping[str, Any]) -> Component:
        id = planned.config.id
        prefix = f"{id}."
        context = ComponentContext(
            id,
            planned.spec,
            self._parts,
            drivers={slot.removeprefix(prefix): driver for slot, driver in drivers.items() if slot.startswith(prefix)},
            log=component_logger(self._plan.config.name, id, self._parts.clock.now_ns),
            stats=self._statistics.counters(f"Devices/{id}"),
        )
        with guarded(id, "creation"):
            return Component(planned.spec, planned.spec.create(context, planned.options), context)

    def _create_cpu(self) -> CpuBackend:
        spec, parts = self._plan.cpu, self._parts
        context = _CpuContext(
            memory=parts.memory,
            model=self._plan.config.cpu.model,
            log=component_logger(self._plan.config.name, "cpu", parts.clock.now_ns),
            read_port=parts.ports.read,
            write_port=parts.ports.write,
            acknowledge_interrupt=self._interrupt_acknowledge(),
            now_ns=parts.clock.now_ns,
            scanners=self._plan.scanners,
        )
        try:
            cpu = spec.create(context, self._plan.cpu_options)
        except RingOneError:
            raise
        except Exception as error:
            raise BackendError(spec.name, f"cannot be created: {type(error).__name__}: {error}") from error
        self._undo.callback(self._close, "cpu", cpu.close)
        parts.memory.listen(cpu.memory_changed, cpu.invalidate_code)
        parts.clock.interrupt = cpu.request_exit
        self._progress.read = cpu.progress
        return cpu

    def _interrupt_acknowledge(self) -> Callable[[], int]:
        controller = self._provided("cpu.inta")
        if controller is None:
            if any(wire.target == "cpu.INTR" for wire in self._plan.wires):
                raise UnconnectedPinError("cpu.INTR is wired, but nothing is linked to 'cpu.inta' to give the vector", component="cpu")
            return lambda: SPURIOUS_VECTOR
        component, inta = controller.component, cast(InterruptController, controller.implementation).acknowledge

        def acknowledge() -> int:
            try:
                return inta()
            except Exception as error:
                raise DeviceError(component, "interrupt acknowledge") from error

        return acknowledge

    def _wire(self, cpu: CpuBackend) -> None:
        lines, host = self._parts.lines, self._host
        lines.input("cpu", "INTR", cpu.set_intr)
        lines.input("cpu", "NMI", lambda level: cpu.pulse_nmi() if level else None)
        lines.input("cpu", "A20M", self._parts.memory.set_a20)
        lines.input("system", "RESET", host.reset_line)
        lines.input("system", "POWER_OFF", host.power_off_line)
        for wire in self._plan.wires:
            lines.connect(wire.source, wire.target)

    def _console(self) -> dict[str, Provided]:
        found = {interface: self._provided(f"console.{interface}") for interface in MACHINE_LINKS["console"]}
        return {interface: provided for interface, provided in found.items() if provided is not None}

    def _provided(self, user: str) -> Provided | None:
        for link in self._plan.links:
            if link.user == user:
                return Provided(link.provider.partition(".")[0], self._parts.interfaces.link(user))
        return None

    def _close(self, component: str, close: Callable[[], None]) -> None:
        try:
            close()
        except Exception:
            self._log.exception("%s failed while it was closed", component)


@contextlib.contextmanager
def guarded(component: str, access: str) -> Iterator[None]:
    """Blame `component` for any exception that is not RingOne's own."""
    try:
        yield
    except RingOneError:
        raise
    except Exception as error:
        raise DeviceError(component, access) from error
