"""Whatever the OpenAPI document allows, and much that it does not, is asked of a real machine: no answer says that a part of RingOne failed, and all are as the
document says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from ringone.api.events import MachineState
from ringone.api.frontends import VmSession
from ringone.api.media import NewMedium, clone_medium
from ringone.api.settings import MachineSettings
from ringone.home import Home, LockMode
from ringone.home.running import prepare_to_run
from ringone.machine import Session
from ringone.plugins import PluginRegistry
from ringone_control_api.app import create_app
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from guests.echo import machine as echo
from guests.echo import write_image

from .conftest import served

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = int(os.environ.get("RINGONE_FUZZ_EXAMPLES", "5"))
STREAMS = {"/events"}
"""They have no end."""

app = create_app()
Case: TypeAlias = "schemathesis.Case[Any]"
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, registry: PluginRegistry) -> Iterator[VmSession]:
    """A machine of a home, which has snapshots too."""
    folder = tmp_path_factory.mktemp("echo")
    formats = registry.media_formats()
    clone_medium(formats["raw"], [write_image(folder / "echo.img")], formats["vdi"], NewMedium(path=folder / "echo.vdi"))
    home = Home.open(folder / "home", registry)
    registered = home.register(home.create(MachineSettings(config=echo(folder / "echo.vdi"))))
    with home.lock(registered, LockMode.RUN, "running it") as lock:
        prepared = prepare_to_run(home, registered, lock, formats)
        with served(prepared.config, registry) as guest:
            app.state.machine = guest.api._machine
            assert isinstance(guest.session, Session)
            prepared.start(guest.session)
            yield guest.session


@pytest.fixture
def machine(started: VmSession) -> VmSession:
    """In spite of what the operation before did to it."""
    if started.state is MachineState.RUNNING:
        started.reset()
    make_run(started)
    return started


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_operation_answers_as_documented(case: Case, machine: VmSession) -> None:
    if case.path in STREAMS:
        pytest.skip("it has no end")
    shorten(case)
    make_run(machine)
    response = case.call()
    case.validate_response(response, checks=CHECKS)


def make_run(session: VmSession) -> None:
    match session.state:
        case MachineState.POWERED_OFF:
            session.start()
        case MachineState.PAUSED:
            session.resume()
        case MachineState.STUCK:
            session.reset()


def shorten(case: Case) -> None:
    """What would take long, without changing what is right or wrong about it."""
    case.query.pop("follow", None)
    body: Any = case.body
    if not isinstance(body, dict):
        return
    if case.path == "/wait":
        if isinstance(body.setdefault("timeout_s", 0.01), (int, float)):
            body["timeout_s"] = min(body["timeout_s"], 0.01)
        if body.get("clock", "guest") == "guest":
            body["clock"] = "wall"
    for name in ("text", "keys"):
        if isinstance(body.get(name), (str, list)):
            body[name] = body[name][:3]
