"""Files on disk: read whole, and replaced in one step with the one before kept."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from lxml import etree
from ringone.api.errors import DriverError

from ringone_config_xml.document import SettingsFile

DECLARATION = b'<?xml version="1.0"?>\n'
PROLOG = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
PLATFORMS = {"linux": "linux", "darwin": "macosx", "win32": "windows", "cygwin": "windows", "sunos5": "solaris"}
PLATFORM = PLATFORMS.get(sys.platform, sys.platform)


def prolog_of(previous: bytes | None) -> bytes:
    """What stands before the root element, which the tree does not keep as it was written."""
    match = PROLOG.match((previous or b"").removeprefix(codecs.BOM_UTF8))
    return DECLARATION if previous is None or match is None else match[0]


def serialized(document: SettingsFile, prolog: bytes) -> bytes:
    parts = [document.root, *document.root.itersiblings()]
    return prolog + b"\n".join(etree.tostring(part, encoding="UTF-8", with_tail=False, xml_declaration=False) for part in parts) + b"\n"


def replace_keeping(target: Path, data: bytes, previous: bytes | None, shown: Path) -> None:
    """Put `data` in the place of `target`; `previous`, what is there now, goes into a file with ``-prev`` appended to the name."""
    try:
        if previous is not None:
            _replace(target.with_name(target.name + "-prev"), previous, target)
        _replace(target, data, target)
    except OSError as error:
        raise DriverError(f"{shown}: cannot save the machine file: {error.strerror or error}") from error


def _replace(target: Path, data: bytes, like: Path) -> None:
    """Put `data` in the place of `target` in one step, with the permissions of `like`."""
    number, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if like.exists():
            shutil.copymode(like, temporary)
        temporary.replace(target)
        _flush_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _flush_folder(folder: Path) -> None:
    """So that a host that loses power has the new name, too. Windows cannot, and does not need to."""
    if hasattr(os, "O_DIRECTORY"):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
