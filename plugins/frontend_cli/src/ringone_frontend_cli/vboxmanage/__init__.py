"""VBoxManage's verbs on RingOne's machines: same names, options, output and exit codes.

This module has their names, which ``ringone`` needs to tell them from its own commands. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GLOBAL_FLAGS = frozenset({"-q", "-nologo", "--nologo", "--debug"})

VERB_MODULES: Mapping[str, str] = {
    "list": "listing",
    "showvminfo": "showvminfo",
    "createvm": "machines",
    "registervm": "machines",
    "unregistervm": "machines",
    "clonevm": "cloning",
    "modifyvm": "modifyvm",
    "import": "importing",
    "export": "exporting",
    "startvm": "starting",
    "controlvm": "controlling",
    "discardstate": "snapshots",
    "snapshot": "snapshots",
    "storagectl": "storage",
    "storageattach": "storage",
    "createmedium": "media",
    "modifymedium": "media",
    "clonemedium": "media",
    "closemedium": "media",
    "showmediuminfo": "media",
    "mediumproperty": "media",
    "convertfromraw": "media",
    "setextradata": "properties",
    "getextradata": "properties",
    "setproperty": "properties",
    "guestproperty": "guestproperties",
    "debugvm": "debugging",
}
"""Verb to the module that has it in its table ``VERBS``."""

ALIASES: Mapping[str, str] = {
    "createhd": "createmedium",
    "createvdi": "createmedium",
    "modifyhd": "modifymedium",
    "modifyvdi": "modifymedium",
    "clonehd": "clonemedium",
    "clonevdi": "clonemedium",
    "showhdinfo": "showmediuminfo",
    "showvdiinfo": "showmediuminfo",
    "convertdd": "convertfromraw",
}
"""Names that VirtualBox had before."""

REFUSED_VERBS: Mapping[str, str] = {
    "adoptstate": "saved states of VirtualBox cannot be used",
    "bandwidthctl": "there is no bandwidth control",
    "checkmediumpwd": "encrypted images are not supported",
    "cloud": "there is no cloud client",
    "cloudprofile": "there is no cloud client",
    "dhcpserver": "there are no virtual networks",
    "encryptmedium": "encrypted images are not supported",
    "encryptvm": "encrypted machines are not supported",
    "extpack": "there are no extension packs; plugins are Python packages (ringone plugins list)",
    "guestcontrol": "there are no guest additions",
    "hostonlyif": "there are no virtual networks",
    "hostonlynet": "there are no virtual networks",
    "internalcommands": "they belong to VirtualBox's inner workings",
    "mediumio": "images are read and written by the guest or converted",
    "metrics": "there are no metrics; debugvm NAME statistics has counters",
    "modifynvram": "there is no EFI firmware",
    "movevm": "machines stay where they were made; clonevm --basefolder copies one to another place",
    "natnetwork": "there are no virtual networks",
    "sharedfolder": "there are no guest additions",
    "signova": "appliances are not signed",
    "unattended": "there are no unattended installations",
    "updatecheck": "there is no update check",
    "usbdevsource": "there is no USB",
    "usbfilter": "there is no USB",
}


def is_verb_line(words: Sequence[str]) -> bool:
    """Whether a command line of ``ringone`` is one of VBoxManage's. ``startvm`` of a machine file runs it here, without a home."""
    plain = list(_without_global_options(words))
    if not plain:
        return False
    name, *rest = plain
    if name == "startvm":
        words = [word for before, word in zip(("", *rest), rest, strict=False) if before != "--record"]
        return "--type" in words or not any(Path(word).suffix == ".vbox" or Path(word).is_file() for word in words)
    return name in VERB_MODULES or name in ALIASES or name in REFUSED_VERBS or (name == "help" and bool(rest))


def _without_global_options(words: Sequence[str]) -> Iterator[str]:
    left = iter(words)
    for word in left:
        if word == "--home":
            next(left, None)
        elif word not in GLOBAL_FLAGS and not word.startswith("--home="):
            yield from (word, *left)
