"""Values as VirtualBox writes them."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path

from ringone.api.errors import ConfigError

from ringone_config_xml.document import SettingsFile
from ringone_config_xml.media import bare_uuid
from ringone_config_xml.storage import OLD_STORAGE_MINOR


def flag_text(value: bool) -> str:
    return "true" if value else "false"


def braced(text: str) -> str:
    return f"{{{bare_uuid(text)}}}"


def checked_uuid(what: str, text: str) -> str:
    try:
        return str(uuid.UUID(bare_uuid(text)))
    except ValueError:
        raise ConfigError(f"{what} UUID {text[:60]!r}; accepted: a UUID such as {uuid.uuid4()}") from None


def relative(location: Path, folder: Path) -> str:
    return str(location.relative_to(folder) if location.is_relative_to(folder) else location)


def time_text(time: datetime.datetime | None) -> str:
    return "" if time is None else f"{time.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def time_of(text: str) -> datetime.datetime | None:
    """None for what is no time."""
    try:
        time = datetime.datetime.fromisoformat(text.strip())
        return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    except ValueError:
        return None


def require_minor(document: SettingsFile, minor: int) -> None:
    """Raise the settings version, where that does not change what the file's silence means."""
    if OLD_STORAGE_MINOR <= document.minor < minor:
        _, dash, platform = document.root.get("version", "").partition("-")
        document.root.set("version", f"1.{minor}{dash}{platform}")
