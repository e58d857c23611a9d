"""What control_api offers to RingOne. Imports nothing heavy: the server is imported when a machine is given one."""

from __future__ import annotations

from collections.abc import Iterable

from ringone.api.frontends import Frontend, FrontendSpec
from ringone.api.hooks import hookimpl

from ringone_control_api.config import ControlApiOptions


def _create(options: ControlApiOptions) -> Frontend:
    from ringone_control_api.server import ControlApi

    return ControlApi(options)


@hookimpl
def ringone_frontends() -> Iterable[FrontendSpec]:
    yield FrontendSpec(name="control-api", summary="HTTP on a Unix-domain socket", options=ControlApiOptions, create=_create)
