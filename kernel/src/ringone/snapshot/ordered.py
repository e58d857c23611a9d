"""Work that several threads do at once, with its results in order and never more than a handful of pieces under way."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

MAX_THREADS = 4
_AHEAD = 4
"""Pieces under way for each thread."""


def in_order(work: Callable[[A], B], pieces: Iterable[A]) -> Iterator[B]:
    """``work(piece)`` for every piece. It pays where `work` spends its time outside of the interpreter, as compression and hashing do."""
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="state") as pool:
        under_way: deque[Future[B]] = deque()
        for piece in pieces:
            under_way.append(pool.submit(work, piece))
            if len(under_way) >= threads * _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
