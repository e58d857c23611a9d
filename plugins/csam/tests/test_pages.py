"""Pages that are remembered by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from capstone import Cs
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone.api.scan import ScanLimits
from ringone.testing.cpu_bench import assemble
from ringone_csam.options import CsamOptions
from ringone_csam.scanner import CsamScanner

PAGE = 0xC010_0000
PAGE_BYTES = 4096
CONTENT = assemble("cli; call 0xc0102002; je inside; ret; inside: pushfd; ret; nop; hlt; ret", PAGE).ljust(PAGE_BYTES, b"\xcc")
SECOND_ENTRY = CONTENT.index(b"\xf4")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Every address that the decoder was asked for."""
    asked: list[int] = []
    original: Callable[..., Iterator[tuple[int, int, str, str]]] = Cs.disasm_lite

    def disasm_lite(self: Cs, code: bytes, offset: int, count: int = 0) -> Iterator[tuple[int, int, str, str]]:
        asked.append(offset)
        return original(self, code, offset, count)

    monkeypatch.setattr(Cs, "disasm_lite", disasm_lite)
    yield asked


def scanner(remembered: int = 1 << 20) -> CsamScanner:
    return CsamScanner(CsamOptions(remembered=remembered))


def test_a_page_is_scanned_within_its_bounds() -> None:
    report = scanner().scan_page(PAGE, CONTENT, PAGE)
    assert [finding.mnemonic for finding in report.findings] == ["cli", "pushfd"]
    assert report.outside == {PAGE + 0x2002}


def test_a_known_entry_gives_the_same_report(decoded: list[int]) -> None:
    csam = scanner()
    report = csam.scan_page(PAGE, CONTENT, PAGE)
    decoded.clear()
    assert all(csam.scan_page(PAGE, bytes(CONTENT), start) is report for start in report.starts)
    assert decoded == []


def test_another_entry_adds_to_what_is_known(decoded: list[int]) -> None:
    csam = scanner()
    first = csam.scan_page(PAGE, CONTENT, PAGE)
    decoded.clear()
    both = csam.scan_page(PAGE, CONTENT, PAGE + SECOND_ENTRY)
    assert decoded == [PAGE + SECOND_ENTRY]
    assert first.starts < both.starts
    assert [finding.mnemonic for finding in both.findings] == ["cli", "pushfd", "hlt"]
    assert csam.scan_page(PAGE, CONTENT, PAGE) is both


def test_a_page_elsewhere_needs_no_scan(decoded: list[int]) -> None:
    csam = scanner()
    csam.scan_page(PAGE, CONTENT, PAGE)
    decoded.clear()
    elsewhere = 0x0800_0000
    moved = csam.scan_page(elsewhere, CONTENT, elsewhere)
    assert decoded == []
    assert moved == scanner().scan_page(elsewhere, CONTENT, elsewhere)


@given(content=st.binary(min_size=1, max_size=200), entry=st.integers(0, 220), to=st.sampled_from((0, 0x1000, 0x7FFF_F000, 0xFFFF_F000)))
@settings(deadline=None)
def test_a_moved_report_is_what_a_scan_would_give(content: bytes, entry: int, to: int) -> None:
    content = content.ljust(PAGE_BYTES, b"\xc3")
    csam = scanner()
    csam.scan_page(PAGE, content, PAGE + entry)
    assert csam.scan_page(to, content, to + entry) == scanner().scan_page(to, content, to + entry)


def test_a_changed_page_is_another_page() -> None:
    csam = scanner()
    csam.scan_page(PAGE, CONTENT, PAGE)
    changed = CONTENT.replace(b"\xfa", b"\xfb", 1)
    assert csam.scan_page(PAGE, changed, PAGE).findings[0].mnemonic == "sti"


def test_16_and_32_bit_code_in_a_page_are_kept_apart() -> None:
    csam = scanner()
    content = bytes.fromhex("b8fafa9090 c3").ljust(PAGE_BYTES, b"\xcc")
    assert not csam.scan_page(PAGE, content, PAGE).starts & {PAGE + 3}
    assert PAGE + 3 in csam.scan_page(PAGE, content, PAGE, bits=16).starts


def test_an_instruction_that_crosses_the_page_needs_the_bytes_behind_it() -> None:
    csam = scanner()
    content = CONTENT[:-1] + b"\x0f"
    last = PAGE + PAGE_BYTES - 1
    assert csam.scan_page(PAGE, content, last).unreadable == {PAGE + PAGE_BYTES}
    (cpuid,) = csam.scan_page(PAGE, content, last, following=b"\xa2\xfa\xfa").findings
    assert (cpuid.address, cpuid.mnemonic) == (last, "cpuid")
    (clts,) = csam.scan_page(PAGE, content, last, following=b"\x06").findings
    assert clts.mnemonic == "clts"


def test_pages_not_seen_for_longest_are_forgotten_first(decoded: list[int]) -> None:
    csam = scanner(remembered=10)
    pages = [bytes([0x90, 0x90, 0x90, 0xC3, number]).ljust(PAGE_BYTES, b"\xcc") for number in range(3)]
    reports = [csam.scan_page(PAGE, content, PAGE) for content in pages[:2]]
    assert csam.scan_page(PAGE, pages[0], PAGE) is reports[0]
    csam.scan_page(PAGE, pages[2], PAGE)
    decoded.clear()
    assert csam.scan_page(PAGE, pages[0], PAGE) is reports[0]
    assert decoded == []
    csam.scan_page(PAGE, pages[1], PAGE)
    assert decoded != []


def test_nothing_is_remembered_where_nothing_may_be() -> None:
    csam = scanner(remembered=0)
    assert csam.scan_page(PAGE, CONTENT, PAGE) == csam.scan_page(PAGE, CONTENT, PAGE)


def test_a_page_scan_finds_what_a_scan_with_the_page_as_limits_does() -> None:
    limits = ScanLimits(low=PAGE, high=PAGE + PAGE_BYTES)
    plain = scanner().scan(PAGE, lambda address, size: CONTENT[address - PAGE : address - PAGE + size], limits)
    assert scanner().scan_page(PAGE, CONTENT, PAGE) == plain
