"""Counters of components. Rare events are added by name; hot paths count in plain attributes and hand over a function that reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

MAX_NAMES = 1024
"""Names that one component may invent, so that a guest cannot make a table grow."""


class ComponentCounters:
    """One component's counters; see `ringone.api.devices.Counters`."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._providers: list[Callable[[], Mapping[str, int]]] = []

    def add(self, name: str, amount: int = 1) -> None:
        if name in self._counts or len(self._counts) < MAX_NAMES:
            self._counts[name] = self._counts.get(name, 0) + amount

    def provide(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._providers.append(read)

    def collect(self) -> dict[str, int]:
        counts = dict(self._counts)
        for provider in self._providers:
            for name, value in provider().items():
                counts[name] = counts.get(name, 0) + value
        return counts


class Statistics:
    """All counters of a machine, by group: ``Devices/pit``, ``IOM``, ``PGM`` ..."""

    def __init__(self) -> None:
        self._groups: dict[str, ComponentCounters] = {}

    def counters(self, group: str) -> ComponentCounters:
        return self._groups.setdefault(group, ComponentCounters())

    def collect(self) -> dict[str, int]:
        """``group/name`` to value, sorted."""
        found = {f"{group}/{name}": value for group, counters in self._groups.items() for name, value in counters.collect().items()}
        return dict(sorted(found.items()))
