"""Whole PCs on the test's own thread: no BIOS, manual time, every drive, and the accesses of a guest without the guest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from ringone.api.config import ClockConfig, ClockPolicy, Drive, DriveKind, FirmwareConfig, MachineConfig, SerialPort
from ringone.api.cpu import RunBudget
from ringone.api.events import MachineState
from ringone.api.firmware import FirmwareImage, FirmwareSpec
from ringone.api.hooks import hookimpl
from ringone.api.media import AccessMode
from ringone.api.options import option
from ringone.machine.commands import CommandQueue
from ringone.machine.machine import Machine
from ringone.machine.plan import make_plan
from ringone.plugins import PluginRegistry

PCI_ADDRESS, PCI_DATA = 0xCF8, 0xCFC
ROM_BYTES = 64 << 10
RESET_VECTOR = ROM_BYTES - 16
JUMP_TO_START = bytes.fromhex("EA 00 00 00 F0")
HALT_FOR_EVER = "FA F4 EB FD"


@attrs.frozen(kw_only=True)
class RomOptions:
    program: str = option(HALT_FOR_EVER, help="16-bit code for F000:0000, in hex")


def _load(config: MachineConfig, options: RomOptions) -> FirmwareImage:
    rom = bytearray(b"\xff" * ROM_BYTES)
    program = bytes.fromhex(options.program)
    rom[: len(program)] = program
    rom[RESET_VECTOR : RESET_VECTOR + len(JUMP_TO_START)] = JUMP_TO_START
    return FirmwareImage(name="program", rom=bytes(rom))


@hookimpl
def ringone_firmwares() -> Iterator[FirmwareSpec]:
    yield FirmwareSpec(name="program", summary="a ROM with a program", options=RomOptions, preference=-1, available=lambda options: "", load=_load)


def make_config(folder: Path, name: str = "fuzzed") -> MachineConfig:
    """A PC that halts, with one drive of each kind, all thrown away."""
    images = {}
    for drive, size in (("disk", 1 << 20), ("cd", 1 << 20), ("floppy", 1440 << 10)):
        images[drive] = folder / f"{drive}.{'iso' if drive == 'cd' else 'img'}"
        images[drive].write_bytes(bytes(range(256)) * (size >> 8))
    return MachineConfig(
        name=name,
        memory_bytes=2 << 20,
        firmware=FirmwareConfig(name="program"),
        clock=ClockConfig(policy=ClockPolicy.MANUAL, base_unix_ns=0),
        drives=(
            Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=images["disk"], format="raw", mode=AccessMode.THROW_AWAY),
            Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0, image=images["cd"], format="iso", mode=AccessMode.READ_ONLY),
            Drive(kind=DriveKind.FLOPPY, controller="floppy", port=0, device=0, image=images["floppy"], format="raw", mode=AccessMode.THROW_AWAY),
        ),
        serial_ports=(SerialPort(slot=0, io_base=0x3F8, irq=4),),
    )


@contextmanager
def powered_on(config: MachineConfig, registry: PluginRegistry) -> Iterator[Pc]:
    machine = Machine(make_plan(config, registry), registry.media_formats(), CommandQueue())
    try:
        machine.power_on()
        yield Pc(machine)
    finally:
        machine.close()


@attrs.define
class Pc:
    """What a guest does, done by a test."""

    machine: Machine

    def read_port(self, port: int, size: int) -> None:
        self.machine.parts.ports.read(port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        self.machine.parts.ports.write(port, size, value & (1 << 8 * size) - 1)

    def write_config(self, function: int, register: int, size: int, value: int) -> None:
        """`function` is the PCI device number times 8 plus the function."""
        self.write_port(PCI_ADDRESS, 4, 1 << 31 | function << 8 | register & 0xFC)
        self.write_port(PCI_DATA + (register & 3), size, value)

    def read_memory(self, address: int, size: int) -> None:
        self.machine.parts.memory.mmio_read(address, size)

    def write_memory(self, address: int, size: int, value: int) -> None:
        self.machine.parts.memory.mmio_write(address, size, value & (1 << 8 * size) - 1)

    def fill_memory(self, address: int, data: bytes) -> None:
        self.machine.parts.memory.write(address, data)

    def let_pass(self, duration_ns: int) -> None:
        self.machine.parts.clock.advance(duration_ns)
        self.machine.attend()
        self.switch_on_again()

    def execute(self) -> None:
        self.machine.execute(RunBudget(progress=200))
        self.machine.attend()
        self.switch_on_again()

    def reset(self) -> None:
        self.machine.reset("a test")

    def look(self) -> None:
        """What a frontend does all the time."""
        for interface, use in (("display", lambda display: (display.frame(), display.text())), ("keyboard", lambda keyboard: keyboard.leds)):
            self.machine.on_console(interface, use)
        self.machine.statistics()

    def switch_on_again(self) -> None:
        if self.machine.state is MachineState.POWERED_OFF:
            self.machine.power_on()
