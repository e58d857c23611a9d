"""From a problem document (RFC 9457) back to the error that was raised in the machine's process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ringone.api import errors
from ringone.api.errors import DriverError, RingOneError, WaitTimeoutError

KINDS: Mapping[str, type[RingOneError]] = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, RingOneError)}


def error_of(problem: Any, status: int) -> RingOneError:
    """`problem` is the decoded document, or whatever came in its place."""
    if not isinstance(problem, dict):
        return DriverError(f"the machine's control API answered with status {status} and no explanation")
    name = re.split(r"[/:#]", str(problem.get("type", "")))[-1]
    message = str(problem.get("detail") or problem.get("title") or f"status {status}")
    return _rebuilt(KINDS.get(name, RingOneError), message, problem)


def _rebuilt(kind: type[RingOneError], message: str, problem: Mapping[str, Any]) -> RingOneError:
    """Constructors compose messages; this one is complete. Fields that the document has are kept."""
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(message=message, source="", errors=[], component="", distribution="", backend="", access="", kind="", name="", known=[])
    if isinstance(error, WaitTimeoutError):
        error.screen = str(problem.get("screen") or "")
    return error
