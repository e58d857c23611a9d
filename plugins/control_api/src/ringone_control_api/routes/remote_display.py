"""The remote display of a machine of a home: where the screen is served over the network, and to whom."""

from __future__ import annotations

from fastapi import APIRouter
from ringone.api.errors import StateError
from ringone.api.remotedisplay import RemoteDisplayControl
from ringone.api.remotedisplay import RemoteDisplayInfo as Known
from starlette.concurrency import run_in_threadpool

from ringone_control_api.models import RemoteClient, RemoteDisplayChange, RemoteDisplayInfo
from ringone_control_api.problems import documented
from ringone_control_api.served import Served, ServedMachine

router = APIRouter(responses=documented(409))


@router.get("/remote-display", operation_id="get_remote_display")
async def get_remote_display(machine: Served) -> RemoteDisplayInfo:
    """Whether and where it is served, and who looks at it."""
    return _told(await run_in_threadpool(_control(machine).info))


@router.patch("/remote-display", operation_id="change_remote_display", responses=documented(507))
async def change_remote_display(machine: Served, body: RemoteDisplayChange) -> RemoteDisplayInfo:
    """Now and in the machine file. Clients are disconnected where it is served otherwise afterwards. What cannot be served changes nothing."""
    control = _control(machine)
    return _told(await run_in_threadpool(lambda: control.change(enabled=body.enabled, properties=body.properties)))


def _control(machine: ServedMachine) -> RemoteDisplayControl:
    control = machine.session.remote_display
    if control is None:
        raise StateError(f"{machine.session.config.name!r} has no remote display: that have machines of a home, once they have started")
    return control


def _told(known: Known) -> RemoteDisplayInfo:
    endpoint = known.endpoint
    clients = () if endpoint is None else endpoint.clients
    return RemoteDisplayInfo(
        enabled=known.display.enabled,
        port=known.port,
        address="" if endpoint is None else endpoint.address,
        fingerprint="" if endpoint is None else endpoint.fingerprint,
        error=known.error,
        clients=[RemoteClient(address=client.address, user=client.user) for client in clients],
        clients_so_far=0 if endpoint is None else endpoint.clients_so_far,
        sent_bytes=0 if endpoint is None else endpoint.sent_bytes,
        received_bytes=0 if endpoint is None else endpoint.received_bytes,
        properties=dict(known.display.properties),
    )
