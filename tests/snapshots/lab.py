"""A home with one small machine, whose guest writes its disk without an operating system."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from ringone.api.config import Drive, DriveKind, FirmwareConfig, MachineConfig
from ringone.api.firmware import FirmwareImage, FirmwareSpec
from ringone.api.hooks import hookimpl
from ringone.api.media import AccessMode, MediumFormatSpec, NewMedium, no_progress
from ringone.api.options import NoOptions
from ringone.api.settings import MachineSettings, MediumRecord, MediumType
from ringone.home import Home, LockMode, RegisteredMachine
from ringone.home.offline import OfflineKeeper, machine_at_rest
from ringone.home.running import MachineRun, prepare_to_run
from ringone.machine import Session, create_session
from ringone.plugins import PluginRegistry
from ringone.testing.cpu_bench import assemble

BLOCK_BYTES = 1 << 20
"""Of a VDI image."""
SECTORS_A_BLOCK = BLOCK_BYTES // 512
DISK_BYTES = 4 * BLOCK_BYTES
COUNTER = 0x500
"""Where the guest counts the sectors that it has written and flushed."""
BUFFER = 0x1000
RING_SECTORS = 64
ROM_BYTES = 64 << 10
JUMP_TO_START = bytes.fromhex("EA 00 00 00 F0")

WRITER = f"""
    cli; xor ax, ax; mov ds, ax; mov es, ax; mov ss, ax; mov sp, 0x7000; cld
again:
    mov eax, dword ptr [{COUNTER}]
    inc eax
    mov di, {BUFFER}; mov cx, 128; rep stosd
    mov ebx, eax
    call wait
    mov dx, 0x1F2; mov al, 1; out dx, al
    inc dx; mov al, bl; and al, {RING_SECTORS - 1}; out dx, al
    inc dx; xor al, al; out dx, al
    inc dx; out dx, al
    inc dx; mov al, 0xE0; out dx, al
    inc dx; mov al, 0x30; out dx, al
    call wait
    mov si, {BUFFER}; mov cx, 256; mov dx, 0x1F0; rep outsw
    call wait
    mov dx, 0x1F7; mov al, 0xE7; out dx, al
    call wait
    mov dword ptr [{COUNTER}], ebx
    mov cx, 2000
pause:
    loop pause
    jmp again
wait:
    mov dx, 0x1F7
busy:
    in al, dx; test al, 0x80; jnz busy
    ret
"""
"""Writes number n to the whole of sector n modulo 64 of the primary master, flushes, and then counts it."""


def _load(config: MachineConfig, options: NoOptions) -> FirmwareImage:
    program = assemble(WRITER, 0, 16)
    rom = program.ljust(ROM_BYTES - 16, b"\xf4") + JUMP_TO_START.ljust(16, b"\xf4")
    return FirmwareImage(name="writer", rom=rom)


class WriterFirmware:
    """A plugin."""

    @hookimpl
    def ringone_firmwares(self) -> Iterator[FirmwareSpec]:
        yield FirmwareSpec(name="writer", summary="a ROM that writes its disk", options=NoOptions, preference=-1, available=lambda options: "", load=_load)


@functools.cache
def registry() -> PluginRegistry:
    return PluginRegistry([WriterFirmware()])


def formats() -> dict[str, MediumFormatSpec]:
    return dict(registry().media_formats())


@attrs.frozen
class Lab:
    folder: Path
    home: Home
    machine: RegisteredMachine

    @property
    def disk(self) -> Path:
        """The base image."""
        return self.machine.folder / "disk.vdi"

    @property
    def settings(self) -> MachineSettings:
        return self.home.load(self.machine)

    @property
    def chain(self) -> tuple[Path, ...]:
        drive = self.settings.config.drives[0]
        assert drive.image is not None
        return (drive.image, *drive.parents)

    def files(self) -> set[str]:
        """What lies in the machine's folder, but for the previous machine file."""
        return {path.name for path in self.machine.folder.rglob("*") if path.is_file() and not path.name.endswith("-prev")}

    @contextmanager
    def at_rest(self) -> Iterator[OfflineKeeper]:
        with machine_at_rest(self.home, self.machine, formats(), "being tested") as keeper:
            yield keeper

    @contextmanager
    def running(self) -> Iterator[Session]:
        with self.home.lock(self.machine, LockMode.RUN, "running it") as lock:
            run: MachineRun = prepare_to_run(self.home, self.machine, lock, formats())
            session = create_session(run.config, registry())
            try:
                run.start(session)
                yield session
            finally:
                session.close()
                run.finish(session)

    def write(self, block: int, data: bytes) -> None:
        """As a guest would, without one: fill an image block of the present disk."""
        disk = formats()["vdi"].open(self.chain, AccessMode.PERSISTENT, 512)
        disk.write(block * SECTORS_A_BLOCK, data * (BLOCK_BYTES // len(data)))
        disk.close()

    def touch(self, block: int, text: bytes) -> None:
        """Write the first sector of an image block only."""
        disk = formats()["vdi"].open(self.chain, AccessMode.PERSISTENT, 512)
        disk.write(block * SECTORS_A_BLOCK, text * (512 // len(text)))
        disk.flush()
        disk.close()

    def first_bytes(self, chain: tuple[Path, ...] = ()) -> bytes:
        """Of every image block."""
        disk = formats()["vdi"].open(chain or self.chain, AccessMode.READ_ONLY, 512)
        try:
            return b"".join(disk.read(block, 1)[:1] for block in range(0, disk.block_count, SECTORS_A_BLOCK))
        finally:
            disk.close()

    def content(self, chain: tuple[Path, ...] = ()) -> bytes:
        disk = formats()["vdi"].open(chain or self.chain, AccessMode.READ_ONLY, 512)
        try:
            return disk.read(0, disk.block_count)
        finally:
            disk.close()


def make_lab(folder: Path, type: MediumType = MediumType.NORMAL, capacity_bytes: int = DISK_BYTES) -> Lab:
    home = Home.open(folder / "home", registry())
    file = home.machine_file("small")
    file.parent.mkdir(parents=True)
    disk = file.with_name("disk.vdi")
    tools = formats()["vdi"].tools
    assert tools is not None
    info = tools.create(NewMedium(path=disk, capacity_bytes=capacity_bytes), no_progress)
    settings = MachineSettings(
        config=MachineConfig(
            name="small",
            memory_bytes=4 << 20,
            firmware=FirmwareConfig(name="writer"),
            drives=(Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=disk),),
        ),
        media=(MediumRecord(uuid=info.uuid, location=disk, kind=DriveKind.DISK, type=type),),
    )
    return Lab(folder, home, home.register(home.create(settings)))


def open_lab(folder: Path) -> Lab:
    """One that was made before."""
    home = Home.open(folder / "home", registry())
    return Lab(folder, home, home.find("small"))


def counted(session: Session) -> int:
    """How many sectors the guest has written and flushed."""
    return int.from_bytes(session.read_memory(COUNTER, 4), "little")


def newest(content: bytes) -> int:
    """The highest number on a disk that the guest writes."""
    return max(int.from_bytes(content[sector * 512 : sector * 512 + 4], "little") for sector in range(RING_SECTORS))
