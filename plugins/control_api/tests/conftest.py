"""A real machine behind the API: the guest that echoes, served on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import httpx
import pytest
from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.events import MachineState
from ringone.api.frontends import VmSession
from ringone.api.media import AccessMode
from ringone.machine import create_shared_session
from ringone.plugins import PluginRegistry
from ringone_control_api.config import ControlApiOptions
from ringone_control_api.server import ControlApi

from guests.echo import READY, machine, write_image

CD_DRIVE = Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0)


@attrs.frozen
class ServedGuest:
    """A machine and a client of its API. `since` is where its serial output begins for the test."""

    session: VmSession
    api: ControlApi
    socket: Path
    log: Path
    http: httpx.Client
    since: int = 0

    def post(self, path: str, **json: object) -> httpx.Response:
        return self.http.post(path, json=json)

    def wait(self, **condition: object) -> httpx.Response:
        where = {"since": self.since} if condition.keys() & {"serial", "serial_regex"} else {}
        return self.post("/wait", **{"timeout_s": 20, "clock": "wall", **where, **condition})


@pytest.fixture(scope="session")
def registry() -> PluginRegistry:
    return PluginRegistry(strict=True)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> MachineConfig:
    config = machine(write_image(tmp_path_factory.mktemp("echo") / "echo.img"))
    return attrs.evolve(config, uuid="5ff0e5ca-0d5d-4a4a-a49f-6f9a3d5a0e01", drives=(attrs.evolve(config.drives[0], mode=AccessMode.THROW_AWAY), CD_DRIVE))


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """Socket paths are short."""
    with tempfile.TemporaryDirectory(prefix="ringone-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def served(config: MachineConfig, registry: PluginRegistry) -> Iterator[ServedGuest]:
    with ExitStack() as stack:
        session = create_shared_session(config, registry)
        stack.callback(session.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringone-")))  # socket paths are short
        socket, log = folder / "echo.sock", folder / "echo.log"
        api = ControlApi(ControlApiOptions(socket=socket, log=log))
        api.start(session)
        stack.callback(api.stop)
        http = stack.enter_context(httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://machine", timeout=30))
        yield ServedGuest(session, api, socket, log, http)


@pytest.fixture
def off(registry: PluginRegistry, config: MachineConfig) -> Iterator[ServedGuest]:
    """A fresh machine, not started."""
    with served(config, registry) as guest:
        yield guest


@pytest.fixture(scope="session")
def booted(registry: PluginRegistry, config: MachineConfig) -> Iterator[tuple[ServedGuest, int]]:
    """A guest that has said that it is ready, and a checkpoint of that."""
    with served(config, registry) as guest:
        guest.session.start()
        assert guest.wait(serial=READY).status_code == 200
        yield guest, guest.session.take_checkpoint()


@pytest.fixture
def guest(booted: tuple[ServedGuest, int]) -> ServedGuest:
    """It has just said that it is ready."""
    guest, checkpoint = booted
    positions = guest.post(f"/checkpoints/{checkpoint}/roll-back").json()["serial_positions"]
    if guest.session.state is MachineState.PAUSED:
        guest.session.resume()
    return attrs.evolve(guest, since=positions["0"])
