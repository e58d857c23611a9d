"""startvm: returns when the machines run, each in a process of its own."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from ringone.api.errors import ConfigError, RingOneError

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import INVALID_OBJECT_STATE, SYNTAX_EXIT_CODE, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.running import client_installed, connect
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, choice, option
from ringone_frontend_cli.vboxmanage.vrde import served_at

HEADLESS = "headless"
WINDOWS = frozenset({"gui", "separate"})
"""Types that would open a window. The machine runs without one."""
REMOTE = frozenset({"rdp", "vrde", "vrdp"})
"""Types that serve the remote display whether or not the machine file says so; VirtualBox calls it VRDE, and called it VRDP."""


def start(context: Context, arguments: Arguments) -> int | None:
    kind = arguments.get("--type", "gui")
    if kind == "emergencystop":
        raise NotSupportedError("startvm --type emergencystop is not supported; accepted: controlvm NAME poweroff")
    if kind == "sdl":
        raise NotSupportedError("startvm --type sdl is not supported: there are no windows", "headless, gui, separate")
    if arguments.has("--putenv"):
        raise NotSupportedError("startvm --putenv is not supported: machines have the environment of whoever starts them")
    record = arguments.get("--record")
    if record is not None and len(arguments.words) > 1:
        raise VerbSyntaxError("--record makes a video of one machine; accepted: one name")
    try:
        video = None if record is None else _new_video(context, record)
    except ConfigError as error:
        print(f"{context.program}: error: --record: {error}", file=sys.stderr)
        return SYNTAX_EXIT_CODE
    for name in arguments.words:
        _start(context, name, kind, video)
    return None


def _new_video(context: Context, record: str) -> Path:
    from ringone.home.recording import check_new

    file = Path(record).absolute()
    check_new(file, context.registry.frontends())
    return file


def _start(context: Context, name: str, kind: str, record: Path | None) -> None:
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
    options = (*(("--remote-display",) if kind in REMOTE else ()), *(("--record", str(record)) if record is not None else ()))
    launch(machine.uuid, context.folder, options)
    print(f'VM "{shown}" has been successfully started.')
    config = machine.loaded.config
    if kind in REMOTE or config.remote_display.enabled or config.recording.enabled:
        _tell_what_is_seen(context, machine)


def _tell_what_is_seen(context: Context, machine: Machine) -> None:
    try:
        with contextlib.closing(connect(context, machine)) as vm:
            display, recording = vm.remote_display.info(), vm.recording.info()
    except RingOneError as error:  # a machine may be off again by now
        print(f"{context.program}: warning: the machine cannot be asked for its remote display and its recording: {error}", file=sys.stderr)
        return
    if display.error:
        print(f"{context.program}: warning: the machine runs without its remote display: {display.error}", file=sys.stderr)
    elif display.enabled:
        print(f"Remote display: {served_at(display)}")
    if recording.error:
        print(f"{context.program}: warning: the machine runs without being recorded: {recording.error}", file=sys.stderr)
    elif recording.recording:
        print(f"Recording: {recording.file}")


VERBS = (
    Verb(
        name="startvm",
        summary="start machines",
        usage=("<uuid|vmname>... [--type headless|rdp|vrde|gui|separate] [--record <file>]",),
        run=start,
        options=(
            option("--type", parse=choice("gui", "sdl", HEADLESS, *sorted(REMOTE), "separate", "emergencystop")),
            option("--putenv", "-E"),
            option("--record"),
        ),
        words=(1, None),
    ),
)
