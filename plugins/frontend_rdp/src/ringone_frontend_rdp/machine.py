"""The way to the machine's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ringone.api.frontends import VmSession

T = TypeVar("T")


async def on_machine(session: VmSession, call: Callable[[], T]) -> T:
    """Carry out `call` on the machine's thread; the event loop goes on meanwhile."""
    return await asyncio.wrap_future(session.request(call))
