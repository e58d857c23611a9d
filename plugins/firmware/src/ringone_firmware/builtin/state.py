"""What the service chip remembers between two port accesses, and between two calls."""

from __future__ import annotations

import attrs

from ringone_firmware.builtin.operations import Outcome

IDLE = -1


@attrs.frozen(kw_only=True)
class PciEntry:
    """A function found at POST: `address` is bus, device and function as PCI BIOS calls give them, `identity` and `class_code` registers 0 and 8."""

    address: int
    identity: int
    class_code: int


@attrs.frozen(kw_only=True)
class Emulation:
    """A CD that was booted by El Torito: as the drive it pretends to be, or as itself (`media` 0)."""

    media: int
    drive: int
    cd: int
    image_block: int
    load_segment: int
    sector_count: int


@attrs.define(slots=True, kw_only=True)
class BiosState:
    """`frame` is where the running call's registers are (-1: none), `answers` are those of its finished operations, `outcome` is how the last call ended.

    Of the present operation, `given` says that the ROM has read it, `operand` and `data` how much of its arguments it has taken, `answer` and `fetched` what it
    has answered. `deadline_ns` ends a wait (-1: none).
    """

    frame: int = IDLE
    answers: list[bytes] = attrs.field(factory=list)
    outcome: Outcome = Outcome.DONE
    given: bool = False
    operand: int = 0
    data: int = 0
    answer: int = 0
    fetched: bytes = b""
    boot_position: int = 0
    deadline_ns: int = IDLE
    emulation: Emulation | None = None
    pci: list[PciEntry] = attrs.field(factory=list)
    floppy_generations: list[int] = attrs.field(factory=lambda: [0, 0])

    def check(self) -> None:
        """Raise `ValueError` for what no BIOS has saved."""
        if min(self.operand, self.data) < 0 or not 0 <= self.answer < 1 << 32 or len(self.floppy_generations) != 2:
            raise ValueError("this is no state of the built-in BIOS")

    def begin_operation(self) -> None:
        self.given = False
        self.operand = self.data = self.answer = 0
        self.fetched = b""
