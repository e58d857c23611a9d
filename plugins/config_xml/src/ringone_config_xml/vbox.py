"""Machine files by themselves, for those that want a `MachineConfig` and no home: whole, checked, and never half written."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import attrs
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError

from ringone_config_xml.document import NAMESPACE, Document, read_bytes
from ringone_config_xml.files import PLATFORM, prolog_of, replace_keeping, serialized
from ringone_config_xml.reading import read_alone, warnings
from ringone_config_xml.text import checked_uuid
from ringone_config_xml.writing import apply

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
    config = read_alone(document)
    for warning in warnings(document):
        log.warning("%s: %s", path, warning)
    return config


def save(config: MachineConfig, path: Path) -> None:
    """Edit the file where it exists and write a new one where not. The file as it was stays beside it with ``-prev`` appended to its name."""
    target = path.resolve()
    previous = read_bytes(target) if target.exists() else None
    document = Document(target, fresh_machine() if previous is None else previous)
    old = read_alone(document)
    prolog = prolog_of(previous)
    before = serialized(document, prolog)
    apply(document, old, attrs.evolve(config, uuid=checked_uuid("machine", config.uuid or old.uuid)))
    data = serialized(document, prolog)
    if previous is not None and data == before:
        return
    try:
        read_alone(Document(target, data))
    except ConfigError as error:
        raise ConfigError(f"not saved, because the file could not be loaded again: {error.message}", source=str(path)) from error
    replace_keeping(target, data, previous, path)


def fresh_machine() -> bytes:
    return FRESH.format(namespace=NAMESPACE, platform=PLATFORM, uuid=uuid.uuid4()).encode()
