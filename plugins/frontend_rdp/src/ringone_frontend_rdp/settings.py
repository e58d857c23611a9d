"""From the frontend's options to what the server needs."""

from __future__ import annotations

import hmac
import ssl

from ringone.api.errors import ConfigError, DriverError
from ringone.keyboard import pick

from ringone_frontend_rdp.certificates import HostCertificate
from ringone_frontend_rdp.config import Authentication, RdpOptions, SecurityMethod
from ringone_frontend_rdp.connection import Security
from ringone_frontend_rdp.credssp import Acceptor
from ringone_frontend_rdp.server import ServerSettings
from ringone_frontend_rdp.users import UserDatabase, nt_hash
from ringone_frontend_rdp.x224 import Protocol

NLA = (Protocol.HYBRID_EX, Protocol.HYBRID)
NO_HASH = bytes(16)


def server_settings(options: RdpOptions, certificate: HostCertificate) -> ServerSettings:
    """Raises `DriverError` where TLS does not take the certificate."""
    return ServerSettings(
        tls=_tls(certificate),
        security=_security(options, certificate),
        max_clients=options.max_clients,
        when_full=options.when_full,
        view_only=options.view_only,
        layout=pick(options.layout),
        clipboard=options.clipboard,
        video=options.video,
    )


def _security(options: RdpOptions, certificate: HostCertificate) -> Security:
    if options.auth is Authentication.NONE:
        return Security(accepted=(Protocol.SSL,))
    users = UserDatabase(options.users)
    accepted = {
        SecurityMethod.NEGOTIATE: (*NLA, Protocol.SSL),
        SecurityMethod.NLA: NLA,
        SecurityMethod.TLS: (Protocol.SSL,),
    }[options.security]
    return Security(
        accepted=accepted,
        acceptor=lambda: Acceptor(users, certificate.public_key, end_point=certificate.end_point),
        password_fits=lambda user, password: _fits(users, user, password),
    )


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
