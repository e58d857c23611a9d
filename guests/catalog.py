"""The guests that RingOne is tried with: which Debian packages each comes from, which files it boots, and how to see that it did."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

import attrs
from ringone.api.config import Drive, DriveKind, FirmwareConfig, LinuxBoot, MachineConfig
from ringone.api.media import AccessMode

from guests import apt
from guests.cache import CACHE

IMAGES = CACHE / "images"
MIB = 1 << 20

LINUX_APPEND = "nokaslr cryptomgr.notests panic=-1"


class Place(enum.Enum):
    SERIAL = "serial"
    SCREEN = "screen"


def in_package(package: str, path: str) -> str:
    """A file of an unpacked package, relative to the cache folder; wildcards are allowed."""
    return str(apt.folder(package).relative_to(CACHE) / path)


def image(name: str) -> str:
    """A file that `guests.fetch` builds, relative to the cache folder."""
    return str((IMAGES / name).relative_to(CACHE))


@attrs.frozen(kw_only=True)
class GuestSystem:
    """One guest. Paths are relative to the cache folder. `marker` appears at `place` within `timeout_s` seconds of wall time, with much to spare."""

    name: str
    summary: str
    packages: tuple[str, ...]
    images: tuple[str, ...] = ()
    """What has to be built of the packages; see `guests.images`."""
    kernel: str = ""
    initrd: str = ""
    append: str = ""
    floppy: str = ""
    cdrom: str = ""
    disk: str = ""
    rom: str = ""
    memory_bytes: int = 64 * MIB
    marker: str
    place: Place = Place.SCREEN
    timeout_s: float = 60

    def machine(self, *, firmware: str = "auto", append: str = "") -> MachineConfig:
        options = {"path": str(find(self.rom))} if self.rom else {}
        return MachineConfig(
            name=self.name,
            memory_bytes=self.memory_bytes,
            firmware=FirmwareConfig(name="rom" if self.rom else firmware, options=options),
            linux=self._linux(append) if self.kernel else None,
            drives=tuple(drive(kind, find(path)) for kind, path in self._media() if path),
        )

    def _linux(self, append: str) -> LinuxBoot:
        return LinuxBoot(kernel=find(self.kernel), initrd=find(self.initrd) if self.initrd else None, append=f"{self.append} {append}".strip())

    def _media(self) -> tuple[tuple[DriveKind, str], ...]:
        return (DriveKind.FLOPPY, self.floppy), (DriveKind.CDROM, self.cdrom), (DriveKind.DISK, self.disk)


PLACES = {DriveKind.FLOPPY: ("floppy", 0, 0), DriveKind.CDROM: ("ide", 1, 0), DriveKind.DISK: ("ide", 0, 0)}


def drive(kind: DriveKind, path: Path) -> Drive:
    controller, port, device = PLACES[kind]
    mode = AccessMode.READ_ONLY if kind is DriveKind.CDROM else AccessMode.THROW_AWAY
    return Drive(kind=kind, controller=controller, port=port, device=device, image=path, mode=mode)


def find(path: str) -> Path:
    """The newest file of that name in the cache."""
    found = sorted(CACHE.glob(path))
    if not found:
        raise FileNotFoundError(f"{CACHE / path} is missing; run: python -m guests.fetch")
    return found[-1]


LINUX_686 = "linux-image-686*:i386"
LINUX_PAE = "linux-image-686-pae*:i386"
BUSYBOX = "busybox-static:i386"
GRUB_RESCUE = "grub-rescue-pc:amd64"
GRUB_TOOLS = ("grub-pc-bin:amd64", "grub-common:amd64", "libdevmapper1.02.1:amd64")
GRUB_LEGACY = "grub-legacy:amd64"
SYSLINUX = ("syslinux:amd64", "syslinux-common:amd64")
ISOLINUX = ("isolinux:amd64", "syslinux-common:amd64")
MEMTEST = "memtest86+:amd64"
IPXE = "ipxe:amd64"
MULTIBOOT = "multiboot:amd64"
GNUMACH = "gnumach-image-1.8-486:i386"
UBOOT = "u-boot-qemu:amd64"

RESCUE_FLOPPY = in_package(GRUB_RESCUE, "usr/lib/grub-rescue/grub-rescue-floppy.img")
RESCUE_CDROM = in_package(GRUB_RESCUE, "usr/lib/grub-rescue/grub-rescue-cdrom.iso")


def _linux(name: str, package: str, initrd: str) -> GuestSystem:
    return GuestSystem(
        name=name,
        summary=f"Debian's Linux kernel ({name.removeprefix('linux-')}) with busybox",
        packages=(package, BUSYBOX, *ISOLINUX),
        images=(initrd, "fat.img", "isolinux.iso"),
        kernel=in_package(package, "boot/vmlinuz-*"),
        initrd=image(initrd),
        append=LINUX_APPEND,
        cdrom=image("isolinux.iso"),
        disk=image("fat.img"),
        memory_bytes=256 * MIB,
        marker="GUEST-MARKER-DONE",
        place=Place.SERIAL,
        timeout_s=240,
    )


CATALOG: tuple[GuestSystem, ...] = (
    _linux("linux-686", LINUX_686, "initramfs-686.gz"),
    _linux("linux-686-pae", LINUX_PAE, "initramfs-686-pae.gz"),
    GuestSystem(name="grub-floppy", summary="GRUB 2 rescue floppy", packages=(GRUB_RESCUE,), floppy=RESCUE_FLOPPY, marker="GNU GRUB"),
    GuestSystem(name="grub-cdrom", summary="GRUB 2 rescue CD", packages=(GRUB_RESCUE,), cdrom=RESCUE_CDROM, marker="GNU GRUB"),
    GuestSystem(
        name="grub-tests",
        summary="GRUB's own functional tests",
        packages=GRUB_TOOLS,
        images=("grub-tests.iso",),
        cdrom=image("grub-tests.iso"),
        memory_bytes=128 * MIB,
        marker="GRUB-FINISHED",
        place=Place.SERIAL,
        timeout_s=180,
    ),
    GuestSystem(
        name="grub-legacy", summary="GRUB 0.97 floppy", packages=(GRUB_LEGACY,), images=("grub-legacy.img",), floppy=image("grub-legacy.img"), marker="grub>"
    ),
    GuestSystem(
        name="syslinux",
        summary="SYSLINUX floppy with its diagnostic modules",
        packages=SYSLINUX,
        images=("syslinux.img",),
        floppy=image("syslinux.img"),
        marker="boot:",
        place=Place.SERIAL,
    ),
    GuestSystem(
        name="isolinux",
        summary="ISOLINUX CD that boots Linux",
        packages=(*ISOLINUX, LINUX_686, BUSYBOX),
        images=("initramfs-686.gz", "isolinux.iso"),
        cdrom=image("isolinux.iso"),
        memory_bytes=256 * MIB,
        marker="boot:",
        place=Place.SERIAL,
    ),
    GuestSystem(
        name="memdisk",
        summary="MEMDISK, which makes a disk of memory, with the GRUB 2 floppy in it",
        packages=(SYSLINUX[1], GRUB_RESCUE),
        kernel=in_package(SYSLINUX[1], "usr/lib/syslinux/memdisk"),
        initrd=RESCUE_FLOPPY,
        marker="GNU GRUB",
    ),
    GuestSystem(
        name="memtest",
        summary="memtest86+, a whole pass in the smallest memory that it takes",
        packages=(MEMTEST,),
        kernel=in_package(MEMTEST, "boot/memtest86+ia32.bin"),
        memory_bytes=5 * MIB,
        marker="Pass:  1        Errors: 0",
        timeout_s=900,
    ),
    GuestSystem(
        name="memtest-cdrom",
        summary="memtest86+ CD",
        packages=(MEMTEST,),
        cdrom=in_package(MEMTEST, "usr/lib/memtest86+/memtest86+ia32.iso"),
        marker="Memtest86+",
    ),
    GuestSystem(name="ipxe", summary="iPXE network boot", packages=(IPXE,), kernel=in_package(IPXE, "boot/ipxe.lkrn"), marker="iPXE 1."),
    GuestSystem(name="ipxe-cdrom", summary="iPXE CD", packages=(IPXE,), cdrom=in_package(IPXE, "usr/lib/ipxe/ipxe.iso"), marker="iPXE 1."),
    GuestSystem(
        name="multiboot",
        summary="the Multiboot specification's sample kernel",
        packages=(MULTIBOOT,),
        kernel=in_package(MULTIBOOT, "usr/lib/multiboot/examples/kernel"),
        marker="Halted.",
        timeout_s=30,
    ),
    GuestSystem(
        name="gnumach",
        summary="GNU Mach, which ends where it would need the Hurd's servers",
        packages=(GNUMACH,),
        images=("gnumach",),
        kernel=image("gnumach"),
        append="console=com0",
        marker="bootstrap_create: No bootstrap code loaded",
        place=Place.SERIAL,
        timeout_s=180,
    ),
    GuestSystem(
        name="u-boot",
        summary="U-Boot, which is the firmware itself",
        packages=(UBOOT,),
        rom=in_package(UBOOT, "usr/lib/u-boot/qemu-x86/u-boot.rom"),
        memory_bytes=128 * MIB,
        marker="=> ",
        place=Place.SERIAL,
        timeout_s=120,
    ),
)

BY_NAME: Mapping[str, GuestSystem] = {guest.name: guest for guest in CATALOG}
