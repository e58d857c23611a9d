"""One description of every call, for synchronous and asynchronous callers alike.

A method of a `Part` says which request it is and what its answer means (`Call`). `@operation` makes it a method that sends the request over the part's line:
on a `Line` it returns the answer, on an `AsyncLine` a coroutine of it. So there is one copy of each, and both are typed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import attrs

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ANSWER_S = 60.0
"""How long an ordinary call may take."""


class Response(Protocol):
    """What an answer is made of."""

    @property
    def content(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def json(self) -> Any: ...


def nothing(response: Response) -> None:
    """The answer has no content."""


@attrs.frozen(kw_only=True)
class Call(Generic[T_co]):
    """A request, and what its answer means. `timeout_s` None is for calls that take as long as the guest does."""

    method: str
    path: str
    answer: Callable[[Response], T_co]
    query: Mapping[str, str | int | float] = attrs.field(factory=dict)
    json: Any = None
    content: bytes | None = None
    timeout_s: float | None = ANSWER_S


class Line(Protocol):
    def send(self, call: Call[T]) -> T: ...


class AsyncLine(Protocol):
    async def send(self, call: Call[T]) -> T: ...


L_co = TypeVar("L_co", bound="Line | AsyncLine", covariant=True)


class Part(Generic[L_co]):
    """Some of what can be done with a machine."""

    def __init__(self, line: L_co) -> None:
        self._line = line


class Operation(Generic[P, T]):
    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._describe = describe
        functools.update_wrapper(self, describe)  # type: ignore[arg-type]

    @overload
    def __get__(self, part: None, owner: type) -> Operation[P, T]: ...
    @overload
    def __get__(self, part: Part[Line], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, part: Part[AsyncLine], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, part: Part[Any] | None, owner: type) -> Any:
        if part is None:
            return self

        describe = MethodType(self._describe, part)

        @functools.wraps(describe)
        def send(*arguments: P.args, **named: P.kwargs) -> Any:
            __tracebackhide__ = True
            return part._line.send(describe(*arguments, **named))

        return send


def operation(describe: Callable[Concatenate[Any, P], Call[T]]) -> Operation[P, T]:
    return Operation(describe)
