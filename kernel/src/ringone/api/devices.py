"""Guest-visible chips: the spec that a plugin yields, the Protocol a chip meets, and the only door through which it sees the machine."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from ringone.api import API_VERSION

if TYPE_CHECKING:
    from ringone.api.memory import MemoryBlock, MmioRead, MmioWrite, PhysicalMemory, Region

PortRead = Callable[[int, int], int]
"""``(offset, size) -> value``; `offset` counts from the range's base, `size` is one of the declared widths in bytes."""
PortWrite = Callable[[int, int, int], None]
"""``(offset, size, value)``."""

S = TypeVar("S")
P = TypeVar("P")


class OutputPin(Protocol):
    """An output of a chip, a level. Unconnected outputs go nowhere. Levels are saved by the kernel."""

    def set(self, level: bool) -> None:
        """Drive the pin. Setting the same level again does nothing; a change reaches every connected input before `set` returns."""
        ...

    @property
    def level(self) -> bool: ...


class InputPin(Protocol):
    """An input: the OR of all outputs wired to it."""

    @property
    def level(self) -> bool: ...


class Timer(Protocol):
    """A one-shot alarm in virtual time. Callbacks run between CPU runs, in order of (deadline, component, timer). Deadlines are saved by the kernel."""

    def arm_at(self, deadline_ns: int) -> None:
        """Fire at that virtual time (at once, at the next opportunity, where it is past). Replaces an earlier deadline."""
        ...

    def arm_after(self, delay_ns: int) -> None: ...
    def cancel(self) -> None: ...
    @property
    def deadline_ns(self) -> int | None: ...


class PortRange(Protocol):
    """Ports granted to a chip; movable, for chips whose base is programmable (PCI BARs, PIIX4 PMBASE)."""

    def set_enabled(self, enabled: bool) -> None: ...
    def move(self, base: int) -> None: ...
    @property
    def base(self) -> int: ...


class Counters(Protocol):
    """Named counters of one component, shown by ``debugvm statistics``. `add` is for rare events; hot paths count in plain attributes and export them by
    `provide`.
    """

    def add(self, name: str, amount: int = 1) -> None: ...
    def provide(self, read: Callable[[], Mapping[str, int]]) -> None: ...


class DeviceContext(Protocol):
    """The only door from a chip to its machine. Everything is recorded under the component's id; grants end when assembly is over.

    Overlap of two enabled ranges, an unknown pin and a wrong width raise `AssemblyError` naming both owners.
    """

    @property
    def id(self) -> str:
        """The component's configured id: key of its snapshot section, suffix of its logger."""
        ...

    @property
    def log(self) -> logging.Logger:
        """Messages that a guest can trigger are rate-limited by the kernel's filter on this logger."""
        ...

    @property
    def memory(self) -> PhysicalMemory:
        """For bus masters."""
        ...

    @property
    def stats(self) -> Counters: ...
    @property
    def now_ns(self) -> Callable[[], int]:
        """Virtual time in integer nanoseconds."""
        ...

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
    ) -> PortRange:
        """Claim `count` ports from `base`. Accesses wider than the largest declared width are split, low address first; narrower than the smallest are
        widened on read (and cut) and written at the smallest width. Without `read` the range reads all ones, without `write` writes are dropped. Several
        ranges may share ports when one has only `read` and the other only `write`. An access at `base` itself may be wider than the range (a wide data
        register on one port); one that starts behind it and runs over the end is split.
        """
        ...

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
    ) -> Region:
        """Claim guest-physical addresses (page aligned). A higher `priority` covers a lower one; RAM and ROM below are at priority 0, so a window over RAM
        needs 1 or more.
        """
        ...

    def memory_block(self, name: str, size: int) -> MemoryBlock:
        """Host memory (zeroed, saved in snapshots) for a frame buffer or a ROM; map it with `map_memory`."""
        ...

    def ram(self) -> MemoryBlock:
        """The machine's RAM, to alias parts of it elsewhere (BIOS shadow)."""
        ...

    def map_memory(
        self, block: MemoryBlock, base: int, size: int, *, block_offset: int = 0, writable: bool = True, name: str = "", priority: int = 0, enabled: bool = True
    ) -> Region:
        """Show part of a block to the guest as plain memory (page aligned)."""
        ...

    def output(self, pin: str) -> OutputPin: ...
    def input(self, pin: str, changed: Callable[[bool], None] | None = None) -> InputPin:
        """`changed(level)` is called on every change of the combined level."""
        ...

    def timer(self, name: str, fire: Callable[[], None], *, deferrable: bool = False) -> Timer:
        """A `deferrable` one only measures time, as a system's tick does. An idle guest is not woken at once for it: its time stands still for up to 16 ms
        of the host's, and it hurries after.
        """
        ...

    def driver(self, slot: str, kind: type[P]) -> P | None:
        """The host driver bound to a slot, or None where the machine leaves it empty. `kind` is the driver's Protocol (`ringone.api.drivers`)."""
        ...

    def provide(self, interface: str, implementation: object) -> None:
        """Offer an interface to other chips and the machine (``"inta"``, ``"pci"``, ``"display"`` ...); see `link`."""
        ...

    def link(self, interface: str, kind: type[P]) -> P | None:
        """The implementation that the board connects to this chip's `interface`, None where it connects none. Providers are created first, in board order."""
        ...

    def emit(self, event: object) -> None:
        """Publish a `ringone.api.events` event to the machine's observers."""
        ...


class Device(Protocol[S]):
    """A chip. `reset` touches only its own state and pins. `save_state` must not change anything; `load_state` restores own state only, without a look
    at the guest's memory, which is restored after the chips: the kernel restores timers and line levels, and calls no `changed` callback while it does.
    """

    def reset(self) -> None: ...
    def save_state(self) -> S: ...
    def load_state(self, state: S) -> None: ...


class PinDirection(enum.Enum):
    IN = "in"
    OUT = "out"


@attrs.frozen(kw_only=True)
class DeviceSpec:
    """Yielded by the hook ``ringone_device_types``.

    `options` and `state` are attrs classes (`state` is ``define(slots=True)``; fields are ints, bools, strings, bytes, None, other attrs classes, enums, and
    lists, tuples and str-keyed dicts of those). `inputs`, `outputs`, `interfaces` (provided), `links` (wanted) and `slots` (driver slots) document the chip
    and let assembly check wires. A name ending in ``*`` stands for a numbered family (``IRQ*``).
    """

    name: str
    summary: str
    options: type[Any]
    state: type[Any]
    create: Callable[[DeviceContext, Any], Device[Any]]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    state_version: int = 1
    api_version: int = API_VERSION


class InterruptController(Protocol):
    """Interface ``inta``: what answers the processor's INTA cycle."""

    def acknowledge(self) -> int:
        """The vector of the highest-priority request (the spurious vector where there is none); its in-service bit is set."""
        ...


class DmaChannel(Protocol):
    """Interface ``channel0`` ... ``channel7`` of the i8237 pair: what a DMA-capable ISA chip uses once it has data."""

    def write_memory(self, data: bytes) -> int:
        """Device to memory as programmed; returns the bytes taken (0 while masked). Terminal count is in `terminal_count` afterwards."""
        ...

    def read_memory(self, size: int) -> bytes:
        """Memory to device; returns at most `size` bytes."""
        ...

    @property
    def terminal_count(self) -> bool: ...
    @property
    def masked(self) -> bool: ...


class PciFunction(Protocol):
    """What a PCI chip registers with its bus: 256 bytes of configuration space, accessed in 1, 2 or 4 bytes that do not cross a doubleword."""

    def config_read(self, offset: int, size: int) -> int: ...
    def config_write(self, offset: int, size: int, value: int) -> None: ...


class PciBus(Protocol):
    """Interface ``pci`` of the host bridge."""

    def attach(self, device: int, function: int, pci_function: PciFunction) -> None:
        """Device 0-31, function 0-7; a taken place raises `AssemblyError`."""
        ...
