"""The filter never misses what the table calls privileged or sensitive, and seldom suspects what is harmless."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, Cs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ringone.api.scan import InstructionClass
from ringone.testing.cpu_bench import assemble
from ringone_csam.classification import classify
from ringone_csam.prefilter import HARMLESS, may_matter

DECODERS = {16: Cs(CS_ARCH_X86, CS_MODE_16), 32: Cs(CS_ARCH_X86, CS_MODE_32)}

LOOK_SUSPICIOUS = {
    "suspicious displacements": "mov eax, [ebp - 0xc]; mov [ebp - 6], eax; lea esi, [esp + 0xf]; mov edx, [eax + eax + 0x9c]",
    "suspicious immediates": "mov eax, 0xfafbf49c; add ebx, 0xf; cmp al, 0xcf; push 0x9c9d9e9f; and ecx, 0x0fa20fa2; test dl, 0xfa",
    "calls and jumps": "call 0xfafa; je 0x101f; jmp 0x9c9d; jne 0xfafb; ret 0xfa",
    "suspicious operands": "add [esi], dl; mov bh, 0xfa; or [edi], ecx; movzx eax, byte ptr [ebp - 5]; imul eax, dword ptr [ebx - 4], 0x9d",
    "16-bit operands": "mov ax, 0xf0fa; cmp word ptr [ebx + 0xf], 0x9c; add bx, 0x0fa2; mov word ptr [eax - 0xc], 0xfa",
    "far pointers": "mov eax, [ebp + 7]; lea ecx, [esp + 0x1f]; mov edx, 0xc4c5caea; add al, 0xc4; mov eax, [ebp - 0x3b]; lea eax, [ecx + ecx - 0x16]",
    "segments": "mov eax, dword ptr fs:[0xfa9c9d]; mov gs:[ebp - 5], ecx; rep stosd",
    "locks": "lock cmpxchg dword ptr [ebx - 0xc], ecx; lock xadd dword ptr [eax - 6], edx; lock cmpxchg8b qword ptr [ebp - 0xc]",
}


def really_matters(code: bytes, bits: int) -> bool:
    rows = (classify(mnemonic, operands) for _, _, mnemonic, operands in DECODERS[bits].disasm_lite(code, 0))
    return any(row is not None and row.kind in (InstructionClass.PRIVILEGED, InstructionClass.SENSITIVE) for row in rows)


def bytes_near_opcodes() -> st.SearchStrategy[bytes]:
    """Bytes in which prefixes, opcodes that matter and their neighbours are frequent."""
    one = st.sampled_from(
        bytes.fromhex(
            "0f 66 67 2e 65 f0 f2 f3 ff 8c 8e c7 c6 f7 80 81 83 00 01 9c 9d fa fb cf 20 22 a2 b2"
            " 04 24 05 25 44 84 10 d8 08 28 38 82 e8 90 1f 07 c4 c5 ca ea a1 a9 b4"
        )
    )
    return st.lists(st.one_of(one, st.integers(0, 255)), max_size=40).map(bytes)


@pytest.mark.parametrize("bits", [16, 32])
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_nothing_that_matters_passes(data: st.DataObject, bits: int) -> None:
    code = data.draw(bytes_near_opcodes())
    if really_matters(code, bits):
        assert may_matter(code, bits=bits), code.hex(" ")


@given(head=st.binary(max_size=16), rest=bytes_near_opcodes())
@example(head=bytes.fromhex("8b 04 25 00"), rest=b"\xfa")
@settings(max_examples=400, deadline=None)
def test_no_bytes_in_front_hide_what_matters(head: bytes, rest: bytes) -> None:
    for tail in (b"\xfa", b"\x9c", b"\x0f\xa2", b"\x8c\xc8"):
        code = head + rest + tail
        if really_matters(code, 32):
            assert may_matter(code), code.hex(" ")


def forms(opcode: bytes) -> Iterator[bytes]:
    """The opcode with every ModRM byte, SIB bytes with and without base, and some prefixes, followed by bytes that matter to nobody."""
    for prefix in (b"", b"\x66", b"\xf3"):
        for modrm in range(256):
            for sib in (0x05, 0x44) if modrm & 7 == 4 and modrm < 0xC0 else (0x90,):
                yield prefix + opcode + bytes([modrm, sib]) + b"\x90" * 10


@pytest.mark.parametrize("escape", [b"", b"\x0f"], ids=("one byte", "two bytes"))
@pytest.mark.parametrize("sixteenth", range(16), ids="{:x}x".format)
def test_every_opcode_has_the_length_and_the_meaning_that_the_decoder_gives_it(escape: bytes, sixteenth: int) -> None:
    for opcode in range(sixteenth << 4, (sixteenth << 4) + 16):
        for code in forms(escape + bytes([opcode])):
            _, size, *_ = next(DECODERS[32].disasm_lite(code, 0, 1), (0, 0, "", ""))
            harmless = HARMLESS.match(code)
            if size and harmless is not None:
                assert harmless.end() == size, code.hex(" ")
            if really_matters(code[:size], 32):
                assert may_matter(code[:size]) and harmless is None, code.hex(" ")


@pytest.mark.parametrize("code", [assemble(text, 0x1000) for text in LOOK_SUSPICIOUS.values()], ids=list(LOOK_SUSPICIOUS))
def test_bytes_that_only_look_like_opcodes_are_no_suspicion(code: bytes) -> None:
    assert not really_matters(code, 32)
    assert not may_matter(code)


def test_a_block_that_ends_within_an_instruction_is_suspicious_where_its_bytes_are() -> None:
    assert may_matter(assemble("mov eax, 0xfafafafa", 0)[:-1])
