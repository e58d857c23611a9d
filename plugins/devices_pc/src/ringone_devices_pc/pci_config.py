"""PCI configuration space of one function, type 0 header (PCI Local Bus Specification 2.1, chapter 6), as every PCI chip here uses it.

256 bytes with a write mask and a write-one-to-clear mask a byte, base address registers that size themselves and move port ranges and memory windows, and
callbacks for a chip's own registers. Capabilities, 64-bit BARs and multi-bus topologies are left out: this chipset has none.

A chip builds its space once, then hands it to the bus::

    config = PciConfigSpace(vendor_id=0x8086, device_id=0x7010, class_code=0x010180)
    config.register(0x40, 2, writable=0xB3FF)
    config.on_write(0x40, 0x43, self._timing_changed)
    config.add_io_bar(4, 16, context.map_ports(0, 16, read=..., write=..., enabled=False))
    bus.attach(1, 1, config)

Windows are created disabled, those in memory space at priority -1, so that RAM and ROM cover what a guest lays over them. Where a guest lays two windows over
each other, the one that moved last is in force.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringone.api.errors import AssemblyError, SnapshotError
from ringone.api.memory import PAGE_SIZE

CONFIG_BYTES = 256

VENDOR_ID = 0x00
DEVICE_ID = 0x02
COMMAND = 0x04
STATUS = 0x06
REVISION_ID = 0x08
CLASS_CODE = 0x09
HEADER_TYPE = 0x0E
BAR0 = 0x10
SUBSYSTEM_VENDOR_ID = 0x2C
SUBSYSTEM_ID = 0x2E
EXPANSION_ROM = 0x30
INTERRUPT_LINE = 0x3C
INTERRUPT_PIN = 0x3D

COMMAND_IO = 1 << 0
COMMAND_MEMORY = 1 << 1
COMMAND_MASTER = 1 << 2

STATUS_FAST_BACK_TO_BACK = 1 << 7
STATUS_DEVSEL_MEDIUM = 1 << 9
STATUS_WRITE_ONE_CLEARS = 0xF900
"""Parity error detected, SERR# signalled, master and target aborts, data parity reported."""

HEADER_MULTIFUNCTION = 0x80

BAR_IO = 1 << 0
BAR_PREFETCHABLE = 1 << 3
ROM_ENABLE = 1 << 0

QEMU_SUBSYSTEM_VENDOR = 0x1AF4
QEMU_SUBSYSTEM = 0x1100

_IDENTITY = (range(VENDOR_ID, COMMAND), range(REVISION_ID, CLASS_CODE + 3), range(HEADER_TYPE, HEADER_TYPE + 1))
_MAX_IO = 0xFFFF
_MAX_MEMORY = 0xFFFF_FFFE
"""The last byte below 4 GiB is no place for a window: a BAR that is being sized while it decodes would end there."""


class Window(Protocol):
    """What a BAR moves: a `PortRange`, a `Region`, or a chip's own object over several of them."""

    def set_enabled(self, enabled: bool) -> None: ...
    def move(self, base: int) -> None: ...


class _Bar:
    """One base address register and the window behind it. `placed` is where the window is shown now, None while it is not."""

    __slots__ = ("address_mask", "enable", "last", "offset", "own_bit", "placed", "size", "window")

    def __init__(self, offset: int, size: int, window: Window, *, enable: tuple[int, int], last: int, own_bit: int = 0) -> None:
        self.offset = offset
        self.size = size
        self.window = window
        self.enable = enable
        self.last = last
        self.own_bit = own_bit
        self.address_mask = 0x1_0000_0000 - size
        self.placed: int | None = None

    def wanted(self, data: bytearray) -> int | None:
        """Where the registers ask the window to be. Address 0 means that nobody has placed it."""
        at, bit = self.enable
        value = int.from_bytes(data[self.offset : self.offset + 4], "little")
        if not data[at] & bit or value & self.own_bit != self.own_bit:
            return None
        base = value & self.address_mask
        return base if base and base + self.size - 1 <= self.last else None

    def place(self, base: int | None) -> None:
        if base == self.placed:
            return
        if base is not None:
            self.window.move(base)
        if (base is None) != (self.placed is None):
            self.window.set_enabled(base is not None)
        self.placed = base


class PciConfigSpace:
    """Meets `ringone.api.devices.PciFunction`. `data` may be read and, for status that the chip itself changes, written by its owner."""

    def __init__(
        self,
        *,
        vendor_id: int,
        device_id: int,
        class_code: int,
        revision: int = 0,
        header_type: int = 0,
        subsystem_vendor_id: int = QEMU_SUBSYSTEM_VENDOR,
        subsystem_id: int = QEMU_SUBSYSTEM,
        command: int = 0,
        command_writable: int = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER,
        status: int = STATUS_DEVSEL_MEDIUM,
        interrupt_pin: int = 0,
    ) -> None:
        """`class_code` is base class, subclass and programming interface, 24 bits. `command` and `status` are values after reset.
        `interrupt_pin` is 1 for INTA#, 0 for none."""
        self.data = bytearray(CONFIG_BYTES)
        self._reset_values = bytearray(CONFIG_BYTES)
        self._writable = bytearray(CONFIG_BYTES)
        self._clearable = bytearray(CONFIG_BYTES)
        self._watchers: list[tuple[int, int, Callable[[], None]]] = []
        self._bars: list[_Bar] = []
        self.register(VENDOR_ID, 2, vendor_id)
        self.register(DEVICE_ID, 2, device_id)
        self.register(COMMAND, 2, command, writable=command_writable)
        self.register(STATUS, 2, status, clears=STATUS_WRITE_ONE_CLEARS)
        self.register(REVISION_ID, 1, revision)
        self.register(CLASS_CODE, 3, class_code)
        self.register(HEADER_TYPE, 1, header_type)
        self.register(SUBSYSTEM_VENDOR_ID, 2, subsystem_vendor_id)
        self.register(SUBSYSTEM_ID, 2, subsystem_id)
        self.register(INTERRUPT_LINE, 1, writable=0xFF if interrupt_pin else 0)
        self.register(INTERRUPT_PIN, 1, interrupt_pin)

    # --- Building ------------------------------------------------------------------------------------------------------------------------------------------

    def register(self, offset: int, size: int, value: int = 0, *, writable: int = 0, clears: int = 0) -> None:
        """Define a register: its value after reset, the bits that the guest can write, and those that writing one clears."""
        end = offset + size
        self._reset_values[offset:end] = self.data[offset:end] = value.to_bytes(size, "little")
        self._writable[offset:end] = writable.to_bytes(size, "little")
        self._clearable[offset:end] = clears.to_bytes(size, "little")

    def on_write(self, first: int, last: int, written: Callable[[], None]) -> None:
        """Call `written()` after every guest write that touches bytes `first` to `last`, and at reset; after `load` the owner itself looks at what it keeps."""
        self._watchers.append((first, last, written))

    def add_io_bar(self, index: int, size: int, window: Window) -> None:
        """BAR `index` (0-5) decodes `size` ports, a power of two from 4 up, while the command register's I/O bit is set."""
        self._require_power_of_two(size, 4)
        offset = BAR0 + 4 * index
        self.register(offset, 4, BAR_IO, writable=0x1_0000_0000 - size)
        self._bars.append(_Bar(offset, size, window, enable=(COMMAND, COMMAND_IO), last=_MAX_IO))

    def add_memory_bar(self, index: int, size: int, window: Window, *, prefetchable: bool = False) -> None:
        """BAR `index` decodes `size` bytes of 32-bit memory space, a power of two of at least a page, while the command register's memory bit is set."""
        self._require_power_of_two(size, PAGE_SIZE)
        offset = BAR0 + 4 * index
        self.register(offset, 4, BAR_PREFETCHABLE if prefetchable else 0, writable=0x1_0000_0000 - size)
        self._bars.append(_Bar(offset, size, window, enable=(COMMAND, COMMAND_MEMORY), last=_MAX_MEMORY))

    def add_rom_bar(self, size: int, window: Window) -> None:
        """The expansion ROM register: as a memory BAR, with its own enable bit besides."""
        self._require_power_of_two(size, PAGE_SIZE)
        self.register(EXPANSION_ROM, 4, writable=0x1_0000_0000 - size | ROM_ENABLE)
        self._bars.append(_Bar(EXPANSION_ROM, size, window, enable=(COMMAND, COMMAND_MEMORY), last=_MAX_MEMORY, own_bit=ROM_ENABLE))

    def add_io_base(self, offset: int, size: int, window: Window, *, enable: tuple[int, int], preset: int = 0) -> None:
        """A base register of the chip's own (PMBASE), at any offset, switched by a bit of the configuration byte that `enable` names: (offset, mask).
        It holds `preset` after reset."""
        self._require_power_of_two(size, 4)
        self.register(offset, 4, BAR_IO | preset, writable=_MAX_IO + 1 - size)
        self._bars.append(_Bar(offset, size, window, enable=enable, last=_MAX_IO))

    @staticmethod
    def _require_power_of_two(size: int, smallest: int) -> None:
        if size < smallest or size & (size - 1):
            raise AssemblyError(f"a BAR of {size} bytes cannot be decoded; accepted: powers of two from {smallest}")

    # --- PciFunction ---------------------------------------------------------------------------------------------------------------------------------------

    def config_read(self, offset: int, size: int) -> int:
        return int.from_bytes(self.data[offset : offset + size], "little")

    def config_write(self, offset: int, size: int, value: int) -> None:
        data, writable, clearable = self.data, self._writable, self._clearable
        end = min(offset + size, CONFIG_BYTES)
        for at in range(offset, end):
            byte = value & 0xFF
            value >>= 8
            mask = writable[at]
            data[at] = (data[at] & ~mask | byte & mask) & ~(byte & clearable[at])
        self._decode()
        for first, last, written in self._watchers:
            if first < end and offset <= last:
                written()

    # --- For the owner -------------------------------------------------------------------------------------------------------------------------------------

    @property
    def command(self) -> int:
        return self.data[COMMAND] | self.data[COMMAND + 1] << 8

    def set(self, offset: int, size: int, value: int) -> None:
        """Change a register from the chip's side: no mask, no callback."""
        self.data[offset : offset + size] = value.to_bytes(size, "little")

    def reset(self) -> None:
        self.data[:] = self._reset_values
        self._decode()
        for _first, _last, written in self._watchers:
            written()

    def save(self) -> bytes:
        return bytes(self.data)

    def load(self, data: bytes) -> None:
        """Take a saved space over and place its windows; one of another chip, or a damaged one, raises `SnapshotError`."""
        if len(data) != CONFIG_BYTES:
            raise SnapshotError(f"PCI configuration space of {len(data)} bytes; expected {CONFIG_BYTES}")
        if any((data[at] ^ self._reset_values[at]) & ~self._writable[at] for part in _IDENTITY for at in part):
            raise SnapshotError(f"PCI configuration space of device {data[:4].hex()}; expected {self._reset_values[:4].hex()} with the same class")
        self.data[:] = data
        self._decode()

    def _decode(self) -> None:
        for bar in self._bars:
            bar.place(bar.wanted(self.data))
