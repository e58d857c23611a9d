"""Guest OS types, as VirtualBox names them. They choose nothing but a label: RingOne runs every guest alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import attrs

from ringone_frontend_cli.vboxmanage.errors import OBJECT_NOT_FOUND, VerbError

FAMILIES: Mapping[str, str] = {
    "Other": "Other",
    "Windows": "Microsoft Windows",
    "Linux": "Linux",
    "Solaris": "Solaris",
    "BSD": "BSD",
    "OS2": "IBM OS/2",
    "MacOS": "Mac OS X",
}
NAMES: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    # family: (type, description, widths that it comes in; plain is 32 bits and does not say so)
    "Other": (
        ("Other", "Other/Unknown", "plain 64"),
        ("DOS", "DOS", "plain"),
        ("Netware", "Netware", "plain"),
        ("L4", "L4", "plain"),
        ("QNX", "QNX", "plain"),
        ("JRockitVE", "JRockitVE", "plain"),
        ("VBoxBS", "VirtualBox Bootsector Test", "plain 64"),
    ),
    "Windows": (
        ("Windows31", "Windows 3.1", "plain"),
        ("Windows95", "Windows 95", "plain"),
        ("Windows98", "Windows 98", "plain"),
        ("WindowsMe", "Windows ME", "plain"),
        ("WindowsNT3x", "Windows NT 3.x", "plain"),
        ("WindowsNT4", "Windows NT 4", "plain"),
        ("Windows2000", "Windows 2000", "plain"),
        ("WindowsXP", "Windows XP", "32 64"),
        ("Windows2003", "Windows 2003", "32 64"),
        ("WindowsVista", "Windows Vista", "32 64"),
        ("Windows2008", "Windows 2008", "32 64"),
        ("Windows7", "Windows 7", "32 64"),
        ("Windows8", "Windows 8", "32 64"),
        ("Windows81", "Windows 8.1", "32 64"),
        ("Windows2012", "Windows 2012", "64"),
        ("Windows10", "Windows 10", "32 64"),
        ("Windows2016", "Windows 2016", "64"),
        ("Windows2019", "Windows 2019", "64"),
        ("Windows11", "Windows 11", "64"),
        ("WindowsNT", "Other Windows", "32 64"),
    ),
    "Linux": (
        ("Linux22", "Linux 2.2", "plain"),
        ("Linux24", "Linux 2.4", "32 64"),
        ("Linux26", "Linux 2.6 / 3.x / 4.x", "32 64"),
        ("ArchLinux", "Arch Linux", "32 64"),
        ("Debian", "Debian", "32 64"),
        ("Fedora", "Fedora", "32 64"),
        ("Gentoo", "Gentoo", "32 64"),
        ("Mandriva", "Mandriva", "32 64"),
        ("Oracle", "Oracle", "32 64"),
        ("RedHat", "Red Hat", "32 64"),
        ("OpenSUSE", "openSUSE", "32 64"),
        ("Turbolinux", "Turbolinux", "32 64"),
        ("Ubuntu", "Ubuntu", "32 64"),
        ("Xandros", "Xandros", "32 64"),
        ("Linux", "Other Linux", "32 64"),
    ),
    "Solaris": (
        ("Solaris", "Oracle Solaris 10 5/09 and earlier", "32 64"),
        ("Solaris11", "Oracle Solaris 11", "64"),
        ("OpenSolaris", "Oracle Solaris 10 10/09 and later", "32 64"),
    ),
    "BSD": (
        ("FreeBSD", "FreeBSD", "32 64"),
        ("OpenBSD", "OpenBSD", "32 64"),
        ("NetBSD", "NetBSD", "32 64"),
    ),
    "OS2": (
        ("OS2Warp3", "OS/2 Warp 3", "plain"),
        ("OS2Warp4", "OS/2 Warp 4", "plain"),
        ("OS2Warp45", "OS/2 Warp 4.5", "plain"),
        ("OS2eCS", "eComStation", "plain"),
        ("OS21x", "OS/2 1.x", "plain"),
        ("OS2", "Other OS/2", "plain"),
    ),
    "MacOS": (("MacOS", "Mac OS X", "32 64"),),
}
SUFFIXES = {"plain": "", "32": " (32-bit)", "64": " (64-bit)"}


@attrs.frozen
class OsType:
    id: str
    description: str
    family: str
    is_64_bit: bool


@cache
def os_types() -> Mapping[str, OsType]:
    return {kind.id: kind for kind in _types()}


def _types() -> Iterator[OsType]:
    for family, names in NAMES.items():
        for name, description, widths in names:
            for width in widths.split():
                yield OsType(f"{name}_64" if width == "64" else name, description + SUFFIXES[width], family, width == "64")


def find_os_type(text: str) -> OsType:
    """By its ID or its description."""
    for kind in os_types().values():
        if text.lower() in (kind.id.lower(), kind.description.lower()):
            return kind
    raise VerbError(f"Guest OS type '{text}' is invalid; accepted: see list ostypes", OBJECT_NOT_FOUND)


def describe_os_type(id: str) -> str:
    """The description, or the ID where it is not known."""
    kind = os_types().get(id)
    return id if kind is None else kind.description
