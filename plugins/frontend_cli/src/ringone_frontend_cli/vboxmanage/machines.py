"""createvm, registervm and unregistervm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs
from ringone.api.config import Drive, DriveKind, StorageController
from ringone.api.settings import MachineSettings

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import INVALID_OBJECT_STATE, VerbError
from ringone_frontend_cli.vboxmanage.ostypes import find_os_type
from ringone_frontend_cli.vboxmanage.settings_table import parse_groups
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, choice, flag, option, uuid_text

DEFAULT_HARDWARE = (StorageController(name="IDE", type="PIIX4"), Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0))
"""What ``createvm --default`` adds."""


def create(context: Context, arguments: Arguments) -> None:
    from ringone.home import new_settings
    from ringone.machine import load_config

    name = arguments.require("--name")
    settings = new_settings(
        name,
        os_type=find_os_type(arguments.get("--ostype", "Other")).id,
        groups=parse_groups(arguments.get("--groups", "/")),
        identity=arguments.get("--uuid", ""),
    )
    if arguments.has("--default"):
        controller, drive = DEFAULT_HARDWARE
        settings = attrs.evolve(settings, config=attrs.evolve(settings.config, storage_controllers=(controller,), drives=(drive,)))
    folder = arguments.get("--basefolder")
    path = context.home.create(settings, None if folder is None else Path(folder))
    if arguments.has("--register"):
        context.home.register(path)
    uuid = load_config(path, context.registry).uuid
    print(f"Virtual machine '{name}' is created{' and registered' if arguments.has('--register') else ''}.")
    print(f"UUID: {uuid}")
    print(f"Settings file: '{path}'")


def register(context: Context, arguments: Arguments) -> None:
    context.home.register(Path(arguments.words[0]))


def unregister(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    if machine.is_online:
        raise VerbError(f"Cannot unregister the machine '{machine.registered.name}' while it is locked", INVALID_OBJECT_STATE)
    doomed = sorted(_files(context, machine)) if arguments.has("--delete") else []
    context.home.unregister(machine.registered)
    if not arguments.has("--delete"):
        return
    progress = context.progress()
    progress(0)
    for path in doomed:
        if path.is_file():  # and no device of the host's
            path.unlink(missing_ok=True)
    for folder in (machine.registered.logs, machine.registered.snapshot_folder, machine.registered.folder):
        with contextlib.suppress(OSError):
            folder.rmdir()
    progress(1)


def _files(context: Context, machine: Machine) -> Iterator[Path]:
    """What belongs to a machine alone. CDs and floppies stay, as do disks that another machine has."""
    registered, settings = machine.registered, machine.settings
    yield registered.path
    yield registered.path.with_name(registered.path.name + "-prev")
    if registered.logs.is_dir() and not registered.logs.is_symlink():
        yield from (path for path in registered.logs.iterdir() if path.is_file())
    if settings is None:
        return
    others = {location for other in context.machines() if other.uuid != machine.uuid and other.settings for location in _disks(other.settings)}
    yield from _disks(settings) - others
    for state in (settings.state_file, *(snapshot.state_file for snapshot in settings.snapshots())):
        if state is not None:
            yield state


def _disks(settings: MachineSettings) -> set[Path]:
    """The images of a machine's disks and of its snapshots' disks, with those that they stand on."""
    configs = (settings.config, *(snapshot.config for snapshot in settings.snapshots()))
    drives = [drive for config in configs for drive in config.drives if drive.kind is DriveKind.DISK]
    locations = {path for drive in drives for path in (drive.image, *drive.parents) if path is not None}
    return locations | {record.location for top in settings.media for record in top.walk() if record.kind is DriveKind.DISK}


VERBS = (
    Verb(
        name="createvm",
        summary="create a machine",
        usage=("--name <name> [--groups <group>, ...] [--ostype <ostype>] [--register] [--basefolder <path>] [--uuid <uuid>] [--default]",),
        run=create,
        options=(
            option("--name"),
            option("--groups"),
            option("--ostype"),
            option("--register", parse=flag),
            option("--basefolder"),
            option("--uuid", parse=uuid_text),
            option("--default", parse=flag),
            option("--platform-architecture", parse=choice("x86")),
        ),
    ),
    Verb(name="registervm", summary="make a machine file known", usage=("<filename>",), run=register, words=(1, 1)),
    Verb(
        name="unregistervm",
        summary="forget a machine, with --delete its files too",
        usage=("<uuid|vmname> [--delete]",),
        run=unregister,
        options=(option("--delete", "--delete-all", parse=flag),),
        words=(1, 1),
    ),
)
