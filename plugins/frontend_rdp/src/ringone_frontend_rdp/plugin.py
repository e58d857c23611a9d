"""What frontend_rdp offers to RingOne. Imports nothing heavy: the server is imported when a machine is given one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ringone.api.config import Recording, RemoteDisplay
from ringone.api.frontends import Frontend, FrontendSpec, RecorderFrontend, RemoteDisplayFrontend
from ringone.api.hooks import hookimpl

from ringone_frontend_rdp.config import RdpOptions


def _create(options: RdpOptions) -> Frontend:
    from ringone_frontend_rdp.frontend import RdpFrontend

    return RdpFrontend(options)


def _remote_display(display: RemoteDisplay) -> RemoteDisplayFrontend:
    from ringone_frontend_rdp.frontend import RdpFrontend
    from ringone_frontend_rdp.vrde import options_of

    return RdpFrontend(options_of(display))


def _recorder(recording: Recording) -> RecorderFrontend:
    from ringone_frontend_rdp.recorder import Recorder

    return Recorder(recording)


@hookimpl
def ringone_frontends() -> Iterable[FrontendSpec]:
    yield FrontendSpec(
        name="rdp", summary="the console for RDP clients", options=RdpOptions, create=_create, remote_display=_remote_display, recorder=_recorder
    )


@hookimpl
def ringone_cli_commands(app: Any) -> None:
    from ringone_frontend_rdp.commands import commands

    app.add_typer(commands)
