"""modifyvm: all its options on one command line are done, or none is."""

from __future__ import annotations

from pathlib import Path

import attrs
from ringone.api.settings import MachineSettings

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import OBJECT_IN_USE, VerbError
from ringone_frontend_cli.vboxmanage.settings_table import SETTINGS, with_boot_order
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, option

SNAPSHOT_FOLDER = option("--snapshotfolder", value="default|<path>")


def change(settings: MachineSettings, arguments: Arguments) -> MachineSettings:
    """The settings with all options done, those that others build on first."""
    given = [(SETTINGS[one.key], one) for one in arguments.given if one.key in SETTINGS]
    for setting, one in sorted(given, key=lambda pair: not pair[0].early):
        settings = setting.effect(settings, one.index, one.value)
    boots = [(one.index, one.value) for one in arguments.given if one.key == "boot"]
    if boots:
        settings = attrs.evolve(settings, config=with_boot_order(settings.config, boots))
    if arguments.has("--snapshotfolder"):
        folder = arguments.get("--snapshotfolder")
        settings = attrs.evolve(settings, snapshot_folder=None if folder == "default" else Path(folder).absolute())
    return settings


def modify_vm(context: Context, arguments: Arguments) -> None:
    name = arguments.get("--name")
    if name is not None:
        from ringone.home.paths import check_name

        check_name("machine name", name)
        check_free(context, arguments.words[0], name)
    context.change(arguments.words[0], lambda settings: change(settings, arguments))


def check_free(context: Context, target: str, name: str) -> None:
    owner = context.machine(target).uuid
    if any(machine.registered.name == name and machine.uuid != owner for machine in context.machines()):
        raise VerbError(f"Machine '{name}' already exists (VERR_ALREADY_EXISTS)", OBJECT_IN_USE)


VERBS = (
    Verb(
        name="modifyvm",
        summary="change a machine that is not running",
        usage=(
            "<uuid|vmname>",
            *(f"  [{setting.option.names[0]} {setting.option.value}]" for setting in SETTINGS.values()),
            "  [--snapshotfolder default|<path>]",
        ),
        run=modify_vm,
        options=(*(setting.option for setting in SETTINGS.values()), SNAPSHOT_FOLDER),
        words=(1, 1),
    ),
)
