"""snapshot and discardstate, for machines that run and for those that are off.

Unlike VirtualBox's, a running machine goes back to a snapshot in place and runs on.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Set
from typing import TYPE_CHECKING, TypeVar

import attrs
from ringone.api.media import Progress
from ringone.api.settings import MachineSettings, SnapshotRecord

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import INVALID_OBJECT_STATE, OBJECT_NOT_FOUND, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.info import machine_rows, snapshot_lines
from ringone_frontend_cli.vboxmanage.output import Style, lines
from ringone_frontend_cli.vboxmanage.running import client
from ringone_frontend_cli.vboxmanage.states import State
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, branches, flag, option

if TYPE_CHECKING:
    from ringone.client import Machine as Client
    from ringone.home.offline import OfflineKeeper

T = TypeVar("T")

UNIQUE_WORDS = ("number", "timestamp", "space", "force")


@contextlib.contextmanager
def at_rest(context: Context, machine: Machine, purpose: str) -> Iterator[OfflineKeeper]:
    from ringone.home.offline import machine_at_rest

    with machine_at_rest(context.home, machine.registered, context.registry.media_formats(), purpose) as keeper:
        yield keeper


def find_snapshot(settings: MachineSettings, wanted: str) -> SnapshotRecord:
    """By UUID, or by name: of several with the name the first, as VirtualBox does."""
    identity = wanted.strip("{}").lower()
    for snapshot in settings.snapshots():
        if snapshot.uuid == identity or snapshot.name == wanted:
            return snapshot
    if settings.snapshot is None:
        raise VerbError("This machine does not have any snapshots", OBJECT_NOT_FOUND)
    raise VerbError(f"Could not find a snapshot named '{wanted}'", OBJECT_NOT_FOUND)


def current(settings: MachineSettings) -> SnapshotRecord:
    if not settings.current_snapshot:
        raise VerbError("This machine does not have any snapshots", OBJECT_NOT_FOUND)
    return find_snapshot(settings, settings.current_snapshot)


def take(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    name = unique_name(arguments.words[1], {snapshot.name for snapshot in machine.loaded.snapshots()}, arguments.get("--uniquename", ""))
    description = arguments.get("--description", "")
    identity = _both(
        context,
        machine,
        "taking a snapshot",
        online=lambda vm: vm.snapshots.take(name, description).uuid,
        offline=lambda keeper, progress: keeper.take_snapshot(name, description, progress).uuid,
    )
    print(f"Snapshot taken. UUID: {identity}")


def unique_name(name: str, taken: Set[str], how: str) -> str:
    words = {word.strip().lower() for word in how.split(",") if word.strip()}
    for word in words - set(UNIQUE_WORDS):
        raise VerbSyntaxError(f"Invalid value '{word}' for option '--uniquename'; accepted: {', '.join(UNIQUE_WORDS)}")
    if not words or (name not in taken and "force" not in words):
        return name
    space = " " if "space" in words else ""
    if "timestamp" in words:
        return f"{name}{space}{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"
    number = 1
    while f"{name}{space}{number}" in taken:
        number += 1
    return f"{name}{space}{number}"


def restore(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    _restore(context, machine, find_snapshot(machine.loaded, arguments.words[1]))


def restore_current(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    _restore(context, machine, current(machine.loaded))


def _restore(context: Context, machine: Machine, snapshot: SnapshotRecord) -> None:
    print(f"Restoring snapshot '{snapshot.name}' ({snapshot.uuid})", flush=True)
    _both(
        context,
        machine,
        "restoring a snapshot",
        online=lambda vm: vm.snapshots.restore(snapshot.uuid),
        offline=lambda keeper, progress: keeper.restore_snapshot(snapshot.uuid, progress),
    )


def delete(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    snapshot = find_snapshot(machine.loaded, arguments.words[1])
    print(f"Deleting snapshot '{snapshot.name}' ({snapshot.uuid})", flush=True)
    _both(
        context,
        machine,
        "deleting a snapshot",
        online=lambda vm: vm.snapshots.delete(snapshot.uuid),
        offline=lambda keeper, progress: keeper.delete_snapshot(snapshot.uuid, progress),
    )


def edit(context: Context, arguments: Arguments) -> None:
    name, *wanted = arguments.words
    machine = context.machine(name)
    if bool(wanted) == arguments.has("--current"):
        raise VerbSyntaxError("Give a snapshot or --current")
    snapshot = current(machine.loaded) if arguments.has("--current") else find_snapshot(machine.loaded, wanted[0])
    changes = {"name": arguments.get("--name"), "description": arguments.get("--description")}
    if machine.is_online:
        with client(context, machine) as vm:
            vm.snapshots.edit(snapshot.uuid, **changes)
        return
    with at_rest(context, machine, "editing a snapshot") as keeper:
        keeper.edit_snapshot(snapshot.uuid, **changes)


def _both(context: Context, machine: Machine, purpose: str, online: Callable[[Client], T], offline: Callable[[OfflineKeeper, Progress], T]) -> T:
    """Done by the machine's process where it runs, else here."""
    progress = context.progress()
    progress(0)
    if machine.is_online:
        with client(context, machine) as vm:
            result = online(vm)
    else:
        with at_rest(context, machine, purpose) as keeper:
            result = offline(keeper, progress)
    progress(1)
    return result


def list_snapshots(context: Context, arguments: Arguments) -> int:
    settings = context.machine(arguments.words[0]).loaded
    if settings.snapshot is None:
        print("This machine does not have any snapshots")
        return 1
    style = Style.MACHINE_READABLE if arguments.has("--machinereadable") else Style.DETAILS
    for line in snapshot_lines(settings, style):
        print(line)
    return 0


def show(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    snapshot = find_snapshot(machine.loaded, arguments.words[1])
    settings = attrs.evolve(
        machine.loaded, config=snapshot.config, state_file=snapshot.state_file, last_state_change=snapshot.taken, snapshot=None, aborted=False
    )
    state = State.SAVED if snapshot.state_file is not None else State.POWERED_OFF
    view = attrs.evolve(context.view(machine), settings=settings, state=state, session="", video_mode=None)
    for line in lines(machine_rows(view), Style.DETAILS):
        print(line)


def discard_state(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    if machine.state is not State.SAVED:
        raise VerbError(f"The machine '{machine.registered.name}' is not in the saved state", INVALID_OBJECT_STATE)
    with at_rest(context, machine, "discarding its saved state") as keeper:
        keeper.discard_state()


DESCRIPTION = option("--description", "--desc")

VERBS = (
    branches(
        "snapshot",
        "take, restore, delete, edit and show snapshots",
        1,
        (
            Verb(
                name="take",
                summary="",
                usage=("<name> [--description <text>] [--live] [--uniquename Number,Timestamp,Space,Force]",),
                run=take,
                options=(DESCRIPTION, option("--live", parse=flag), option("--pause", parse=flag), option("--uniquename")),
                words=(2, 2),
            ),
            Verb(name="delete", summary="", usage=("<uuid|snapname>",), run=delete, words=(2, 2)),
            Verb(name="discard", summary="", usage=("<uuid|snapname>",), run=delete, words=(2, 2)),
            Verb(name="restore", summary="", usage=("<uuid|snapname>",), run=restore, words=(2, 2)),
            Verb(name="restorecurrent", summary="", usage=("",), run=restore_current, words=(1, 1)),
            Verb(
                name="edit",
                summary="",
                usage=("<uuid|snapname>|--current [--name <name>] [--description <text>]",),
                run=edit,
                options=(option("--current", parse=flag), option("--name"), DESCRIPTION),
                words=(1, 2),
            ),
            Verb(
                name="list",
                summary="",
                usage=("[--details|--machinereadable]",),
                run=list_snapshots,
                options=(option("--details", parse=flag), option("--machinereadable", parse=flag)),
                words=(1, 1),
            ),
            Verb(name="showvminfo", summary="", usage=("<uuid|snapname>",), run=show, words=(2, 2)),
        ),
    ),
    Verb(name="discardstate", summary="forget a saved state", usage=("<uuid|vmname>",), run=discard_state, words=(1, 1)),
)
