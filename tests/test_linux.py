"""Debian's Linux 6.1, without and with PAE: finds the PC, works on its drives, computes right, powers off through ACPI, and answers at both consoles."""

from __future__ import annotations

import hashlib
import re

import pytest
from ringone.plugins import PluginRegistry

from guests import apt, images, initramfs
from guests.catalog import BUSYBOX, BY_NAME
from guests.console import Guest
from tests.conftest import BootGuest

pytestmark = pytest.mark.guest

KERNELS = ("linux-686", "linux-686-pae")
BOOT_S = 180
WORK_S = 300
ANSWER_S = 60

DATA_HASH = hashlib.sha256(images.data()).hexdigest()
ZEROS_HASH = hashlib.sha256(bytes(4 << 20)).hexdigest()
MEMORY_KIB = 256 << 10


def busybox_hash() -> str:
    return hashlib.sha256((apt.folder(BUSYBOX) / "bin/busybox").read_bytes()[: 1 << 20]).hexdigest()


@pytest.fixture(scope="module", params=KERNELS)
def log(request: pytest.FixtureRequest, registry: PluginRegistry) -> str:
    """The serial console of a whole run, from the kernel's first word to power-off."""
    with Guest(BY_NAME[request.param].machine(append="console=ttyS0"), registry) as guest:
        guest.start()
        guest.wait_serial(initramfs.BOOTED, BOOT_S)
        guest.wait_serial(initramfs.DONE, WORK_S)
        guest.wait_power_off(ANSWER_S)
        return guest.serial


def test_powers_off_through_acpi(log: str) -> None:
    assert "ACPI: PM: Preparing to enter system sleep state S5" in log
    assert "reboot: Power down" in log


def test_finds_one_processor_and_the_memory(log: str) -> None:
    assert "CPUS 1\n" in log
    found = re.search(r"MemTotal: +(\d+) kB", log)
    assert found is not None
    assert 0.9 * MEMORY_KIB < int(found[1]) < MEMORY_KIB


def test_finds_keyboard_and_mouse(log: str) -> None:
    assert 'N: Name="AT Translated Set 2 keyboard"' in log
    assert re.search(r'N: Name="ImE?x?PS/2 Generic \w+ Mouse"', log)


def test_finds_the_floppy_controller(log: str) -> None:
    assert "FDC 0 is a post-1991 82077" in log


def test_finds_disk_and_cdrom(log: str) -> None:
    assert "ATA-6: RingOne HARDDISK" in log
    assert "ATAPI: RingOne CD-ROM" in log
    assert re.search(r"^ +8 +0 +\d+ sda$", log, re.MULTILINE)
    assert re.search(r"^ +11 +0 +\d+ sr0$", log, re.MULTILINE)


def test_reads_and_writes_the_disk(log: str) -> None:
    assert f"DISK sha256 {DATA_HASH}" in log
    assert "DISK copy equal" in log


def test_reads_the_cdrom(log: str) -> None:
    assert f"CDROM sha256 {DATA_HASH}" in log


@pytest.mark.parametrize(
    ("work", "result"),
    [("sha256 4MiB", ZEROS_HASH), ("awk200k", "47406"), ("shloop20k", "20000"), ("fork100", "100")],
)
def test_computes_exactly(log: str, work: str, result: str) -> None:
    assert re.search(rf"^BENCH {work} [\d.]+ [\d.]+ {result}\b", log, re.MULTILINE)


def test_compresses_and_decompresses_without_loss(log: str) -> None:
    assert re.search(rf"^BENCH gzip1MiB [\d.]+ [\d.]+ {busybox_hash()}\b", log, re.MULTILINE)


def test_kernel_complains_of_nothing(log: str) -> None:
    assert "COMPLAINTS 0\n" in log
    assert not re.search(r"\b(BUG|WARNING|Oops|Call Trace|segfault|I/O error|lost interrupt|soft lockup)\b", log)


def test_shell_on_the_serial_line_answers(boot_guest: BootGuest) -> None:
    guest = boot_guest("linux-686", append="console=ttyS0 guest=shell")
    guest.wait_serial("/ #", BOOT_S)
    guest.send("echo answer $((6 * 7)) for /dev/ttyS*\n")
    guest.wait_serial("answer 42 for /dev/ttyS0", ANSWER_S)
    guest.send("poweroff -f\n")
    guest.wait_power_off(ANSWER_S)


def test_shell_on_the_screen_answers(boot_guest: BootGuest) -> None:
    guest = boot_guest("linux-686", append="console=tty0 guest=shell")
    guest.wait_screen("/ #", BOOT_S)
    guest.type("echo Answer $((6 * 7)); tty\n")
    guest.wait_screen("Answer 42\n/dev/", ANSWER_S)
    guest.type("poweroff -f\n")
    guest.wait_power_off(ANSWER_S)


def test_idle_kernel_gets_every_tick(boot_guest: BootGuest) -> None:
    """Although it is woken for several at once: its tick, its time-stamp counter and its RTC agree about eight seconds of nothing."""
    guest = boot_guest("linux-686", append="console=ttyS0 guest=shell")
    guest.wait_serial(initramfs.SHELL, BOOT_S)
    look = "cat /sys/class/rtc/rtc0/since_epoch; cut -d' ' -f1 /proc/uptime; grep -w 0: /proc/interrupts"
    guest.send(f"{look}; sleep 8; {look}; echo SLEPT-$?\n")
    guest.wait_serial("\nSLEPT-0", ANSWER_S)
    said = re.findall(r"\n(\d+)\r*\n([\d.]+)\r*\n *0: +(\d+) ", guest.serial)
    (rtc, uptime, ticks), (rtc_after, uptime_after, ticks_after) = said
    seconds = float(uptime_after) - float(uptime)
    assert seconds == pytest.approx(8, abs=1)
    assert int(rtc_after) - int(rtc) == pytest.approx(seconds, abs=1.1)
    assert int(ticks_after) - int(ticks) == pytest.approx(250 * seconds, rel=0.02)
