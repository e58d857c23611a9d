"""What a service sees of its machine."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from ringone.api.memory import PhysicalMemory

from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.config import BiosServicesOptions
from ringone_firmware.builtin.drives import Drives
from ringone_firmware.builtin.operations import Outcome, Steps
from ringone_firmware.builtin.state import BiosState


@attrs.define(slots=True)
class Bios:
    memory: PhysicalMemory
    now_ns: Callable[[], int]
    options: BiosServicesOptions
    drives: Drives
    state: BiosState

    @property
    def usable_end(self) -> int:
        """Where RAM ends for the guest."""
        return self.memory.ram_size - self.options.reserved_bytes


Service = Callable[[Bios, Call], Steps | Outcome | None]
"""A BIOS service: does its work at once, or is a generator of operations."""
