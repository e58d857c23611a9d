"""startvm: returns when the machines run, each in a process of its own."""

from __future__ import annotations

import contextlib
import sys

from ringone.api.errors import RingOneError

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import INVALID_OBJECT_STATE, NotSupportedError, VerbError
from ringone_frontend_cli.vboxmanage.running import client_installed, connect
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, choice, option
from ringone_frontend_cli.vboxmanage.vrde import served_at

HEADLESS = "headless"
WINDOWS = frozenset({"gui", "separate"})
"""Types that would open a window. The machine runs without one."""
REMOTE = frozenset({"rdp", "vrde", "vrdp"})
"""Types that serve the remote display whether or not the machine file says so; VirtualBox calls it VRDE, and called it VRDP."""


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
    launch(machine.uuid, context.folder, ("--remote-display",) if kind in REMOTE else ())
    print(f'VM "{shown}" has been successfully started.')
    if kind in REMOTE or machine.loaded.config.remote_display.enabled:
        _tell_remote_display(context, machine)


def _tell_remote_display(context: Context, machine: Machine) -> None:
    try:
        with contextlib.closing(connect(context, machine)) as vm:
            info = vm.remote_display.info()
    except RingOneError as error:  # a machine may be off again by now
        print(f"{context.program}: warning: the remote display cannot be asked for: {error}", file=sys.stderr)
        return
    if info.error:
        print(f"{context.program}: warning: the machine runs without its remote display: {info.error}", file=sys.stderr)
    elif info.enabled:
        print(f"Remote display: {served_at(info)}")


VERBS = (
    Verb(
        name="startvm",
        summary="start machines",
        usage=("<uuid|vmname>... [--type headless|rdp|vrde|gui|separate]",),
        run=start,
        options=(option("--type", parse=choice("gui", "sdl", HEADLESS, *sorted(REMOTE), "separate", "emergencystop")), option("--putenv", "-E")),
        words=(1, None),
    ),
)
