"""Errors as problem details (RFC 9457): `type` is the name of the error's class in `ringone.api.errors`, so that a client can raise the same one."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from ringone.api.errors import (
    ConfigError,
    DiskFullError,
    DriverError,
    MediumError,
    NotFoundError,
    RingOneError,
    SnapshotError,
    StateError,
    UnknownNameError,
    WaitTimeoutError,
)
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
MAX_MISTAKES = 5

_log = logging.getLogger("ringone.control-api")

STATUSES: Mapping[type[RingOneError], int] = {
    # the first that fits
    NotFoundError: 404,
    ConfigError: 422,
    WaitTimeoutError: 408,
    StateError: 409,
    SnapshotError: 409,
    DiskFullError: 507,
    MediumError: 409,
    DriverError: 409,
}
BUG = 500

MEANINGS: Mapping[int, str] = {
    400: "The request is not HTTP or its body not JSON.",
    404: "There is no such thing.",
    408: "It did not come, or the request was not complete, in time.",
    409: "The machine or its files do not allow it now.",
    413: "The request's body is too large.",
    422: "The request is not understood: a wrong value, or one field too many.",
    500: "A part of RingOne failed.",
    507: "The host has no room left.",
}


class Problem(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "StateError",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "cannot resume 'debian': it is running, and would have to be paused",
                }
            ]
        }
    )

    type: str = Field(description="The error's class")
    title: str
    status: int
    detail: str
    screen: str | None = Field(None, description="After a wait that came to nothing: the text on the screen")


def problem(status: int, type: str, detail: str, *, screen: str | None = None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    content = Problem(type=type, title=http.HTTPStatus(status).phrase, status=status, detail=detail, screen=screen)
    return JSONResponse(content.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": MEANINGS[status], "content": content} for status in statuses}


# --- handlers


async def on_ringone_error(request: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), BUG)
    if isinstance(error, UnknownNameError) and request.path_params:
        status = 404
    screen = error.screen if isinstance(error, WaitTimeoutError) else None
    return problem(status, type(error).__name__, str(error), screen=screen)


async def on_http_error(_request: Request, error: Exception) -> JSONResponse:
    """What routing says: no such path, no such method."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, "HTTPError", str(error.detail), headers=error.headers)


async def on_bad_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    mistakes = [f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}" for mistake in error.errors()]
    hidden = len(mistakes) - MAX_MISTAKES
    detail = "; ".join(mistakes[:MAX_MISTAKES]) + (f"; and {hidden} more" if hidden > 0 else "")
    return problem(422, "ConfigError", detail)


async def on_bug(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(BUG, "RingOneError", f"{type(error).__name__}: {error}")
