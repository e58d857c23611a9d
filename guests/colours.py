"""A guest in a boot sector whose whole screen moves, for tests of consoles: its colours wander eighteen times a second.

A key makes them rest, the next one go on. It says `MOVES` and `RESTS` on COM1.
"""

from __future__ import annotations

from pathlib import Path

from ringone.api.config import MachineConfig
from ringone.testing.cpu_bench import assemble

from guests import echo

MOVES, RESTS = "MOVES", "RESTS"

ORIGIN = echo.ORIGIN
WORDS = ORIGIN + 0x180
WORD_BYTES = 8
WIDTH, HEIGHT = 320, 200
COLOURS = 64
"""None of them black, and all of them there at any time."""
STEP = 8
"""How far the colours wander at once, of 256: so far that no two pictures in a row are alike."""

PROGRAM = f"""
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, {ORIGIN}
    mov ax, 0x13
    int 0x10
    mov ax, 0xA000
    mov es, ax
    xor di, di
row:
    xor bx, bx
column:
    mov al, bl
    stosb
    inc bx
    cmp bx, {WIDTH}
    jb column
    cmp di, {WIDTH * HEIGHT}
    jb row
    xor bl, bl
    mov si, {WORDS}
    call say
move:
    add bl, {STEP}
    call colours
    sti
    hlt
    mov ah, 1
    int 0x16
    jz move
    call key
    mov si, {WORDS + WORD_BYTES}
    call say
rest:
    call key
    mov si, {WORDS}
    call say
    jmp move
key:
    mov ah, 0
    int 0x16
    ret
colours:
    mov dx, 0x3C8
    mov al, 0
    out dx, al
    inc dx
    mov cl, bl
each:
    mov al, cl
    test al, al
    jns up
    not al
up:
    shr al, 1
    out dx, al
    shr al, 1
    out dx, al
    neg al
    add al, 63
    out dx, al
    inc cl
    cmp cl, bl
    jne each
    ret
say:
    mov dx, 0x3F8
letter:
    lodsb
    test al, al
    jz said
    out dx, al
    jmp letter
said:
    ret
"""


def write_image(path: Path) -> Path:
    """A raw disk image with the guest on it."""
    words = b"".join(f"{word}\n".encode().ljust(WORD_BYTES, b"\0") for word in (MOVES, RESTS))
    return echo.write_boot_disk(path, assemble(PROGRAM, ORIGIN, bits=16).ljust(WORDS - ORIGIN, b"\0") + words)


def machine(image: Path) -> MachineConfig:
    return echo.machine(image, name="colours")
