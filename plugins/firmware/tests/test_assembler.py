"""The firmware assembler, checked against encodings from the instruction set reference."""

import pytest
from ringone_firmware.assembler import AssemblyMistake, assemble


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("mov ax, 0x1234", "b83412"),
        ("mov ds, ax", "8ed8"),
        ("mov al, [es:0x17]", "26a01700"),
        ("mov word [bp+4], 7", "c746040700"),
        ("cmp cx, -1", "83f9ff"),
        ("add sp, 4", "83c404"),
        ("out 0x80, al", "e680"),
        ("out dx, eax", "66ef"),
        ("rep movsw", "f3a5"),
        ("cs lodsb", "2eac"),
        ("int 0x1c", "cd1c"),
        ("movzx eax, ax", "660fb7c0"),
        ("jmp 0xF000:0xE05B", "ea5be000f0"),
        ("jmp word [cs:bx+0x100]", "2effa70001"),
        ("shl eax, 16", "66c1e010"),
        ("push 0x1234", "683412"),
        ('db "a;b", 1, 0xFF', "613b6201ff"),
        ("dw 1, 0x203", "01000302"),
        ("dd -1", "ffffffff"),
        ("mov al, 'A'", "b041"),
        ("mov al, [bx] ; a comment", "8a07"),
    ],
)
def test_sixteen_bit_code(source: str, code: str) -> None:
    assert assemble(source).data.hex() == code


@pytest.mark.parametrize(
    ("source", "code"),
    [("mov eax, 0x10", "b810000000"), ("mov ds, ax", "668ed8"), ("rep movsd", "f3a5"), ("out dx, ax", "66ef"), ("jmp 0x10:0x100000", "ea000010001000")],
)
def test_thirty_two_bit_code(source: str, code: str) -> None:
    assert assemble(f"bits 32\n{source}").data.hex() == code


def test_labels_reach_both_ways_and_branches_are_short_where_they_can() -> None:
    program = assemble("back: nop\n jmp ahead\n jmp back\nahead: hlt", origin=0x100)
    assert program.labels == {"back": 0x100, "ahead": 0x105}
    assert program.data.hex() == "90eb02ebfbf4"


def test_branches_grow_where_their_target_is_far() -> None:
    program = assemble("jz ahead\norg 0x200\nahead: hlt")
    assert program.data[:4].hex() == "0f84fc01"


def test_org_pads_and_align_rounds() -> None:
    program = assemble("nop\norg 4\nnop\nalign 8\nlast: nop")
    assert program.data == b"\x90\0\0\0\x90\0\0\0\x90"


def test_constants_take_part_in_expressions() -> None:
    assert assemble("N equ BASE + 2 * 3\n db N, (N | 1) << 1", {"BASE": 10}).data == bytes((16, 34))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nop\n mov al, 0x123", "here:2: mov al, 0x123"),
        ("frobnicate ax", "here:1: frobnicate ax"),
        ("mov ax, nowhere", "unknown name nowhere"),
        ("nop\nnop\norg 1", "1 bytes too long"),
        ("mov ax, bl", "no instruction has these operands"),
    ],
)
def test_mistakes_name_the_line(source: str, message: str) -> None:
    with pytest.raises(AssemblyMistake, match=message.replace("(", r"\(")):
        assemble(source, name="here")
