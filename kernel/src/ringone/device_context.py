"""What a chip gets to see: the kernel's `ringone.api.devices.DeviceContext`, one per component, used by machines and by the test harness alike.

Every grant is recorded under the component's id: for the inventory, for conflict messages, for the snapshot's keys. When assembly is over the door closes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import attrs

from ringone.api.devices import DeviceSpec, PortRead, PortWrite
from ringone.api.errors import AssemblyError, UnconnectedPinError
from ringone.api.memory import MemoryBlock, MmioRead, MmioWrite
from ringone.bus import PortClaim, PortSpace
from ringone.clock import VirtualClock, VirtualTimer
from ringone.hostmemory import StoredBlock
from ringone.irq import InputLine, LineNetwork, OutputLine
from ringone.memory import AddressSpace, MappedRegion
from ringone.stats import ComponentCounters

P = TypeVar("P")


def matches(declared: Sequence[str], name: str) -> bool:
    """Is `name` one of the declared names? ``IRQ*`` stands for IRQ0, IRQ1 and so on."""
    return any(name == entry or (entry.endswith("*") and name.startswith(entry[:-1])) for entry in declared)


@attrs.frozen
class Grant:
    """Something that a component was given at assembly. `kind` is the method's name, `detail` is for people."""

    kind: str
    name: str
    detail: str = ""


class InterfaceRegistry:
    """What chips provide to each other, and who is connected to whom; names are ``component.interface``."""

    def __init__(self) -> None:
        self._provided: dict[str, object] = {}
        self._links: dict[str, str] = {}

    def provide(self, component: str, interface: str, implementation: object) -> None:
        key = f"{component}.{interface}"
        if key in self._provided:
            raise AssemblyError(f"the interface {interface!r} is provided twice", component=component)
        self._provided[key] = implementation

    def connect(self, user: str, provider: str) -> None:
        if self._links.setdefault(user, provider) != provider:
            raise AssemblyError(f"{user} is linked to both {self._links[user]} and {provider}", component=user.partition(".")[0])

    def provided(self, provider: str) -> object | None:
        return self._provided.get(provider)

    def link(self, user: str) -> object | None:
        """What the board connected to `user`, None where nothing; the provider must exist by then."""
        provider = self._links.get(user)
        if provider is None:
            return None
        if provider not in self._provided:
            known = ", ".join(sorted(self._provided)) or "none"
            raise UnconnectedPinError(f"{user} is linked to {provider!r}, which nobody provided before; provided: {known}", component=user.partition(".")[0])
        return self._provided[provider]


@attrs.frozen(kw_only=True)
class MachineParts:
    """What all components of one machine share."""

    ports: PortSpace
    memory: AddressSpace
    lines: LineNetwork
    clock: VirtualClock
    interfaces: InterfaceRegistry
    emit: Callable[[object], None]


class ComponentContext:
    """The `DeviceContext` of one component."""

    def __init__(
        self,
        component: str,
        spec: DeviceSpec,
        parts: MachineParts,
        *,
        drivers: Mapping[str, Any],
        log: logging.Logger,
        stats: ComponentCounters,
    ) -> None:
        self.id = component
        self.log = log
        self.memory = parts.memory
        self.stats = stats
        self.now_ns = parts.clock.now_ns
        self.emit = parts.emit
        self.grants: list[Grant] = []
        self._spec = spec
        self._parts = parts
        self._drivers = drivers
        self._open = True

    def close(self) -> None:
        """Assembly is over: from now on every request for more is an `AssemblyError`."""
        self._open = False

    def _grant(self, kind: str, name: str, detail: str = "") -> None:
        if not self._open:
            raise AssemblyError(f"{kind} {name!r} was asked for after assembly", component=self.id)
        self.grants.append(Grant(kind, name, detail))

    def _declared(self, kind: str, declared: tuple[str, ...], name: str) -> None:
        if not matches(declared, name):
            raise AssemblyError(f"{self._spec.name} declares no {kind} {name!r}; declared: {', '.join(declared) or 'none'}", component=self.id)

    def map_ports(
        self,
        base: int,
        count: int,
        *,
        read: PortRead | None = None,
        write: PortWrite | None = None,
        widths: tuple[int, ...] = (1,),
        name: str = "",
        enabled: bool = True,
    ) -> PortClaim:
        self._grant("ports", name, f"{base:#06x}-{base + count - 1:#06x}")
        return self._parts.ports.claim(self.id, base, count, read=read, write=write, widths=widths, name=name, enabled=enabled)

    def map_mmio(
        self,
        base: int,
        size: int,
        *,
        read: MmioRead,
        write: MmioWrite,
        widths: tuple[int, ...] = (1, 2, 4),
        name: str = "",
        priority: int = 0,
        enabled: bool = True,
    ) -> MappedRegion:
        self._grant("mmio", name, f"{base:#010x}-{base + size - 1:#010x}")
        return self.memory.map_mmio(self.id, base, size, read=read, write=write, widths=widths, name=name, priority=priority, enabled=enabled)

    def memory_block(self, name: str, size: int) -> StoredBlock:
        self._grant("memory block", name, f"{size:#x} bytes")
        return self.memory.block(self.id, name, size)

    def ram(self) -> StoredBlock:
        return self.memory.ram

    def map_memory(
        self,
        block: MemoryBlock,
        base: int,
        size: int,
        *,
        block_offset: int = 0,
        writable: bool = True,
        name: str = "",
        priority: int = 0,
        enabled: bool = True,
    ) -> MappedRegion:
        self._grant("memory", name or block.name, f"{base:#010x}-{base + size - 1:#010x}")
        return self.memory.map_memory(self.id, block, base, size, block_offset=block_offset, writable=writable, name=name, priority=priority, enabled=enabled)

    def output(self, pin: str) -> OutputLine:
        self._declared("output pin", self._spec.outputs, pin)
        self._grant("output", pin)
        return self._parts.lines.output(self.id, pin)

    def input(self, pin: str, changed: Callable[[bool], None] | None = None) -> InputLine:
        self._declared("input pin", self._spec.inputs, pin)
        self._grant("input", pin)
        return self._parts.lines.input(self.id, pin, changed)

    def timer(self, name: str, fire: Callable[[], None], *, deferrable: bool = False) -> VirtualTimer:
        self._grant("timer", name)
        return self._parts.clock.timer(self.id, name, fire, deferrable=deferrable)

    def driver(self, slot: str, kind: type[P]) -> P | None:
        self._declared("driver slot", self._spec.slots, slot)
        self._grant("driver", slot)
        return cast("P | None", self._drivers.get(slot))

    def provide(self, interface: str, implementation: object) -> None:
        self._declared("interface", self._spec.interfaces, interface)
        self._grant("interface", interface)
        self._parts.interfaces.provide(self.id, interface, implementation)

    def link(self, interface: str, kind: type[P]) -> P | None:
        self._declared("link", self._spec.links, interface)
        self._grant("link", interface)
        return cast("P | None", self._parts.interfaces.link(f"{self.id}.{interface}"))
