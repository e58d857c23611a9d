"""The fixed disks of a machine, as checkpoints and snapshots see them: all of them do a thing, or none.

They are the drivers that meet `ringone.api.drivers.FixedDisk`. Removable media are left alone, as what lies in a real drive is: they stay in their drives and
keep what was written to them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringone.api.drivers import FixedDisk
from ringone.api.errors import MediumError, UnknownNameError

Chains = Mapping[str, Sequence[Path]]
"""By ``component.slot``: an image and its parents, the image first."""

log = logging.getLogger(__name__)


class FixedDisks:
    """`layers` of a disk are named by the checkpoint that pushed them."""

    def __init__(self, drivers: Mapping[str, Any]) -> None:
        self.disks: dict[str, FixedDisk] = {slot: driver for slot, driver in drivers.items() if hasattr(driver, "push_layer")}
        self._layers: dict[str, list[int]] = {slot: [] for slot in self.disks}

    @contextlib.contextmanager
    def switched(self, chains: Chains) -> Iterator[None]:
        """Switch these disks; back again where one fails or the body does."""
        for slot in chains:
            if slot not in self.disks:
                raise UnknownNameError("fixed disk", slot, list(self.disks))
        with contextlib.ExitStack() as undo:
            for slot, chain in chains.items():
                disk, former = self.disks[slot], tuple(self.disks[slot].chain)
                disk.switch(chain)
                undo.callback(self._switch_back, slot, former)
            yield
            undo.pop_all()

    def _switch_back(self, slot: str, former: Sequence[Path]) -> None:
        try:
            self.disks[slot].switch(former)
        except MediumError:
            log.exception("%s: cannot go back to %s", slot, former[0])

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
