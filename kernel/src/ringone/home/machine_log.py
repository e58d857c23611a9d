"""A machine's log, under VirtualBox's names: ``Logs/VBox.log`` of the present or last run, ``VBox.log.1`` of the one before, and so on."""

from __future__ import annotations

import contextlib
import datetime
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from ringone.api.errors import DriverError

NAME = "VBox.log"
MAX_BYTES = 64 << 20
"""Of one log; what comes beyond is left out, so that a guest cannot fill the host's disk in the end."""


@contextlib.contextmanager
def machine_log(folder: Path, history: int, title: str) -> Iterator[Path]:
    """Log what this process's RingOne says; `history` is how many logs of earlier runs are kept. The log begins with `title`."""
    path = folder / NAME
    try:
        folder.mkdir(exist_ok=True)
        rotate(path, history)
        handler = _LogFile(path)
    except OSError as error:
        raise DriverError(f"{path}: cannot write the machine's log: {error.strerror or error}") from error
    logger = logging.getLogger("ringone")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        logger.info("%s; log opened %s", title, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
        yield path
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(handler)
        handler.close()


def rotate(path: Path, history: int) -> None:
    """Make room for a new log at `path`."""
    logs = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, history + 1))]
    for number in reversed(range(history)):
        if logs[number].exists():
            logs[number].replace(logs[number + 1])
    path.unlink(missing_ok=True)


class _LogFile(logging.FileHandler):
    def __init__(self, path: Path) -> None:
        super().__init__(path, "a", "utf-8")
        self.setFormatter(_Formatter())
        self._left = MAX_BYTES

    def emit(self, record: logging.LogRecord) -> None:
        if self._left <= 0:
            return
        self._left -= len(self.format(record)) + 1
        super().emit(record)
        if self._left <= 0:
            super().emit(logging.LogRecord("ringone", logging.INFO, "", 0, f"the log ends here, at {MAX_BYTES} bytes", None, None))


class _Formatter(logging.Formatter):
    """``00:00:01.234567 component: message``: hours since the log was opened, as in VirtualBox's logs."""

    def __init__(self) -> None:
        super().__init__()
        self._opened = time.time()

    def format(self, record: logging.LogRecord) -> str:
        since = max(0.0, record.created - self._opened)
        minutes, seconds = divmod(since, 60)
        hours, minutes = divmod(int(minutes), 60)
        level = "" if record.levelno == logging.INFO else f"{record.levelname}: "
        text = f"{hours:02}:{minutes:02}:{seconds:09.6f} {record.name.removeprefix('ringone.')}: {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
