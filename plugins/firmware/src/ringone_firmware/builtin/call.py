"""One BIOS call: the caller's registers as the stub saved them, and memory as the caller sees it."""

from __future__ import annotations

import struct

from ringone.api.memory import PhysicalMemory

FRAME = struct.Struct("<HH8IHHHH")
"""ES DS EDI ESI EBP ESP EBX EDX ECX EAX vector IP CS FLAGS, upwards from SS:SP."""
CARRY, ZERO = 1 << 0, 1 << 6
HIGHEST_ADDRESS = 0xFFFFFFFF


class _Part:
    """Part of a 32-bit register."""

    def __init__(self, register: str, shift: int, bits: int) -> None:
        self._register = register
        self._shift = shift
        self._mask = (1 << bits) - 1

    def __get__(self, call: Call, owner: type[Call]) -> int:
        value: int = getattr(call, self._register)
        return value >> self._shift & self._mask

    def __set__(self, call: Call, value: int) -> None:
        kept = getattr(call, self._register) & ~(self._mask << self._shift)
        setattr(call, self._register, kept | (value & self._mask) << self._shift)


class Call:
    """Registers may be changed at any time, memory through `poke`; both reach the guest with `commit`, when the service is done."""

    ax, bx, cx, dx, si, di, bp = (_Part(f"e{name}", 0, 16) for name in ("ax", "bx", "cx", "dx", "si", "di", "bp"))
    al, bl, cl, dl = (_Part(f"e{name}x", 0, 8) for name in "abcd")
    ah, bh, ch, dh = (_Part(f"e{name}x", 8, 8) for name in "abcd")

    def __init__(self, memory: PhysicalMemory, frame: int) -> None:
        self._memory = memory
        self._frame = frame
        self._edits: list[tuple[int, bytes]] = []
        values = FRAME.unpack(memory.read(frame, FRAME.size))
        self.es, self.ds, self.edi, self.esi, self.ebp, self._esp, self.ebx, self.edx, self.ecx, self.eax, self.vector, self.ip, self.cs, self.flags = values

    def commit(self) -> None:
        for address, data in self._edits:
            self._memory.write(address, data)
        dwords = (self.edi, self.esi, self.ebp, self._esp, self.ebx, self.edx, self.ecx, self.eax)
        frame = FRAME.pack(self.es, self.ds, *(value & 0xFFFFFFFF for value in dwords), self.vector, self.ip, self.cs, self.flags & 0xFFFF)
        self._memory.write(self._frame, frame)

    # --- Flags -------------------------------------------------------------------------------------------------------------------------------------------

    def set_carry(self, carry: bool) -> None:
        self.flags = self.flags & ~CARRY | (CARRY if carry else 0)

    def set_zero(self, zero: bool) -> None:
        self.flags = self.flags & ~ZERO | (ZERO if zero else 0)

    # --- Memory ------------------------------------------------------------------------------------------------------------------------------------------

    def peek(self, address: int, size: int = 1) -> int:
        return int.from_bytes(self.read(address, size), "little")

    def read(self, address: int, size: int) -> bytes:
        return self._memory.read(address & HIGHEST_ADDRESS, size)

    def poke(self, address: int, value: int, size: int = 1) -> None:
        self.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def write(self, address: int, data: bytes) -> None:
        self._edits.append((address & HIGHEST_ADDRESS, data))


def linear(segment: int, offset: int) -> int:
    """Where a real-mode address lies; the offset wraps as the processor's does."""
    return (segment << 4) + (offset & 0xFFFF)
