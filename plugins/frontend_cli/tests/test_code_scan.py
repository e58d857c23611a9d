"""The command `csam`: which files it reads, what it prints, and what it refuses."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ringone_frontend_cli.main import run_command_line

CODE = bytes.fromhex("fa 0fa2 e804000000 ff20 9090 9c c3")
"""cli; cpuid; call function; jmp [eax]; nop; nop; function: pushfd; ret"""
ADDRESS = 0xC010_0000
FOUND = [(0, "cli", "privileged"), (1, "cpuid", "sensitive"), (12, "pushfd", "sensitive")]

Run = Callable[..., tuple[int, str, str]]


def elf(code: bytes = CODE, *, entry: int = ADDRESS, physical: int = ADDRESS, machine: int = 3, kind: int = 1) -> bytes:
    """An ELF file whose one segment is `code` at `ADDRESS`, with `function` as its only symbol."""
    names = b"\0function\0"
    symbols = bytes(16) + struct.pack("<IIIBBH", 1, ADDRESS + 12, 2, 0x12, 0, 1)
    code_at = 52 + 32
    symbols_at = code_at + len(code)
    names_at = symbols_at + len(symbols)
    sections_at = names_at + len(names)
    header = b"\x7fELF\1\1\1".ljust(16, b"\0") + struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, entry, 52, sections_at, 0, 52, 32, 1, 40, 3, 2)
    segment = struct.pack("<8I", kind, code_at, ADDRESS, physical, len(code), len(code), 5, 1)
    sections = (
        bytes(40) + struct.pack("<10I", 0, 2, 0, 0, symbols_at, len(symbols), 2, 1, 4, 16) + struct.pack("<10I", 0, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    )
    return header + segment + code + symbols + names + sections


def bzimage(payload: bytes, *, protocol: int = 0x020F) -> bytes:
    image = bytearray(1024)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, protocol)
    struct.pack_into("<II", image, 0x248, 16, len(payload))
    return bytes(image) + bytes(16) + payload + b"more"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        exit_code = run_command_line(["csam", *map(str, arguments)])
        captured = capfd.readouterr()
        return exit_code, captured.out, captured.err

    return run


@pytest.fixture
def scan(run: Run, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What ``--json`` says of a file with that content."""

    def scan(content: bytes, *arguments: str) -> dict[str, Any]:
        file = tmp_path / "code"
        file.write_bytes(content)
        exit_code, out, err = run(file, "--json", *arguments)
        assert (exit_code, err) == (0, "")
        result: dict[str, Any] = json.loads(out)
        return result

    return scan


def found(result: dict[str, Any], address: int = ADDRESS) -> list[tuple[int, str, str]]:
    return [(finding["address"] - address, finding["mnemonic"], finding["kind"]) for finding in result["findings"]]


def test_a_listing_has_address_bytes_instruction_class_and_reference(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "code.elf"
    file.write_bytes(elf())
    exit_code, out, err = run(file)
    assert (exit_code, err) == (0, "")
    first, *_ = lines = out.splitlines()
    assert re.fullmatch(r"c0100000  fa +cli +privileged +traps always +vol\. 2A, CLI", first)
    assert f"32-bit ELF file: 6 instructions from {ADDRESS:#x}" in lines
    assert "  sensitive        2" in lines
    assert lines[-1] == "not followed, since a register, memory or another segment says where to: 0xc0100008"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (elf(), "32-bit ELF file"),
        (gzip.compress(elf()), "32-bit ELF file in a gzip file"),
        (bzimage(gzip.compress(elf())), "32-bit ELF file in a gzip file in a bzImage"),
        (bzimage(lzma.compress(elf()) + b"size"), "32-bit ELF file in a xz file in a bzImage"),
        (bzimage(lzma.compress(elf(), lzma.FORMAT_ALONE) + b"size"), "32-bit ELF file in a lzma file in a bzImage"),
        (bzimage(bz2.compress(elf()) + b"size"), "32-bit ELF file in a bzip2 file in a bzImage"),
        (gzip.compress(bzimage(elf())), "32-bit ELF file in a bzImage in a gzip file"),
    ],
    ids=("elf", "gzip", "bzimage-gzip", "bzimage-xz", "bzimage-lzma", "bzimage-bzip2", "gzip-bzimage"),
)
def test_packed_kernels_are_unpacked(scan: Callable[..., dict[str, Any]], content: bytes, what: str) -> None:
    result = scan(content)
    assert result["format"] == what
    assert found(result) == FOUND
    assert result["totals"] == {"privileged": 1, "sensitive": 2}
    assert result["complete"]


def test_a_kernel_that_is_entered_at_its_physical_address_is_scanned_there(scan: Callable[..., dict[str, Any]]) -> None:
    result = scan(elf(entry=0x10_0000, physical=0x10_0000))
    assert found(result, 0x10_0000) == FOUND
    assert found(scan(elf(entry=0x10_0000, physical=0x10_0000), "--entry", hex(ADDRESS))) == FOUND


def test_entries_are_addresses_or_symbols(scan: Callable[..., dict[str, Any]]) -> None:
    assert found(scan(elf(), "--entry", "function")) == FOUND[2:]
    both = scan(elf(), "--entry", "function", "--entry", hex(ADDRESS + 1))
    assert found(both) == FOUND[1:]
    assert both["entries"] == [ADDRESS + 12, ADDRESS + 1]


def test_bytes_are_scanned_at_their_base(scan: Callable[..., dict[str, Any]]) -> None:
    assert found(scan(CODE, "--base", "0x1000"), 0x1000) == FOUND
    assert found(scan(CODE, "--base", "4096", "--entry", "0x100c"), 0x1000) == FOUND[2:]
    boot_sector = bytes.fromhex("fa 8cc8 e80100 f4 9d c3")
    assert [name for _, name, _ in found(scan(boot_sector, "--base", "0x7c00", "--bits", "16"))] == ["cli", "mov", "hlt", "popf"]
    assert scan(elf(), "--base", "0")["format"] == f"{len(elf())} bytes"


def test_a_limit_that_was_reached_is_said(run: Run, scan: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert not scan(elf(), "--limit", "2")["complete"]
    _, out, _ = run(tmp_path / "code", "--limit", "2")
    assert out.splitlines()[-1] == "not complete: --limit was reached"


def test_what_could_not_be_scanned_is_said(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "code"
    file.write_bytes(bytes.fromhex("7402 0f04 e9fb0f0000") + b"\x90" * 20)
    _, out, _ = run(file, "--base", "0x1000")
    assert out.splitlines()[-2:] == ["no instruction: 0x1002", "pages that are not in the file: 0x2000"]


def mistakes(tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    contents = {
        "text": b"text" * 400,
        "empty": b"",
        "code": CODE,
        "x86-64": elf(machine=62),
        "not-loaded": elf(kind=4),
        "damaged": elf()[:60],
        "zstd": bzimage(b"\x28\xb5\x2f\xfd" + bytes(100)),
        "old": bzimage(b"", protocol=0x0207),
        "strange": bzimage(b"????"),
        "torn": gzip.compress(elf())[:8] + b"\xff" * 40,
        "text-in-gzip": gzip.compress(b"text"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    path = {name: str(tmp_path / name) for name in contents}
    return {
        "no such file": ([str(tmp_path / "none")], "none does not exist"),
        "a folder": ([str(tmp_path)], "is no file"),
        "a device": ([os.devnull], "is no file"),
        "no format": ([path["text"]], "neither an ELF file nor a packed kernel; say with --base"),
        "no bytes": ([path["empty"], "--base", "0"], "has 0 bytes; at 0x0 there is room for 1 to 4294967296"),
        "no room": ([path["text"], "--base", "0xffffff00"], "has 1600 bytes; at 0xffffff00 there is room for 1 to 256"),
        "64 bits": ([path["x86-64"]], "for x64; accepted are those for 32-bit x86"),
        "nothing loaded": ([path["not-loaded"]], "without a segment that is loaded"),
        "damaged": ([path["damaged"]], "is a damaged ELF file"),
        "zstd": ([path["zstd"]], "in a bzImage is packed with zstd.*extract-vmlinux"),
        "old protocol": ([path["old"]], "boot protocol 2.07.*give the ELF vmlinux"),
        "unknown packing": ([path["strange"]], "holds no ELF file in a bzImage"),
        "torn": ([path["torn"]], "torn cannot be unpacked"),
        "text in gzip": ([path["text-in-gzip"]], "holds no ELF file in a gzip file"),
        "base": ([path["code"], "--base", "here"], "--base 'here' is no address"),
        "large base": ([path["code"], "--base", "0x100000000"], "accepted are 0 to 0xffffffff"),
        "entry outside": ([path["code"], "--base", "0x1000", "--entry", "0x2000"], "nothing at entry 0x2000; it has 0x1000 to 0x100d"),
        "unknown symbol": ([path["code"], "--base", "0", "--entry", "start"], "--entry 'start' is no address"),
        "bits": ([path["code"], "--base", "0", "--bits", "64"], "--bits 64: accepted are 16 and 32"),
        "limit": ([path["code"], "--base", "0", "--limit", "0"], "--limit 0: accepted is a number from 1"),
    }


def test_every_mistake_is_one_clear_line_and_exit_code_2(run: Run, tmp_path: Path) -> None:
    for name, (arguments, message) in mistakes(tmp_path).items():
        exit_code, out, err = run(*arguments)
        assert (exit_code, out) == (2, ""), (name, err)
        assert re.fullmatch(f"ringone: error: .*{message}.*\n", err), (name, err)


@pytest.mark.parametrize("size", range(16, len(elf()), 7), ids=str)
def test_a_cut_off_elf_file_is_read_or_refused(run: Run, tmp_path: Path, size: int) -> None:
    (tmp_path / "cut").write_bytes(elf()[:size])
    exit_code, _, err = run(tmp_path / "cut")
    assert exit_code == 0 or (exit_code == 2 and err.count("\n") == 1), err
