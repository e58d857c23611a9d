"""The directory of a state file: a JSON document with the sections and the shape of the page tables, and behind it the tables.

Reading it trusts nothing: what is missing, extra, out of order or out of bounds is a `SnapshotError`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import sys
import zlib
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from ringone import __version__
from ringone.api.errors import SnapshotError
from ringone.snapshot.codec import Json
from ringone.snapshot.image import canonical_json, plain_sections
from ringone.snapshot.pages import CLUSTER_PAGES, DIGEST_BYTES, Cluster, PageTable, page_count
from ringone.snapshot.sections import SectionData

MAX_DIRECTORY_BYTES = 128 << 20
MAX_MEMORY_BYTES = 4 << 30
"""Of all blocks together: more than the guest's 32-bit address space cannot be."""

_CLUSTER = struct.Struct("<QII16s")
"""Offset, size, number of pages, checksum."""
_LENGTH = struct.Struct("<I")
_WORD = 4


@attrs.frozen
class ParentLink:
    """`file` is a name in the same folder."""

    file: str
    content: str


@attrs.frozen(eq=False)
class Directory:
    machine: str
    content: str
    parent: ParentLink | None
    sections: Mapping[str, SectionData]
    memory: Mapping[str, PageTable]

    @property
    def sizes(self) -> dict[str, int]:
        return {name: table.size for name, table in self.memory.items()}


def dump_directory(directory: Directory) -> bytes:
    document = {
        "machine": directory.machine,
        "ringone": __version__,
        "content": directory.content,
        "parent": None if directory.parent is None else attrs.asdict(directory.parent),
        "sections": plain_sections(directory.sections),
        "memory": {
            name: {"size": table.size, "pages": len(table.pages), "cleared": len(table.cleared), "clusters": len(table.clusters)}
            for name, table in directory.memory.items()
        },
    }
    text = canonical_json(document)
    parts = [_LENGTH.pack(len(text)), text]
    for _, table in sorted(directory.memory.items()):
        parts += [_words(table.pages), bytes(table.digests), _words(table.cleared)]
        parts += [_CLUSTER.pack(cluster.offset, cluster.size, len(cluster.pages), cluster.digest) for cluster in table.clusters]
    return b"".join(parts)


def content_of(sections: Mapping[str, SectionData], sizes: Mapping[str, int], digests: Mapping[str, Mapping[int, bytes]]) -> str:
    """What identifies a state, whatever files it is spread over."""
    found = hashlib.sha256(canonical_json(plain_sections(sections)))
    for name, size in sorted(sizes.items()):
        pages = sorted(digests[name])
        found.update(canonical_json([name, size, len(pages)]))
        found.update(_words(array("I", pages)))
        found.update(b"".join(digests[name][page] for page in pages))
    return found.hexdigest()


def inflate_directory(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    raw = inflater.decompress(packed, MAX_DIRECTORY_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise SnapshotError(f"the directory has more than {MAX_DIRECTORY_BYTES} bytes, or something behind it")
    return raw


def parse_directory(raw: bytes, body: range) -> Directory:
    """`body` are the file offsets of the packed pages."""
    (length,) = _LENGTH.unpack_from(raw)
    at = _LENGTH.size + length
    document = json.loads(raw[_LENGTH.size : at], object_pairs_hook=_no_doubles)
    if document.keys() != {"machine", "ringone", "content", "parent", "sections", "memory"}:
        raise SnapshotError(f"the directory has the entries {sorted(document)[:10]}")
    if sum(shape["size"] for shape in document["memory"].values()) > MAX_MEMORY_BYTES:
        raise SnapshotError(f"the saved state has more than {MAX_MEMORY_BYTES} bytes of memory")
    tables = _Tables(raw, at, body)
    memory = {name: tables.table(shape) for name, shape in sorted(document["memory"].items())}
    tables.end()
    return Directory(
        machine=_text(document["machine"], "machine"),
        content=_text(document["content"], "content"),
        parent=_parse_parent(document["parent"]),
        sections={name: _parse_section(name, value) for name, value in document["sections"].items()},
        memory=memory,
    )


class _Tables:
    """The page tables behind the document, read in order and with suspicion. Clusters must follow each other in the file."""

    def __init__(self, raw: bytes, at: int, body: range) -> None:
        self._raw = raw
        self._at = at
        self._offset = body.start
        self._end = body.stop

    def table(self, shape: Mapping[str, int]) -> PageTable:
        if shape.keys() != {"size", "pages", "cleared", "clusters"} or any(type(value) is not int or value < 0 for value in shape.values()):
            raise SnapshotError(f"the memory's shape {dict(shape)!r} is damaged")
        limit = page_count(shape["size"])
        pages = self._ascending(shape["pages"], limit)
        digests = bytearray(self._take(len(pages) * DIGEST_BYTES))
        cleared = self._ascending(shape["cleared"], limit)
        clusters, first = [], 0
        for _ in range(shape["clusters"]):
            offset, size, count, checksum = _CLUSTER.unpack(self._take(_CLUSTER.size))
            if offset != self._offset or not 0 < count <= CLUSTER_PAGES or first + count > len(pages):
                raise SnapshotError("the table of packed pages is damaged")
            clusters.append(Cluster(offset, size, pages[first : first + count], checksum))
            self._offset += size
            first += count
        if first != len(pages):
            raise SnapshotError("some pages are in no cluster")
        return PageTable(shape["size"], pages, digests, cleared, clusters)

    def end(self) -> None:
        if self._at != len(self._raw) or self._offset != self._end:
            raise SnapshotError("the page tables do not fit the file")

    def _take(self, size: int) -> bytes:
        data = self._raw[self._at : self._at + size]
        if len(data) != size:
            raise SnapshotError("the page tables are cut off")
        self._at += size
        return data

    def _ascending(self, count: int, limit: int) -> array[int]:
        words = array("I", self._take(count * _WORD))
        if sys.byteorder == "big":
            words.byteswap()
        if words and (words[-1] >= limit or any(second <= first for first, second in itertools.pairwise(words))):
            raise SnapshotError("the page numbers do not ascend within their block")
        return words


def _words(values: array[int]) -> bytes:
    """Little-endian, whatever the host is."""
    if sys.byteorder == "big":
        values = array("I", values)
        values.byteswap()
    return values.tobytes()


def _parse_parent(value: Any) -> ParentLink | None:
    if value is None:
        return None
    link = ParentLink(_text(value["file"], "parent's file"), _text(value["content"], "parent's content"))
    if len(value) != 2 or Path(link.file).name != link.file or "\\" in link.file or "\0" in link.file:
        raise SnapshotError(f"the parent {link.file!r} is no file name")
    return link


def _parse_section(name: str, value: Any) -> SectionData:
    match value:
        case {"kind": str(kind), "version": int(version), "state": state, **rest} if not rest and type(version) is int:
            return SectionData(kind, version, cast(Json, state))
    raise SnapshotError(f"section {name!r} is not an object of kind, version and state")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise SnapshotError(f"the {what} is {value!r}, not a string")
    return value


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has one name twice")
    return found
