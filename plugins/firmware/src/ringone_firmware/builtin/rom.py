"""Builds the 64 KiB ROM from its source, the fonts and the tables that it carries."""

from __future__ import annotations

import functools
from importlib import resources

from ringone_firmware.assembler import Program, assemble
from ringone_firmware.builtin import layout
from ringone_firmware.fonts import font_8x8, font_8x16

REGISTER_OFFSETS = {"FRAME": 0, "STEP": 4, "OPERAND": 8, "DATA": 12}


@functools.cache
def program(service_base: int) -> Program:
    source = resources.files(__package__).joinpath("bios.s").read_text(encoding="ascii")
    registers = {name: service_base + offset for name, offset in REGISTER_OFFSETS.items()}
    return assemble(source, layout.SOURCE_CONSTANTS | registers, origin=layout.CODE_OFFSET, name="bios.s")


def build(service_base: int, rsdp: bytes) -> bytes:
    rom = bytearray(layout.ROM_SIZE)
    code = program(service_base)
    rom[code.origin : code.origin + len(code.data)] = code.data
    half = len(font_8x8()) // 2
    for offset, data in (
        (layout.RSDP_OFFSET, rsdp),
        (layout.FONT_8X16_OFFSET, font_8x16()),
        (layout.FONT_8X8_OFFSET, font_8x8()[:half]),
        (layout.FONT_8X8_UPPER_OFFSET, font_8x8()[half:]),
    ):
        rom[offset : offset + len(data)] = data
    rom[-1] = -sum(rom[:-1]) & 0xFF
    return bytes(rom)
