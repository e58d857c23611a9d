"""Checkpoints: the whole state kept in memory, to go back to in milliseconds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from ringone_control_api.models import Checkpoint
from ringone_control_api.problems import documented
from ringone_control_api.served import Served, ServedMachine

router = APIRouter(responses=documented(409))

Number = Annotated[int, Path(ge=0, le=1 << 62)]


@router.post("/checkpoints", operation_id="take_checkpoint", status_code=201)
async def take_checkpoint(machine: Served) -> Checkpoint:
    """Keep the whole state, fixed disks included. While there are checkpoints, what the guest writes to fixed disks stays in memory."""

    def take() -> Checkpoint:
        return _checkpoint(machine, machine.session.take_checkpoint())

    return await machine.call(take)


@router.post("/checkpoints/{id}/roll-back", operation_id="roll_back", responses=documented(404))
async def roll_back(machine: Served, id: Number) -> Checkpoint:
    """Back to a checkpoint, which can be gone back to again; later ones are forgotten. The machine goes on running or stays paused as it was."""

    def roll() -> Checkpoint:
        machine.session.roll_back(id)
        return _checkpoint(machine, id)

    return await machine.call(roll)


@router.delete("/checkpoints/{id}", operation_id="drop_checkpoint", status_code=204, responses=documented(404))
async def drop_checkpoint(machine: Served, id: Number) -> Response:
    """Forget a checkpoint; the machine stays as it is."""
    await machine.call(lambda: machine.session.drop_checkpoint(id))
    return Response(status_code=204)


def _checkpoint(machine: ServedMachine, number: int) -> Checkpoint:
    return Checkpoint(id=number, serial_positions={slot: history.end for slot, history in machine.serial.items()})
