"""Log records as lines on standard error; while a screen is shown they are held, and come out when it is gone."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable

HELD_RECORDS = 200
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
"""By the number of ``-v``."""


class CliLog(logging.Handler):
    def __init__(self, verbosity: int = 0, *, tracebacks: bool = False) -> None:
        super().__init__(LEVELS[min(verbosity, len(LEVELS) - 1)])
        self._tracebacks = tracebacks
        self._held: deque[str] | None = None
        self._latest = ""
        self._last = ""
        self._former = (logging.NOTSET, True)

    def emit(self, record: logging.LogRecord) -> None:
        line = f"ringone: {record.levelname.lower()}: {record.name.removeprefix('ringone.')}: {' '.join(record.getMessage().split())}"
        if self._tracebacks and record.exc_info:
            line += "\n" + logging.Formatter().formatException(record.exc_info)
        if line == self._last:  # a driver that fails for every byte says so once
            return
        self._last = line
        if self._held is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._held.append(line)
            self._latest = line

    def tell(self, line: str) -> None:
        """Print what a person wants to know, however little is logged; it is the latest line of those that are held, too."""
        print(line, file=sys.stderr, flush=True)
        self._latest = line

    def hold(self) -> Callable[[], str]:
        """Keep lines from now on. The returned function gives the latest one, once."""
        self._held = deque(maxlen=HELD_RECORDS)
        return self._take_latest

    def _take_latest(self) -> str:
        self.acquire()
        try:
            latest, self._latest = self._latest, ""
        finally:
            self.release()
        return latest

    def let_go(self) -> None:
        """Print what was held."""
        held, self._held = self._held, None
        for line in held or ():
            print(line, file=sys.stderr, flush=True)

    def install(self) -> None:
        logger = logging.getLogger("ringone")
        self._former = logger.level, logger.propagate
        logger.addHandler(self)
        logger.setLevel(self.level)
        logger.propagate = False

    def remove(self) -> None:
        self.let_go()
        logger = logging.getLogger("ringone")
        logger.removeHandler(self)
        level, logger.propagate = self._former
        logger.setLevel(level)
