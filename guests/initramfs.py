"""The Linux guests' user space: busybox, the modules for the PC's drives, keyboard and mouse, and an init script.

The script looks at the machine, works on its drives and its processor, and powers off; with ``guest=shell`` on the kernel's command line it gives a shell.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from guests.cpio import Archive

MODULES = ("ata_piix", "sd_mod", "sr_mod", "isofs", "vfat", "nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859-1", "psmouse", "evdev", "floppy")
"""Loaded where the kernel does not have them built in, in this order, each after what it depends on."""

BOOTED = "GUEST-MARKER-BOOTED"
DONE = "GUEST-MARKER-DONE"
SHELL = "GUEST-MARKER-SHELL"

INIT = f"""#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1
up() {{ read u r < /proc/uptime; echo "$u"; }}
echo "{BOOTED} uptime=$(up)"
uname -a
while read module; do insmod /modules/$module; done < /modules/order
case " $(cat /proc/cmdline) " in
*" guest=shell "*)
    echo 1 > /proc/sys/kernel/printk
    echo "{SHELL}"
    setsid cttyhack sh
    poweroff -f ;;
esac
echo "CPUS $(grep -c ^processor /proc/cpuinfo)"
grep MemTotal /proc/meminfo
i=0; while [ $i -lt 50 ] && ! [ -e /dev/sr0 ]; do i=$((i+1)); usleep 100000; done
cat /proc/partitions
cat /proc/bus/input/devices
if [ -b /dev/sda ]; then
    mount -t vfat /dev/sda /mnt && echo "DISK sha256 $(sha256sum < /mnt/data.bin)"
    cp /mnt/data.bin /mnt/copy.bin; umount /mnt
    echo 3 > /proc/sys/vm/drop_caches
    mount -t vfat -o ro /dev/sda /mnt && cmp /mnt/data.bin /mnt/copy.bin && echo "DISK copy equal"; umount /mnt
fi
if [ -b /dev/sr0 ]; then
    mount -t iso9660 -o ro /dev/sr0 /mnt && echo "CDROM sha256 $(sha256sum < /mnt/data.bin)"; umount /mnt
fi
t0=$(up); h=$(dd if=/dev/zero bs=64k count=64 2>/dev/null | sha256sum); t1=$(up); echo "BENCH sha256 4MiB $t0 $t1 $h"
t0=$(up); r=$(awk 'BEGIN{{s=0;for(i=0;i<200000;i++){{s=(s*31+i)%65521}};print s}}'); t1=$(up); echo "BENCH awk200k $t0 $t1 $r"
t0=$(up); r=$(dd if=/bin/busybox bs=64k count=16 2>/dev/null | gzip -9 | gunzip | sha256sum); t1=$(up); echo "BENCH gzip1MiB $t0 $t1 $r"
t0=$(up); i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; t1=$(up); echo "BENCH shloop20k $t0 $t1 $i"
t0=$(up); i=0; while [ $i -lt 100 ]; do /bin/busybox true; i=$((i+1)); done; t1=$(up); echo "BENCH fork100 $t0 $t1 $i"
echo "COMPLAINTS $(dmesg | grep -cE 'BUG|WARNING|Oops|Call Trace|segfault')"
echo "{DONE} uptime=$(up)"
poweroff -f
"""


def initramfs(busybox: Path, linux_image: Path) -> bytes:
    """For the kernel whose package is unpacked at `linux_image`."""
    archive = Archive()
    for name in ("bin", "dev", "proc", "sys", "mnt", "modules"):
        archive.folder(name)
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    archive.link("bin/sh", "busybox")
    order = modules_in_order(linux_image)
    for module in order:
        archive.file(f"modules/{module.name}", module.read_bytes())
    archive.file("modules/order", "".join(f"{module.name}\n" for module in order).encode())
    archive.file("init", INIT.encode(), 0o755)
    return gzip.compress(archive.finished(), 6, mtime=0)


def modules_in_order(linux_image: Path) -> list[Path]:
    """The files of `MODULES`, each after those that its ``depends=`` names."""
    found = {path.stem.replace("-", "_"): path for path in linux_image.glob("lib/modules/*/kernel/**/*.ko")}
    order: list[Path] = []

    def add(name: str) -> None:
        path = found.get(name.replace("-", "_"))
        if path is None or path in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for dependency in depends[1].decode().split(",") if depends else ():
            add(dependency)
        order.append(path)

    for name in MODULES:
        add(name)
    return order
