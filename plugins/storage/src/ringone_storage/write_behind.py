"""Flushing a while after a write, for guests that never do: an image that holds changes back until it is flushed would lose them with a killed process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from ringone.api.errors import MediumError

DELAY_S = 5.0

log = logging.getLogger(__name__)


@runtime_checkable
class HoldsBack(Protocol):
    """An image that keeps something of what was written in memory until it is flushed."""

    @property
    def pending(self) -> int: ...
    def flush(self) -> None: ...


class WriteBehind:
    """`call_soon` leads from the timer's thread to the machine's. A flush that fails is the guest's business at its next one."""

    def __init__(self, name: str, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._name = name
        self._call_soon = call_soon
        self._timer: threading.Timer | None = None
        self._image: HoldsBack | None = None

    def watch(self, image: HoldsBack) -> None:
        """Flush `image` soon, unless it has nothing left by then."""
        self._image = image
        if self._timer is None:
            self._timer = threading.Timer(DELAY_S, self._call_soon, [self._flush])
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        self._image = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        image, self._image = self._image, None
        if image is not None and image.pending:
            try:
                image.flush()
            except MediumError as error:
                log.warning("%s: written blocks are not on disk yet: %s", self._name, error)
