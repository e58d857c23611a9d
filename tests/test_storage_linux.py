"""Debian's Linux on VDI images: differencing images come and go under it, and what it synced is what qemu-img finds."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from ringone.api.config import MachineConfig
from ringone.api.media import AccessMode, ImageTools, MediumVariant, NewMedium, clone_medium
from ringone.machine import Session
from ringone.plugins import PluginRegistry

from guests import images
from guests.catalog import BY_NAME, MIB
from guests.console import Guest
from guests.initramfs import SHELL
from tests.conftest import Boot

pytestmark = pytest.mark.guest

SLOT = "ide.drive00"
BOOT_S = 180
ANSWER_S = 120
DATA_HASH = hashlib.sha256(images.data()).hexdigest()


def linux(chain: Sequence[Path]) -> MachineConfig:
    config = BY_NAME["linux-686"].machine(append="console=ttyS0 guest=shell")
    drives = tuple(
        attrs.evolve(drive, image=chain[0], parents=tuple(chain[1:]), mode=AccessMode.PERSISTENT) if drive.device == drive.port == 0 else drive
        for drive in config.drives
        if drive.controller == "ide"
    )
    return attrs.evolve(config, memory_bytes=128 * MIB, drives=drives)


def ask(guest: Guest, command: str) -> str:
    """What a command prints."""
    said = len(guest.serial)
    guest.send(f"{command}; echo an''swered\n")
    return guest.wait_serial("answered", ANSWER_S, after=said)[said:]


def tools_of(registry: PluginRegistry, format: str) -> ImageTools:
    tools = registry.media_formats()[format].tools
    assert tools is not None
    return tools


def test_linux_writes_while_its_images_are_snapshot_and_merged(make_guest: Boot, registry: PluginRegistry, tmp_path: Path) -> None:
    formats, tools = registry.media_formats(), tools_of(registry, "vdi")
    raw = next(drive.image for drive in BY_NAME["linux-686"].machine().drives if drive.image is not None and drive.image.suffix == ".img")
    base = clone_medium(formats["raw"], [raw], formats["vdi"], NewMedium(path=tmp_path / "base.vdi")).path
    chain = [base]

    def child() -> None:
        chain.insert(0, tools.create(NewMedium(path=tmp_path / f"{len(chain)}.vdi", parent=chain[0], variant=MediumVariant.DIFFERENCING)).path)

    guest = make_guest(linux(chain)).start()
    session = guest.session
    assert isinstance(session, Session)
    guest.wait_serial(SHELL, BOOT_S)
    ask(guest, "mkdir -p /mnt; mount -t vfat /dev/sda /mnt")
    said = len(guest.serial)
    guest.send("for n in 1 2 3 4 5 6; do dd if=/dev/urandom of=/mnt/r$n bs=32k count=8 2>/dev/null; sync; done; echo wri''tten\n")
    for _ in range(2):
        session.switch_disks({SLOT: [tmp_path / f"{len(chain)}.vdi", *chain]}, child)
        assert DATA_HASH in ask(guest, "sha256sum < /mnt/data.bin")
    guest.wait_serial("written", ANSWER_S, after=said)
    session.switch_disks({SLOT: [chain[0], chain[2]]}, lambda: merge_middle(tools, chain))
    session.switch_disks({SLOT: [base]}, lambda: tools.merge(chain[0], base))
    sums = ask(guest, "sync; echo 3 > /proc/sys/vm/drop_caches; cat /mnt/r* /mnt/data.bin | sha256sum; umount /mnt; sha256sum < /dev/sda")
    found = [word for word in sums.split() if len(word) == 64]
    guest.session.power_off()
    guest.session.close()
    assert len(found) == 2
    assert plain_hash(base, tmp_path / "plain.img") == found[1]


def merge_middle(tools: ImageTools, chain: list[Path]) -> None:
    tools.merge(chain[1], chain[0])
    del chain[1]


def plain_hash(image: Path, plain: Path) -> str:
    """What qemu-img makes of an image that it finds no fault with."""
    assert shutil.which("qemu-img"), "qemu-img is not installed (Debian's package qemu-utils)"
    subprocess.run(["qemu-img", "check", "-q", "-f", "vdi", image], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "vdi", "-O", "raw", image, plain], check=True)
    return hashlib.sha256(plain.read_bytes()).hexdigest()
