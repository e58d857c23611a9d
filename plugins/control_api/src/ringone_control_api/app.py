"""The application: its routes, and what holds for all of them."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from ringone.api.errors import ConfigError, RingOneError
from starlette.exceptions import HTTPException

from ringone_control_api import problems
from ringone_control_api.limits import BodyLimits
from ringone_control_api.routes import checkpoints, events, insight, keyboard, machine, mouse, recording, remote_display, screen, serial, snapshots, wait

SUMMARY = "Drive a running machine: its state, keyboard, mouse, screen, serial ports, snapshots and events."
SECTIONS: tuple[tuple[str, APIRouter, str], ...] = (
    ("machine", machine.router, "The machine and its front panel"),
    ("keyboard", keyboard.router, "Keys, at the guest's pace"),
    ("mouse", mouse.router, "The mouse"),
    ("screen", screen.router, "What the guest shows"),
    ("remote display", remote_display.router, "The screen for others, over the network"),
    ("recording", recording.router, "A video of the screen"),
    ("waiting", wait.router, "Waiting for the guest"),
    ("serial", serial.router, "Serial ports"),
    ("checkpoints", checkpoints.router, "States in memory"),
    ("snapshots", snapshots.router, "States on disk"),
    ("insight", insight.router, "Counters, registers, memory, log, media"),
    ("events", events.router, "What happens"),
)


def create_app() -> FastAPI:
    """Before the first request, `app.state.machine` is set to a `ServedMachine`; the OpenAPI document needs none."""
    app = FastAPI(
        title="RingOne control API",
        summary=SUMMARY,
        version=metadata.version("ringone-control-api"),
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(_refuse_unknown_parameters)],
        responses=problems.documented(400, 408, 413, 422, 500),
    )
    for name, router, _ in SECTIONS:
        app.include_router(router, tags=[name])
    app.add_middleware(BodyLimits)
    app.add_exception_handler(RingOneError, problems.on_ringone_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(RequestValidationError, problems.on_bad_request)
    app.add_exception_handler(Exception, problems.on_bug)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _refuse_unknown_parameters(request: Request) -> None:
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ConfigError(f"unknown parameter {unknown[0]!r}; known: {', '.join(sorted(known)) or 'none'}")


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        tags = [{"name": name, "description": description} for name, _, description in SECTIONS]
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes, tags=tags)
        document["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
        app.openapi_schema = document
    return app.openapi_schema
