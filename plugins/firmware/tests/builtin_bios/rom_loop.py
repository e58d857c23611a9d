"""A guest for the service chip: does what the ROM's loop does, on a bench with scripted ports and a video memory of its own."""

from __future__ import annotations

import attrs
from ringone.testing import DeviceHarness
from ringone.testing.media import MemoryDisk, MemoryDrive
from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import FRAME
from ringone_firmware.builtin.config import DEFAULT_BASE, BiosServicesOptions
from ringone_firmware.builtin.operations import Opcode
from ringone_firmware.builtin.rom import REGISTER_OFFSETS
from ringone_firmware.builtin.spec import BIOS_SERVICES

STACK_SEGMENT, STACK_OFFSET = 0x0050, 0x1000
FRAME_PORT, STEP_PORT, OPERAND_PORT, DATA_PORT = (DEFAULT_BASE + REGISTER_OFFSETS[name] for name in ("FRAME", "STEP", "OPERAND", "DATA"))
CARRY, ZERO = 1 << 0, 1 << 6
VIDEO_START = 0xA0000
MEMORY_BYTES = 2 << 20
REGISTERS = ("es", "ds", "edi", "esi", "ebp", "esp", "ebx", "edx", "ecx", "eax", "vector", "ip", "cs", "flags")
MOST_OPERATIONS = 50_000


@attrs.define
class Registers:
    """What a caller sees after a service; `outcome` is how the ROM's loop ended."""

    values: dict[str, int]
    outcome: Opcode

    def __getattr__(self, name: str) -> int:
        if name in self.values:
            return self.values[name]
        register, part = f"e{name[0]}x", name[1:]
        if part in ("h", "l"):
            return self.values[register] >> (8 if part == "h" else 0) & 0xFF
        return self.values[f"e{name}"] & 0xFFFF

    @property
    def carry(self) -> bool:
        return bool(self.values["flags"] & CARRY)

    @property
    def zero(self) -> bool:
        return bool(self.values["flags"] & ZERO)


def bench(
    *,
    floppies: tuple[MemoryDrive, ...] = (),
    disks: tuple[MemoryDisk, ...] = (),
    cds: tuple[MemoryDrive, ...] = (),
    options: BiosServicesOptions | None = None,
) -> DeviceHarness:
    """The service chip with drives in their slots."""
    drivers: dict[str, object] = {f"floppy{index}": drive for index, drive in enumerate(floppies)}
    drivers |= {f"disk{index}": disk for index, disk in enumerate(disks)}
    drivers |= {f"cd{index}": drive for index, drive in enumerate(cds)}
    return DeviceHarness(BIOS_SERVICES, options=options, drivers=drivers, ram_bytes=MEMORY_BYTES)


class Guest:
    """Calls services. `ports` answers reads with values by port (a list is used up, its last value stays), `writes` records (port, value)."""

    def __init__(self, harness: DeviceHarness | None = None) -> None:
        self.harness = harness or bench()
        self.memory = self.harness.memory
        self.video = bytearray(0x20000)
        self.ports: dict[int, int | list[int]] = {}
        self.writes: list[tuple[int, int]] = []

    def call(self, vector: int, **registers: int) -> Registers:
        """Run a service to its end. Registers are named as in assembly."""
        self.begin(vector, **registers)
        for _ in range(MOST_OPERATIONS):
            step = self.harness.read(STEP_PORT, 4)
            opcode = Opcode(step & 0xFF)
            if opcode in (Opcode.DONE, Opcode.HALT, Opcode.SPIN):
                return self.end(opcode)
            self.operate(opcode, step >> 16)
        raise AssertionError("the service does not end")

    def begin(self, vector: int, **registers: int) -> None:
        values = dict.fromkeys(REGISTERS, 0) | {"vector": vector, "flags": 0x202}
        for name, value in registers.items():
            if name in values:
                values[name] = value
            else:
                full = f"e{name[0]}x" if name[1] in "hl" else f"e{name}"
                values[full] |= value << (8 if name[1] == "h" else 0)
        self.memory.write((STACK_SEGMENT << 4) + STACK_OFFSET, FRAME.pack(*values.values()))
        self.harness.write(FRAME_PORT, STACK_SEGMENT << 16 | STACK_OFFSET, 4)

    def end(self, opcode: Opcode) -> Registers:
        frame = FRAME.unpack(self.memory.read((STACK_SEGMENT << 4) + STACK_OFFSET, FRAME.size))
        return Registers(dict(zip(REGISTERS, frame, strict=True)), opcode)

    # --- The loop's operations -----------------------------------------------------------------------------------------------------------------------------

    def operate(self, opcode: Opcode, argument: int) -> None:
        match opcode:
            case Opcode.OUTS:
                for _ in range(argument):
                    place, value = self._operand(), self._operand()
                    self.writes.append((place & 0xFFFF, value))
            case Opcode.IN_BYTE | Opcode.IN_WORD | Opcode.IN_DWORD:
                self.harness.write(OPERAND_PORT, self._in(argument, 1 << (opcode - Opcode.IN_BYTE) // 2), 4)
            case Opcode.STORE:
                offset, count = self._pair()
                for at in range(count):
                    self.video[self._video(argument, offset + at)] = self.harness.read(DATA_PORT)
            case Opcode.FETCH:
                offset, count = self._pair()
                for at in range(count):
                    self.harness.write(DATA_PORT, self.video[self._video(argument, offset + at)])
            case Opcode.MOVE:
                (source, target), words = self._pair(), self._operand()
                start = self._video(argument, source)
                data = bytes(self.video[start : start + 2 * words])
                self.video[self._video(argument, target) : self._video(argument, target) + 2 * words] = data
            case Opcode.FILL:
                (offset, words), value = self._pair(), self._operand()
                start = self._video(argument, offset)
                self.video[start : start + 2 * words] = value.to_bytes(2, "little") * words

    def _operand(self) -> int:
        return self.harness.read(OPERAND_PORT, 4)

    def _pair(self) -> tuple[int, int]:
        value = self._operand()
        return value & 0xFFFF, value >> 16

    def _in(self, port: int, size: int) -> int:
        answer = self.ports.get(port, (1 << 8 * size) - 1)
        if isinstance(answer, list):
            return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer

    @staticmethod
    def _video(segment: int, offset: int) -> int:
        return (segment << 4) + offset - VIDEO_START

    # --- What a person sees --------------------------------------------------------------------------------------------------------------------------------

    def line(self, row: int) -> str:
        start = 0x18000 + row * 160
        return self.video[start : start + 160 : 2].decode("cp437").rstrip(" \0")

    def byte(self, offset: int, size: int = 1) -> int:
        """From the BIOS data area."""
        return int.from_bytes(self.memory.read(layout.BDA + offset, size), "little")


def booted(harness: DeviceHarness | None = None) -> Guest:
    """A guest after POST, on a machine with no other chips."""
    guest = Guest(harness)
    guest.ports[0x71] = [0]
    guest.call(layout.VECTOR_POST)
    guest.writes.clear()
    return guest
