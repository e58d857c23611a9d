"""aardwolf, a client in Python that needs no display: TLS (network level authentication wants a MIC, which it does not send) and 16 bits a pixel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from ringone.api.frontends import VmSession
from ringone_frontend_rdp.codecs import Picture
from ringone_frontend_rdp.config import Authentication, RdpOptions
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.picture import pixels_of
from ringone_frontend_rdp.users import UserDatabase

from plugins.frontend_rdp.tests.desk import Console, wait_until
from plugins.frontend_rdp.tests.test_real_clients import RGB565, SIZES, drawings

pytest.importorskip("aardwolf")
pytestmark = pytest.mark.rdp_client

LIMIT_S = 60
POLL_S = 0.05
KEY_A = 0x1E


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def frontend(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RdpFrontend]:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "home"))
    users = tmp_path / "users"
    UserDatabase(users).set_password("alice", "secret")
    frontend = RdpFrontend(RdpOptions(port="0", auth=Authentication.USERS, users=users))
    frontend.start(cast(VmSession, console))
    yield frontend
    frontend.stop()


def converse(frontend: RdpFrontend, console: Console, talk: Callable[[Any], Awaitable[None]], *, logon: str = "plain", password: str = "secret") -> None:
    """`talk` gets the connection, and the error if there is none."""
    from aardwolf.commons.factory import RDPConnectionFactory
    from aardwolf.commons.iosettings import RDPIOSettings
    from aardwolf.commons.queuedata.constants import VIDEO_FORMAT

    settings = RDPIOSettings()
    settings.video_height, settings.video_width, _ = pixels_of(console.frame()).shape
    settings.video_out_format = VIDEO_FORMAT.PIL
    url = f"rdp+{logon}-password://alice:{password}@127.0.0.1:{frontend.port}"

    async def session() -> None:
        connection = RDPConnectionFactory.from_url(url, settings).get_connection(settings)
        try:
            _, error = await connection.connect()
            await talk(error or connection)
        finally:
            await connection.terminate()

    asyncio.run(asyncio.wait_for(session(), LIMIT_S))


async def wait_until_shown(connection: Any, picture: Picture) -> None:
    from aardwolf.commons.queuedata.constants import VIDEO_FORMAT

    end = time.monotonic() + LIMIT_S / 2
    while True:
        shown = np.asarray(connection.get_desktop_buffer(VIDEO_FORMAT.PIL).convert("RGB")).astype(int)
        difference = int(np.abs(shown - picture).max())
        if difference <= RGB565:
            return
        assert time.monotonic() < end, f"the picture differs by {difference}"
        await asyncio.sleep(POLL_S)


@pytest.mark.parametrize("size", ["VGA text", "VBE", "CGA", "one tile"])
def test_shows_what_the_machine_shows(frontend: RdpFrontend, console: Console, size: str) -> None:
    pictures = list(drawings(*SIZES[size]))
    console.show(pictures[0])

    async def watch(connection: Any) -> None:
        for picture in pictures:
            console.show(picture)
            await wait_until_shown(connection, picture)

    converse(frontend, console, watch)


def test_keys_arrive(frontend: RdpFrontend, console: Console) -> None:
    async def strike(connection: Any) -> None:
        await wait_until_shown(connection, pixels_of(console.frame()))
        for is_pressed in (True, False):
            await connection.send_key_scancode(KEY_A, is_pressed, False)
        while len(console.keys) < 2:
            await asyncio.sleep(POLL_S)

    converse(frontend, console, strike)
    assert bytes(console.keys) == bytes((KEY_A, KEY_A | 0x80))


def test_logon_without_a_mic_is_refused(frontend: RdpFrontend, console: Console, caplog: pytest.LogCaptureFixture) -> None:
    async def hear(error: Any) -> None:
        assert isinstance(error, Exception)

    converse(frontend, console, hear, logon="ntlm")
    wait_until(lambda: "not let in: an NTLM logon without a MIC" in caplog.text, lambda: caplog.text)
    assert frontend.endpoint().clients_so_far == 0
