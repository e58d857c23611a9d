"""Looking into the machine: counters, registers, memory, log; and what can be changed while it runs."""

from __future__ import annotations

import os
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import PlainTextResponse
from ringone.api.errors import ConfigError, DriverError, NotFoundError
from starlette.concurrency import run_in_threadpool

from ringone_control_api.models import CpuOptions, MediumChange, Registers
from ringone_control_api.problems import documented
from ringone_control_api.registers import registers
from ringone_control_api.served import Served

ADDRESS_SPACE_BYTES = 1 << 32
MAX_MEMORY_BYTES = 16 << 20
MAX_LOG_BYTES = 4 << 20

router = APIRouter(responses=documented(409))


class MemoryResponse(Response):
    media_type = "application/octet-stream"


@router.get("/statistics", operation_id="get_statistics")
async def get_statistics(machine: Served) -> dict[str, int]:
    """Counters by VirtualBox's names."""
    return dict(await machine.call(machine.session.statistics))


@router.get("/registers", operation_id="get_registers")
async def get_registers(machine: Served) -> Registers:
    """The processor, between two instructions."""
    return registers(await machine.call(machine.session.registers))


@router.get("/memory", operation_id="read_memory", response_class=MemoryResponse)
async def read_memory(
    machine: Served,
    address: Annotated[int, Query(ge=0, lt=ADDRESS_SPACE_BYTES)],
    size: Annotated[int, Query(ge=1, le=MAX_MEMORY_BYTES)],
) -> MemoryResponse:
    """Physical memory; all ones where there is none, and where devices are. Reading has no effect on the guest."""
    if address + size > ADDRESS_SPACE_BYTES:
        raise ConfigError(f"{size} bytes from {address:#x} on end behind the address space of {ADDRESS_SPACE_BYTES:#x} bytes")
    return MemoryResponse(await machine.call(lambda: machine.session.read_memory(address, size)))


@router.get("/log", operation_id="get_log", response_class=PlainTextResponse, responses=documented(404))
async def get_log(machine: Served) -> PlainTextResponse:
    """The machine's log; where it is long, its end."""
    if machine.log is None:
        raise NotFoundError(f"{machine.session.config.name!r} has no log file")
    return PlainTextResponse(await run_in_threadpool(_end_of, machine.log))


def _end_of(log: FilePath) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LOG_BYTES))
            return file.read(MAX_LOG_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise DriverError(f"{log}: cannot read the log: {error.strerror or error}") from error


@router.put("/media/{drive}", operation_id="change_medium", status_code=204, responses=documented(404))
async def change_medium(machine: Served, drive: Annotated[str, Path(max_length=100, examples=["ide.drive10"])], body: MediumChange) -> Response:
    """Put an image into a CD or floppy drive, named by component and slot, or take out what is in it."""
    image = None if body.image is None else FilePath(body.image)
    await machine.call(lambda: machine.session.change_medium(drive, image))
    return Response(status_code=204)


@router.patch("/cpu/options", operation_id="change_cpu_options")
async def change_cpu_options(machine: Served, body: CpuOptions) -> CpuOptions:
    """Give the processor other values for some of its options, as in ``--cpu NAME:option=value``; answers with all that were ever given."""
    return CpuOptions(options=dict(await machine.call(lambda: machine.session.change_cpu_options(body.options))))
