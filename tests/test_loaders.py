"""Boot loaders, firmware and small systems from Debian: each comes up, and those that talk are talked to."""

from __future__ import annotations

import hashlib

import pytest

from guests import apt, images
from guests.catalog import BY_NAME, GRUB_TOOLS, Place
from guests.console import Guest
from tests.conftest import BootGuest

pytestmark = pytest.mark.guest

ANSWER_S = 60
MENU_S = 90
LINUX_S = 240
BIOSES = ("seabios", "builtin")


def comes_up(guest: Guest, name: str) -> Guest:
    system = BY_NAME[name]
    wait = guest.wait_serial if system.place is Place.SERIAL else guest.wait_screen
    wait(system.marker, system.timeout_s)
    return guest


@pytest.mark.parametrize("name", ["memtest-cdrom", "ipxe-cdrom", "multiboot", "gnumach"])
def test_guest_comes_up(boot_guest: BootGuest, name: str) -> None:
    comes_up(boot_guest(name), name)


@pytest.mark.parametrize("firmware", BIOSES)
@pytest.mark.parametrize(("name", "drive"), [("grub-floppy", "(fd0)"), ("grub-cdrom", "(cd)")])
def test_grub_lists_its_drives(boot_guest: BootGuest, name: str, drive: str, firmware: str) -> None:
    guest = comes_up(boot_guest(name, firmware=firmware), name)
    guest.type("c")
    guest.wait_screen("grub>", ANSWER_S)
    guest.type("ls\n")
    guest.wait_screen(drive, ANSWER_S)
    guest.type("lsmmap\n")
    guest.wait_screen("base_addr = 0x0, length = 0x9fc00, available RAM", ANSWER_S)


def test_grub_passes_its_own_tests(boot_guest: BootGuest) -> None:
    guest = comes_up(boot_guest("grub-tests"), "grub-tests")
    for test in images.GRUB_TESTS:
        assert test == "functional_test" or f"{test}: PASS" in guest.serial
    assert "ALL TESTS PASSED" in guest.serial
    module = apt.folder(GRUB_TOOLS[0]) / "usr/lib/grub/i386-pc/normal.mod"
    assert hashlib.sha256(module.read_bytes()).hexdigest() in guest.serial
    guest.wait_power_off(ANSWER_S)


def test_grub_legacy_shows_the_memory(boot_guest: BootGuest) -> None:
    guest = comes_up(boot_guest("grub-legacy"), "grub-legacy")
    guest.type("displaymem\n")
    guest.wait_screen("Usable RAM", ANSWER_S)


def test_syslinux_runs_its_modules(boot_guest: BootGuest) -> None:
    guest = comes_up(boot_guest("syslinux"), "syslinux")
    guest.send("cpuidtest.c32\r")
    guest.wait_serial("Vendor      = Intel", ANSWER_S)
    guest.wait_serial("Flags       = fpu", ANSWER_S)
    after = len(guest.serial)
    guest.send("meminfo.c32\r")
    guest.wait_serial("000000000009fc00x 1 [-] usable", ANSWER_S, after=after)


def test_isolinux_boots_linux_from_the_cdrom(boot_guest: BootGuest) -> None:
    guest = comes_up(boot_guest("isolinux"), "isolinux")
    guest.send("linux\r")
    guest.wait_serial("Linux version 6.1", LINUX_S)
    guest.wait_serial("GUEST-MARKER-BOOTED", LINUX_S)


def test_memdisk_boots_the_floppy_that_it_made_of_memory(boot_guest: BootGuest) -> None:
    guest = comes_up(boot_guest("memdisk"), "memdisk")
    guest.type("c")
    guest.wait_screen("grub>", ANSWER_S)
    guest.type("ls\n")
    guest.wait_screen("(fd0)", ANSWER_S)


def test_ipxe_gives_its_shell(boot_guest: BootGuest) -> None:
    guest = boot_guest("ipxe")
    guest.wait_screen("Press Ctrl-B", MENU_S)
    guest.type("\x02")
    guest.wait_screen("iPXE>", ANSWER_S)
    guest.type("show version\n")
    guest.wait_screen("builtin/version:string", ANSWER_S)


def test_u_boot_is_the_firmware_and_answers(boot_guest: BootGuest) -> None:
    guest = comes_up(boot_guest("u-boot"), "u-boot")
    after = len(guest.serial)
    guest.send("echo answer from $arch\r")
    guest.wait_serial("\nanswer from x86", ANSWER_S, after=after)
