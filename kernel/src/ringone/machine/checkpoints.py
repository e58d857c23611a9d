"""In-memory checkpoints: the whole state kept in the process, to be rolled back to in place and in milliseconds.

Checkpoints are in the order in which they were taken. The kept memory (`ringone.keptmemory`) is that of the latest; every older one has the pages that its
successor had otherwise (`former`). So taking and rolling back touch changed pages only, and only code in those is invalidated. Disks have a layer a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ringone.api.config import ClockPolicy
from ringone.api.errors import DriverError, UnknownNameError
from ringone.api.memory import PAGE_SIZE
from ringone.keptmemory import pages_of
from ringone.machine import saving
from ringone.machine.builder import Assembly
from ringone.machine.disks import FixedDisks
from ringone.snapshot.sections import SectionData


@attrs.define(kw_only=True)
class Checkpoint:
    """`former` holds pages of this checkpoint that are not those of the next one."""

    number: int
    sections: Mapping[str, SectionData]
    former: dict[int, bytes] = attrs.field(factory=dict)


class Checkpoints:
    """Of one machine; used on its thread."""

    def __init__(self, parts: Assembly, disks: FixedDisks) -> None:
        self._parts = parts
        self._disks = disks
        self._taken: list[Checkpoint] = []
        self._next_number = 1

    def find(self, number: int) -> Checkpoint:
        for checkpoint in self._taken:
            if checkpoint.number == number:
                return checkpoint
        raise UnknownNameError("checkpoint", str(number), [str(checkpoint.number) for checkpoint in self._taken])

    def take(self) -> int:
        number = self._next_number
        sections = saving.save_sections(self._parts)
        self._disks.push(number)
        try:
            self._keep_memory()
        except (OSError, MemoryError) as error:
            self._disks.drop(number)
            raise DriverError(f"the host has no memory for a checkpoint: {error}") from error
        self._next_number += 1
        self._taken.append(Checkpoint(number=number, sections=sections))
        return number

    def _keep_memory(self) -> None:
        kept, view = self._parts.memory.kept, self._parts.memory.backing
        changed = kept.changed()
        if self._taken:
            latest = self._taken[-1]
            pages = {page: kept.page(page) for page in pages_of(changed)}
            differing = {page: data for page, data in pages.items() if data != view[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]}
            latest.former = {**differing, **latest.former}  # which is empty, unless a checkpoint came to nothing half-way
        kept.keep(changed)

    def roll_back(self, checkpoint: Checkpoint) -> None:
        """Later checkpoints are forgotten. Where time follows the guest's progress, every run from here on is equal; otherwise what the processor knows of the
        guest's code is worth more."""
        parts = self._parts
        state = saving.check_sections(parts, checkpoint.sections)
        self._disks.rewind(checkpoint.number)
        saving.load_parts(parts, state)
        kept = parts.memory.kept
        changed = kept.changed()
        kept.revert(changed)
        place = self._taken.index(checkpoint)
        former: dict[int, bytes] = {}
        for later in reversed(self._taken[place:]):
            former.update(later.former)
        for page, data in former.items():
            kept.replace(page, data)
        del self._taken[place + 1 :]
        checkpoint.former = {}
        parts.memory.replaced([*changed, *((page, page + 1) for page in former)])
        if parts.config.clock.policy is ClockPolicy.DETERMINISTIC:
            parts.cpu.forget_code()

    def drop(self, checkpoint: Checkpoint) -> None:
        """The present state stays; so do the other checkpoints."""
        place = self._taken.index(checkpoint)
        kept = self._parts.memory.kept
        if place and checkpoint is self._taken[-1]:
            for page, data in self._taken[place - 1].former.items():
                kept.replace_kept(page, data)
            self._taken[place - 1].former = {}
        elif place:
            self._taken[place - 1].former = {**checkpoint.former, **self._taken[place - 1].former}
        self._taken.remove(checkpoint)
        if not self._taken:
            kept.rest()
        self._disks.drop(checkpoint.number)
