"""Where a home lies on this host, and which names machines may have in it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import attrs
import platformdirs

from ringone.api.errors import ConfigError

APPLICATION = "ringone"
HOME_VARIABLE = "RINGONE_HOME"
MACHINES = "machines"
SUFFIX = ".vbox"
NAME_BYTES = 240
"""File systems allow 255 bytes; the longest suffixes that a machine's files get fit in the rest."""
FORBIDDEN = '/\\:*?"<>|'
"""In names, since no file has them on every host."""


@attrs.frozen(kw_only=True)
class Folders:
    """`settings` is the folder of the home's own file, `machines` the default machine folder where the global settings name none."""

    settings: Path
    machines: Path


def home_folders(folder: Path | None) -> Folders:
    """Everything below `folder` or, without one, below ``$RINGONE_HOME``; without that, where the host keeps a user's configuration and data (XDG)."""
    if folder is None and (named := os.environ.get(HOME_VARIABLE, "")):
        folder = Path(named)
    if folder is not None:
        top = folder.expanduser().absolute()
        return Folders(settings=top, machines=top / MACHINES)
    return Folders(settings=platformdirs.user_config_path(APPLICATION), machines=platformdirs.user_data_path(APPLICATION) / MACHINES)


def check_name(what: str, name: str) -> str:
    """Return `name`, which becomes the name of a folder and of a file, or say why it cannot."""
    wrong = next((character for character in name if character in FORBIDDEN or unicodedata.category(character) in ("Cc", "Cs")), "")
    if wrong:
        raise ConfigError(f"{what} {_shown(name)} has the character {wrong!r}; accepted is text without control characters and {' '.join(FORBIDDEN)}")
    if not name.strip() or name in (".", "..") or name != name.strip() or name.endswith("."):
        raise ConfigError(f"{what} {_shown(name)}; accepted is text that is no blank, has none at its ends, and does not end with a full stop")
    size = len(name.encode())
    if size > NAME_BYTES:
        raise ConfigError(f"{what} {_shown(name)} has {size} bytes; accepted are up to {NAME_BYTES} (as UTF-8)")
    return name


def check_group(group: str) -> str:
    """Groups are ``/`` or ``/name/name``; each name becomes a folder."""
    if group != "/":
        if not group.startswith("/"):
            raise ConfigError(f"machine group {_shown(group)}; accepted is / or one such as /tests/linux")
        for name in group[1:].split("/"):
            check_name(f"in the machine group {_shown(group)}, the name", name)
    return group


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "…")
