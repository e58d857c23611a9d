"""HTTP over a machine's Unix-domain socket, synchronous and asynchronous. httpx is imported when a line is made.

Tracebacks leave this module out where the tool that shows them knows ``__tracebackhide__``, as pytest does: a wait that came to nothing is of interest where it
was asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ringone.api.errors import DriverError, PluginError
from ringone.client.calls import Call
from ringone.client.problems import error_of

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

BASE = "http://machine"
CONNECT_S = 10.0


class HttpLine:
    def __init__(self, socket: Path) -> None:
        httpx = _httpx()
        self._socket = socket
        self._client = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url=BASE)

    def send(self, call: Call[T]) -> T:
        __tracebackhide__ = True
        with _explained(self._socket, call):
            return _answer(call, self._client.send(_request(self._client, call)))

    @contextlib.contextmanager
    def stream(self, call: Call[object]) -> Iterator[Iterator[bytes]]:
        """The answer as it comes."""
        with _explained(self._socket, call):
            response = self._client.send(_request(self._client, call), stream=True)
            with contextlib.closing(response):
                if response.is_error:
                    response.read()
                    raise _problem(response)
                yield response.iter_raw()

    def close(self) -> None:
        self._client.close()


class AsyncHttpLine:
    def __init__(self, socket: Path) -> None:
        httpx = _httpx()
        self._socket = socket
        self._client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url=BASE)

    async def send(self, call: Call[T]) -> T:
        __tracebackhide__ = True
        with _explained(self._socket, call):
            return _answer(call, await self._client.send(_request(self._client, call)))

    @contextlib.asynccontextmanager
    async def stream(self, call: Call[object]) -> AsyncIterator[AsyncIterator[bytes]]:
        with _explained(self._socket, call):
            response = await self._client.send(_request(self._client, call), stream=True)
            try:
                if response.is_error:
                    await response.aread()
                    raise _problem(response)
                yield response.aiter_raw()
            finally:
                await response.aclose()

    async def close(self) -> None:
        await self._client.aclose()


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise PluginError("ringone.client needs httpx, which is not installed; install ringone-kernel[client]", distribution="ringone-kernel") from None
    return httpx


def _request(client: httpx.Client | httpx.AsyncClient, call: Call[object]) -> httpx.Request:
    timeout = _httpx().Timeout(call.timeout_s, connect=CONNECT_S)
    body: dict[str, Any] = {} if call.json is None else {"json": call.json}
    if call.content is not None:
        body = {"content": call.content, "headers": {"Content-Type": "application/octet-stream"}}
    return client.build_request(call.method, call.path, params=dict(call.query), timeout=timeout, **body)


def _answer(call: Call[T], response: httpx.Response) -> T:
    __tracebackhide__ = True
    if response.is_error:
        raise _problem(response)
    try:
        return call.answer(response)
    except (KeyError, TypeError, ValueError) as error:
        raise DriverError(f"{call.method} {call.path}: the machine's answer is not understood ({type(error).__name__}: {error})") from error


def _problem(response: httpx.Response) -> Exception:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return error_of(problem, response.status_code)


@contextlib.contextmanager
def _explained(socket: Path, call: Call[object]) -> Iterator[None]:
    __tracebackhide__ = True
    httpx = _httpx()
    try:
        yield
    except httpx.ConnectError as error:
        raise DriverError(f"{socket}: no machine answers there: {error}") from None
    except httpx.TimeoutException:
        raise DriverError(f"{call.method} {call.path}: the machine did not answer within {call.timeout_s} s") from None
    except httpx.TransportError as error:
        raise DriverError(f"{call.method} {call.path}: the machine's process broke off: {error or type(error).__name__}") from None
