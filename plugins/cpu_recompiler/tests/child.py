"""Programs in a process of their own, so that an abort() in the engine is a failing test and not the end of all tests."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest

TIME_LIMIT_S = 60


def _answer(sender: Connection, program: Callable[[], object]) -> None:
    try:
        sender.send(program())
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}")


def in_child(program: Callable[[], Any]) -> Any:
    """What the program answers in a child process: its result, or its exception as text."""
    forked = multiprocessing.get_context("fork")
    receiver, sender = forked.Pipe(duplex=False)
    child = forked.Process(target=_answer, args=(sender, program))
    child.start()
    sender.close()
    try:
        assert receiver.poll(TIME_LIMIT_S), "the guest never came back"
        return receiver.recv()
    except EOFError:
        child.join()
        pytest.fail(f"the guest ended the process: exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()
