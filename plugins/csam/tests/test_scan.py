"""What a scan follows, what it finds, and what it says about the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone.api.scan import InstructionClass, ScanLimits, ScanReport, Trapping
from ringone.testing.cpu_bench import assemble
from ringone_csam.flow import LOOK_AHEAD
from ringone_csam.options import CsamOptions
from ringone_csam.scanner import CsamScanner

BASE = 0xC010_0000
PAGE = 4096


def memory(code: bytes, base: int = BASE) -> Callable[[int, int], bytes]:
    def fetch(address: int, size: int) -> bytes:
        offset = address - base
        return code[offset : offset + size] if 0 <= offset < len(code) else b""

    return fetch


def scan(code: bytes | str, *, at: int = 0, base: int = BASE, bits: int = 32, instructions: int = 1000, low: int = 0, high: int = 1 << 32) -> ScanReport:
    """Assembly, or bytes, at `base`; the scan begins `at` bytes behind it."""
    if isinstance(code, str):
        code = assemble(code, base, bits)
    limits = ScanLimits(instructions=instructions, low=low, high=high)
    return CsamScanner(CsamOptions()).scan(base + at, memory(code, base), limits, bits=bits)


def found(report: ScanReport, base: int = BASE) -> list[tuple[int, str]]:
    return [(finding.address - base, finding.mnemonic) for finding in report.findings]


def offsets(addresses: frozenset[int], base: int = BASE) -> list[int]:
    return sorted(address - base for address in addresses)


def test_findings_come_with_size_text_class_and_reference() -> None:
    cli, mov, sti, _, pushf = scan("cli; nop; mov eax, cs; sti; in al, 0x60; pushfd; ret").findings
    assert (cli.address, cli.size, cli.kind, cli.traps, cli.reference) == (BASE, 1, InstructionClass.PRIVILEGED, Trapping.ALWAYS, "vol. 2A, CLI")
    assert (mov.address, mov.size, mov.operands, mov.kind, mov.traps) == (BASE + 2, 2, "eax, cs", InstructionClass.SENSITIVE, Trapping.NEVER)
    assert sti.also == {InstructionClass.INTERRUPT_SHADOW}
    assert pushf.kind is InstructionClass.SENSITIVE


@pytest.mark.parametrize("end", ["ret", "retf", "iretd", "int3", "ud2", "sysexit", "jmp eax"])
def test_a_scan_ends_where_the_flow_does(end: str) -> None:
    assert scan(f"nop; {end}; cli; ret").instructions == 2


@pytest.mark.parametrize("middle", ["int 0x80", "hlt", "into", "call eax", "je over; over: nop"])
def test_a_scan_goes_on_where_the_flow_comes_back(middle: str) -> None:
    assert "cli" in [mnemonic for _, mnemonic in found(scan(f"{middle}; cli; ret"))]


def test_loops_are_scanned_once() -> None:
    report = scan("again: dec ecx; cli; jne again; loop again; ret")
    assert (report.instructions, offsets(report.targets), found(report), report.complete) == (5, [0], [(1, "cli")], True)


def test_both_sides_of_a_branch_and_called_functions_are_scanned() -> None:
    report = scan("je there; call function; ret; there: hlt; jmp out; cli; function: pushfd; ret; out: popfd; ret")
    assert [mnemonic for _, mnemonic in found(report)] == ["hlt", "pushfd", "popfd"]
    assert len(report.targets) == 3


def test_a_recursive_function_and_deep_calls_end() -> None:
    calls = b"".join(b"\xe8\0\0\0\0" for _ in range(5000)) + b"\xc3"
    assert scan(calls, instructions=10_000).instructions == 5001
    assert scan("f: call f; ret").instructions == 2


def test_branches_with_unknown_targets_are_reported() -> None:
    report = scan("call eax; call [ebx]; jmp [eax*4+0x1000]")
    assert (offsets(report.unfollowed), report.targets) == ([0, 2, 4], frozenset())
    assert offsets(scan(bytes.fromhex("66e80000 66e9feff")).unfollowed) == [0, 4], "a 16-bit branch cuts EIP off"
    assert offsets(scan(bytes.fromhex("9a00000000 0800 ff18 ea00000000 0800")).unfollowed) == [0, 7, 9]


def test_overlapping_decodings_are_both_reported() -> None:
    hidden_cli = bytes.fromhex("b8 fa c3 00 00  74 fa  fb c3")  # mov eax, 0xc3fa; je into it; sti; ret
    report = scan(hidden_cli)
    assert found(report) == [(1, "cli"), (7, "sti")]
    assert {0, 1} <= set(offsets(report.starts))


def test_limits_bound_what_is_followed() -> None:
    report = scan("je far_away; cli; nop; nop; far_away: hlt; ret", high=BASE + 3)
    assert (found(report), offsets(report.outside), report.targets) == ([(2, "cli")], [5], frozenset())
    below = scan("before: hlt; ret; jmp before; ret", at=2, low=BASE + 2)
    assert (below.instructions, offsets(below.outside)) == (1, [0])
    assert scan("nop", low=BASE + 1).instructions == 0


def test_an_instruction_over_the_high_limit_is_decoded_as_a_whole() -> None:
    report = scan("mov eax, cr0; ret", high=BASE + 1)
    assert (found(report), report.instructions) == ([(0, "mov")], 1)


def test_the_number_of_instructions_is_a_limit() -> None:
    straight_on = b"\x90" * 100_000 + b"\xc3"
    assert scan(straight_on, instructions=200_000).instructions == 100_001
    cut = scan(straight_on, instructions=777)
    assert (cut.instructions, cut.complete) == (777, False)
    assert scan(b"\x90" * 9 + b"\xc3", instructions=10).complete


@pytest.mark.parametrize("nops", range(LOOK_AHEAD - 20, LOOK_AHEAD + 3), ids=str)
def test_instructions_between_two_looks_are_taken_once_and_as_a_whole(nops: int) -> None:
    code = b"\x90" * nops + assemble("mov dword ptr fs:[eax+4*ebx+0x12345678], 0xfafafafa; cli; ret", 0)
    assert found(scan(code)) == [(len(code) - 2, "cli")]


@pytest.mark.parametrize("head", [PAGE - 1, PAGE - 2, PAGE - 6, PAGE - 20])
def test_instructions_cross_pages(head: int) -> None:
    code = b"\x90" * head + assemble("mov dword ptr [eax], 0xfafafafa; lgdt [0x12345678]; ret", 0)
    assert found(scan(code, instructions=PAGE * 2)) == [(head + 6, "lgdt")]


def test_unreadable_pages_are_named() -> None:
    report = scan("je 0xc0105000; cli")
    assert found(report) == [(6, "cli")]
    assert offsets(report.unreadable) == [0, 0x5000]
    cut_off = scan(b"\x90" * (PAGE - 2) + b"\x0f\x20", at=PAGE - 4)
    assert (offsets(cut_off.starts), offsets(cut_off.unreadable), cut_off.undecodable) == ([PAGE - 4, PAGE - 3], [PAGE], frozenset())


def test_memory_that_begins_within_a_page_is_read() -> None:
    assert found(scan("jmp next; next: cli; ret", base=BASE + 0x123), BASE + 0x123) == [(2, "cli")]


def test_what_is_no_instruction_is_named() -> None:
    report = scan(b"\x90\xfa\x0f\x04" + b"\x90" * 20)
    assert (found(report), offsets(report.undecodable), report.instructions) == ([(1, "cli")], [2], 2)


def test_the_end_of_the_address_space_is_an_end() -> None:
    top = 0xFFFF_FFF0
    report = scan(b"\xfa" * 16, base=top)
    assert (report.instructions, report.complete, report.unreadable) == (16, True, frozenset())
    wrapped = scan(b"\x90\xe9\x0a\0\0\0" + b"\x90" * 10, base=top)
    assert wrapped.unreadable == {0}


def test_16_bit_code_is_followed() -> None:
    report = scan("pushf; jmp near; hlt; near: call function; cli; ret; function: mov ax, cs; popf; ret", base=0x7C00, bits=16)
    assert [mnemonic for _, mnemonic in found(report)] == ["pushf", "cli", "mov", "popf"]
    wide = bytes.fromhex("66 e9 01 00 00 00  fa  fb c3")
    assert found(scan(wide, base=0xF_0000, bits=16), 0xF_0000) == [(7, "sti")]


@given(code=st.binary(max_size=300), at=st.integers(0, 310), instructions=st.integers(1, 200), bits=st.sampled_from((16, 32)), room=st.integers(0, 320))
@settings(deadline=None)
def test_random_bytes_are_scanned_within_the_limits(code: bytes, at: int, instructions: int, bits: int, room: int) -> None:
    limits = ScanLimits(instructions=instructions, low=BASE, high=BASE + room)
    report = CsamScanner(CsamOptions()).scan(BASE + at, memory(code), limits, bits=bits)
    assert report.instructions <= instructions
    everything = report.starts | report.targets | report.unfollowed | report.undecodable | {finding.address for finding in report.findings}
    assert all(BASE <= address < BASE + room for address in everything)
    assert all(0 < finding.size <= 15 for finding in report.findings)
    assert not report.outside & report.targets
    assert not report.undecodable & report.starts
