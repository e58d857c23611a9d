"""The fixed disks of a machine, as checkpoints and snapshots see them: all of them do a thing, or none.

They are the drivers that meet `ringone.api.drivers.FixedDisk`. Removable media are left alone, as what lies in a real drive is: they stay in their drives and
keep what was written to them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringone.api.drivers import FixedDisk
from ringone.api.errors import RingOneError, UnknownNameError

Chains = Mapping[str, Sequence[Path]]
"""By ``component.slot``: an image and its parents, the image first."""
NO_DISKS: Chains = {}

log = logging.getLogger(__name__)


def nothing() -> None:
    """For disks that nothing is done with while they are closed."""


class FixedDisks:
    """`layers` of a disk are named by the checkpoint that pushed them."""

    def __init__(self, drivers: Mapping[str, Any]) -> None:
        self.disks: dict[str, FixedDisk] = {}
        for slot, driver in drivers.items():
            if hasattr(driver, "push_layer") and not any(driver is disk for disk in self.disks.values()):
                self.disks[slot] = driver
        self._layers: dict[str, list[int]] = {slot: [] for slot in self.disks}

    def chains(self) -> dict[str, tuple[Path, ...]]:
        """What the disks stand on, by the first slot that each is in."""
        return {slot: tuple(disk.chain) for slot, disk in self.disks.items()}

    @contextlib.contextmanager
    def switched(self, chains: Chains, meanwhile: Callable[[], None] = nothing) -> Iterator[None]:
        """Switch these disks; back again where one cannot or the body fails. `meanwhile` is called while none of them is open."""
        if unknown := sorted(chains.keys() - self.disks.keys()):
            raise UnknownNameError("fixed disk", unknown[0], list(self.disks))
        former = self.chains()
        self._switch(tuple(chains.items()), meanwhile, former)
        try:
            yield
        except BaseException:
            self._switch_back(former)
            raise

    def _switch(self, chains: Sequence[tuple[str, Sequence[Path]]], meanwhile: Callable[[], None], former: Chains) -> None:
        """The first disk, and inside of its switching the others."""
        if not chains:
            meanwhile()
            return
        (slot, chain), *others = chains
        try:
            self.disks[slot].switch(chain, lambda: self._switch(others, meanwhile, former))
        except BaseException:
            self._switch_back({slot: former[slot] for slot, _ in others})
            raise

    def _switch_back(self, former: Chains) -> None:
        for slot, chain in former.items():
            if tuple(self.disks[slot].chain) != tuple(chain):
                try:
                    self.disks[slot].switch(chain)
                except RingOneError:
                    log.exception("%s: cannot go back to %s", slot, chain[0])

    def push(self, name: int) -> None:
        """Keep the present content of every disk."""
        with contextlib.ExitStack() as undo:
            for slot, disk in self.disks.items():
                disk.push_layer()
                self._layers[slot].append(name)
                undo.callback(self._drop, slot, name)
            undo.pop_all()

    def rewind(self, name: int) -> None:
        """Back to the content that was kept under a name; what was kept later is forgotten."""
        for slot, disk in self.disks.items():
            layers = self._layers[slot]
            level = layers.index(name)
            disk.rewind_layer(level)
            del layers[level + 1 :]

    def drop(self, name: int) -> None:
        """Forget what was kept under a name. Where one disk cannot, the others do, and then the error is raised."""
        with contextlib.ExitStack() as all_disks:
            for slot in self.disks:
                all_disks.callback(self._drop, slot, name)

    def _drop(self, slot: str, name: int) -> None:
        layers = self._layers[slot]
        level = layers.index(name)
        self.disks[slot].drop_layer(level)
        del layers[level]
