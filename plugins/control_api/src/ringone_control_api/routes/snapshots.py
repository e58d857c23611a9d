"""Snapshots on disk and the saved state, of machines that live in a home. Each is named by its UUID or, where only one has it, its name.

What takes long tells the event stream how far it is (`OperationProgress`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import attrs
from fastapi import APIRouter, Path, Response
from ringone.api.errors import ConfigError
from ringone.api.media import Progress
from ringone.api.settings import MachineSettings, SnapshotRecord
from starlette.concurrency import run_in_threadpool

from ringone_control_api.models import NewSnapshot, Snapshot, SnapshotChange
from ringone_control_api.problems import documented
from ringone_control_api.served import Served, ServedMachine

router = APIRouter(responses=documented(409, 507))

Name = Annotated[str, Path(min_length=1, max_length=1024)]
T = TypeVar("T")


@attrs.frozen
class OperationProgress:
    """An event: how far something is that takes long, from 0 to 1."""

    operation: str
    subject: str
    done: float


async def _operate(machine: ServedMachine, operation: str, subject: str, work: Callable[[Progress], T]) -> T:
    told = -1

    def progress(done: float) -> None:
        nonlocal told
        percent = int(100 * done)
        if percent != told:
            told = percent
            machine.events.publish(OperationProgress(operation, subject, round(done, 2)))

    return await run_in_threadpool(work, progress)


@router.get("/snapshots", operation_id="list_snapshots")
async def list_snapshots(machine: Served) -> list[Snapshot]:
    """The tree, each snapshot before those that stand on it."""
    settings = await run_in_threadpool(machine.keeper.settings)
    return list(_listed(settings, settings.snapshot, None))


@router.post("/snapshots", operation_id="take_snapshot", status_code=201)
async def take_snapshot(machine: Served, body: NewSnapshot) -> Snapshot:
    """Keep the machine's state and disks. The guest waits only while its state is copied."""
    keeper = machine.keeper
    record = await _operate(machine, "take_snapshot", body.name, lambda progress: keeper.take_snapshot(body.name, body.description, progress))
    return await _found(machine, record)


@router.post("/snapshots/{id}/restore", operation_id="restore_snapshot", status_code=204, responses=documented(404))
async def restore_snapshot(machine: Served, id: Name) -> Response:
    """Put the machine back in place. It goes on running or stays paused as it was."""
    keeper = machine.keeper
    await _operate(machine, "restore_snapshot", id, lambda progress: keeper.restore_snapshot(id, progress))
    return Response(status_code=204)


@router.patch("/snapshots/{id}", operation_id="edit_snapshot", responses=documented(404))
async def edit_snapshot(machine: Served, id: Name, body: SnapshotChange) -> Snapshot:
    """Give it another name or description."""
    keeper = machine.keeper
    record = await run_in_threadpool(lambda: keeper.edit_snapshot(id, name=body.name, description=body.description))
    return await _found(machine, record)


@router.delete("/snapshots/{id}", operation_id="delete_snapshot", status_code=204, responses=documented(404))
async def delete_snapshot(machine: Served, id: Name) -> Response:
    """Forget it; its images are merged into those that stand on them."""
    keeper = machine.keeper
    await _operate(machine, "delete_snapshot", id, lambda progress: keeper.delete_snapshot(id, progress))
    return Response(status_code=204)


@router.post("/machine/save", operation_id="save", status_code=204)
async def save(machine: Served) -> Response:
    """Save the state to disk and power off: the next start goes on from here."""
    await _operate(machine, "save", machine.session.config.name, machine.keeper.save_state)
    return Response(status_code=204)


async def _found(machine: ServedMachine, record: SnapshotRecord) -> Snapshot:
    listed = {snapshot.uuid: snapshot for snapshot in await list_snapshots(machine)}
    if record.uuid not in listed:
        raise ConfigError(f"snapshot {record.name!r} was deleted meanwhile")
    return listed[record.uuid]


def _listed(settings: MachineSettings, record: SnapshotRecord | None, parent: str | None) -> Iterator[Snapshot]:
    if record is None:
        return
    yield Snapshot(
        uuid=record.uuid,
        name=record.name,
        description=record.description,
        taken=record.taken,
        online=record.state_file is not None,
        parent=parent,
        current=record.uuid == settings.current_snapshot,
    )
    for child in record.children:
        yield from _listed(settings, child, record.uuid)
