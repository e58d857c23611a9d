"""Loading and saving machine files: whole, checked, and never half written."""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import re
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

import attrs
from lxml import etree
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError, DriverError

from ringone_config_xml.document import NAMESPACE, Document, read_bytes
from ringone_config_xml.media import bare_uuid
from ringone_config_xml.reading import read_machine, warnings
from ringone_config_xml.writing import apply

DECLARATION = b'<?xml version="1.0"?>\n'
PROLOG = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
PLATFORMS = {"linux": "linux", "darwin": "macosx", "win32": "windows", "cygwin": "windows", "sunos5": "solaris"}
FRESH = """<VirtualBox xmlns="{namespace}" version="1.12-{platform}">
  <Machine uuid="{{{uuid}}}" name="RingOne">
    <Hardware version="2">
      <Memory RAMSize="128"/>
    </Hardware>
  </Machine>
</VirtualBox>
"""

log = logging.getLogger(__name__)


def load(path: Path) -> MachineConfig:
    document = Document(path, read_bytes(path))
    config = read_machine(document)
    for warning in warnings(document):
        log.warning("%s: %s", path, warning)
    return config


def save(config: MachineConfig, path: Path) -> None:
    """Edit the file where it exists and write a new one where not. The file as it was stays beside it with ``-prev`` appended to its name."""
    target = path.resolve()
    previous = read_bytes(target) if target.exists() else None
    document = Document(target, _fresh() if previous is None else previous)
    old = read_machine(document)
    prolog = _prolog(previous)
    before = _serialized(document, prolog)
    apply(document, old, attrs.evolve(config, uuid=_uuid(config, old)))
    data = _serialized(document, prolog)
    if previous is not None and data == before:
        return
    try:
        read_machine(Document(target, data))
    except ConfigError as error:
        raise ConfigError(f"not saved, because the file could not be loaded again: {error.message}", source=str(path)) from error
    try:
        if previous is not None:
            _replace(target.with_name(target.name + "-prev"), previous, target)
        _replace(target, data, target)
    except OSError as error:
        raise DriverError(f"{path}: cannot save the machine file: {error.strerror or error}") from error


def _fresh() -> bytes:
    return FRESH.format(namespace=NAMESPACE, platform=PLATFORMS.get(sys.platform, sys.platform), uuid=uuid.uuid4()).encode()


def _uuid(config: MachineConfig, old: MachineConfig) -> str:
    if not config.uuid:
        return old.uuid
    try:
        return str(uuid.UUID(bare_uuid(config.uuid)))
    except ValueError:
        raise ConfigError(f"machine UUID {config.uuid!r}; accepted: a UUID such as {uuid.uuid4()}") from None


def _prolog(previous: bytes | None) -> bytes:
    """What stands before the root element, which the tree does not keep as it was written."""
    match = PROLOG.match((previous or b"").removeprefix(codecs.BOM_UTF8))
    return DECLARATION if previous is None or match is None else match[0]


def _serialized(document: Document, prolog: bytes) -> bytes:
    parts = [document.root, *document.root.itersiblings()]
    return prolog + b"\n".join(etree.tostring(part, encoding="UTF-8", with_tail=False, xml_declaration=False) for part in parts) + b"\n"


def _replace(target: Path, data: bytes, like: Path) -> None:
    """Put `data` in the place of `target` in one step, with the permissions of `like`."""
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if like.exists():
            shutil.copymode(like, temporary)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
