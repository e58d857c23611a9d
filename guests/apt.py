"""Fetches Debian packages without root and without touching the host's package database: apt works on a state of its own in the cache folder.

The mirror is the one that the host's apt uses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from guests.cache import CACHE, write_atomically

STATE = CACHE / "apt"
EXTRACTED = CACHE / "root"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHITECTURES = ("amd64", "i386")
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale")
DRIVERS = ("ata", "scsi", "cdrom", "block", "input")
FILE_SYSTEMS = ("isofs", "fat", "nls")
KERNEL_MODULES = ("block/", "lib/", "crypto/", "arch/", *(f"drivers/{kind}/" for kind in DRIVERS), *(f"fs/{kind}/" for kind in FILE_SYSTEMS))


class FetchError(Exception):
    """Something cannot be fetched or built; the message says what is missing."""


def folder(package: str) -> Path:
    """Where ``name:architecture`` is unpacked."""
    return EXTRACTED / package.replace("*", "").replace(":", ".")


def fetch(packages: Iterable[str]) -> None:
    """Download and unpack those of `packages` (``name:architecture``) that are not there yet.

    A name that ends in ``*`` means the package that it depends on first.
    """
    missing = [package for package in packages if not folder(package).exists()]
    if not missing:
        return
    _prepare()
    downloads = STATE / "downloads"
    for package in missing:
        print(f"fetch: {package}", flush=True)
        shutil.rmtree(downloads, ignore_errors=True)
        downloads.mkdir(parents=True)
        _apt("apt-get", "-qq", "download", _real_name(package), cwd=downloads)
        (archive,) = downloads.glob("*.deb")
        unpack(archive, folder(package))
    shutil.rmtree(downloads, ignore_errors=True)


def unpack(archive: Path, target: Path) -> None:
    """The package's files that guests need; `target` appears when all are there."""
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    done = subprocess.run(["dpkg-deb", "-x", str(archive), str(unfinished)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FetchError(f"dpkg-deb cannot unpack {archive}: {done.stderr.strip()}")
    _thin_out(unfinished)
    unfinished.rename(target)


def _thin_out(root: Path) -> None:
    for documents in LEFT_OUT:
        shutil.rmtree(root / documents, ignore_errors=True)
    for modules in root.glob("lib/modules/*/kernel"):
        for module in modules.rglob("*.ko"):
            if not module.relative_to(modules).as_posix().startswith(KERNEL_MODULES):
                module.unlink()


def _prepare() -> None:
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(program) is None:
            raise FetchError(
                f"guests come from Debian packages, and this host has no {program}; copy {CACHE} from a Debian or Ubuntu host, or set RINGONE_GUESTS"
            )
    for part in ("state/lists/partial", "cache/archives/partial"):
        (STATE / part).mkdir(parents=True, exist_ok=True)
    site, suite = _mirror()
    signed = f" signed-by={KEYRING}" if KEYRING.exists() else ""
    write_atomically(STATE / "sources.list", f"deb [arch={','.join(ARCHITECTURES)}{signed}] {site} {suite} main\n".encode())
    print("fetch: package lists", flush=True)
    _apt("apt-get", "-qq", "update")


def _mirror() -> tuple[str, str]:
    """The host's mirror and its release, not those of security fixes and updates."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"], capture_output=True, text=True, check=False
    )
    for line in listed.stdout.splitlines():
        site, suite, component = line.split()
        if component == "main" and "-" not in suite:
            return site, suite
    raise FetchError("apt knows no Debian archive (main); guests come from Debian 12's packages")


def _real_name(package: str) -> str:
    name, architecture = package.split(":")
    if not name.endswith("*"):
        return package
    shown = _apt("apt-cache", "depends", f"{name[:-1]}:{architecture}")
    for line in shown.splitlines():
        kind, _, depended = line.strip().partition(": ")
        if kind == "Depends":
            return f"{depended.split(':')[0]}:{architecture}"
    raise FetchError(f"{name[:-1]} depends on no other package")


def _apt(program: str, *arguments: str, cwd: Path | None = None) -> str:
    native, *others = ARCHITECTURES
    options = {
        "APT::Architecture": native,
        "APT::Architectures": ",".join((native, *others)),
        "Dir::State": str(STATE / "state"),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": str(STATE / "cache"),
        "Dir::Etc::sourcelist": str(STATE / "sources.list"),
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Sandbox::User": "root",
    }
    command = [program, *(f"-o{name}={value}" for name, value in options.items()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode:
        raise FetchError(f"{program} {' '.join(arguments)}: {done.stderr.strip() or 'failed'}")
    return done.stdout
