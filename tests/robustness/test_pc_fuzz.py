"""A whole PC under random accesses: every chip's ports and registers, PCI BARs over each other, over RAM and over the ROM, DMA to anywhere, resets in between.

Nothing may raise, and the state that is left must survive being saved and loaded into another PC.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.plugins import PluginRegistry

from . import machines
from .machines import Pc, make_config, powered_on

EXAMPLES = int(os.environ.get("RINGONE_FUZZ_EXAMPLES", "0"))
"""More than the fast suite's: `make fuzz`."""

PORTS = (
    *range(0x10), 0x20, 0x21, *range(0x40, 0x44), 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x81, 0x82, 0x83, 0x87, 0x8F, 0x92, 0xA0, 0xA1,
    *range(0xC0, 0xE0, 2), 0xE9, *range(0x170, 0x178), *range(0x1CE, 0x1D1), *range(0x1F0, 0x1F8), 0x376, *range(0x3B4, 0x3DC), *range(0x3F0, 0x400),
    0x402, 0x4D0, 0x4D1, 0x510, 0x511, *range(0x514, 0x51C), 0xB2, 0xB3, *range(0x600, 0x640, 2), 0x700, 0xAF00, *range(0xC000, 0xC010), 0xCF8, 0xCF9,
    0xCFA, 0xCFC, 0xCFD, 0xCFE, 0xCFF, 0xFFFF,
)  # fmt: skip
PCI_FUNCTIONS = (0x00, 0x08, 0x09, 0x0B, 0x10, 0x18, 0xFF)
PCI_REGISTERS = (
    0x04,
    0x05,
    0x06,
    0x0C,
    0x10,
    0x14,
    0x18,
    0x1C,
    0x20,
    0x24,
    0x30,
    0x3C,
    0x40,
    0x41,
    0x48,
    0x54,
    *range(0x58, 0x64),
    0x72,
    0x80,
    0x90,
    0xD2,
    0xFE,
)
ADDRESSES = (
    0, 0x7FF, 0x9FFF0, 0xA0000, 0xA8000, 0xB0000, 0xB8000, 0xBFFFE, 0xC0000, 0xF0000, 0xFFFFE, 0x100000, 0x1FF000, 0x1FFFFE, 0x200000, 0x7FFFFFFC, 0xE0000000,
    0xE0400000, 0xFEBF0000, 0xFEC00000, 0xFFFF0000, 0xFFFFFFF0, 0xFFFFFFFF,
)  # fmt: skip
ATA_COMMANDS = (0x00, 0x08, 0x20, 0x25, 0x30, 0x35, 0x90, 0xA0, 0xA1, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xE7, 0xEC, 0xEF, 0xF5)
FDC_COMMANDS = (0x03, 0x04, 0x07, 0x08, 0x0E, 0x0F, 0x10, 0x13, 0x45, 0x46, 0x4A, 0x4D, 0x66, 0xC5, 0xE6)
BUS_MASTER = 0xC000

sizes = st.sampled_from((1, 2, 4))
ports = st.sampled_from(PORTS) | st.integers(0, 0xFFFF)
addresses = st.sampled_from(ADDRESSES) | st.integers(0, 0xFFFFFFFF)
values = st.sampled_from((0, 1, 0xFF, 0xFFFF, 0xFFFFFFFF)) | addresses
byte = st.integers(0, 255)

Step = Callable[[Pc], None]


def _ata(pc: Pc, base: int, command: int, registers: list[int]) -> None:
    for offset, value in enumerate(registers, 2):
        pc.write_port(base + offset, 1, value)
    pc.write_port(base + 7, 1, command)


def _packet(pc: Pc, packet: bytes) -> None:
    _ata(pc, 0x170, 0xA0, [1, 0, 0xFE, 0xFF, 0xA0])
    for offset in range(0, 12, 2):
        pc.write_port(0x170, 2, packet[offset] | packet[offset + 1] << 8)


def _bus_master(pc: Pc, table: int, entry: bytes, direction: int) -> None:
    pc.write_config(0x09, 0x20, 4, BUS_MASTER | 1)
    pc.write_config(0x09, 0x04, 2, 5)
    pc.fill_memory(table, entry)
    pc.write_port(BUS_MASTER + 4, 4, table)
    pc.write_port(BUS_MASTER, 1, direction | 1)


def _isa_dma(pc: Pc, page: int, address: int, count: int, mode: int) -> None:
    pc.write_port(0x0C, 1, 0)
    for port, value in ((0x04, address), (0x05, count)):
        pc.write_port(port, 1, value & 0xFF)
        pc.write_port(port, 1, value >> 8)
    pc.write_port(0x81, 1, page)
    pc.write_port(0x0B, 1, mode & 0xFC | 2)
    pc.write_port(0x0A, 1, 2)


def _floppy(pc: Pc, command: int, parameters: list[int]) -> None:
    pc.write_port(0x3F2, 1, 0x1C)
    for value in (command, *parameters):
        pc.write_port(0x3F5, 1, value)


def _bar(pc: Pc, function: int, bar: int, base: int) -> None:
    pc.write_config(function, 0x10 + 4 * bar, 4, base)
    pc.write_config(function, 0x04, 2, 7)


def _string(pc: Pc, port: int, size: int, count: int) -> None:
    for _ in range(count):
        pc.read_port(port, size)


step = st.one_of(
    st.builds(lambda port, size: lambda pc: pc.read_port(port, size), ports, sizes),
    st.builds(lambda port, size, value: lambda pc: pc.write_port(port, size, value), ports, sizes, values),
    st.builds(lambda port, value: lambda pc: pc.write_port(port, 1, value), ports, byte),
    st.builds(lambda port, size, count: lambda pc: _string(pc, port, size, count), ports, sizes, st.integers(1, 300)),
    st.builds(
        lambda *arguments: lambda pc: pc.write_config(*arguments), st.sampled_from(PCI_FUNCTIONS), st.sampled_from(PCI_REGISTERS) | byte, sizes, values
    ),
    st.builds(lambda *arguments: lambda pc: _bar(pc, *arguments), st.sampled_from(PCI_FUNCTIONS), st.integers(0, 6), addresses),
    st.builds(lambda address, size: lambda pc: pc.read_memory(address, size), addresses, st.sampled_from((1, 2, 4, 8))),
    st.builds(lambda address, size, value: lambda pc: pc.write_memory(address, size, value), addresses, st.sampled_from((1, 2, 4, 8)), values),
    st.builds(lambda address, data: lambda pc: pc.fill_memory(address, data), addresses, st.binary(max_size=40)),
    st.builds(
        lambda *arguments: lambda pc: _ata(pc, *arguments), st.sampled_from((0x1F0, 0x170)), st.sampled_from(ATA_COMMANDS) | byte, st.lists(byte, max_size=5)
    ),
    st.builds(lambda packet: lambda pc: _packet(pc, packet), st.binary(min_size=12, max_size=12)),
    st.builds(lambda *arguments: lambda pc: _bus_master(pc, *arguments), addresses, st.binary(max_size=32), st.sampled_from((0, 8))),
    st.builds(lambda *arguments: lambda pc: _isa_dma(pc, *arguments), byte, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), byte),
    st.builds(lambda *arguments: lambda pc: _floppy(pc, *arguments), st.sampled_from(FDC_COMMANDS) | byte, st.lists(byte, max_size=9)),
    st.builds(lambda duration: lambda pc: pc.let_pass(duration), st.sampled_from((1, 1000, 1_000_000, 20_000_000, 3_000_000_000))),
    st.just(lambda pc: pc.execute()),
    st.just(lambda pc: pc.look()),
    st.just(lambda pc: pc.reset()),
)  # fmt: skip


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry([machines], strict=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drives")


@settings(max_examples=EXAMPLES or 100, derandomize=not EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(steps=st.lists(step, min_size=20, max_size=120))
def test_no_access_raises_and_the_state_survives_a_snapshot(steps: list[Step], registry: PluginRegistry, folder: Path) -> None:
    config = make_config(folder)
    with powered_on(config, registry) as pc, powered_on(config, registry) as other:
        for act in steps:
            act(pc)
        saved = pc.machine.capture()
        expected = pc.machine.state_hash()

        other.machine.restore(saved)

        assert other.machine.state_hash() == expected
        other.let_pass(1_000_000)
        other.execute()
