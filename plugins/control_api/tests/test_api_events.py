"""The event stream, for readers that keep up and for one that does not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import attrs
import pytest
from ringone.api.events import MachineState, StateChanged
from ringone_control_api.event_hub import QUEUE_LENGTH, Dropped, Event, EventHub

from .conftest import ServedGuest


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, object]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_what_happens_is_told_as_it_happens(guest: ServedGuest) -> None:
    with guest.http.stream("GET", "/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        told = events(stream.iter_lines())
        guest.post("/machine/pause")
        assert next(told) == ("StateChanged", {"old": "running", "new": "paused", "reason": ""})
        guest.post("/machine/reset")
        assert next(told) == ("MachineReset", {"cause": "asked for from outside"})


def test_a_stream_ends_with_the_server_after_the_last_event(off: ServedGuest) -> None:
    off.session.start()
    with off.http.stream("GET", "/events") as stream:
        off.session.power_off()
        stopping = threading.Thread(target=off.api.stop)
        stopping.start()
        assert [name for name, _ in events(stream.iter_lines())] == ["StateChanged"]
        stopping.join()


def heard(hub: EventHub, count: int) -> list[Event | Dropped]:
    """By a listener that comes first and reads when `count` events have happened."""

    async def listen() -> list[Event | Dropped]:
        listener = hub.listener()
        for number in range(count):
            hub.publish(StateChanged(MachineState.RUNNING, MachineState.PAUSED, str(number)))
        hub.close()
        told: list[Event | Dropped] = []
        while (new := await listener.heard(1.0)) is not None:
            told += new
        return told

    return asyncio.run(listen())


def test_events_are_numbered_without_gaps() -> None:
    told = heard(EventHub(), 3)
    assert told == [Event(number, "StateChanged", {"old": "running", "new": "paused", "reason": str(number - 1)}) for number in (1, 2, 3)]


def test_a_listener_that_is_too_slow_is_dropped_and_told_so() -> None:
    told = heard(EventHub(), QUEUE_LENGTH + 10)
    assert len(told) == QUEUE_LENGTH + 1
    assert told[-1] == Dropped(QUEUE_LENGTH + 1)


def test_a_listener_that_nobody_has_is_forgotten() -> None:
    async def listen(hub: EventHub) -> None:
        hub.listener()

    hub = EventHub()
    asyncio.run(listen(hub))
    hub.publish(StateChanged(MachineState.RUNNING, MachineState.PAUSED))
    assert not hub._listeners


@attrs.frozen
class Odd:
    """What a plugin may tell."""

    where: object


@pytest.mark.parametrize(
    ("event", "fields"), [(Odd(b"x"), {"where": "b'x'"}), (Odd([1]), {"where": "[1]"}), ("words", {"text": "words"})], ids=["bytes", "list", "no-attrs"]
)
def test_events_of_plugins_are_told_as_well_as_they_can(event: object, fields: dict[str, str]) -> None:
    async def listen() -> list[Event | Dropped]:
        hub = EventHub()
        listener = hub.listener()
        hub.publish(event)
        return list(await listener.heard(1.0) or ())

    (told,) = asyncio.run(listen())
    assert isinstance(told, Event) and told.fields == fields
