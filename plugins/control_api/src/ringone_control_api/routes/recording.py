"""The recording of the screen: whether and into which file a video is made."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from ringone.api.errors import StateError
from ringone.api.recording import RecordingChange as Change
from ringone.api.recording import RecordingControl
from ringone.api.recording import RecordingInfo as Known
from starlette.concurrency import run_in_threadpool

from ringone_control_api.models import RecordingChange, RecordingInfo
from ringone_control_api.problems import documented
from ringone_control_api.served import Served, ServedMachine

router = APIRouter(responses=documented(409))


@router.get("/recording", operation_id="get_recording")
async def get_recording(machine: Served) -> RecordingInfo:
    """Whether the screen is recorded, and into which file."""
    return _told(await run_in_threadpool(_control(machine).info))


@router.patch("/recording", operation_id="change_recording", responses=documented(507))
async def change_recording(machine: Served, body: RecordingChange) -> RecordingInfo:
    """Now and in the machine file. A video that was switched off is whole then. While one is made, it can only be switched off. What cannot be recorded
    changes nothing."""
    control = _control(machine)
    file = None if body.file is None else Path(body.file)
    change = Change(enabled=body.enabled, file=file, width=body.width, height=body.height, fps=body.fps)
    return _told(await run_in_threadpool(lambda: control.change(change)))


def _control(machine: ServedMachine) -> RecordingControl:
    control = machine.session.recording
    if control is None:
        raise StateError(f"nobody sees to recordings of {machine.session.config.name!r}: that have machines of a home, once they have started")
    return control


def _told(known: Known) -> RecordingInfo:
    wanted = known.recording
    return RecordingInfo(
        enabled=wanted.enabled,
        recording=known.file is not None,
        file=str(known.file or wanted.file or ""),
        width=wanted.width,
        height=wanted.height,
        fps=wanted.fps,
        error=known.error,
    )
