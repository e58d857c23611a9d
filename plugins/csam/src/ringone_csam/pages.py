"""What is known of pages, by content: a page that is mapped again, or elsewhere, or whose write changed nothing, is not scanned again.

The key is a BLAKE2b digest of the whole page, which takes some microseconds: a checksum could be forged, and a guest must not be able to pass off one page as
another. Within a page every branch is relative, so one record serves all addresses.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

import attrs
from ringone.api.scan import ScanReport

from ringone_csam.flow import ADDRESS_MASK

DIGEST_BYTES = 16

Key = tuple[bytes, int]


def page_key(content: bytes, following: bytes, bits: int) -> Key:
    digest = blake2b(content, digest_size=DIGEST_BYTES)
    digest.update(following)
    return digest.digest(), bits


@attrs.frozen
class Record:
    """`report` is for the page at address `page`."""

    page: int
    report: ScanReport


class PageRecords:
    """At most `instructions` instructions' worth of records; the pages that were not asked for longest are forgotten first."""

    def __init__(self, instructions: int) -> None:
        self._limit = instructions
        self._held = 0
        self._records: OrderedDict[Key, Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key: Key, page: int) -> ScanReport | None:
        """What is known of the page with that key, as it lies at address `page`."""
        record = self._records.get(key)
        if record is None:
            return None
        self._records.move_to_end(key)
        if record.page != page:
            record = self._records[key] = Record(page, moved(record.report, page - record.page))
        return record.report

    def put(self, key: Key, page: int, report: ScanReport) -> None:
        self._forget(key)
        self._records[key] = Record(page, report)
        self._held += report.instructions
        while self._held > self._limit:
            self._forget(next(iter(self._records)))

    def _forget(self, key: Key) -> None:
        record = self._records.pop(key, None)
        if record is not None:
            self._held -= record.report.instructions


def moved(report: ScanReport, by: int) -> ScanReport:
    """The same page's report at another address."""

    def moved_set(addresses: frozenset[int]) -> frozenset[int]:
        return frozenset(address + by & ADDRESS_MASK for address in addresses)

    return ScanReport(
        findings=tuple(attrs.evolve(finding, address=finding.address + by) for finding in report.findings),
        starts=moved_set(report.starts),
        targets=moved_set(report.targets),
        outside=moved_set(report.outside),
        unfollowed=moved_set(report.unfollowed),
        undecodable=moved_set(report.undecodable),
        unreadable=moved_set(report.unreadable),
        complete=report.complete,
    )


def merged(old: ScanReport, new: ScanReport) -> ScanReport:
    """All of both, which hold no finding in common."""
    return ScanReport(
        findings=tuple(sorted((*old.findings, *new.findings), key=lambda finding: finding.address)),
        starts=old.starts | new.starts,
        targets=old.targets | new.targets,
        outside=old.outside | new.outside,
        unfollowed=old.unfollowed | new.unfollowed,
        undecodable=old.undecodable | new.undecodable,
        unreadable=old.unreadable | new.unreadable,
        complete=old.complete and new.complete,
    )
