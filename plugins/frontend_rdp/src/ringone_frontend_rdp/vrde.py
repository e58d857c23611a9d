"""A machine file's remote display as options of this frontend, in VirtualBox's words (VRDE).

What would weaken a promise of the file, or is asked for and cannot be had, is refused by name. What only tunes VirtualBox's own server has no effect here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ringone.api.config import RemoteDisplay
from ringone.api.errors import ConfigError, UnsupportedError

from ringone_frontend_rdp.config import DEFAULT_PORT, MOST_CLIENTS, Authentication, RdpOptions, SecurityMethod, WhenFull

PORTS, ADDRESS, METHOD = "TCP/Ports", "TCP/Address", "Security/Method"
CERTIFICATE, KEY, CA_CERTIFICATE = "Security/ServerCertificate", "Security/ServerPrivateKey", "Security/CACertificate"
DISABLE_INPUT, DISABLE_DISPLAY = "Client/DisableInput", "Client/DisableDisplay"
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
METHODS = {"negotiate": SecurityMethod.NEGOTIATE, "tls": SecurityMethod.TLS}
VIRTUALBOX_DEFAULT = ("", "0")
"""Words for the usual port, in VirtualBox's settings."""

Options = Mapping[str, Any]
"""Of `RdpOptions`."""

_log = logging.getLogger("ringone.rdp")


def options_of(display: RemoteDisplay) -> RdpOptions:
    """Raises `ConfigError`, which names the property."""
    properties = {name: value.strip() for name, value in display.properties.items()}
    given: dict[str, Any] = {"auth": _authentication(display.auth_type), **_policy(display)}
    for name, value in properties.items():
        if name in MEANINGS:
            given |= _understood(name, value)
        elif not name.startswith(WITHOUT_EFFECT):
            _log.warning("the remote display's property %s has no effect", name)
    if (CERTIFICATE in properties) != (KEY in properties):
        raise ConfigError(f"{CERTIFICATE} and {KEY}: one without the other; accepted: both, or none for the host's own")
    options = RdpOptions(**given)
    if options.auth is Authentication.NONE and not options.is_loopback:
        raise ConfigError(f"{ADDRESS}={options.address}: others than this host can connect there; accepted with authentication type external only")
    return options


def _authentication(word: str) -> Authentication:
    match word.lower():
        case "null":
            return Authentication.NONE
        case "external":
            return Authentication.USERS
        case "guest":
            raise UnsupportedError("authentication type guest: there is nobody in the guest who could be asked; accepted: null, external")
    raise ConfigError(f"authentication type {word!r}; accepted: null, external")


def _policy(display: RemoteDisplay) -> Options:
    if display.allow_multi_connection:
        return {"max_clients": MOST_CLIENTS}
    return {"max_clients": 1, "when_full": WhenFull.TAKE_OVER if display.reuse_single_connection else WhenFull.REFUSE}


def _understood(name: str, value: str) -> Options:
    try:
        meant = MEANINGS[name](value)
        RdpOptions(**meant)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    return meant


def _ports(value: str) -> Options:
    return {"port": DEFAULT_PORT if value in VIRTUALBOX_DEFAULT else value}


def _method(value: str) -> Options:
    if value.lower() == "rdp":
        raise UnsupportedError(f"{METHOD}={value}: the encryption of old RDP protects nobody; accepted: TLS, NEGOTIATE")
    if value.lower() not in METHODS:
        raise ConfigError(f"{METHOD}={value}; accepted: TLS, NEGOTIATE")
    return {"security": METHODS[value.lower()]}


def _no_input(value: str) -> Options:
    return {"view_only": _flag(value)}


def _no_display(value: str) -> Options:
    if _flag(value):
        raise UnsupportedError(f"{DISABLE_DISPLAY}={value}: the screen is always shown; accepted: 0")
    return {}


def _no_ca(value: str) -> Options:
    raise UnsupportedError(f"{CA_CERTIFICATE} is not supported; accepted: the whole chain, the server's certificate first, in {CERTIFICATE}")


def _flag(value: str) -> bool:
    if value.lower() not in TRUE + FALSE:
        raise ValueError(f"{value!r}; accepted: 1, 0")
    return value.lower() in TRUE


def _file(value: str) -> Path:
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise ValueError(f"{value!r}; accepted: an absolute path")
    return path


MEANINGS: Mapping[str, Callable[[str], Options]] = {
    PORTS: _ports,
    ADDRESS: lambda value: {"address": value},
    METHOD: _method,
    CERTIFICATE: lambda value: {"certificate": _file(value)},
    KEY: lambda value: {"key": _file(value)},
    CA_CERTIFICATE: _no_ca,
    DISABLE_INPUT: _no_input,
    DISABLE_DISPLAY: _no_display,
}
WITHOUT_EFFECT = ("VideoChannel/", "H3DRedirect/", "Client/Disable")
"""There is no video channel, and nothing else that clients could be kept from."""
