"""Clients by the hundred, in a process of its own, where what they leave behind can be counted: ``python -m plugins.frontend_rdp.tests.storms NAME``.

Prints what there was before and after, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from ringone.api.frontends import VmSession
from ringone_frontend_rdp.config import RdpOptions
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.server import ENCODERS

from plugins.frontend_rdp.tests import rdp_client as client
from plugins.frontend_rdp.tests.test_server import Machine, Peer

IDLE_SOCKETS, RECONNECTS, SIZES = 500, 50, 60
WARM_UP = 5
DESCRIPTORS = 4096
PATIENCE_S = 120


def idle(port: int, machine: Machine) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE_SOCKETS):
            stack.callback(Peer(port).close)
        good = Peer(port).log_on()
        stack.callback(good.close)
        good.read_picture()


def reconnects(port: int, machine: Machine) -> None:
    for number in range(RECONNECTS):
        peer = Peer(port).log_on()
        peer.read_picture()
        if number % 2:
            peer.socket.sendall(client.DISCONNECT)
            peer.is_closed()
        peer.close()


def contains(wanted: bytes, pdu: bytes) -> bool:
    return wanted in pdu


def resizes(port: int, machine: Machine) -> None:
    peer = Peer(port).log_on()
    peer.read_picture()
    for number in range(SIZES):
        machine.size = (200 + 8 * (number % 40), 200 + 4 * (number % 30))
        machine.generation += 1
        announced = struct.pack("<HH6H", 2, 28, 32, 1, 1, 1, *machine.size)
        peer.read_until(partial(contains, announced))
        peer.socket.sendall(client.confirm_active() + b"".join(client.FINALIZATION))
        peer.read_picture()
    peer.close()


STORMS: dict[str, Callable[[int, Machine], None]] = {"idle": idle, "reconnects": reconnects, "resizes": resizes}


def counted() -> dict[str, int]:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return {
        "threads": threading.active_count(),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "kilobytes": pages * resource.getpagesize() // 1024,
    }


def settled(wanted: dict[str, int]) -> dict[str, int]:
    """As soon as there are no more threads and descriptors than wanted; the server takes a moment to see that a client has gone."""
    end = time.monotonic() + PATIENCE_S
    while True:
        now = counted()
        if (now["threads"] <= wanted["threads"] and now["descriptors"] <= wanted["descriptors"]) or time.monotonic() > end:
            return now
        time.sleep(0.05)


def main(name: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    with tempfile.TemporaryDirectory() as home:
        os.environ["RINGONE_HOME"] = home
        machine = Machine()
        frontend = RdpFrontend(RdpOptions(port="0", process=False))
        bare = counted()
        frontend.start(cast(VmSession, machine))
        idle_server = counted()
        for _ in range(WARM_UP):
            peer = Peer(frontend.port).log_on()
            peer.read_picture()
            peer.close()
        STORMS[name](frontend.port, machine)
        with_encoders = {"threads": idle_server["threads"] + ENCODERS}
        before = settled(idle_server | with_encoders) | with_encoders  # an encoder's thread begins when it is first needed
        STORMS[name](frontend.port, machine)
        after = settled(before)
        frontend.stop()
        print(json.dumps({"before": before, "after": after, "bare": bare, "stopped": settled(bare)}))


if __name__ == "__main__":
    main(sys.argv[1])
