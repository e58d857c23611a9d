"""`Machine` and `AsyncMachine`: a machine in its own process, started where it does not run, and ended by whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType

from ringone.api.events import MachineState
from ringone.client.answers import Event
from ringone.client.calls import Call, nothing
from ringone.client.events import EventDecoder
from ringone.client.lines import AsyncHttpLine, HttpLine
from ringone.client.parts import MachineParts
from ringone.client.places import Place, Started, place_of

_EVENTS: Call[None] = Call(method="GET", path="/events", answer=nothing, timeout_s=None)


class Machine(MachineParts[HttpLine]):
    """A running machine.

    As a context manager it starts the machine if it does not run, and powers off at the end what it has started. `machine` is a name or UUID in a home, the
    path of a machine file, or a place of `ringone.client.places`; `home` is the folder of the home where it is not the usual one.
    """

    def __init__(self, machine: str | Path | Place, *, home: Path | None = None) -> None:
        self._place = place_of(machine, home)
        self._started: Started | None = None
        super().__init__(HttpLine(self._place.socket))

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the machine's process unless it runs; returns when the machine can be talked to."""
        if self._started is None:
            self._started = self._place.start()

    def close(self) -> None:
        """Power off what was started here. Can be called again."""
        started, self._started = self._started, None
        if started is not None:
            started.end()
        self._line.close()

    @property
    def state(self) -> MachineState:
        return self.info().state

    @contextlib.contextmanager
    def checkpoint(self) -> Iterator[int]:
        """What happens inside is undone at the end, whatever it was."""
        checkpoint = self.take_checkpoint()
        try:
            yield checkpoint
        finally:
            self.roll_back(checkpoint)
            self.drop_checkpoint(checkpoint)

    def events(self) -> Iterator[Event]:
        """What happens to the machine from now on, until its process ends."""
        decoder = EventDecoder()
        with self._line.stream(_EVENTS) as pieces:
            for piece in pieces:
                yield from decoder.feed(piece)


class AsyncMachine(MachineParts[AsyncHttpLine]):
    """`Machine` for asyncio: the same calls, awaited."""

    def __init__(self, machine: str | Path | Place, *, home: Path | None = None) -> None:
        self._place = place_of(machine, home)
        self._started: Started | None = None
        super().__init__(AsyncHttpLine(self._place.socket))

    async def __aenter__(self) -> AsyncMachine:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def start(self) -> None:
        if self._started is None:
            self._started = await asyncio.to_thread(self._place.start)

    async def close(self) -> None:
        started, self._started = self._started, None
        if started is not None:
            await asyncio.to_thread(started.end)
        await self._line.close()

    async def state(self) -> MachineState:
        return (await self.info()).state

    @contextlib.asynccontextmanager
    async def checkpoint(self) -> AsyncIterator[int]:
        checkpoint = await self.take_checkpoint()
        try:
            yield checkpoint
        finally:
            await self.roll_back(checkpoint)
            await self.drop_checkpoint(checkpoint)

    async def events(self) -> AsyncIterator[Event]:
        decoder = EventDecoder()
        async with self._line.stream(_EVENTS) as pieces:
            async for piece in pieces:
                for event in decoder.feed(piece):
                    yield event
