"""export: machines into an appliance."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import attrs
from ringone.api.appliance import Appliance, ApplianceDisk, ApplianceDrive, ApplianceSystem
from ringone.api.config import DriveKind
from ringone.api.errors import DriverError
from ringone.api.media import MediumVariant, NewMedium, clone_medium, find_format

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import FILE_ERROR, INVALID_VM_STATE, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.media_registry import lineages
from ringone_frontend_cli.vboxmanage.packages import MANIFEST_SUFFIX, OVA_SUFFIX, appliance_format, manifest, target_kind, write_ova
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, flag, number, option

FORMAT = "vmdk"
OPTIONS = frozenset({"manifest", "nomacs", "nomacsbutnat"})


@attrs.define
class Exporter:
    """The files of an appliance in the making, in `folder`; `prefix` is what the disks' names begin with."""

    context: Context
    folder: Path
    prefix: str
    disks: list[ApplianceDisk] = attrs.Factory(list)

    def system(self, machine: Machine) -> ApplianceSystem:
        config = machine.loaded.config
        drives = []
        for drive in config.drives:
            if drive.kind is DriveKind.DISK and drive.image is not None:
                drives.append(ApplianceDrive(disk=self._disk(machine, drive.image).id, bus="ide", port=drive.port, device=drive.device))
        removable = tuple(attrs.evolve(drive, image=None, parents=()) for drive in config.drives if drive.kind is not DriveKind.DISK)
        return ApplianceSystem(config=attrs.evolve(config, drives=removable), drives=tuple(drives))

    def _disk(self, machine: Machine, image: Path) -> ApplianceDisk:
        formats = self.context.registry.media_formats()
        chain = next(([record.location for record in lineage] for lineage in lineages(machine.loaded.media) if lineage[0].location == image), [image])
        number = len(self.disks) + 1
        path = self.folder / f"{self.prefix}-disk{number:03}.vmdk"
        info = clone_medium(find_format(formats, image), chain, formats[FORMAT], NewMedium(path=path, variant=MediumVariant.STREAM), self.context.progress())
        disk = ApplianceDisk(id=f"vmdisk{number}", file=path.name, format=FORMAT, capacity_bytes=info.capacity_bytes, file_bytes=path.stat().st_size)
        self.disks.append(disk)
        return disk


def export(context: Context, arguments: Arguments) -> None:
    from ringone.home import LockMode

    target = Path(arguments.require("--output")).absolute()
    kind = target_kind(target)
    words = {word.strip().lower() for word in arguments.get("--options", "").split(",") if word.strip()}
    _check(arguments, words, target)
    machines = [context.machine(name) for name in arguments.words]
    for machine in machines:
        if machine.is_online:
            raise VerbError(f"The machine '{machine.registered.name}' is running; accepted are machines that are off", INVALID_VM_STATE)
    with contextlib.ExitStack() as stack:
        for machine in machines:
            stack.enter_context(context.home.lock(machine.registered, LockMode.WORK, "exporting it"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".ringone-export-", dir=target.parent)))
        exporter = Exporter(context, folder, target.stem)
        systems = tuple(exporter.system(machine) for machine in machines)
        envelope = appliance_format(context.registry).write(Appliance(disks=tuple(exporter.disks), systems=systems))
        files: dict[str, Path | bytes] = {f"{target.stem}.ovf": envelope, **{disk.file: folder / disk.file for disk in exporter.disks}}
        if kind == OVA_SUFFIX or arguments.has("--manifest") or "manifest" in words:
            files = _with_manifest(target.stem, files)
        _deliver(target, kind, folder, files)
    print(f"Successfully exported {len(machines)} machine(s).")


def _check(arguments: Arguments, words: set[str], target: Path) -> None:
    if arguments.has("--ovf20") or arguments.has("--opc10"):
        raise NotSupportedError("only OVF 1.0 is written", "--ovf10")
    if arguments.has("--iso") or "iso" in words:
        raise NotSupportedError("CD images are not exported")
    for word in words - OPTIONS:
        raise VerbSyntaxError(f"Invalid export options '{word}'; accepted: {', '.join(sorted(OPTIONS))}")
    if not target.parent.is_dir():
        raise VerbError(f"{target.parent} is no folder", FILE_ERROR)
    if target.exists():
        raise VerbError(f"Appliance file '{target}' already exists (VERR_ALREADY_EXISTS)", FILE_ERROR)


def _with_manifest(stem: str, files: Mapping[str, Path | bytes]) -> dict[str, Path | bytes]:
    """Behind the envelope, where readers of archives expect it."""
    (name, envelope), *disks = files.items()
    return {name: envelope, f"{stem}{MANIFEST_SUFFIX}": manifest(files), **dict(disks)}


def _deliver(target: Path, kind: str, folder: Path, files: Mapping[str, Path | bytes]) -> None:
    """The file that was asked for appears last, and whole; no other file is replaced."""
    made: list[Path] = []
    try:
        if kind == OVA_SUFFIX:
            write_ova(folder / target.name, files)
            os.link(folder / target.name, target)
            return
        for name in reversed(list(files)):
            content = files[name]
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            os.link(folder / name, target.parent / name)
            made.append(target.parent / name)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        raise DriverError(f"{target}: cannot write the appliance: {error.strerror or error}") from error


IGNORED = ("--vmname", "--product", "--producturl", "--vendor", "--vendorurl", "--version", "--description", "--eula", "--eulafile")
"""What an appliance can say of itself for sellers and buyers."""

VERBS = (
    Verb(
        name="export",
        summary="pack machines into an appliance (OVF, OVA)",
        usage=("<uuid|vmname>... --output|-o <name>.ovf|<name>.ova [--ovf10] [--manifest] [--options manifest,nomacs,nomacsbutnat]",),
        run=export,
        options=(
            option("--output", "-o"),
            option("--options"),
            *(option(name, parse=flag) for name in ("--legacy09", "--ovf09", "--ovf10", "--ovf20", "--opc10", "--manifest", "--iso")),
            option("--vsys", parse=number(0, 1000)),
            *(
                option(name)
                for name in ("--vmname", "--product", "--producturl", "--vendor", "--vendorurl", "--version", "--description", "--eula", "--eulafile")
            ),
        ),
        words=(1, None),
    ),
)
