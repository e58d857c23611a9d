"""Connections are taken at a pace that the guest can bear, and none is lost."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import closing, suppress

import attrs
import pytest
from ringone_frontend_rdp import listener
from ringone_frontend_rdp.listener import AT_ONCE, CONNECTIONS_PER_S, Turnstile, listen

LIMIT_S = 60


@attrs.define
class Clock:
    now: float = 5.0

    def __call__(self) -> float:
        return self.now


def test_many_pass_at_once_and_more_one_after_the_other() -> None:
    clock = Clock()
    turnstile = Turnstile(clock)
    assert [turnstile.pass_one() for _ in range(AT_ONCE)] == [0] * AT_ONCE
    for _ in range(1000):
        clock.now += turnstile.pass_one()
    assert clock.now - 5 == pytest.approx(1000 / CONNECTIONS_PER_S)
    clock.now += AT_ONCE / CONNECTIONS_PER_S
    assert [turnstile.pass_one() for _ in range(AT_ONCE)] == pytest.approx([0] * AT_ONCE)


async def take(listening: socket.socket, count: int) -> list[socket.socket]:
    """As many connections, all of which are made before the first is taken."""
    arrived = 0
    all_there = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            all_there.set()
        writer.close()

    peers = [socket.create_connection(listening.getsockname()) for _ in range(count)]
    listening_task = asyncio.create_task(listen(listening, connected, 1024))
    try:
        await asyncio.wait_for(all_there.wait(), LIMIT_S)
    finally:
        listening_task.cancel()
        with suppress(asyncio.CancelledError):
            await listening_task
    return peers


def test_who_waits_is_taken_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "AT_ONCE", 2)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=32)) as listening:
        for peer in asyncio.run(take(listening, 16)):
            peer.close()


def test_connection_that_cannot_be_taken_does_not_end_the_listening(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(listener, "TRIED_AGAIN_S", 0)
    accept = asyncio.SelectorEventLoop.sock_accept
    failures = iter([OSError(errno.EMFILE, "no more descriptors"), ConnectionAbortedError()])

    async def failing(loop: asyncio.SelectorEventLoop, listening: socket.socket) -> tuple[socket.socket, object]:
        for failure in failures:
            raise failure
        return await accept(loop, listening)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_accept", failing)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        for peer in asyncio.run(take(listening, 2)):
            peer.close()
    assert "a connection cannot be taken: [Errno 24] no more descriptors" in caplog.text
