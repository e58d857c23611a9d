"""The service chip: sixteen ports through which the built-in BIOS's ROM has its calls answered.

A write of SS:SP to FRAME begins the call whose registers lie there. STEP then says what the ROM's loop is to do next, OPERAND and DATA carry its arguments and
answers, until STEP says that the call is done. Between calls the ports read as "done" and ignore writes.
"""

from __future__ import annotations

from collections.abc import Generator

import attrs
from ringone.api.devices import DeviceContext
from ringone.api.drivers import BlockDevice, RemovableMedium

from ringone_firmware.builtin import boot, clock, disk, keyboard, layout, operations, post, serial, system, video
from ringone_firmware.builtin.call import Call, linear
from ringone_firmware.builtin.config import BiosServicesOptions
from ringone_firmware.builtin.drives import MAX_CDS, MAX_DISKS, MAX_FLOPPIES, Drives
from ringone_firmware.builtin.machine import Bios, Service
from ringone_firmware.builtin.operations import Encoded, Opcode, Outcome, Steps
from ringone_firmware.builtin.rom import REGISTER_OFFSETS
from ringone_firmware.builtin.state import IDLE, BiosState

PORTS = 16
MOST_ANSWERS = 100_000
"""No service of this BIOS needs as many operations."""

SERVICES: dict[int, Service] = {
    0x10: video.int10,
    0x11: system.int11,
    0x12: system.int12,
    0x13: disk.int13,
    0x14: serial.int14,
    0x15: system.int15,
    0x16: keyboard.int16,
    0x17: serial.int17,
    0x1A: clock.int1a,
    layout.VECTOR_POST: post.power_on_self_test,
    layout.VECTOR_SCANCODE: keyboard.scancode,
    layout.VECTOR_BOOT: boot.boot,
    layout.VECTOR_NEXT_BOOT: boot.boot_next,
}
FINISHED = {Outcome.DONE: Encoded(Opcode.DONE), Outcome.HALT: Encoded(Opcode.HALT), Outcome.SPIN: Encoded(Opcode.SPIN)}


class BiosServices:
    def __init__(self, context: DeviceContext, options: BiosServicesOptions) -> None:
        self._context = context
        self._drives = _drives(context)
        self._bios = Bios(context.memory, context.now_ns, options, self._drives, BiosState())
        self._call: Call | None = None
        self._steps: Steps | None = None
        self._current = FINISHED[Outcome.DONE]
        self._is_to_be_taken_up = False
        for name, handler in (("FRAME", self._begin), ("OPERAND", self._take_answer), ("DATA", self._take_data)):
            context.map_ports(options.base + REGISTER_OFFSETS[name], 4, write=handler, widths=(1, 2, 4), name=name.lower())
        for name, reader in (("STEP", self._step), ("OPERAND", self._operand), ("DATA", self._data)):
            context.map_ports(options.base + REGISTER_OFFSETS[name], 4, read=reader, widths=(1, 2, 4), name=name.lower())

    @property
    def _state(self) -> BiosState:
        return self._bios.state

    def reset(self) -> None:
        self._bios.state = BiosState(floppy_generations=[floppy.generation if floppy else 0 for floppy in self._drives.floppies])
        self._end(Outcome.DONE)

    def save_state(self) -> BiosState:
        return _copy(self._state)

    def load_state(self, state: BiosState) -> None:
        """An unfinished call is taken up when the guest asks for its next step: not before then its memory, where the call's registers are, is there again."""
        state.check()
        self._bios.state = _copy(state)
        self._call = self._steps = None
        self._current = FINISHED[state.outcome]
        self._is_to_be_taken_up = state.frame != IDLE

    # --- Calls ---------------------------------------------------------------------------------------------------------------------------------------------

    def _begin(self, offset: int, size: int, value: int) -> None:
        if size == 4:
            self._start(linear(value >> 16, value))

    def _start(self, frame: int) -> None:
        self._end(Outcome.DONE)
        call = Call(self._context.memory, frame)
        service = SERVICES.get(call.vector)
        result = service(self._bios, call) if service else None
        if isinstance(result, Generator):
            self._call, self._steps = call, result
            self._state.frame = frame
            self._resume(None)
        else:
            self._finish(call, result)

    def _advance(self, answer: bytes) -> None:
        if len(self._state.answers) < MOST_ANSWERS:
            self._state.answers.append(answer)
            self._resume(answer)
        else:
            self._end(Outcome.DONE)

    def _resume(self, answer: bytes | None) -> None:
        assert self._steps is not None and self._call is not None
        self._state.begin_operation()
        try:
            self._current = operations.encode(self._steps.send(answer))  # type: ignore[arg-type]
        except StopIteration as stop:
            self._finish(self._call, stop.value)

    def _finish(self, call: Call, outcome: Outcome | None) -> None:
        self._end(outcome or Outcome.DONE)
        if self._state.outcome is Outcome.DONE:
            call.commit()

    def _end(self, outcome: Outcome) -> None:
        state = self._state
        state.frame = IDLE
        state.answers = []
        state.outcome = outcome
        state.begin_operation()
        self._call = self._steps = None
        self._current = FINISHED[outcome]
        self._is_to_be_taken_up = False

    def _taken_up(self) -> BiosState:
        """The present state. A call that was saved is started again and led by its answers to where it was; one that does not fit the memory ends."""
        if not self._is_to_be_taken_up:
            return self._state
        saved = self._state
        self._bios.state = attrs.evolve(saved, frame=IDLE, answers=[])
        self._start(saved.frame)
        for answer in saved.answers:
            if self._steps is None or len(answer) != len(self._answer()):
                break
            self._advance(answer)
        if self._steps is not None and len(self._state.answers) == len(saved.answers):
            self._bios.state = attrs.evolve(_copy(saved), answers=self._state.answers)
        else:
            self._context.log.warning("a saved BIOS call does not fit the guest's memory, and ends")
            self._end(Outcome.DONE)
        return self._state

    # --- The ROM's loop --------------------------------------------------------------------------------------------------------------------------------------

    def _step(self, offset: int, size: int) -> int:
        """Reading the next step says that the present one is done."""
        state = self._taken_up()
        if offset == 0 and self._steps is not None:
            if state.given:
                self._advance(self._answer())
            self._state.given = True
        return _part(self._current.step, offset, size)

    def _answer(self) -> bytes:
        """As long as the service expects, whatever the guest sent."""
        wanted = self._current.fetched
        return self._state.fetched[:wanted].ljust(wanted, b"\0") if wanted else self._state.answer.to_bytes(4, "little")

    def _operand(self, offset: int, size: int) -> int:
        state = self._taken_up()
        operands = self._current.operands
        value = operands[state.operand] if state.operand < len(operands) else 0
        if offset == 0:
            state.operand += 1 if state.operand < len(operands) else 0
        return _part(value, offset, size)

    def _take_answer(self, offset: int, size: int, value: int) -> None:
        if offset == 0:
            self._taken_up().answer = value

    def _data(self, offset: int, size: int) -> int:
        state = self._taken_up()
        chunk = self._current.data[state.data : state.data + size]
        state.data += len(chunk)
        return int.from_bytes(chunk, "little")

    def _take_data(self, offset: int, size: int, value: int) -> None:
        state = self._taken_up()
        if len(state.fetched) < self._current.fetched:
            state.fetched += value.to_bytes(size, "little")


def _copy(state: BiosState) -> BiosState:
    return attrs.evolve(state, answers=list(state.answers), pci=list(state.pci), floppy_generations=list(state.floppy_generations))


def _part(value: int, offset: int, size: int) -> int:
    return value >> 8 * offset & (1 << 8 * size) - 1


def _drives(context: DeviceContext) -> Drives:
    """What the board gave the chip; empty slots between disks and CDs are closed up."""
    floppies = [context.driver(f"floppy{index}", RemovableMedium) for index in range(MAX_FLOPPIES)]
    disks = [context.driver(f"disk{index}", BlockDevice) for index in range(MAX_DISKS)]
    cds = [context.driver(f"cd{index}", RemovableMedium) for index in range(MAX_CDS)]
    return Drives(tuple(floppies), tuple(disk for disk in disks if disk), tuple(cd for cd in cds if cd))
