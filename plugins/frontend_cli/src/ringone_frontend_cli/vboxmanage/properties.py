"""setextradata, getextradata and setproperty: names with values, of a machine or of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs
from ringone.api.config import MachineConfig
from ringone.api.settings import MachineSettings

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, integer

GLOBAL = "global"
OWN = "RingOne/"
"""Items that RingOne follows: parts of the machine's description."""
MAX_LOG_HISTORY = 1000
OTHER_PROPERTIES = (
    *("autostartdbpath", "defaultfrontend", "exclusivehwvirtex", "hwvirtexclusive", "language", "logginglevel", "proxymode", "proxyurl"),
    *("vrdeauthlibrary", "vrdeextpack", "websrvauthlibrary"),
)


def get_extra_data(context: Context, arguments: Arguments) -> None:
    target, *names = arguments.words
    items = context.home.settings().extra_data if target == GLOBAL else _items(context, context.machine(target).loaded.config)
    name = names[0] if names else "enumerate"
    if name == "enumerate":
        for key, value in items.items():
            print(f"Key: {key}, Value: {value}")
    elif name in items:
        print(f"Value: {items[name]}")
    else:
        print("No value set!")


def set_extra_data(context: Context, arguments: Arguments) -> None:
    target, name, *values = arguments.words
    value = values[0] if values else ""
    if not name or any(ord(letter) < 0x20 for letter in name):
        raise VerbError(f"Invalid extra data key '{name}'; accepted: text without control characters", INVALID_ARGUMENT)
    if target == GLOBAL:
        context.home.change_settings(lambda before: attrs.evolve(before, extra_data=with_item(before.extra_data, name, value)))
        return

    def change(before: MachineSettings) -> MachineSettings:
        if name.startswith(OWN):
            config = context.settings_format.with_item(before.config, name, value)
        else:
            config = attrs.evolve(before.config, extra_data=with_item(before.config.extra_data, name, value))
        return attrs.evolve(before, config=config)

    context.change(target, change)


def _items(context: Context, config: MachineConfig) -> dict[str, str]:
    return {**context.settings_format.items(config), **config.extra_data}


def with_item(items: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """An empty value takes the item away."""
    changed = {**items, name: value}
    return changed if value else {key: kept for key, kept in changed.items() if key != name}


def set_property(context: Context, arguments: Arguments) -> None:
    name, value = arguments.words
    match name:
        case "machinefolder":
            folder = None if value in ("default", "") else Path(value).absolute()
            context.home.change_settings(lambda before: attrs.evolve(before, default_machine_folder=folder))
        case "loghistorycount":
            count = integer(value)
            if count is None or not 0 <= count <= MAX_LOG_HISTORY:
                raise VerbError(f"Invalid log history count '{value}'; accepted: 0 to {MAX_LOG_HISTORY}", INVALID_ARGUMENT)
            context.home.change_settings(lambda before: attrs.evolve(before, log_history_count=count))
        case "hwvirtexclusive":
            return  # nothing is ever used exclusively
        case _ if name in OTHER_PROPERTIES:
            raise NotSupportedError(f"setproperty {name} is not supported", "machinefolder, loghistorycount, hwvirtexclusive")
        case _:
            raise VerbSyntaxError(f"Invalid parameter '{name}'; accepted: machinefolder, loghistorycount")


VERBS = (
    Verb(
        name="setextradata",
        summary="keep a name and a value with a machine or with all of them",
        usage=("global|<uuid|vmname> <key> [<value>]",),
        run=set_extra_data,
        words=(2, 3),
        raw=True,
    ),
    Verb(
        name="getextradata",
        summary="show what setextradata kept",
        usage=("global|<uuid|vmname> [<key>|enumerate]",),
        run=get_extra_data,
        words=(1, 2),
        raw=True,
    ),
    Verb(
        name="setproperty",
        summary="change settings that all machines share",
        usage=("machinefolder default|<folder>", "loghistorycount <value>"),
        run=set_property,
        words=(2, 2),
    ),
)
