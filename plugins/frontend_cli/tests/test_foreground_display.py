"""A machine file with a remote display that runs in the foreground is served as machines in processes of their own are."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plugins.frontend_rdp.tests.test_server import Peer

LIMIT_S = 60
SERVED = re.compile(rb"Remote display: address 127\.0\.0\.1, port (\d+), certificate SHA-256 (?:[0-9a-f]{2}:){31}[0-9a-f]{2}\n")
FILE = """<?xml version="1.0"?>
<VirtualBox xmlns="http://www.virtualbox.org/" version="1.16-linux">
  <Machine uuid="{{5f2d8a5e-0f2e-4c63-9f2b-6f6b6f2b9d10}}" name="test" OSType="Other">
    <Hardware>
      <Memory RAMSize="4"/>
      <RemoteDisplay enabled="true" authType="{auth}"><VRDEProperties><Property name="TCP/Ports" value="{ports}"/></VRDEProperties></RemoteDisplay>
    </Hardware>
  </Machine>
</VirtualBox>
"""


class Run:
    """``ringone startvm FILE.vbox``"""

    def __init__(self, file: Path, *options: str) -> None:
        command = [sys.executable, "-m", "ringone_frontend_cli.main", "startvm", str(file), "--display", "none", *options]
        self.errors = b""
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def says(self, wanted: re.Pattern[bytes]) -> re.Match[bytes]:
        """On standard error."""
        assert self.process.stderr is not None
        end = time.monotonic() + LIMIT_S
        while (found := wanted.search(self.errors)) is None:
            assert time.monotonic() < end, self.errors
            if select.select([self.process.stderr], [], [], 0.2)[0]:
                part = os.read(self.process.stderr.fileno(), 4096)
                assert part, self.errors
                self.errors += part
        return found

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(LIMIT_S)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """``start(ports=...)``"""
    pytest.importorskip("termios", reason="pipes are waited for as POSIX has it")
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "home"))
    runs: list[Run] = []

    def run(*, ports: str, auth: str = "Null") -> Run:
        file = tmp_path / "test.vbox"
        file.write_text(FILE.format(ports=ports, auth=auth))
        runs.append(Run(file))
        return runs[-1]

    yield run
    for each in runs:
        each.close()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_its_address_is_printed_and_clients_see_the_screen_until_the_run_ends(start: Callable[..., Run], taken: int) -> None:
    run = start(ports=f"{taken},{max(1024, taken - 40)}-{taken - 1}")
    port = int(run.says(SERVED)[1])
    assert port != taken
    peer = Peer(port).log_on()
    peer.read_picture()
    assert run.interrupt() == 130
    assert peer.is_closed()
    peer.close()
    assert run.process.stdout is not None
    assert run.process.stdout.read().startswith(b"test: interrupted: SIGINT\n")


@pytest.mark.parametrize("auth", ["Null", "Guest"])
def test_one_that_cannot_be_served_is_one_line_and_the_machine_runs(start: Callable[..., Run], taken: int, auth: str) -> None:
    run = start(ports=str(taken), auth=auth)
    reason = {"Null": rf"RDP at 127.0.0.1: every port of {taken} is in use", "Guest": "authentication type guest: .*"}[auth]
    run.says(re.compile(b"ringone: warning: .*the machine runs without its remote display: " + reason.encode() + b"\n"))
    assert run.process.poll() is None
    assert run.interrupt() == 130
    assert run.errors.count(b"\n") == 1
