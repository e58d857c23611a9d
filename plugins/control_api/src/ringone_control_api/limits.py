"""A bound on what a request's body may weigh, and on how long its bytes may take."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringone_control_api.problems import problem

MAX_BODY_BYTES = 8 << 20
BODY_S = 30.0


class BodyLimits:
    """Middleware. Reads the body of a request before the application sees it; a body that is too large or too slow ends there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_S):
                body = await _read(receive)
        except ClientDisconnect:
            return
        except TimeoutError:
            await _refuse(408, f"the request's body was not complete after {BODY_S:g} s", scope, receive, send)
            return
        except _TooLarge:
            await _refuse(413, f"the request's body has more than {MAX_BODY_BYTES} bytes", scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replay, send)


class _TooLarge(Exception):
    pass


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _TooLarge
        if not message.get("more_body", False):
            return bytes(body)


async def _refuse(status: int, detail: str, scope: Scope, receive: Receive, send: Send) -> None:
    await problem(status, "HTTPError", detail, headers={"connection": "close"})(scope, receive, send)
