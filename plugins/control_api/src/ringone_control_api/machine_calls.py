"""Calls of a machine's session from an event loop: the loop goes on while the machine's thread carries them out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ringone.api.frontends import VmSession

T = TypeVar("T")


async def on_machine(session: VmSession, call: Callable[[], T]) -> T:
    """`call` may use the session several times; the guest does not get on in between."""
    return await asyncio.wrap_future(session.request(call))
