"""Blocks of memory as packed pages: what of a block differs from its parent's, in clusters that are compressed and checked one by one.

A page that holds zeros takes no room; one whose SHA-256 (its first 16 bytes) is that of the parent's page does not either.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from collections.abc import Mapping, Sequence

import attrs

from ringone.api.errors import SnapshotError
from ringone.api.memory import PAGE_SIZE

CLUSTER_PAGES = 64
CLUSTER_BYTES = CLUSTER_PAGES * PAGE_SIZE
DIGEST_BYTES = 16
LEVEL = 1
_ZEROS = bytes(CLUSTER_BYTES)
_RAW_DEFLATE = -15


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


@attrs.frozen
class PackedPages:
    """What is to be written of a stretch of a block: `pages` with their `digests`, their content in `data`, and pages that became zero (`cleared`)."""

    pages: Sequence[int]
    digests: bytes
    cleared: Sequence[int]
    data: bytes


_NOTHING = PackedPages((), b"", (), b"")


@attrs.frozen
class Cluster:
    """Consecutive entries of a page table that lie packed together in the file."""

    offset: int
    size: int
    pages: Sequence[int]
    digest: bytes


@attrs.define
class PageTable:
    """What one file says about a block of `size` bytes. `pages` and `cleared` ascend; `digests` has an entry for each of `pages`."""

    size: int
    pages: array[int] = attrs.field(factory=lambda: array("I"))
    digests: bytearray = attrs.field(factory=bytearray)
    cleared: array[int] = attrs.field(factory=lambda: array("I"))
    clusters: list[Cluster] = attrs.field(factory=list)

    def add(self, packed: PackedPages, offset: int) -> None:
        """Note what was written at a file offset."""
        self.pages.extend(packed.pages)
        self.digests += packed.digests
        self.cleared.extend(packed.cleared)
        if packed.pages:
            self.clusters.append(Cluster(offset, len(packed.data), packed.pages, digest(packed.data)))

    def over(self, below: Mapping[int, bytes]) -> dict[int, bytes]:
        """The digests of all pages that are not zero, where `below` are the parent's."""
        whole = dict(below)
        for page in self.cleared:
            whole.pop(page, None)
        digests = bytes(self.digests)
        whole.update((page, digests[at : at + DIGEST_BYTES]) for page, at in zip(self.pages, range(0, len(digests), DIGEST_BYTES), strict=True))
        return whole


def page_count(size: int) -> int:
    return -(-size // PAGE_SIZE)


def pack(data: memoryview, first_page: int, known: Mapping[int, bytes]) -> PackedPages:
    """A cluster's worth of pages from `first_page` on, without those that `known` has already."""
    raw = bytes(data[first_page * PAGE_SIZE : first_page * PAGE_SIZE + CLUSTER_BYTES])
    count = page_count(len(raw))
    if raw == _ZEROS[: len(raw)]:
        cleared = [page for page in range(first_page, first_page + count) if page in known] if known else ()
        return PackedPages((), b"", cleared, b"") if cleared else _NOTHING
    pages, digests, cleared, parts = [], [], [], []
    for index in range(count):
        page, part = first_page + index, raw[index * PAGE_SIZE : (index + 1) * PAGE_SIZE]
        former = known.get(page)
        if part == _ZEROS[: len(part)]:
            if former is not None:
                cleared.append(page)
            continue
        present = digest(part)
        if present != former:
            pages.append(page)
            digests.append(present)
            parts.append(part)
    return PackedPages(pages, b"".join(digests), cleared, _deflate(b"".join(parts)) if parts else b"")


def unpack(packed: bytes, cluster: Cluster, target: memoryview, taken: bytearray) -> None:
    """Put the pages of a cluster that are not `taken` yet into the block. Raises `SnapshotError` where the cluster is damaged."""
    if digest(packed) != cluster.digest:
        raise SnapshotError(f"the memory pages from {cluster.pages[0]:#x} on do not have their checksum: the file is damaged")
    raw = _inflate(packed, sum(_page_size(len(target), page) for page in cluster.pages))
    pages, at = cluster.pages, 0
    if pages[-1] - pages[0] + 1 == len(pages) and 1 not in taken[pages[0] : pages[-1] + 1]:
        target[pages[0] * PAGE_SIZE : pages[0] * PAGE_SIZE + len(raw)] = raw
        return
    for page in pages:
        size = _page_size(len(target), page)
        if not taken[page]:
            target[page * PAGE_SIZE : page * PAGE_SIZE + size] = raw[at : at + size]
        at += size


def _page_size(size: int, page: int) -> int:
    return min(PAGE_SIZE, size - page * PAGE_SIZE)


def _deflate(raw: bytes) -> bytes:
    """Compressed, or as it is where that does not help: the length tells."""
    packed = zlib.compress(raw, LEVEL, _RAW_DEFLATE)
    return packed if len(packed) < len(raw) else raw


def _inflate(packed: bytes, size: int) -> bytes:
    if len(packed) == size:
        return packed
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    try:
        raw = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise SnapshotError(f"damaged memory pages: {error}") from error
    if len(raw) != size or not inflater.eof or inflater.unused_data:
        raise SnapshotError(f"memory pages of {size} bytes unpack to others")
    return raw
