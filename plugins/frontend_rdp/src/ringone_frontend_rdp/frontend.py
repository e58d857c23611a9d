"""The frontend: an RDP server for as long as the machine has one, in a process of its own or on a thread."""

from __future__ import annotations

import errno
import logging
import socket

from ringone.api.errors import ConfigError, DriverError
from ringone.api.frontends import VmSession
from ringone.api.remotedisplay import Endpoint

from ringone_frontend_rdp.certificates import HostCertificate, host_certificate, own_certificate
from ringone_frontend_rdp.config import Authentication, RdpOptions, SecurityMethod, Video, ports
from ringone_frontend_rdp.files import host_folder
from ringone_frontend_rdp.graphics import h264
from ringone_frontend_rdp.process import ServerProcess
from ringone_frontend_rdp.server import Seen
from ringone_frontend_rdp.settings import server_settings
from ringone_frontend_rdp.thread import ServerThread

BACKLOG = 64

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
        self._server: ServerProcess | ServerThread | None = None
        self.port = 0
        self.fingerprint = ""

    def start(self, session: VmSession) -> None:
        certificate = self._certificate()
        self.fingerprint = certificate.fingerprint
        settings = server_settings(self._options, certificate)
        listening = self._listen()
        self.port = listening.getsockname()[1]
        if self._options.process:
            self._server = ServerProcess(session, self._options, certificate, listening)
        else:
            self._server = ServerThread(session, settings, listening)
        _log.info("RDP at %s port %d, certificate SHA-256 %s", self._options.address, self.port, self.fingerprint)

    def stop(self) -> None:
        """Tells every client."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def endpoint(self) -> Endpoint:
        """`ringone.api.frontends.RemoteDisplayFrontend`"""
        seen = Seen() if self._server is None else self._server.seen()
        return Endpoint(
            address=self._options.address,
            port=self.port,
            fingerprint=self.fingerprint,
            clients=seen.clients,
            clients_so_far=seen.clients_so_far,
            sent_bytes=seen.sent_bytes,
            received_bytes=seen.received_bytes,
        )

    def _certificate(self) -> HostCertificate:
        if self._options.certificate is not None and self._options.key is not None:
            return own_certificate(self._options.certificate, self._options.key)
        return host_certificate(host_folder())

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._options.address else socket.AF_INET
        for port in ports(self._options.port):
            try:
                return socket.create_server((self._options.address, port), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise DriverError(f"RDP at {self._options.address} port {port}: {error.strerror or error}") from error
        raise DriverError(f"RDP at {self._options.address}: every port of {self._options.port} is in use")
