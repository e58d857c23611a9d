"""The listening socket: in a folder that nobody else can reach, readable by its owner alone from its first moment, and gone when the server is.

A socket that a killed process left is replaced; one that somebody answers on is not.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
from pathlib import Path

from ringone.api.errors import DriverError

BACKLOG = 64
ANSWER_S = 1.0


class UnixSocket:
    """Bound and listening. Raises `DriverError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not hasattr(socket, "AF_UNIX"):
            raise DriverError(f"{path}: this Python has no Unix-domain sockets")
        _check_folder(path.parent)
        _check_nobody_answers(path)
        try:
            self.socket, self._identity = _listen(path)
        except OSError as error:
            raise DriverError(f"{path}: cannot listen there: {error.strerror or error}") from error

    def close(self) -> None:
        """Idempotent. What another server has put in its place since is left alone."""
        self.socket.close()
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.lstat(), self._identity):
                self.path.unlink()


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise DriverError(f"{folder}: cannot make the folder of the socket: {error.strerror or error}") from error
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or mode & 0o077:
        what = f"{stat.filemode(status.st_mode)}, owned by user {status.st_uid}"
        raise DriverError(f"{folder}: the folder of the socket is {what}; accepted is one that belongs to user {os.getuid()} alone (drwx------)")


def _check_nobody_answers(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(ANSWER_S)
        try:
            caller.connect(str(path))
        except OSError as error:
            if error.errno is None:  # Python's own: the path is too long
                raise DriverError(f"{path}: nobody could connect there: {error}") from error
            return
    raise DriverError(f"{path}: somebody answers there already")


def _listen(path: Path) -> tuple[socket.socket, os.stat_result]:
    """Made under another name and then moved into place, so that it is never there without anybody who listens."""
    made = path.with_name(f".{secrets.token_hex(4)}")
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(str(made))
        made.chmod(0o600)
        server.listen(BACKLOG)
        identity = made.lstat()
        made.replace(path)
    except BaseException:
        server.close()
        made.unlink(missing_ok=True)
        raise
    return server, identity
