"""A machine's whole state as data that belongs to nobody: sections by component, and the content of every block of memory. Any thread may read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import attrs

from ringone.snapshot.sections import SectionData


@attrs.frozen(eq=False)
class StateImage:
    """`machine` is the name of the machine that it was taken of, for people; `memory` is by the block's ``owner.name``, RAM is ``ram``."""

    machine: str
    sections: Mapping[str, SectionData]
    memory: Mapping[str, memoryview]


def hash_state(sections: Mapping[str, SectionData], memory: Mapping[str, memoryview]) -> str:
    """SHA-256 over a state: equal for equal states, in whatever order they are given."""
    digest = hashlib.sha256(canonical_json(plain_sections(sections)))
    for name, data in sorted(memory.items()):
        digest.update(canonical_json([name, len(data)]))
        digest.update(data)
    return digest.hexdigest()


def plain_sections(sections: Mapping[str, SectionData]) -> dict[str, object]:
    return {name: attrs.asdict(section, recurse=False) for name, section in sections.items()}


def canonical_json(value: object) -> bytes:
    """Equal bytes for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
