"""Waiting for the guest instead of for a number of seconds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import Discriminator, Tag

from ringone_control_api.attended import while_attended
from ringone_control_api.models import (
    CONDITIONS,
    MatchInfo,
    WaitForIdleScreen,
    WaitForRegex,
    WaitForSerial,
    WaitForSerialRegex,
    WaitForState,
    WaitForText,
    Waiting,
)
from ringone_control_api.problems import documented
from ringone_control_api.served import Served, ServedMachine
from ringone_control_api.waiting import Condition, IdleScreen, InState, ScreenText, SerialText, compile_pattern, wait_for

router = APIRouter()


def _kind(body: Any) -> str | None:
    """The condition that a request names."""
    named = [name for name in CONDITIONS if (name in body if isinstance(body, dict) else hasattr(body, name))]
    return named[0] if len(named) == 1 else None


Wanted = Annotated[
    Annotated[WaitForText, Tag("text")]
    | Annotated[WaitForRegex, Tag("regex")]
    | Annotated[WaitForSerial, Tag("serial")]
    | Annotated[WaitForSerialRegex, Tag("serial_regex")]
    | Annotated[WaitForState, Tag("state")]
    | Annotated[WaitForIdleScreen, Tag("idle_screen")],
    Discriminator(_kind, custom_error_type="condition", custom_error_message=f"Exactly one of these is waited for: {', '.join(CONDITIONS)}"),
    Body(),
]


@router.post("/wait", operation_id="wait", responses=documented(409))
async def wait(machine: Served, request: Request, body: Wanted) -> MatchInfo:
    """Wait for one condition. 408 with the screen's text when it did not come in time; 409 when the machine has ended and it cannot come any more."""
    match = await while_attended(request, wait_for(machine.session, _condition(machine, body), timeout_s=body.timeout_s, clock=body.clock))
    return MatchInfo(text=match.text, groups=list(match.groups), start=match.start, end=match.end, virtual_ns=match.virtual_ns)


def _condition(machine: ServedMachine, wanted: Waiting) -> Condition:
    match wanted:
        case WaitForText():
            return ScreenText.string(wanted.text)
        case WaitForRegex():
            return ScreenText(compile_pattern(wanted.regex))
        case WaitForSerial():
            return SerialText.string(machine.history(wanted.slot), wanted.serial, wanted.since)
        case WaitForSerialRegex():
            return SerialText.regex(machine.history(wanted.slot), wanted.serial_regex, wanted.since)
        case WaitForState():
            return InState(wanted.state)
        case WaitForIdleScreen():
            return IdleScreen(wanted.idle_screen * 1_000_000)
    raise TypeError(wanted)
