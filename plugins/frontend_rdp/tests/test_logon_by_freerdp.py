"""Network level authentication with the real client: `xfreerdp +auth-only`, which ends as soon as it has logged on, or not."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from ringone_frontend_rdp.certificates import HostCertificate, host_certificate
from ringone_frontend_rdp.credssp import Acceptor
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.ntlm import LogonError

from plugins.frontend_rdp.tests.desk import new_desk
from plugins.frontend_rdp.tests.nla_client import PASSWORD, OneUser

pytestmark = [pytest.mark.rdp_client, pytest.mark.skipif(not (shutil.which("xfreerdp") and shutil.which("Xvfb")), reason="needs xfreerdp and Xvfb")]

CONFIRM_HYBRID = bytes.fromhex("030000130ed000001234000201080002000000")
LIMIT_S = 60
TPKT = b"\x03\x00"
LOGON_FAILURE = 134


@attrs.define
class LogonServer:
    """One connection's X.224 confirmation, TLS and CredSSP. `outcome` is the user or the reason; `then` how the client goes on."""

    certificate: HostCertificate
    bound_to: bytes
    end_point: bytes
    listener: socket.socket = attrs.field(factory=lambda: socket.create_server(("127.0.0.1", 0)))
    outcome: str = ""
    then: bytes = b""

    def serve(self) -> None:
        self.listener.settimeout(LIMIT_S)
        client, _ = self.listener.accept()
        self.listener.close()
        client.settimeout(LIMIT_S)
        client.recv(512)
        client.sendall(CONFIRM_HYBRID)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        with context.wrap_socket(client, server_side=True) as tls:
            acceptor = Acceptor(OneUser(), self.bound_to, end_point=self.end_point)
            try:
                while not acceptor.complete and (data := tls.recv(4096)):
                    tls.sendall(acceptor.receive(data))
                self.outcome = acceptor.user
                self.then = acceptor.unread or tls.recv(512)
            except ProtocolError as error:
                self.outcome = str(error)
                tls.sendall(error.reply if isinstance(error, LogonError) else b"")


@pytest.fixture(scope="module")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with new_desk(tmp_path_factory.mktemp("desk")) as desk:
        yield desk.display


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> HostCertificate:
    return host_certificate(tmp_path_factory.mktemp("rdp"))


def log_on(server: LogonServer, display: str, home: Path, password: str, user: str = "alice") -> int:
    """The client's exit code."""
    port = server.listener.getsockname()[1]
    thread = threading.Thread(target=server.serve)
    thread.start()
    command = ["xfreerdp", f"/v:127.0.0.1:{port}", f"/u:{user}", f"/p:{password}", "/cert:ignore", "/sec:nla", "+auth-only"]
    environment = {**os.environ, "DISPLAY": display, "HOME": str(home)}
    try:
        return subprocess.run(command, env=environment, capture_output=True, timeout=LIMIT_S, check=False).returncode
    finally:
        thread.join(LIMIT_S)
        server.listener.close()


@pytest.mark.parametrize("user", ["alice", "OTHERDOM\\ALICE"])
def test_the_right_password_logs_on(certificate: HostCertificate, display: str, tmp_path: Path, user: str) -> None:
    """The client goes on to the connection itself, which is not there in this test."""
    server = LogonServer(certificate, certificate.public_key, certificate.end_point)
    assert log_on(server, display, tmp_path, PASSWORD, user) != LOGON_FAILURE
    assert server.outcome == "alice"
    assert server.then.startswith(TPKT)


@pytest.mark.parametrize("user", ["alice", "mallory"])
def test_a_wrong_password_is_told(certificate: HostCertificate, display: str, tmp_path: Path, user: str) -> None:
    server = LogonServer(certificate, certificate.public_key, certificate.end_point)
    assert log_on(server, display, tmp_path, "wrong", user) == LOGON_FAILURE
    assert "wrong password" in server.outcome


def test_another_public_key_is_refused(certificate: HostCertificate, display: str, tmp_path: Path) -> None:
    server = LogonServer(certificate, certificate.public_key[::-1], certificate.end_point)
    log_on(server, display, tmp_path, PASSWORD)
    assert "another certificate: the connection is relayed" in server.outcome
    assert not server.then.startswith(TPKT)
