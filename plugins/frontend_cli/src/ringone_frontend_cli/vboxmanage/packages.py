"""Appliances as files: an OVF envelope with its disks beside it, or all of them in one tar archive (OVA).

Members are read as streams, by the names that the envelope gives; nothing is unpacked that it does not name, and everything is compared with the manifest.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs
from ringone.api.appliance import Appliance, ApplianceDisk, ApplianceFormat
from ringone.plugins import PluginRegistry

from ringone_frontend_cli.vboxmanage.errors import FILE_ERROR, INVALID_ARGUMENT, NotSupportedError, VerbError

OVA_SUFFIX = ".ova"
MANIFEST_SUFFIX = ".mf"
MAX_ENVELOPE_BYTES = 4 << 20
MAX_MANIFEST_BYTES = 1 << 20
MAX_MEMBERS = 256
MAX_DISK_BYTES = 1 << 44
COPY_BYTES = 1 << 20
MEMBER_NAME = re.compile(r"(?:\./)?([^/\\\x00-\x1f]{1,255})")
MANIFEST_LINE = re.compile(r"\s*(SHA1|SHA256|SHA512)\s*\((.{1,255})\)\s*=\s*([0-9a-fA-F]{40,128})\s*")
CHECKSUM = "SHA256"


@attrs.frozen
class Checksum:
    algorithm: str
    digest: str


@attrs.frozen
class Package:
    """`open` gives a file beside the envelope as a stream, and its size."""

    path: Path
    appliance: Appliance
    open: Callable[[str], tuple[IO[bytes], int]]
    manifest: Mapping[str, Checksum] | None

    def copy(self, disk: ApplianceDisk, target: Path) -> None:
        """Write a disk's file to `target`, and compare it with the manifest on the way."""
        stream, size = self.open(disk.file)
        if disk.file_bytes is not None and disk.file_bytes != size:
            raise self.damaged(f"'{disk.file}' has {size} bytes and the envelope says {disk.file_bytes}")
        if size > MAX_DISK_BYTES:
            raise self.damaged(f"'{disk.file}' has {size} bytes; accepted: up to {MAX_DISK_BYTES}")
        wanted = None if self.manifest is None else self.manifest.get(disk.file)
        digest = hashlib.new(wanted.algorithm if wanted is not None else CHECKSUM)
        with stream, target.open("xb") as file:
            while data := stream.read(COPY_BYTES):
                digest.update(data)
                file.write(data)
        if wanted is not None and digest.hexdigest() != wanted.digest:
            raise self.damaged(f"the checksum of '{disk.file}' is not that of the manifest (VERR_CHECKSUM_MISMATCH)")

    def damaged(self, message: str) -> VerbError:
        return VerbError(f"{self.path}: {message}", FILE_ERROR)


def appliance_format(registry: PluginRegistry) -> ApplianceFormat:
    found = next((spec.appliances for spec in registry.config_loaders().values() if spec.appliances is not None), None)
    if found is None:
        raise NotSupportedError("no plugin reads and writes appliances; accepted is one such as ringone-config-xml")
    return found


# --- reading


@contextmanager
def open_package(path: Path, format: ApplianceFormat) -> Iterator[Package]:
    try:
        if path.suffix.lower() == OVA_SUFFIX:
            with tarfile.open(path, "r:") as archive:
                yield _checked(path, format, *_archive(path, archive))
        else:
            yield _checked(path, format, path.name, _folder(path))
    except tarfile.TarError as error:
        raise VerbError(f"{path}: is no OVA archive: {error}", FILE_ERROR) from error


Opener = Callable[[str], tuple[IO[bytes], int]]


def _checked(path: Path, format: ApplianceFormat, envelope_name: str, opener: Opener) -> Package:
    data = _small(path, opener, envelope_name, MAX_ENVELOPE_BYTES)
    manifest = _manifest(path, opener, Path(envelope_name).stem + MANIFEST_SUFFIX)
    package = Package(path, format.read(data, str(path)), opener, manifest)
    if manifest is None:
        return package
    for name in (envelope_name, *(disk.file for disk in package.appliance.disks if disk.file)):
        if name not in manifest:
            raise package.damaged(f"the manifest has no checksum of '{name}'")
    wanted = manifest[envelope_name]
    if hashlib.new(wanted.algorithm, data).hexdigest() != wanted.digest:
        raise package.damaged("the checksum of the envelope is not that of the manifest (VERR_CHECKSUM_MISMATCH)")
    return package


def _small(path: Path, opener: Opener, name: str, limit: int) -> bytes:
    stream, _ = opener(name)
    with stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise VerbError(f"{path}: '{name}' is larger than {limit} bytes", FILE_ERROR)
    return data


def _manifest(path: Path, opener: Opener, name: str) -> dict[str, Checksum] | None:
    """File to checksum; None for an appliance without."""
    try:
        data = _small(path, opener, name, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        return None
    found = {}
    for line in filter(str.strip, data.decode("utf-8", "replace").splitlines()):
        match = MANIFEST_LINE.fullmatch(line)
        if match is None:
            raise VerbError(f"{path}: '{line[:60]}' is no line of a manifest; accepted: SHA1, SHA256 or SHA512 (FILE) = CHECKSUM", FILE_ERROR)
        found[match[2]] = Checksum(match[1].lower(), match[3].lower())
    return found


def _folder(envelope: Path) -> Opener:
    def open_file(name: str) -> tuple[IO[bytes], int]:
        path = envelope.parent / name
        if path.exists() and not path.is_file():
            raise VerbError(f"{path}: is no file", FILE_ERROR)
        return path.open("rb"), path.stat().st_size

    return open_file


def _archive(path: Path, archive: tarfile.TarFile) -> tuple[str, Opener]:
    members: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        match = MEMBER_NAME.fullmatch(member.name)
        if match is None or match[1] in (".", "..") or not member.isreg() or match[1] in members or len(members) >= MAX_MEMBERS:
            accepted = f"up to {MAX_MEMBERS} files with names of their own and without folders"
            raise VerbError(f"{path}: the archive has the member {member.name[:80]!r}; accepted: {accepted}", FILE_ERROR)
        members[match[1]] = member
    envelope = next((name for name in members if name.lower().endswith(".ovf")), None)
    if envelope is None:
        raise VerbError(f"{path}: the archive has no .ovf file", FILE_ERROR)

    def open_member(name: str) -> tuple[IO[bytes], int]:
        if name not in members:
            raise FileNotFoundError(f"{path}: the archive has no '{name}'")
        stream = archive.extractfile(members[name])
        assert stream is not None  # a regular file
        return stream, members[name].size

    return envelope, open_member


# --- writing


def write_ova(path: Path, files: Mapping[str, Path | bytes]) -> None:
    """The envelope has to be the first file."""
    with tarfile.open(path, "x:", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o644
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.size = content.stat().st_size
                with content.open("rb") as stream:
                    archive.addfile(member, stream)


def manifest(files: Mapping[str, Path | bytes]) -> bytes:
    return "".join(f"{CHECKSUM} ({name})= {_digest(content)}\n" for name, content in files.items()).encode()


def _digest(content: Path | bytes) -> str:
    if isinstance(content, bytes):
        return hashlib.new(CHECKSUM, content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, CHECKSUM.lower()).hexdigest()


def target_kind(path: Path) -> str:
    """``.ovf`` or ``.ova``."""
    suffix = path.suffix.lower()
    if suffix not in (".ovf", OVA_SUFFIX):
        raise VerbError(f"{path}: appliances are files with the suffix .ovf or .ova", INVALID_ARGUMENT)
    return suffix
