"""The frontend: an RDP server on a thread of its own, for as long as the machine has one."""

from __future__ import annotations

import asyncio
import errno
import hmac
import logging
import socket
import ssl
import threading
from concurrent.futures import Future

from ringone.api.errors import ConfigError, DriverError
from ringone.api.frontends import VmSession
from ringone.api.remotedisplay import Endpoint
from ringone.keyboard import pick

from ringone_frontend_rdp.certificates import HostCertificate, host_certificate, own_certificate
from ringone_frontend_rdp.config import Authentication, RdpOptions, SecurityMethod, Video, ports
from ringone_frontend_rdp.connection import Security
from ringone_frontend_rdp.credssp import Acceptor
from ringone_frontend_rdp.files import host_folder
from ringone_frontend_rdp.graphics import h264
from ringone_frontend_rdp.server import RdpServer, ServerSettings
from ringone_frontend_rdp.users import UserDatabase, nt_hash
from ringone_frontend_rdp.x224 import Protocol

BACKLOG = 64
NLA = (Protocol.HYBRID_EX, Protocol.HYBRID)
NO_HASH = bytes(16)

_log = logging.getLogger("ringone.rdp")


class RdpFrontend:
    """`ringone.api.frontends.Frontend`. `port` and `fingerprint` are known once it has started."""

    def __init__(self, options: RdpOptions) -> None:
        if not options.is_loopback and options.auth is Authentication.NONE:
            raise ConfigError(f"address={options.address}: others than this host can connect there; accepted with auth=users only")
        if (options.certificate is None) != (options.key is None):
            raise ConfigError("certificate and key: one without the other; accepted: both, or none for the host's own")
        if options.auth is Authentication.NONE and options.security is SecurityMethod.NLA:
            raise ConfigError("security=nla: NLA is about users; accepted with auth=users only")
        if options.video is Video.AVC420:
            h264.require("video=avc420")
        self._options = options
        self._thread: threading.Thread | None = None
        self.port = 0
        self.fingerprint = ""

    def start(self, session: VmSession) -> None:
        certificate = self._certificate()
        self.fingerprint = certificate.fingerprint
        settings = ServerSettings(
            tls=_tls(certificate),
            security=self._security(certificate),
            max_clients=self._options.max_clients,
            when_full=self._options.when_full,
            view_only=self._options.view_only,
            layout=pick(self._options.layout),
            clipboard=self._options.clipboard,
            video=self._options.video,
        )
        listening = self._listen()
        self.port = listening.getsockname()[1]
        self._running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        serving = self._serve(session, settings, listening)
        self._thread = threading.Thread(target=lambda: asyncio.run(serving), name=f"{session.config.name} RDP", daemon=True)
        self._thread.start()
        self._running.result()
        _log.info("RDP at %s port %d, certificate SHA-256 %s", self._options.address, self.port, self.fingerprint)

    def stop(self) -> None:
        """Tells every client."""
        if self._thread is None:
            return
        loop, stop = self._running.result()
        if self._thread.is_alive():
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:  # the machine's end was quicker
                _log.debug("the RDP server has ended by itself")
        self._thread.join()
        self._thread = None

    def endpoint(self) -> Endpoint:
        """`ringone.api.frontends.RemoteDisplayFrontend`"""
        server = self._server
        return Endpoint(
            address=self._options.address,
            port=self.port,
            fingerprint=self.fingerprint,
            clients=server.clients,
            clients_so_far=server.clients_so_far,
            sent_bytes=server.sent_bytes,
            received_bytes=server.received_bytes,
        )

    async def _serve(self, session: VmSession, settings: ServerSettings, listening: socket.socket) -> None:
        stop = asyncio.Event()
        self._server = RdpServer(session, settings)
        self._running.set_result((asyncio.get_running_loop(), stop))
        await self._server.serve(listening, stop)

    def _certificate(self) -> HostCertificate:
        if self._options.certificate is not None and self._options.key is not None:
            return own_certificate(self._options.certificate, self._options.key)
        return host_certificate(host_folder())

    def _security(self, certificate: HostCertificate) -> Security:
        if self._options.auth is Authentication.NONE:
            return Security(accepted=(Protocol.SSL,))
        users = UserDatabase(self._options.users)
        accepted = {
            SecurityMethod.NEGOTIATE: (*NLA, Protocol.SSL),
            SecurityMethod.NLA: NLA,
            SecurityMethod.TLS: (Protocol.SSL,),
        }[self._options.security]
        return Security(
            accepted=accepted,
            acceptor=lambda: Acceptor(users, certificate.public_key, end_point=certificate.end_point),
            password_fits=lambda user, password: _fits(users, user, password),
        )

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._options.address else socket.AF_INET
        for port in ports(self._options.port):
            try:
                return socket.create_server((self._options.address, port), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise DriverError(f"RDP at {self._options.address} port {port}: {error.strerror or error}") from error
        raise DriverError(f"RDP at {self._options.address}: every port of {self._options.port} is in use")


def _tls(certificate: HostCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate.certificate, certificate.key)
    except ssl.SSLError as error:  # a short key, an old hash: what is refused is this host's choice
        raise DriverError(f"{certificate.certificate}: TLS does not take the certificate: {error.reason or error}") from error
    return context


def _fits(users: UserDatabase, user: str, password: str) -> bool:
    """Takes as long for users that there are not."""
    account = users.find(user)
    try:
        offered = nt_hash(password)
    except ConfigError:
        return False
    return hmac.compare_digest(offered, NO_HASH if account is None else account.nt_hash) and account is not None
