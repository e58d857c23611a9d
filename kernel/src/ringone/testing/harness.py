"""A bench for one device: a manual clock, ports, memory and pins as a machine has them, and nothing else.

The device is created and reset, as at power-on; then a test plays the guest and the other chips.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from ringone.api.devices import DeviceSpec, PciFunction
from ringone.api.errors import AssemblyError, SnapshotError
from ringone.bus import PortSpace
from ringone.clock import ClockState, ManualTime, VirtualClock
from ringone.device_context import ComponentContext, InterfaceRegistry, MachineParts
from ringone.irq import LineNetwork, OutputLine
from ringone.memory import AddressSpace
from ringone.snapshot.codec import Json, dump, load
from ringone.snapshot.sections import SectionData, check_device_section, load_device, save_device
from ringone.stats import ComponentCounters

BENCH = "bench"
"""The component id of what drives the device's inputs and watches its outputs."""
_SAVED_CHUNK = 4096


class FakePciBus:
    """A ``pci`` link for the bench: keeps attached functions and gives access to their configuration space."""

    def __init__(self) -> None:
        self.functions: dict[tuple[int, int], PciFunction] = {}

    def attach(self, device: int, function: int, pci_function: PciFunction) -> None:
        if (device, function) in self.functions:
            raise AssemblyError(f"PCI {device}.{function} is taken")
        self.functions[device, function] = pci_function

    def read(self, device: int, function: int, offset: int, size: int = 4) -> int:
        return self.functions[device, function].config_read(offset, size)

    def write(self, device: int, function: int, offset: int, value: int, size: int = 4) -> None:
        self.functions[device, function].config_write(offset, size, value)


class DeviceHarness:
    """One device on the bench.

    `options` is an instance of the spec's options class (its defaults where left out); `links` and `drivers` are ready objects by interface and slot. What the
    device emits is in `events`, what it counts in ``stats.collect()``.
    """

    def __init__(
        self,
        spec: DeviceSpec,
        *,
        options: object | None = None,
        links: Mapping[str, object] | None = None,
        drivers: Mapping[str, object] | None = None,
        ram_bytes: int = 1 << 20,
        device_id: str = "device",
    ) -> None:
        self.spec = spec
        self.id = device_id
        self.links = dict(links or {})
        self.ports = PortSpace()
        self.memory = AddressSpace(ram_bytes)
        self.lines = LineNetwork()
        self.clock = VirtualClock(ManualTime())
        self.stats = ComponentCounters()
        self.events: list[object] = []
        self._interfaces = InterfaceRegistry()
        for interface, implementation in self.links.items():
            self._interfaces.provide(BENCH, interface, implementation)
            self._interfaces.connect(f"{device_id}.{interface}", f"{BENCH}.{interface}")
        parts = MachineParts(
            ports=self.ports,
            memory=self.memory,
            lines=self.lines,
            clock=self.clock,
            interfaces=self._interfaces,
            emit=self.events.append,
        )
        log = logging.getLogger(f"ringone.{BENCH}.{device_id}")
        self.context = ComponentContext(device_id, spec, parts, drivers=dict(drivers or {}), log=log, stats=self.stats)
        self.device = spec.create(self.context, spec.options() if options is None else options)
        self.context.close()
        self.memory.freeze()
        self._edges: dict[str, list[tuple[int, bool]]] = {}
        self._drivers: dict[str, OutputLine] = {}
        self._wire_pins()
        self.device.reset()
        self.clear_edges()

    def _wire_pins(self) -> None:
        prefix = f"{self.id}."
        for name in list(self.lines.outputs):
            pin = name.removeprefix(prefix)
            edges = self._edges[pin] = []
            self.lines.input(BENCH, f"sees-{pin}", partial(self._note, edges))
            self.lines.connect(name, f"{BENCH}.sees-{pin}")
        for name in list(self.lines.inputs):
            if name.startswith(prefix):
                pin = name.removeprefix(prefix)
                self._drivers[pin] = self.lines.output(BENCH, f"drives-{pin}")
                self.lines.connect(f"{BENCH}.drives-{pin}", name)

    def _note(self, edges: list[tuple[int, bool]], level: bool) -> None:
        edges.append((self.clock.now_ns(), level))

    # --- The guest --------------------------------------------------------------------------------------------------------------------------------------------

    def read(self, port: int, size: int = 1) -> int:
        return self.ports.read(port, size)

    def write(self, port: int, value: int, size: int = 1) -> None:
        self.ports.write(port, size, value)

    def mmio_read(self, address: int, size: int = 1) -> int:
        return self.memory.mmio_read(address, size)

    def mmio_write(self, address: int, value: int, size: int = 1) -> None:
        self.memory.mmio_write(address, size, value)

    # --- Pins -------------------------------------------------------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self._drivers)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self._edges)

    def pin(self, name: str) -> bool:
        """The level of an output."""
        return self.lines.outputs[f"{self.id}.{name}"].level

    def drive(self, name: str, level: bool) -> None:
        """Set an input."""
        self._drivers[name].set(level)

    def edges(self, name: str) -> list[tuple[int, bool]]:
        """Changes of an output since power-on or `clear_edges`, as (virtual ns, level)."""
        return list(self._edges[name])

    def clear_edges(self) -> None:
        for edges in self._edges.values():
            edges.clear()

    # --- Time -------------------------------------------------------------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns()

    def advance(self, duration_ns: int) -> None:
        """Let virtual time pass; timers go off in order."""
        self.clock.advance(duration_ns)

    # --- The machine ------------------------------------------------------------------------------------------------------------------------------------------

    def provided(self, interface: str) -> Any:
        """What the device provides under that name."""
        implementation = self._interfaces.provided(f"{self.id}.{interface}")
        if implementation is None:
            raise AssemblyError(f"the device provides no {interface!r}", component=self.id)
        return implementation

    def reset(self) -> None:
        self.device.reset()

    def save(self) -> dict[str, Any]:
        """What a machine would save of this device, JSON-able: ``state`` (the device's own), ``clock`` (timers and time), ``lines`` and ``blocks`` (memory)."""
        section = save_device(self.id, self.spec, self.device)
        return {
            "type": section.kind,
            "version": section.version,
            "state": section.state,
            "clock": dump(self.clock.save()),
            "lines": self.lines.save(),
            "blocks": {name: _save_memory(block.data) for name, block in self.memory.blocks.items()},
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` made on this bench or on another with the same device; memory last, as a machine does."""
        section = SectionData(saved["type"], saved["version"], cast(Json, saved["state"]))
        state = check_device_section(self.id, self.spec, section)
        clock = load(ClockState, saved["clock"], name="clock")
        if saved["blocks"].keys() != self.memory.blocks.keys():
            raise SnapshotError("the saved memory blocks are of another device")
        self.clock.restore(clock)
        self.lines.restore(saved["lines"])
        load_device(self.id, self.device, state)
        for name, block in self.memory.blocks.items():
            _load_memory(block.data, saved["blocks"][name])


def _save_memory(data: memoryview) -> dict[str, str]:
    """The parts that are not zero, by offset."""
    zeros = bytes(1 << 20)
    saved = {}
    for start in range(0, len(data), len(zeros)):
        chunk = bytes(data[start : start + len(zeros)])
        if chunk == zeros[: len(chunk)]:
            continue
        for offset in range(0, len(chunk), _SAVED_CHUNK):
            part = chunk[offset : offset + _SAVED_CHUNK]
            if any(part):
                saved[str(start + offset)] = base64.b64encode(part).decode("ascii")
    return saved


def _load_memory(data: memoryview, saved: Mapping[str, str]) -> None:
    data[:] = bytes(len(data))
    for offset, text in saved.items():
        part = base64.b64decode(text)
        data[int(offset) : int(offset) + len(part)] = part
