"""Keys: as scan codes, by name, and as text in a layout. No key is lost: whoever sends more than the guest takes waits."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ringone_control_api.attended import while_attended
from ringone_control_api.models import KeyboardInfo, Keys, Scancodes, Text, Typed
from ringone_control_api.problems import documented
from ringone_control_api.served import Served

router = APIRouter()


@router.get("/keyboard", operation_id="get_keyboard", responses=documented(409))
async def get_keyboard(machine: Served) -> KeyboardInfo:
    """The lights, and how much the guest has still to take."""
    session = machine.session
    leds, pending = await machine.call(lambda: (session.keyboard_leds(), session.keyboard_pending()))
    return KeyboardInfo(leds=leds, pending=pending)


@router.post("/keyboard/scancodes", operation_id="put_scancodes", status_code=204, responses=documented(409))
async def put_scancodes(machine: Served, body: Scancodes) -> Response:
    """Set-1 make and break codes, as the keyboard sends them. They are queued for the guest as they are."""
    await machine.call(lambda: machine.session.put_scancodes(bytes(body.codes)))
    return Response(status_code=204)


@router.post("/keyboard/keys", operation_id="press_keys", status_code=204, responses=documented(409))
async def press_keys(machine: Served, request: Request, body: Keys) -> Response:
    """Key combinations, one after the other, such as ``ctrl+alt+f1``. Answers when the guest has taken them."""
    await while_attended(request, machine.typist.press(body.keys, body.layout))
    return Response(status_code=204)


@router.post("/keyboard/text", operation_id="type_text", responses=documented(409))
async def type_text(machine: Served, request: Request, body: Text) -> Typed:
    """Type a text. Answers when the guest has taken all of it."""
    return Typed(characters=await while_attended(request, machine.typist.type(body.text, body.layout)))
