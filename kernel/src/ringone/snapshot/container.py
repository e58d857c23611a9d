"""A saved machine in one file: a zip of ``manifest.json``, ``sections/<id>.json`` and ``blobs/<name>.bin``.

The manifest names every entry with its size and SHA-256. A blob is a bitmap of its 4 KiB pages followed by the pages that are not zero, deflated at the fastest
level. Reading trusts nothing: sizes are capped before anything is unpacked, every checksum is checked, and what is missing, extra or of another format is a
`SnapshotError`. Equal states make equal files.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import attrs

from ringone.api.errors import SnapshotError
from ringone.snapshot.codec import Json
from ringone.snapshot.sections import SectionData

FORMAT = "ringone-state"
FORMAT_VERSION = 1

MANIFEST = "manifest.json"
MAX_ENTRIES = 4096
MAX_MANIFEST_BYTES = 16 << 20
MAX_SECTION_BYTES = 64 << 20
MAX_BLOB_BYTES = 4 << 30
"""Of all blobs together, unpacked: more than the guest's 32-bit address space cannot be."""
PAGE = 4096
_OWN_KEYS = frozenset({"format", "format_version", "sections", "blobs"})
_ZERO_PAGE = bytes(PAGE)
_ZERO_CHUNK = bytes(PAGE * 256)
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RecursionError, RuntimeError, OSError)
"""What the standard library raises for a damaged archive or document."""


@attrs.frozen
class _Entry:
    """An entry as the manifest declares it; `size` of a blob is its unpacked size."""

    size: int
    sha256: str


@attrs.frozen
class Container:
    """A file that passed all checks. `manifest` holds what the writer added (the machine's name, its configuration ...)."""

    manifest: Mapping[str, Any]
    sections: Mapping[str, SectionData]
    _packed: Mapping[str, tuple[int, bytes]]

    @property
    def blob_sizes(self) -> dict[str, int]:
        return {name: size for name, (size, _) in self._packed.items()}

    def blob(self, name: str) -> bytes:
        target = bytearray(self._blob(name)[0])
        self.load_blob(name, memoryview(target))
        return bytes(target)

    def load_blob(self, name: str, target: memoryview) -> None:
        """Unpack a blob into `target`, which must have its size."""
        size, packed = self._blob(name)
        if len(target) != size:
            raise SnapshotError(f"blob {name!r} has {size} bytes, but this machine has {len(target)} there")
        _unpack(packed, target)

    def _blob(self, name: str) -> tuple[int, bytes]:
        if name not in self._packed:
            raise SnapshotError(f"blob {name!r} is missing from the saved state")
        return self._packed[name]

    def require(self, *, sections: Iterable[str], blobs: Iterable[str]) -> None:
        """Insist on exactly these sections, and on exactly these blobs and those that the sections refer to."""
        _same("section", set(sections), set(self.sections))
        _same("blob", set(blobs).union(*(_references(section.state) for section in self.sections.values())), set(self._packed))


def write_container(sections: Mapping[str, SectionData], blobs: Mapping[str, memoryview | bytes], manifest: Mapping[str, Json]) -> bytes:
    """Put a saved machine into one file. `manifest` must be JSON-able and not use the container's own keys."""
    if taken := sorted(manifest.keys() & _OWN_KEYS):
        raise ValueError(f"the manifest keys {taken} belong to the container")
    entries: dict[str, tuple[_Entry, bytes]] = {}
    for name, section in sections.items():
        text = _json_bytes(attrs.asdict(section, recurse=False))
        entries[_section_entry(name)] = (_Entry(len(text), _digest(text)), text)
    for name, data in blobs.items():
        packed = _pack(memoryview(data).cast("B"))
        entries[_blob_entry(name)] = (_Entry(len(data), _digest(packed)), packed)
    whole = {
        **manifest,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sections": {name: attrs.asdict(entries[_section_entry(name)][0]) for name in sections},
        "blobs": {name: attrs.asdict(entries[_blob_entry(name)][0]) for name in blobs},
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _add(archive, MANIFEST, _json_bytes(whole))
        for entry_name, (_, data) in sorted(entries.items()):
            _add(archive, entry_name, data)
    return file.getvalue()


def read_container(data: bytes) -> Container:
    """Check everything about a file and return its content."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive)
    except SnapshotError:
        raise
    except _DAMAGE as error:
        raise SnapshotError(f"the saved state is damaged: {error}") from error


def hash_state(sections: Mapping[str, SectionData], blobs: Mapping[str, memoryview | bytes]) -> str:
    """SHA-256 over a state: equal for equal states, in whatever order they are given."""
    digest = hashlib.sha256()
    for name, section in sorted(sections.items()):
        digest.update(_json_bytes([name, attrs.asdict(section, recurse=False)]))
    for name, data in sorted(blobs.items()):
        digest.update(_json_bytes([name, len(data)]))
        digest.update(data)
    return digest.hexdigest()


def _read(archive: zipfile.ZipFile) -> Container:
    infos = archive.infolist()
    by_name = {info.filename: info for info in infos}
    if len(infos) > MAX_ENTRIES or len(by_name) != len(infos):
        raise SnapshotError(f"the saved state has {len(infos)} entries, some of one name or more than {MAX_ENTRIES}")
    manifest = _load_json(_extract(archive, by_name, MANIFEST, MAX_MANIFEST_BYTES), MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise SnapshotError(f"this is no saved state: its manifest does not say {FORMAT!r}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise SnapshotError(f"the saved state has format version {manifest.get('format_version')!r}; accepted: {FORMAT_VERSION}")
    sections, blobs = (_declared(manifest, key) for key in ("sections", "blobs"))
    if (total := sum(entry.size for entry in blobs.values())) > MAX_BLOB_BYTES:
        raise SnapshotError(f"the saved state has {total} bytes of blobs; accepted: up to {MAX_BLOB_BYTES}")
    _same("entry", {MANIFEST, *map(_section_entry, sections), *map(_blob_entry, blobs)}, set(by_name))
    return Container(
        {key: value for key, value in manifest.items() if key not in _OWN_KEYS},
        {name: _read_section(archive, by_name, name, entry) for name, entry in sections.items()},
        {name: (entry.size, _read_blob(archive, by_name, name, entry)) for name, entry in blobs.items()},
    )


def _declared(manifest: Mapping[str, Any], key: str) -> dict[str, _Entry]:
    found = {}
    for name, value in manifest[key].items():
        size, sha256 = value["size"], value["sha256"]
        if type(size) is not int or size < 0 or type(sha256) is not str or len(value) != 2:
            raise SnapshotError(f"the manifest's entry for {name!r} of {key} is damaged")
        found[name] = _Entry(size, sha256)
    return found


def _read_section(archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], name: str, entry: _Entry) -> SectionData:
    text = _extract(archive, infos, _section_entry(name), MAX_SECTION_BYTES)
    if len(text) != entry.size:
        raise SnapshotError(f"section {name!r} has {len(text)} bytes where the manifest says {entry.size}")
    _check_digest(f"section {name!r}", text, entry)
    match _load_json(text, f"section {name!r}"):
        case {"kind": str(kind), "version": int(version), "state": state, **rest} if not rest and type(version) is int:
            return SectionData(kind, version, cast(Json, state))
    raise SnapshotError(f"section {name!r} is not an object of kind, version and state")


def _read_blob(archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], name: str, entry: _Entry) -> bytes:
    bitmap_bytes = _bitmap_bytes(entry.size)
    packed = _extract(archive, infos, _blob_entry(name), bitmap_bytes + entry.size)
    _check_digest(f"blob {name!r}", packed, entry)
    if len(packed) != bitmap_bytes + sum(_page_size(entry.size, page) for page in _pages(packed[:bitmap_bytes])):
        raise SnapshotError(f"blob {name!r}: its pages do not fit its {entry.size} bytes")
    return packed


def _extract(archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], name: str, limit: int) -> bytes:
    info = infos.get(name)
    if info is None:
        raise SnapshotError(f"the saved state lacks {name}")
    if info.file_size > limit:
        raise SnapshotError(f"{name} has {info.file_size} bytes; accepted: up to {limit}")
    with archive.open(info) as stream:
        return stream.read(info.file_size)


def _check_digest(what: str, data: bytes, entry: _Entry) -> None:
    if _digest(data) != entry.sha256:
        raise SnapshotError(f"{what} does not have its checksum: the file is damaged")


def _pack(data: memoryview) -> bytes:
    """Bitmap of the pages that are not zero, and those pages."""
    bitmap = bytearray(_bitmap_bytes(len(data)))
    pages: list[memoryview] = []
    for start in range(0, len(data), len(_ZERO_CHUNK)):
        chunk = bytes(data[start : start + len(_ZERO_CHUNK)])
        if chunk == _ZERO_CHUNK[: len(chunk)]:
            continue
        for offset in range(0, len(chunk), PAGE):
            part = chunk[offset : offset + PAGE]
            if part != _ZERO_PAGE[: len(part)]:
                page = (start + offset) // PAGE
                bitmap[page >> 3] |= 1 << (page & 7)
                pages.append(data[start + offset : start + offset + len(part)])
    return b"".join([bitmap, *pages])


def _unpack(packed: bytes, target: memoryview) -> None:
    size = len(target)
    at = _bitmap_bytes(size)
    source = memoryview(packed)
    for start in range(0, size, len(_ZERO_CHUNK)):
        end = min(start + len(_ZERO_CHUNK), size)
        target[start:end] = _ZERO_CHUNK[: end - start]
    for page in _pages(packed[:at]):
        length = _page_size(size, page)
        target[page * PAGE : page * PAGE + length] = source[at : at + length]
        at += length


def _bitmap_bytes(size: int) -> int:
    return (-(-size // PAGE) + 7) // 8


def _pages(bitmap: bytes) -> Iterator[int]:
    for index, bits in enumerate(bitmap):
        while bits:
            lowest = bits & -bits
            yield index * 8 + lowest.bit_length() - 1
            bits ^= lowest


def _page_size(size: int, page: int) -> int:
    """Of a page of a blob of `size` bytes: the last one may be short, one behind the end has a size that fits nothing."""
    return min(PAGE, size - page * PAGE) if page * PAGE < size else -PAGE


def _references(state: Json) -> set[str]:
    """Names of the blobs that a section's fields were moved to."""
    match state:
        case {"blob": str(name), **rest} if not rest:
            return {name}
        case dict():
            return set().union(*map(_references, state.values()))
        case list():
            return set().union(*map(_references, state))
    return set()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data, compresslevel=1)


def _section_entry(name: str) -> str:
    return f"sections/{name}.json"


def _blob_entry(name: str) -> str:
    return f"blobs/{name}.bin"


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _load_json(text: bytes, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{what} is not JSON: {error}") from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has one name twice")
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _same(kind: str, expected: set[str], found: set[str]) -> None:
    if missing := sorted(expected - found):
        raise SnapshotError(f"the saved state lacks the {kind} {_first(missing)}")
    if unknown := sorted(found - expected):
        raise SnapshotError(f"the saved state has a {kind} that this machine does not: {_first(unknown)}")


def _first(names: list[str]) -> str:
    return repr(names[0]) if len(names) == 1 else f"{names[0]!r} (and {len(names) - 1} more)"
