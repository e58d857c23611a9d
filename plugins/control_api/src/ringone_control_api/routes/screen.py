"""What the guest shows: as a picture, as pixels, and in text modes as the exact text."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from ringone.api.console import TextScreen
from ringone.api.errors import StateError
from starlette.concurrency import run_in_threadpool

from ringone_control_api.models import ScreenCells
from ringone_control_api.problems import documented
from ringone_control_api.screen import cells
from ringone_control_api.served import Served, ServedMachine

router = APIRouter()


class PngResponse(Response):
    media_type = "image/png"


class PixelsResponse(Response):
    media_type = "application/octet-stream"


@router.get("/screen.png", operation_id="get_screen_png", response_class=PngResponse, responses=documented(409))
async def get_screen_png(machine: Served) -> PngResponse:
    """The screen as it is, paused or not."""
    frame = await machine.call(machine.session.frame)
    return PngResponse(await run_in_threadpool(machine.pictures.png, frame))


@router.get("/screen.rgb", operation_id="get_screen_rgb", response_class=PixelsResponse, responses=documented(409))
async def get_screen_rgb(machine: Served) -> PixelsResponse:
    """The pixels, three bytes each, row by row; the headers ``Ringone-Screen-Width`` and ``Ringone-Screen-Height`` tell the size."""
    frame = await machine.call(machine.session.frame)
    size = {"Ringone-Screen-Width": str(frame.width), "Ringone-Screen-Height": str(frame.height)}
    return PixelsResponse(frame.pixels, headers=size)


@router.get("/screen/text", operation_id="get_screen_text", response_class=PlainTextResponse, responses=documented(409))
async def get_screen_text(machine: Served) -> PlainTextResponse:
    """The text on the screen, one line a row, without the blanks at their ends. 409 in graphics modes."""
    return PlainTextResponse((await _text(machine)).text())


@router.get("/screen/cells", operation_id="get_screen_cells", responses=documented(409))
async def get_screen_cells(machine: Served) -> ScreenCells:
    """Every character with its attribute, the cursor and the palette. 409 in graphics modes."""
    return ScreenCells.model_validate(cells(await _text(machine)))


async def _text(machine: ServedMachine) -> TextScreen:
    screen = await machine.call(machine.session.text_screen)
    if screen is None:
        raise StateError("the screen is in a graphics mode, and text is read from text modes only")
    return screen
