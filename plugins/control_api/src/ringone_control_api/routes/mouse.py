"""The mouse: a PS/2 mouse, which tells the guest how far it moved and never where it is."""

from __future__ import annotations

from fastapi import APIRouter, Response
from ringone.api.errors import UnsupportedError

from ringone_control_api.models import MouseMove, MousePlace
from ringone_control_api.problems import documented
from ringone_control_api.served import Served

router = APIRouter()


@router.post("/mouse", operation_id="move_mouse", status_code=204, responses=documented(409))
async def move_mouse(machine: Served, body: MouseMove | MousePlace) -> Response:
    """Move, turn the wheel, and press or release buttons. Places on the screen (x, y) are refused with 422: a PS/2 mouse cannot say them, and where its
    movements bring the pointer (acceleration, edges) is known to the guest alone."""
    if isinstance(body, MousePlace):
        raise UnsupportedError(
            f"x and y: the machine has a PS/2 mouse, which tells the guest how far it moved and not where it is ({body.x}, {body.y}); accepted: dx, dy, wheel"
        )
    await machine.call(lambda: machine.session.move_mouse(body.dx, body.dy, body.wheel, body.buttons))
    return Response(status_code=204)
