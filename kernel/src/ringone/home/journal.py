"""The journal of a machine's disks: what has to be tidied up where a change was cut short.

The machine file is the only truth; it changes in one step. The journal lies beside it while a change is under way and says three things, each of which can be
done any number of times:

- *leftovers*: files that only the settings before the change or only those after it refer to. Whichever the machine file does not refer to are deleted.
- *returns*: differencing images that a running machine may have written to before the machine file knew them. What they hold goes back into their parents,
  unless the machine file knows them by now.
- *dissolutions*: an image and the only one that stands on it, which become one.

A journal is as untrusted as any file: only files in the machine's snapshot folder are ever deleted because of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from ringone.api.errors import ConfigError
from ringone.home.atomic import replace_file
from ringone.home.snapshots import Dissolution

FORMAT = "ringone-journal"
FORMAT_VERSION = 1
MAX_BYTES = 16 << 20
SUFFIX = "-journal"
_KEYS = frozenset({"format", "version", "leftovers", "returns", "dissolutions"})


@attrs.frozen(kw_only=True)
class Return:
    """A differencing image and the parent that gets what was written to it."""

    image: Path
    parent: Path


@attrs.frozen(kw_only=True)
class Journal:
    leftovers: frozenset[Path] = frozenset()
    returns: tuple[Return, ...] = ()
    dissolutions: tuple[Dissolution, ...] = ()

    def joined(self, other: Journal) -> Journal:
        return Journal(
            leftovers=self.leftovers | other.leftovers,
            returns=(*self.returns, *(new for new in other.returns if new not in self.returns)),
            dissolutions=(*self.dissolutions, *(new for new in other.dissolutions if new not in self.dissolutions)),
        )


NOTHING = Journal()


class JournalFile:
    """Paths inside of the machine's folder are written relative to it, so that the folder can be moved."""

    def __init__(self, machine_file: Path) -> None:
        self.path = machine_file.with_name(machine_file.name + SUFFIX)
        self._folder = machine_file.parent

    def read(self) -> Journal:
        try:
            with self.path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return NOTHING
        except OSError as error:
            raise ConfigError(f"cannot read the journal: {error.strerror or error}", source=str(self.path)) from error
        try:
            return self._parse(text)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            message = f"this is no journal of version {FORMAT_VERSION} ({error}); a copy of the machine's folder and deleting this file lets the machine open"
            raise ConfigError(message, source=str(self.path)) from error

    def write(self, journal: Journal) -> None:
        """Replace what is there; nothing to do means no file."""
        if journal == NOTHING:
            self.path.unlink(missing_ok=True)
            return
        document = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "leftovers": self._texts(sorted(journal.leftovers)),
            "returns": [self._texts((entry.image, entry.parent)) for entry in journal.returns],
            "dissolutions": [self._texts((entry.parent, entry.child)) for entry in journal.dissolutions],
        }
        replace_file(self.path, json.dumps(document, indent=1).encode())

    def _parse(self, text: bytes) -> Journal:
        if len(text) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        document = json.loads(text)
        if type(document) is not dict or document.keys() != _KEYS or (document["format"], document["version"]) != (FORMAT, FORMAT_VERSION):
            raise ValueError("wrong format, version or fields")
        return Journal(
            leftovers=frozenset(self._paths(document["leftovers"])),
            returns=tuple(Return(image=image, parent=parent) for image, parent in map(self._paths, document["returns"])),
            dissolutions=tuple(Dissolution(parent=parent, child=child) for parent, child in map(self._paths, document["dissolutions"])),
        )

    def _texts(self, paths: Iterable[Path]) -> list[str]:
        return [os.fspath(path.relative_to(self._folder) if path.is_relative_to(self._folder) else path) for path in paths]

    def _paths(self, texts: Any) -> list[Path]:
        if type(texts) is not list or not all(type(text) is str and text and "\0" not in text for text in texts):
            raise ValueError("paths are lists of text")
        return [self._folder / text for text in texts]
