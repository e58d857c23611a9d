"""A guest in a boot sector, for tests of what drives machines from outside: it starts in a moment and shows what it is told.

It says `READY` on the screen and on COM1, and then says on both what comes from the keyboard (through the BIOS) or COM1. Escape powers the machine off.
"""

from __future__ import annotations

from pathlib import Path

from ringone.api.config import BootDevice, Drive, DriveKind, FirmwareConfig, MachineConfig, SerialPort
from ringone.testing.cpu_bench import assemble

READY = "ECHO READY"
MEMORY_BYTES = 4 << 20
SECTOR = 512
SECTORS = 2048

ORIGIN = 0x7C00
POWER_MANAGEMENT = 0x80000B00
"""PCI 0.1.3: the PIIX4's power management."""
PM_BASE = 0xB000

PROGRAM = f"""
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, {ORIGIN}
    mov si, {ORIGIN + 0x100}
print:
    lodsb
    test al, al
    jz idle
    call put
    jmp print
idle:
    sti
    hlt
serial:
    mov dx, 0x3FD
    in al, dx
    test al, 1
    jz keyboard
    mov dx, 0x3F8
    in al, dx
    call put
    jmp serial
keyboard:
    mov ah, 1
    int 0x16
    jz idle
    mov ah, 0
    int 0x16
    cmp al, 0x1B
    je off
    call put
    jmp keyboard
put:
    mov bx, 7
    mov ah, 0x0E
    int 0x10
    mov dx, 0x3F8
    out dx, al
    ret
off:
    mov eax, {POWER_MANAGEMENT + 0x40}
    mov ebx, {PM_BASE + 1}
    call configure
    mov eax, {POWER_MANAGEMENT + 0x80}
    mov ebx, 1
    call configure
    mov dx, {PM_BASE + 4}
    mov ax, 0x2000
    out dx, ax
    hlt
configure:
    mov dx, 0xCF8
    out dx, eax
    mov dx, 0xCFC
    mov eax, ebx
    out dx, eax
    ret
"""


def write_image(path: Path) -> Path:
    """A raw disk image with the guest on it."""
    return write_boot_disk(path, assemble(PROGRAM, ORIGIN, bits=16).ljust(0x100, b"\0") + f"{READY}\r\n".encode() + b"\0")


def write_boot_disk(path: Path, sector: bytes) -> Path:
    path.write_bytes((sector.ljust(SECTOR - 2, b"\0") + b"\x55\xaa").ljust(SECTORS * SECTOR, b"\0"))
    return path


def machine(image: Path, *, name: str = "echo") -> MachineConfig:
    return MachineConfig(
        name=name,
        memory_bytes=MEMORY_BYTES,
        firmware=FirmwareConfig(name="builtin"),
        boot_order=(BootDevice.DISK,),
        drives=(Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=image),),
        serial_ports=(SerialPort(slot=0, io_base=0x3F8, irq=4),),
    )
