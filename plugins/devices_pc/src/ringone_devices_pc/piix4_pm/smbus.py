"""The PIIX4's SMBus host controller: sixteen registers, and a bus on which nobody answers."""

from __future__ import annotations

from ringone.api.errors import SnapshotError

REGISTERS = 16
SMBHSTSTS = 0x00
SMBHSTCNT = 0x02

DEV_ERR = 1 << 2
STATUS_CLEARABLE = 0x1E
"""INTR, DEV_ERR, BUS_ERR and FAILED; HOST_BUSY is never seen, as a transaction fails at once."""
START = 1 << 6


class SmbusHost:
    def __init__(self) -> None:
        self._registers = bytearray(REGISTERS)

    def read(self, offset: int, size: int) -> int:
        return self._registers[offset]

    def write(self, offset: int, size: int, value: int) -> None:
        registers = self._registers
        if offset == SMBHSTSTS:
            registers[SMBHSTSTS] &= ~(value & STATUS_CLEARABLE)
            return
        if offset == SMBHSTCNT:
            if value & START:
                registers[SMBHSTSTS] |= DEV_ERR
            value &= ~START
        registers[offset] = value

    def reset(self) -> None:
        self._registers[:] = bytes(REGISTERS)

    def save(self) -> bytes:
        return bytes(self._registers)

    def load(self, data: bytes) -> None:
        if len(data) != REGISTERS:
            raise SnapshotError(f"SMBus registers of {len(data)} bytes; expected {REGISTERS}")
        self._registers[:] = data
