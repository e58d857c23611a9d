"""The folder of what RDP keeps on this host, certificate and users, and files in it that only their owner can read."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from ringone.api.errors import DriverError

FOLDER = "rdp"
HOME_VARIABLE = "RINGONE_HOME"
MAX_BYTES = 1 << 20
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def host_folder() -> Path:
    """Beside the home's own settings: below ``$RINGONE_HOME`` or where the host keeps a user's configuration."""
    named = os.environ.get(HOME_VARIABLE, "")
    top = Path(named).expanduser().absolute() if named else platformdirs.user_config_path("ringone")
    return top / FOLDER


def read_private(path: Path) -> bytes | None:
    """None where there is no such file. Raises `DriverError`, also where others may read it: what is in it could be known to them already."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DriverError(f"{path}: cannot be read: {error.strerror or error}") from error
    if hasattr(os, "getuid") and (status.st_mode & OTHERS or status.st_uid != os.getuid()):
        what = f"{stat.filemode(status.st_mode)}, owned by user {status.st_uid}"
        raise DriverError(f"{path}: the file is {what}; accepted is one that belongs to user {os.getuid()} alone (-rw-------)")
    if len(data) > MAX_BYTES:
        raise DriverError(f"{path}: has more than {MAX_BYTES} bytes")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Whole and on the disk when this returns, readable by its owner alone from its first moment. Raises `DriverError`, and nothing has changed then."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".ringone-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DriverError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make `folder`, and be the only one who changes what is in it, on hosts that have locks on folders. Raises `DriverError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DriverError(f"{folder}: cannot be made: {error.strerror or error}") from error
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DriverError(f"{folder}: cannot be locked: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
