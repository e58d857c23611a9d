"""Where firmware files are looked for: an explicit path, then ``RINGONE_FIRMWARE_PATH``, then where distributions and QEMU's installers put them."""

from __future__ import annotations

import os
from pathlib import Path

from ringone.api.errors import ConfigError

ENVIRONMENT = "RINGONE_FIRMWARE_PATH"
INSTALLED = tuple(
    Path(folder)
    for folder in (
        "/usr/share/seabios",
        "/usr/share/qemu",
        "/usr/local/share/qemu",
        "/usr/local/share/seabios",
        "/opt/homebrew/share/qemu",
        "/opt/local/share/qemu",
        "/usr/share/qemu-kvm",
        "/usr/share/edk2/seabios",
        "C:/Program Files/qemu/share",
        "C:/Program Files/qemu",
        "C:/msys64/mingw64/share/qemu",
    )
)


def folders() -> tuple[Path, ...]:
    named = tuple(Path(part).expanduser() for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part)
    return (*named, *INSTALLED)


def find(*names: str, first: Path | None = None) -> Path | None:
    """The first existing file of `names`, which are in order of preference, looked for folder by folder. `first` is one more folder before all others."""
    for folder in (*([first] if first else []), *folders()):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def read(path: Path, what: str, *, limit: int) -> bytes:
    """The file's bytes. Never more than `limit` are taken in, whatever the file says of its size."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"{what} {path} has more than {limit} bytes")
    return data
