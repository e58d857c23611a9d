"""Intel 82441FX PCI and memory controller (datasheet 290549-001): the host bridge at device 0, with the subsystem id by which SeaBIOS knows a QEMU-style PC.

    CF8-CFB  CONFADD   enable 31 | bus 23:16 | device 15:11 | function 10:8 | register 7:2    doubleword access only, which
                       leaves the bytes to others: CF9 is the PIIX3's
    CFC-CFF  CONFDATA  the addressed configuration register, 1, 2 or 4 bytes
    59-5F    PAM0-6    read enable (bit 0) and write enable (bit 1) of RAM for each segment of C0000-FFFFF, a nibble each
    72       SMRAM     present, without effect: there is no system management mode

What PAM keeps from RAM goes to the ROMs that lie there, and where there are none reads all ones. DRAM timing and row sizes, the AGP-less arbiter and error
reporting are left out.
"""

from __future__ import annotations

from typing import Protocol

from ringone.api.devices import DeviceContext, PciFunction
from ringone.api.errors import AssemblyError
from ringone.api.memory import MmioRead, MmioWrite, Region

from ringone_devices_pc.i440fx.config import I440fxOptions
from ringone_devices_pc.i440fx.state import I440fxState
from ringone_devices_pc.pci_config import COMMAND_MASTER, COMMAND_MEMORY, STATUS_DEVSEL_MEDIUM, STATUS_FAST_BACK_TO_BACK, PciConfigSpace

CONFADD_ENABLE = 1 << 31
CONFADD_BUS = 0xFF << 16
CONFADD_WRITABLE = 0x80FF_FFFC
COMMAND_PARITY_AND_SERR = 0x0140

PAM0 = 0x59
PAM_COUNT = 7
SMRAM = 0x72
SMRAM_RESET = 0x02
SMRAM_OPEN_CLOSED_ENABLE = 0x68
PAM_READ_ENABLE = 1 << 0
PAM_WRITE_ENABLE = 1 << 1
PAM_ATTRIBUTE = PAM_READ_ENABLE | PAM_WRITE_ENABLE

SHADOW_BASE = 0xC0000
SHADOW_SIZE = 0x40000
HOLE_PRIORITY = 1
SHADOW_PRIORITY = 3
WRITE_THROUGH_PRIORITY = 4
"""ROMs, at priority 2, lie between the hole and the shadow."""

SEGMENTS = (
    # register, bit, base, size
    (0x59, 4, 0xF0000, 0x10000),
    (0x5A, 0, 0xC0000, 0x4000),
    (0x5A, 4, 0xC4000, 0x4000),
    (0x5B, 0, 0xC8000, 0x4000),
    (0x5B, 4, 0xCC000, 0x4000),
    (0x5C, 0, 0xD0000, 0x4000),
    (0x5C, 4, 0xD4000, 0x4000),
    (0x5D, 0, 0xD8000, 0x4000),
    (0x5D, 4, 0xDC000, 0x4000),
    (0x5E, 0, 0xE0000, 0x4000),
    (0x5E, 4, 0xE4000, 0x4000),
    (0x5F, 0, 0xE8000, 0x4000),
    (0x5F, 4, 0xEC000, 0x4000),
)

_ONES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF}


class LowRom(Protocol):
    """Interface ``rom``: what the ROMs below 1 MiB hold, for segments whose reads go to ROM while writes go to RAM."""

    def read_low(self, address: int, size: int) -> int: ...


class _Segment:
    """One PAM segment: a nibble of a register and what to show for each of its values."""

    __slots__ = ("attribute", "bit", "register", "views")

    def __init__(self, register: int, bit: int, views: tuple[Region | None, Region, Region, Region]) -> None:
        self.register = register
        self.bit = bit
        self.views = views
        self.attribute = 0

    def show(self, attribute: int) -> None:
        if attribute == self.attribute:
            return
        old, new = self.views[self.attribute], self.views[attribute]
        self.attribute = attribute
        if old is not None:
            old.set_enabled(False)
        if new is not None:
            new.set_enabled(True)


class I440fx:
    """Provides the `PciBus`."""

    def __init__(self, context: DeviceContext, options: I440fxOptions) -> None:
        self._address = 0
        self._functions: list[PciFunction | None] = [None] * 256
        self._rom = context.link("rom", LowRom)
        context.map_ports(options.base, 1, read=self._confadd_read, write=self._confadd_write, widths=(1, 2, 4), name="CONFADD")
        context.map_ports(options.base + 4, 4, read=self._confdata_read, write=self._confdata_write, widths=(1, 2, 4), name="CONFDATA")
        context.map_mmio(SHADOW_BASE, SHADOW_SIZE, read=self._hole_read, write=self._hole_write, name="hole", priority=HOLE_PRIORITY)
        self._segments = self._make_segments(context)
        self.config = self._make_config()
        self.attach(0, 0, self.config)
        context.provide("pci", self)

    def _make_config(self) -> PciConfigSpace:
        config = PciConfigSpace(
            vendor_id=0x8086,
            device_id=0x1237,
            class_code=0x060000,
            revision=2,
            command=COMMAND_MEMORY | COMMAND_MASTER,
            command_writable=COMMAND_PARITY_AND_SERR,
            status=STATUS_FAST_BACK_TO_BACK | STATUS_DEVSEL_MEDIUM,
        )
        config.register(PAM0, 1, writable=PAM_ATTRIBUTE << 4)
        for register in range(PAM0 + 1, PAM0 + PAM_COUNT):
            config.register(register, 1, writable=PAM_ATTRIBUTE << 4 | PAM_ATTRIBUTE)
        config.register(SMRAM, 1, SMRAM_RESET, writable=SMRAM_OPEN_CLOSED_ENABLE)
        config.on_write(PAM0, PAM0 + PAM_COUNT - 1, self._pam_written)
        return config

    # --- Configuration ports -------------------------------------------------------------------------------------------------------------------------------

    def _confadd_read(self, offset: int, size: int) -> int:
        return self._address if size == 4 else _ONES[size]

    def _confadd_write(self, offset: int, size: int, value: int) -> None:
        if size == 4:
            self._address = value & CONFADD_WRITABLE

    def _confdata_read(self, offset: int, size: int) -> int:
        address = self._address
        if address & (CONFADD_ENABLE | CONFADD_BUS) == CONFADD_ENABLE:
            function = self._functions[address >> 8 & 0xFF]
            if function is not None:
                return function.config_read(address & 0xFC | offset, size)
        return _ONES[size]

    def _confdata_write(self, offset: int, size: int, value: int) -> None:
        address = self._address
        if address & (CONFADD_ENABLE | CONFADD_BUS) != CONFADD_ENABLE:
            return
        function = self._functions[address >> 8 & 0xFF]
        if function is not None:
            function.config_write(address & 0xFC | offset, size, value)

    # --- PciBus --------------------------------------------------------------------------------------------------------------------------------------------

    def attach(self, device: int, function: int, pci_function: PciFunction) -> None:
        if not (0 <= device < 32 and 0 <= function < 8):
            raise AssemblyError(f"PCI place {device}.{function} does not exist; accepted: device 0 to 31, function 0 to 7")
        place = device << 3 | function
        if self._functions[place] is not None:
            raise AssemblyError(f"PCI place {device}.{function} is taken")
        self._functions[place] = pci_function

    # --- BIOS shadow ---------------------------------------------------------------------------------------------------------------------------------------

    def _make_segments(self, context: DeviceContext) -> list[_Segment]:
        ram = context.ram()
        segments = []
        for register, bit, base, size in SEGMENTS:
            place = f"{base:05X}"
            locked = context.map_memory(ram, base, size, block_offset=base, writable=False, name=f"locked-{place}", priority=SHADOW_PRIORITY, enabled=False)
            shadow = context.map_memory(ram, base, size, block_offset=base, name=f"shadow-{place}", priority=SHADOW_PRIORITY, enabled=False)
            read, write = self._write_through(ram.data, base)
            filling = context.map_mmio(base, size, read=read, write=write, name=f"filling-{place}", priority=WRITE_THROUGH_PRIORITY, enabled=False)
            segments.append(_Segment(register, bit, (None, locked, filling, shadow)))
        return segments

    def _write_through(self, ram: memoryview, base: int) -> tuple[MmioRead, MmioWrite]:
        """Handlers of a segment whose reads go to ROM and whose writes go to RAM: how a BIOS copies itself over itself."""
        rom = self._rom

        def read(offset: int, size: int) -> int:
            return rom.read_low(base + offset, size) if rom is not None else _ONES[size]

        def write(offset: int, size: int, value: int) -> None:
            at = base + offset
            ram[at : at + size] = value.to_bytes(size, "little")

        return read, write

    def _hole_read(self, offset: int, size: int) -> int:
        return _ONES[size]

    def _hole_write(self, offset: int, size: int, value: int) -> None:
        pass

    def _pam_written(self) -> None:
        data = self.config.data
        for segment in self._segments:
            segment.show(data[segment.register] >> segment.bit & PAM_ATTRIBUTE)

    # --- Device --------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self._address = 0
        self.config.reset()

    def save_state(self) -> I440fxState:
        return I440fxState(address=self._address, config=self.config.save())

    def load_state(self, state: I440fxState) -> None:
        self.config.load(state.config)
        self._pam_written()
        self._address = state.address & CONFADD_WRITABLE
