"""The scanner `csam`: control-flow scans, the filter before them, and pages that are remembered by content. Not for several threads at once."""

from __future__ import annotations

from ringone.api.scan import ScanLimits, ScanReport

from ringone_csam.flow import LONGEST_INSTRUCTION, PAGE_BYTES, Fetch, Scan, decoder
from ringone_csam.options import CsamOptions
from ringone_csam.pages import PageRecords, merged, page_key
from ringone_csam.prefilter import may_matter


class CsamScanner:
    def __init__(self, options: CsamOptions) -> None:
        self._decoders = {bits: decoder(bits) for bits in (16, 32)}
        self._records = PageRecords(options.remembered)

    def scan(self, entry: int, fetch: Fetch, limits: ScanLimits, *, bits: int = 32) -> ScanReport:
        return Scan(self._decoders[bits], fetch, limits, bits).follow(entry)

    def may_matter(self, code: bytes, *, bits: int = 32) -> bool:
        return may_matter(code, bits=bits)

    def scan_page(self, page: int, content: bytes, entry: int, *, following: bytes = b"", bits: int = 32) -> ScanReport:
        following = following[: LONGEST_INSTRUCTION - 1]
        key = page_key(content, following, bits)
        known = self._records.get(key, page)
        if known is not None and (entry in known.starts or entry in known.undecodable):
            return known
        code = content + following

        def fetch(address: int, size: int) -> bytes:
            return code[address - page : address - page + size]

        limits = ScanLimits(instructions=PAGE_BYTES, low=page, high=page + PAGE_BYTES)
        report = Scan(self._decoders[bits], fetch, limits, bits, frozenset() if known is None else known.starts).follow(entry)
        if known is not None:
            report = merged(known, report)
        self._records.put(key, page, report)
        return report
