"""Delivery of a machine's events to its observers: in order, between CPU runs, and without letting a failing observer disturb the machine."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from ringone.api.events import ObserverFailed

Observer = Callable[[object], None]


class EventDispatcher:
    """Used on the machine's thread only. What an observer causes waits its turn, so observers may command the machine."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._observers: list[Observer] = []
        self.pending: deque[object] = deque()
        """What `deliver` will tell. Only its emptiness is of interest to others."""
        self._delivering = False

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        self._observers.append(observer)

        def unsubscribe() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return unsubscribe

    def queue(self, event: object) -> None:
        """Keep `event` for the next `deliver`."""
        self.pending.append(event)

    def deliver(self) -> None:
        """Tell the observers what is queued. Called by an observer, it leaves that to the call that is under way."""
        if self._delivering:
            return
        self._delivering = True
        try:
            while self.pending:
                event = self.pending.popleft()
                for observer in tuple(self._observers):
                    self._tell(observer, event)
        finally:
            self._delivering = False

    def _tell(self, observer: Observer, event: object) -> None:
        try:
            observer(event)
        except Exception as error:
            name = getattr(observer, "__qualname__", type(observer).__name__)
            self._log.exception("observer %s failed and is dropped", name)
            if observer in self._observers:
                self._observers.remove(observer)
            self.queue(ObserverFailed(name, f"{type(error).__name__}: {error}"))
