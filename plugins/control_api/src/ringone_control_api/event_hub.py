"""What happens to a machine, for any number of listeners that may be slow: each has a queue of its own, and one that is full ends with a notice."""

from __future__ import annotations

import enum
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ringone_control_api.bell import Bell

QUEUE_LENGTH = 1000


@attrs.frozen
class Event:
    """`number` counts from the machine's start; `name` is the class of what happened, `fields` what it says."""

    number: int
    name: str
    fields: Mapping[str, Any]


@attrs.frozen
class Dropped:
    """A listener was too slow: `missed` is the number of the first event that it has not got."""

    missed: int


class EventHub:
    """`publish` may be called from any thread; listening is the event loop's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._closed = False

    def publish(self, event: object) -> None:
        """`event` is an attrs instance."""
        fields = {name: _plain(value) for name, value in attrs.asdict(event).items()} if attrs.has(type(event)) else {"text": str(event)}  # type: ignore[arg-type]
        with self._lock:
            self._number += 1
            told = Event(self._number, type(event).__name__, fields)
            for listener in tuple(self._listeners):
                listener.tell(told)

    def listener(self) -> Listener:
        """Hears what is published from now on, for as long as somebody has it."""
        listener = Listener(self._lock)
        with self._lock:
            self._listeners.add(listener)
            if self._closed:
                listener.end()
        return listener

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for listener in tuple(self._listeners):
                listener.end()


class Listener:
    """`tell` and `end` are called with the hub's lock held."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._bell = Bell()
        self._waiting: deque[Event | Dropped] = deque()
        self._ended = False

    def tell(self, event: Event) -> None:
        if self._ended:
            return
        if len(self._waiting) == QUEUE_LENGTH:
            self._waiting.append(Dropped(event.number))
            self._ended = True
        else:
            self._waiting.append(event)
        self._bell.ring()

    def end(self) -> None:
        self._ended = True
        self._bell.ring()

    async def heard(self, at_most_s: float) -> Sequence[Event | Dropped] | None:
        """Everything since the last call, as soon as there is something; empty where nothing happened for so long, None where nothing will any more."""
        if not self._waiting and not self._ended:
            await self._bell.wait(at_most_s)
        with self._lock:
            self._bell.answer()
            heard = tuple(self._waiting)
            self._waiting.clear()
            return None if self._ended and not heard else heard


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, enum.Enum):
        return value.value
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
