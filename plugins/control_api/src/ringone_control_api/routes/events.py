"""What happens to the machine, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from ringone_control_api.event_hub import Dropped, Event, Listener
from ringone_control_api.served import Served

SILENCE_S = 15.0

router = APIRouter()


class EventStreamResponse(StreamingResponse):
    media_type = "text/event-stream"


@router.get("/events", operation_id="follow_events", response_class=EventStreamResponse)
async def follow_events(machine: Served) -> EventStreamResponse:
    """Everything from now on, until the machine's process ends. An event's name is the class of what happened (``StateChanged``, ``MachineReset``,
    ``SnapshotTaken``, ``OperationProgress`` ...), its data what that says, its id a number without gaps. A client that reads too slowly gets ``Dropped`` with
    the number of the first event that it missed, and the stream ends. Comments keep silent streams alive."""
    return EventStreamResponse(_stream(machine.events.listener()), headers={"Cache-Control": "no-store"})


async def _stream(listener: Listener) -> AsyncIterator[str]:
    yield ": listening\n\n"
    while (heard := await listener.heard(SILENCE_S)) is not None:
        yield "".join(_written(event) for event in heard) or ": nothing\n\n"


def _written(event: Event | Dropped) -> str:
    if isinstance(event, Dropped):
        return f"event: Dropped\ndata: {json.dumps({'missed': event.missed})}\n\n"
    return f"id: {event.number}\nevent: {event.name}\ndata: {json.dumps(event.fields)}\n\n"
