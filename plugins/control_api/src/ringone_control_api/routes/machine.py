"""The machine itself: what it is, and what its front panel does."""

from __future__ import annotations

import os
from collections.abc import Callable

from fastapi import APIRouter
from ringone.api.frontends import VmSession

from ringone_control_api.models import MachineInfo
from ringone_control_api.problems import documented
from ringone_control_api.served import Served, ServedMachine

router = APIRouter(tags=["machine"])


async def _info(machine: ServedMachine, action: Callable[[VmSession], None]) -> MachineInfo:
    """How the machine is after `action`."""
    session = machine.session

    def act() -> MachineInfo:
        action(session)
        config = session.config
        return MachineInfo(
            name=config.name,
            uuid=config.uuid,
            os_type=config.os_type,
            memory_bytes=config.memory_bytes,
            state=session.state,
            reason=machine.reason,
            error=None if session.error is None else str(session.error),
            pid=os.getpid(),
            backend=config.cpu.backend,
            virtual_ns=session.virtual_ns(),
            uptime_s=machine.uptime_s,
        )

    return await machine.call(act)


@router.get("/machine", operation_id="get_machine")
async def get_machine(machine: Served) -> MachineInfo:
    """What the machine is, and its state."""
    return await _info(machine, lambda session: None)


@router.post("/machine/pause", operation_id="pause", responses=documented(409))
async def pause(machine: Served) -> MachineInfo:
    """Stop the guest and its clock."""
    return await _info(machine, lambda session: session.pause())


@router.post("/machine/resume", operation_id="resume", responses=documented(409))
async def resume(machine: Served) -> MachineInfo:
    """Go on after a pause."""
    return await _info(machine, lambda session: session.resume())


@router.post("/machine/reset", operation_id="reset", responses=documented(409))
async def reset(machine: Served) -> MachineInfo:
    """The reset button."""
    return await _info(machine, lambda session: session.reset())


@router.post("/machine/power-button", operation_id="press_power_button", responses=documented(409))
async def press_power_button(machine: Served) -> MachineInfo:
    """Press the ACPI power button; what comes of it is the guest's affair."""
    return await _info(machine, lambda session: session.press_power_button())


@router.post("/machine/power-off", operation_id="power_off", responses=documented(409))
async def power_off(machine: Served) -> MachineInfo:
    """Pull the plug. The machine's process, and with it this API, ends a moment later, unless it was started to stay."""
    return await _info(machine, lambda session: session.power_off())


@router.post("/machine/nmi", operation_id="inject_nmi", responses=documented(409))
async def inject_nmi(machine: Served) -> MachineInfo:
    """A non-maskable interrupt."""
    return await _info(machine, lambda session: session.inject_nmi())
