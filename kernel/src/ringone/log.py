"""Loggers of components: ``ringone.<machine>.<component>``, with the virtual time on every record and a brake on what a guest can repeat.

Levels and handlers are configured on the standard library's loggers of those names. A message (its text before arguments are filled in) may come in a burst and
then once a second; what was held back is counted and said with the next one that passes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

BURST = 20
REFILL_PER_S = 1.0
MAX_MESSAGES = 256
"""Different messages that one component's brake remembers; the oldest is forgotten."""


class _Allowance:
    __slots__ = ("held_back", "tokens", "updated")

    def __init__(self, now: float) -> None:
        self.tokens = float(BURST)
        self.updated = now
        self.held_back = 0


class RateLimit(logging.Filter):
    """Passes `BURST` records of one message and then `REFILL_PER_S`."""

    def __init__(self) -> None:
        super().__init__()
        self._allowances: dict[str, _Allowance] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        allowance = self._allowances.get(message)
        if allowance is None:
            if len(self._allowances) >= MAX_MESSAGES:
                del self._allowances[next(iter(self._allowances))]
            allowance = self._allowances[message] = _Allowance(record.created)
        elapsed = max(0.0, record.created - allowance.updated)
        allowance.tokens = min(float(BURST), allowance.tokens + elapsed * REFILL_PER_S)
        allowance.updated = record.created
        if allowance.tokens < 1:
            allowance.held_back += 1
            return False
        allowance.tokens -= 1
        if allowance.held_back:
            record.msg = f"{message} ({allowance.held_back} more like this were held back)"
            allowance.held_back = 0
        return True


class ComponentLogger(logging.Logger):
    """A component's logger. It belongs to its machine, not to the process: only the logger of the same name that it hands records to is registered globally."""

    def __init__(self, name: str, now_ns: Callable[[], int]) -> None:
        super().__init__(name)
        self._registered = logging.getLogger(name)
        self.parent = self._registered
        self._now_ns = now_ns
        self.addFilter(RateLimit())

    def isEnabledFor(self, level: int) -> bool:
        return self._registered.isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        record.virtual_ns = self._now_ns()
        super().handle(record)


def component_logger(machine: str, component: str, now_ns: Callable[[], int]) -> logging.Logger:
    """The logger of one component of one machine. `now_ns` is called on whatever thread logs (`VirtualClock.last_ns`)."""
    return ComponentLogger(f"ringone.{machine.replace('.', '_')}.{component}", now_ns)
