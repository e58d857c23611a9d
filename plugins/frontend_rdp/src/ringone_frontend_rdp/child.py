"""``python -m ringone_frontend_rdp.child``: the process of the RDP server. `process` starts it and says how the two talk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pickle
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, TypeVar

import attrs
from ringone.api.console import Frame
from ringone.api.errors import DriverError

from ringone_frontend_rdp.machine import Look
from ringone_frontend_rdp.process import Answer, Refusal, Start, Stop, Tell
from ringone_frontend_rdp.server import RdpServer
from ringone_frontend_rdp.settings import server_settings

T = TypeVar("T")

_log = logging.getLogger("ringone.rdp")

GONE = Refusal("the machine's process has ended", about_state=False)


class Parent:
    """The process of the machine. Every message is one line."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self._one_at_a_time = threading.Lock()

    def tell(self, **message: Any) -> None:
        with self._one_at_a_time:
            try:
                self._output.write(json.dumps(message).encode() + b"\n")
                self._output.flush()
            except OSError:
                """It is gone, which `hear` finds out."""


class RemoteMachine:
    """`ringone_frontend_rdp.machine.Machine`, in the other process."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._thread = ThreadPoolExecutor(1, "machine")
        self._answers: queue.SimpleQueue[Answer | Refusal] = queue.SimpleQueue()
        self._frame: Frame | None = None
        self._gone = False

    def request(self, call: Callable[[], T]) -> Future[T]:
        return self._thread.submit(call)

    def answered(self, answer: Answer | Refusal) -> None:
        """On the thread that hears the other process. After `GONE` nothing is asked any more."""
        self._gone = self._gone or answer is GONE
        self._answers.put(answer)

    def look(self) -> Look:
        parts, cost_s = self._call("look", None if self._frame is None else self._frame.generation)
        if parts is not None:
            self._frame = parts.frame()
        assert self._frame is not None
        return Look(self._frame, cost_s)

    def frame(self) -> Frame:
        return self.look().frame

    def put_scancodes(self, codes: bytes) -> None:
        self._call("put_scancodes", codes.hex())

    def keyboard_pending(self) -> int:
        return int(self._call("keyboard_pending"))

    def keyboard_leds(self) -> int:
        return int(self._call("keyboard_leds"))

    def move_mouse(self, dx: int, dy: int, dz: int = 0, buttons: int = 0) -> None:
        self._call("move_mouse", dx, dy, dz, buttons)

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._gone:
            raise GONE.error()
        self._parent.tell(call=name, arguments=arguments)
        answer = self._answers.get()
        if isinstance(answer, Refusal):
            raise answer.error()
        return answer.value


class ParentLog(logging.Handler):
    """Records for the log of the machine."""

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        self._parent.tell(log=[record.name, record.levelno, self.format(record)])


async def serve(start: Start, parent: Parent, messages: IO[bytes]) -> None:
    listening = socket.socket(fileno=start.listening) if isinstance(start.listening, int) else socket.fromshare(start.listening)  # type: ignore[attr-defined]
    stop = asyncio.Event()
    machine = RemoteMachine(parent)
    server = RdpServer(machine, server_settings(start.options, start.certificate), machine.look)
    loop = asyncio.get_running_loop()

    def tell() -> None:
        parent.tell(seen=attrs.asdict(server.seen))

    def on_loop(call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended by itself
            loop.call_soon_threadsafe(call)

    def hear() -> None:
        """Until the other process is gone, or sends what this one cannot read."""
        try:
            while True:
                message = pickle.load(messages)
                if isinstance(message, Stop):
                    on_loop(stop.set)
                elif isinstance(message, Tell):
                    on_loop(tell)
                else:
                    machine.answered(message)
        except EOFError:
            pass
        except Exception:
            _log.exception("the machine's process is not understood")
        finally:
            machine.answered(GONE)
            on_loop(stop.set)

    tell()
    threading.Thread(target=hear, daemon=True).start()
    await server.serve(listening, stop)


def main() -> None:
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the machine
    parent = Parent(output)
    messages = sys.stdin.buffer
    start: Start = pickle.load(messages)
    logger = logging.getLogger("ringone")
    logger.setLevel(start.log_level)
    logger.addHandler(ParentLog(parent))
    code = 1
    try:
        asyncio.run(serve(start, parent, messages))
        code = 0
    except DriverError as error:
        _log.error("%s", error)
    except Exception:
        _log.exception("the RDP server failed")
    finally:
        os._exit(code)  # threads may wait for the machine


if __name__ == "__main__":
    main()
