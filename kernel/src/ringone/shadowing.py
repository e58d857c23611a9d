"""Ranges that a guest lays on top of each other at run time, with a PCI BAR or the like: allowed, counted, and reported once for each pair of owners."""

from __future__ import annotations

import logging
from typing import Protocol


class OwnedRange(Protocol):
    """What is laid over another; its text names it for the log."""

    @property
    def owner(self) -> str: ...


class ShadowingLog:
    """`count` is how often a range came to cover another."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._reported: set[tuple[str, str]] = set()
        self.count = 0

    def note(self, covering: OwnedRange, covered: OwnedRange | None) -> None:
        """`covering` lies over `covered` now; None where it lies over nothing."""
        if covered is None:
            return
        self.count += 1
        pair = (covering.owner, covered.owner)
        if pair not in self._reported:
            self._reported.add(pair)
            self._log.warning("%s now covers %s (reported once)", covering, covered)
