"""startvm: returns when the machines run, each in a process of its own."""

from __future__ import annotations

import sys

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import INVALID_OBJECT_STATE, NotSupportedError, VerbError
from ringone_frontend_cli.vboxmanage.running import client_installed
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, choice, option

HEADLESS = "headless"
WINDOWS = frozenset({"gui", "separate"})
"""Types that would open a window. The machine runs without one."""


def start(context: Context, arguments: Arguments) -> None:
    kind = arguments.get("--type", "gui")
    if kind == "emergencystop":
        raise NotSupportedError("startvm --type emergencystop is not supported; accepted: controlvm NAME poweroff")
    if kind == "sdl":
        raise NotSupportedError("startvm --type sdl is not supported: there are no windows", "headless, gui, separate")
    if arguments.has("--putenv"):
        raise NotSupportedError("startvm --putenv is not supported: machines have the environment of whoever starts them")
    for name in arguments.words:
        _start(context, name, kind)


def _start(context: Context, name: str, kind: str) -> None:
    machine = context.machine(name)
    shown = machine.registered.name
    if machine.is_online:
        raise VerbError(f"The machine '{shown}' is already locked by a session (or being locked or unlocked)", INVALID_OBJECT_STATE)
    if machine.loaded.refusals:
        raise NotSupportedError(f"The machine '{shown}' cannot be started: {'; '.join(machine.loaded.refusals)}")
    if kind in WINDOWS:
        note = f"the machine runs without a window ({kind}); controlvm {shown} screenshotpng FILE shows its screen"
        print(f"{context.program}: note: {note}", file=sys.stderr)
    print(f'Waiting for VM "{shown}" to power on...', flush=True)
    with client_installed():
        from ringone.client.launch import launch
    launch(machine.uuid, context.folder)
    print(f'VM "{shown}" has been successfully started.')


VERBS = (
    Verb(
        name="startvm",
        summary="start machines",
        usage=("<uuid|vmname>... [--type headless|gui|separate]",),
        run=start,
        options=(option("--type", parse=choice("gui", "sdl", HEADLESS, "separate", "emergencystop")), option("--putenv", "-E")),
        words=(1, None),
    ),
)
