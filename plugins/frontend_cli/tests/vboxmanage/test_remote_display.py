"""The remote display of a machine in a process of its own, as a script for VBoxManage drives it and an RDP client sees it."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ringone_frontend_rdp.connection import ErrorInfo
from ringone_frontend_rdp.users import UserDatabase

from guests.echo import READY
from plugins.frontend_cli.tests.vboxmanage.conftest import GUEST_S, Answer, Said, VBoxManage
from plugins.frontend_cli.tests.vboxmanage.test_machines import facts
from plugins.frontend_rdp.tests import rdp_client as rdp
from plugins.frontend_rdp.tests.test_server import Peer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="machines are reached through Unix-domain sockets")
SERVED = re.compile(r"Remote display: address 127\.0\.0\.1, port (\d+), certificate SHA-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Peer]]:
    monkeypatch.setattr("plugins.frontend_rdp.tests.test_server.LIMIT_S", GUEST_S)
    peers: list[Peer] = []

    def new(port: int) -> Peer:
        peers.append(Peer(port))
        return peers[-1]

    yield new
    for peer in peers:
        peer.close()


def served(answer: Answer) -> tuple[int, str]:
    """Where startvm says that the display is, and the certificate's fingerprint."""
    found = SERVED.fullmatch(answer.lines[-1])
    assert found is not None, answer
    return int(found[1]), found[2]


def some(first: int) -> str:
    """Ports of which most are free, the first one perhaps not."""
    return f"{first},{max(1024, first - 40)}-{first - 1}"


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + GUEST_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_client_logs_on_where_startvm_says_and_one_at_a_time_is_let_in(
    ok: VBoxManage, echo: str, said: Said, home: Path, taken: int, connect: Callable[[int], Peer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    UserDatabase(home / "rdp" / "users").set_password("alice", "secret")
    ok("modifyvm", echo, "--vrde", "on", "--vrdeport", some(taken), "--vrdeauthtype", "external")
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "another"))  # users and certificate are those of the home that is named
    port, fingerprint = served(ok("--home", home, "startvm", echo, "--type", "headless"))
    try:
        said(READY)
        (tmp_path / "com1").write_bytes(b"")
        first = connect(port).log_on()
        first.read_picture()
        assert isinstance(first.socket, ssl.SSLSocket)
        assert hashlib.sha256(first.socket.getpeercert(binary_form=True) or b"").hexdigest() == fingerprint.replace(":", "")
        first.socket.sendall(rdp.FAST_PATH_KEY_A)
        said("a")
        monkeypatch.setenv("RINGONE_HOME", str(home))
        found = facts(ok, echo)
        assert [found[key] for key in ("vrde", "vrdeport", "vrdeports", "vrdeauthtype")] == ["on", str(port), some(taken), "external"]
        assert [found[key] for key in ("VRDEActiveConnection", "VRDEClients", "VRDEUserName", "VRDEClientIP")] == ["on", "1", "alice", "127.0.0.1"]
        assert int(found["VRDEBytesSentTotal"]) > int(found["VRDEBytesReceivedTotal"]) > 0
        assert found["VRDECertificateFingerprint"] == fingerprint
        assert f"VRDE certificate:            SHA-256 {fingerprint}" in ok("showvminfo", echo).out
        with pytest.raises((EOFError, OSError)):
            connect(port).log_on().read_picture()
        first.socket.sendall(rdp.REFRESH_RECT)
        first.read_picture()
        first.close()
        eventually(lambda: facts(ok, echo)["VRDEActiveConnection"] == "off")
        assert facts(ok, echo)["VRDEClients"] == "1"
    finally:
        ok("--home", home, "controlvm", echo, "poweroff")
    assert not (tmp_path / "another").exists()


def test_it_is_switched_and_moved_while_the_machine_runs(ok: VBoxManage, vbox: VBoxManage, running: str, taken: int, connect: Callable[[int], Peer]) -> None:
    assert facts(ok, running)["vrde"] == "off"
    ok("controlvm", running, "vrdeport", some(taken))
    ok("controlvm", running, "vrde", "on")
    port = int(facts(ok, running)["vrdeport"])
    peer = connect(port).log_on()
    peer.read_picture()

    for words, message in ((("vrdeport", taken), f"every port of {taken} is in use"), (("vrdeproperty", "Security/Method=RDP"), "Security/Method=RDP: ")):
        answer = vbox("controlvm", running, *words)
        assert answer.exit_code == 1
        assert message in answer.err
    assert vbox("controlvm", running, "vrdeport", "many").exit_code == 2
    assert facts(ok, running)["vrdeports"] == some(taken)

    ok("controlvm", running, "vrdeproperty", "Client/DisableInput=1")
    assert peer.is_closed()
    port = int(facts(ok, running)["vrdeport"])
    peer = connect(port).log_on()
    peer.read_picture()
    ok("controlvm", running, "vrde", "off")
    assert peer.is_closed()
    found = facts(ok, running)
    assert found["vrde"] == "off"
    assert "vrdeport" not in found

    ok("controlvm", running, "vrde", "on")
    ok("controlvm", running, "poweroff")
    found = facts(ok, running)
    assert [found[key] for key in ("vrde", "vrdeport", "vrdeproperty[Client/DisableInput]")] == ["on", "-1", "1"]


def test_a_type_serves_it_for_one_run_and_a_newer_client_takes_over(ok: VBoxManage, echo: str, taken: int, connect: Callable[[int], Peer]) -> None:
    ok("modifyvm", echo, "--vrdeport", some(taken), "--vrdereusecon", "on")
    port, _ = served(ok("startvm", echo, "--type", "rdp"))
    first = connect(port).log_on()
    first.read_picture()
    connect(port).log_on().read_picture()
    assert first.read_until(lambda pdu: pdu.endswith(struct.pack("<I", ErrorInfo.DISCONNECTED_BY_OTHER_CONNECTION)))
    assert facts(ok, echo)["vrdeport"] == str(port)
    ok("controlvm", echo, "poweroff")
    assert facts(ok, echo)["vrde"] == "off"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--vrdeport", "{taken}"), "every port of {taken} is in use"),
        (("--vrdeauthtype", "guest"), "authentication type guest"),
    ],
    ids=["port", "guest"],
)
def test_a_machine_runs_without_a_display_that_cannot_be_served(ok: VBoxManage, echo: str, taken: int, options: tuple[str, str], message: str) -> None:
    ok("modifyvm", echo, "--vrde", "on", options[0], options[1].format(taken=taken))
    answer = ok("startvm", echo, "--type", "headless")
    assert "warning: the machine runs without its remote display: " in answer.err
    assert message.format(taken=taken) in answer.err
    found = facts(ok, echo)
    assert (found["VMState"], found["vrdeport"]) == ("running", "-1")
    assert message.format(taken=taken) in found["VRDEError"]
