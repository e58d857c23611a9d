"""Serial ports, both ways, whatever the machine file connects them to as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from ringone.api.errors import StateError

from ringone_control_api.bell import Bell
from ringone_control_api.models import Position, SentBytes, Slot
from ringone_control_api.problems import documented
from ringone_control_api.served import Served, ServedMachine

BYTES = "application/octet-stream"
POSITION = "Serial-Position"
LOOK_S = 5.0

router = APIRouter(responses=documented(404))


class BytesResponse(StreamingResponse):
    media_type = BYTES


@router.get("/serial/{slot}", operation_id="read_serial", response_class=BytesResponse, responses={200: {"description": "What the guest said"}})
async def read_serial(machine: Served, slot: Slot, since: Annotated[Position, Query()] = 0, follow: Annotated[bool, Query()] = False) -> Response:
    """What the guest has said from position `since` on, as far as it is kept; with `follow`, what it says from now on too, until the machine's process ends
    (or bytes were lost because they were not read in time). The header ``Serial-Position`` is the position of the first byte."""
    start, said = machine.history(slot).read(since)
    headers = {POSITION: str(start)}
    if not follow:
        return Response(said, media_type=BYTES, headers=headers)
    return BytesResponse(_followed(machine, slot, start, said), headers=headers)


async def _followed(machine: ServedMachine, slot: int, position: int, said: bytes) -> AsyncIterator[bytes]:
    history, bell = machine.history(slot), Bell()
    forget = history.listen(bell.ring)
    try:
        while True:
            if said:
                yield said
                position += len(said)
            bell.answer()
            start, said = history.read(position)
            if start != position or (not said and machine.closed):
                return
            if not said:
                await bell.wait(LOOK_S)
    finally:
        forget()


@router.post(
    "/serial/{slot}",
    operation_id="write_serial",
    responses=documented(409),
    openapi_extra={"requestBody": {"required": True, "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def write_serial(machine: Served, slot: Slot, request: Request) -> SentBytes:
    """Say the body's bytes to the guest, which takes them in its time. 409 where it has left too many untaken."""
    machine.history(slot)
    if machine.ended:
        raise StateError(f"the machine is {machine.session.state.value}; nobody reads its serial ports")
    return SentBytes(pending=machine.session.serial_lines[slot].send(await request.body()))
