"""The server in a process of its own, seen from the machine's.

Clients are served by `child`, so that the guest does not wait while pictures are painted and encoded, and a client that finds a fault in the server finds no
guest behind it. The child's standard output brings one JSON object a line: calls of the machine, one at a time, what it logs, and what there is to tell about
it (`Seen`) when it begins and whenever it is asked. Its standard input brings pickled answers and questions, and tells it to stop; it ends with the process
that started it.
"""

from __future__ import annotations

import json
import logging
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from ringone.api.console import Frame
from ringone.api.errors import DriverError, RingOneError, StateError
from ringone.api.frontends import VmSession
from ringone.api.remotedisplay import RemoteClient

from ringone_frontend_rdp import machine
from ringone_frontend_rdp.certificates import HostCertificate
from ringone_frontend_rdp.config import RdpOptions
from ringone_frontend_rdp.server import Seen

CHILD = ("-P", "-m", "ringone_frontend_rdp.child")
STOP_S = 10
"""For the farewell to clients, which each get two seconds."""

SEEN_S = 1
MOST_CODES = 4096
"""In one call. The other process sends no more than there is room for."""
MOST_MOVED = 1 << 15
LONGEST_LINE = 1 << 20

_log = logging.getLogger("ringone.rdp")


@attrs.frozen(kw_only=True)
class Start:
    """The first thing that the child is told. `listening` is a descriptor, or what Windows makes of a socket that is shared."""

    options: RdpOptions
    certificate: HostCertificate
    listening: int | bytes
    log_level: int


@attrs.frozen
class Answer:
    value: Any


@attrs.frozen
class Refusal:
    """The call raised a `RingOneError`. `about_state` is whether that was a `StateError`."""

    reason: str
    about_state: bool

    def error(self) -> RingOneError:
        return StateError(self.reason) if self.about_state else DriverError(self.reason)


@attrs.frozen
class Tell:
    """What is there to tell about the server?"""


@attrs.frozen
class Stop:
    """Tell every client, and end."""


@attrs.frozen
class FrameParts:
    """A frame for the other process. `pixels` are what they are in `Frame`: bytes, or what paints them."""

    generation: int
    width: int
    height: int
    pixels: Any

    @classmethod
    def of(cls, frame: Frame) -> FrameParts:
        return cls(frame.generation, frame.width, frame.height, frame.source)

    def frame(self) -> Frame:
        return Frame(self.generation, self.width, self.height, self.pixels)


class ServerProcess:
    def __init__(self, session: VmSession, options: RdpOptions, certificate: HostCertificate, listening: socket.socket) -> None:
        self._session = session
        self._seen = Seen()
        self._stops = False
        self._one_at_a_time = threading.Lock()
        self._has_told = threading.Event()
        """Not before it has begun."""
        descriptors, shared = ((), True) if hasattr(listening, "share") else ((listening.fileno(),), False)
        with listening:
            self._process = subprocess.Popen(
                [sys.executable, *CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=descriptors, start_new_session=True
            )
            handle = listening.share(self._process.pid) if shared else listening.fileno()  # type: ignore[attr-defined]
            self._say(Start(options=options, certificate=certificate, listening=handle, log_level=_log.getEffectiveLevel()))
        self._thread = threading.Thread(target=self._listen, name=f"{session.config.name} RDP", daemon=True)
        self._thread.start()

    def seen(self) -> Seen:
        """As it is now; as it was last where the other process does not answer in `SEEN_S`."""
        if self._has_told.is_set() and self._one_at_a_time.acquire(timeout=SEEN_S):
            try:
                self._has_told.clear()
                self._write(pickle.dumps(Tell()))
            finally:
                self._one_at_a_time.release()
            self._has_told.wait(SEEN_S)
        return self._seen

    def stop(self) -> None:
        """Tells every client."""
        self._stops = True
        patience = threading.Timer(STOP_S, self._kill)
        patience.start()
        self._say(Stop())
        self._process.wait()
        patience.cancel()
        self._thread.join(STOP_S)
        self._close()

    def _kill(self) -> None:
        _log.warning("the RDP server does not end, and is killed")
        self._process.kill()

    def _close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except OSError:  # what was still to be said
            _log.debug("the RDP server's process is gone already")
        if not self._thread.is_alive():  # somebody whom that process has started may hold the other end
            self._process.stdout.close()

    def _say(self, message: Start | Answer | Refusal | Stop) -> None:
        said = pickle.dumps(message)
        with self._one_at_a_time:
            self._write(said)

    def _write(self, said: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(said)
            self._process.stdin.flush()
        except (OSError, ValueError):
            _log.debug("the RDP server's process is gone")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := self._process.stdout.readline(LONGEST_LINE):
                self._heard(json.loads(line))
        except Exception:
            _log.exception("the RDP server's process is not understood, and is killed")
            self._process.kill()
        code = self._process.wait()
        self._seen = attrs.evolve(self._seen, clients=())
        if not self._stops:
            _log.error("the RDP server has ended with exit code %d; nobody sees the machine from now on", code)

    def _heard(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"call": str(name), "arguments": [*arguments]}:
                self._say(self._call(name, arguments))
            case {"log": [str(name), int(level), str(text)]} if name.startswith("ringone."):
                logging.getLogger(name).log(level, "%s", text)
            case {"seen": {"clients": [*clients], "clients_so_far": int(so_far), "sent_bytes": int(sent), "received_bytes": int(received)}}:
                self._seen = Seen(tuple(map(_client, clients)), so_far, sent, received)
                self._has_told.set()
            case _:
                raise ValueError(f"{str(message)[:80]} is no message")

    # --- calls

    def _call(self, name: str, arguments: list[Any]) -> Answer | Refusal:
        """Whatever is asked for, the machine is asked for nothing that its devices do not expect."""
        try:
            match name, arguments:
                case "look", [None | int() as known]:
                    return Answer(self._look(known))
                case "put_scancodes", [str(codes)] if len(codes) <= 2 * MOST_CODES:
                    return Answer(self._on_machine(partial(self._session.put_scancodes, bytes.fromhex(codes))))
                case "keyboard_pending", []:
                    return Answer(self._on_machine(self._session.keyboard_pending))
                case "keyboard_leds", []:
                    return Answer(self._on_machine(self._session.keyboard_leds))
                case "move_mouse", [int(), int(), int(), int()] if all(abs(value) <= MOST_MOVED for value in arguments):
                    return Answer(self._on_machine(partial(self._session.move_mouse, *arguments)))
        except RingOneError as error:
            return Refusal(str(error), isinstance(error, StateError))
        except Exception as error:
            _log.exception("the machine failed")
            return Refusal(f"{type(error).__name__}: {error}", about_state=False)
        raise ValueError(f"{name}({str(arguments)[:80]}) is no call")

    def _on_machine(self, call: Callable[[], Any]) -> Any:
        return self._session.request(call).result()

    def _look(self, known: int | None) -> tuple[FrameParts | None, float]:
        """No frame where the other process has it already, and the cost."""
        look: machine.Look = self._on_machine(lambda: machine.look(self._session))
        return None if look.frame.generation == known else FrameParts.of(look.frame), look.cost_s


def _client(said: Any) -> RemoteClient:
    match said:
        case {"address": str(address), "user": str(user)}:
            return RemoteClient(address=address, user=user)
    raise ValueError(f"{str(said)[:80]} is no client")
