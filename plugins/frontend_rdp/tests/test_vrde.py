"""A machine file's remote display in this frontend's options, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.config import RemoteDisplay
from ringone.api.errors import ConfigError, DriverError, UnsupportedError
from ringone_frontend_rdp import certificates
from ringone_frontend_rdp.config import MOST_CLIENTS, Authentication, RdpOptions, SecurityMethod, WhenFull, ports
from ringone_frontend_rdp.frontend import RdpFrontend
from ringone_frontend_rdp.vrde import MEANINGS, options_of

NO_SESSION: Any = None
ALONE = RdpOptions(max_clients=1)


def display(**properties: str) -> RemoteDisplay:
    return RemoteDisplay(enabled=True, properties={name.replace("_", "/"): value for name, value in properties.items()})


def test_a_display_of_which_nothing_is_said_is_for_one_client_of_this_host() -> None:
    assert options_of(RemoteDisplay(enabled=True)) == ALONE
    assert (ALONE.address, ALONE.port, ALONE.auth) == ("127.0.0.1", "3389", Authentication.NONE)


@pytest.mark.parametrize(
    ("properties", "option", "value"),
    [
        ({"TCP_Ports": "5000-5010"}, "port", "5000-5010"),
        ({"TCP_Ports": "3389,5000-5010"}, "port", "3389,5000-5010"),
        ({"TCP_Ports": "0"}, "port", "3389"),
        ({"TCP_Ports": ""}, "port", "3389"),
        ({"TCP_Address": "127.0.0.2"}, "address", "127.0.0.2"),
        ({"TCP_Address": "::1"}, "address", "::1"),
        ({"Security_Method": "TLS"}, "security", SecurityMethod.TLS),
        ({"Security_Method": "Negotiate"}, "security", SecurityMethod.NEGOTIATE),
        ({"Client_DisableInput": "1"}, "view_only", True),
        ({"Client_DisableInput": "0"}, "view_only", False),
        ({"Client_DisableDisplay": "0"}, "view_only", False),
        ({"VideoChannel_Enabled": "1", "Client_DisableUSB": "1", "Some_Thing": "x"}, "view_only", False),
    ],
    ids=lambda value: "-".join(map("=".join, value.items())) if isinstance(value, dict) else None,
)
def test_a_property_becomes_an_option(properties: dict[str, str], option: str, value: Any) -> None:
    assert options_of(display(**properties)) == attrs.evolve(ALONE, **{option: value})


def test_what_has_no_effect_is_named_without_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    options_of(display(VNCPassword="secret", VideoChannel_Quality="75"))
    assert [record.getMessage() for record in caplog.records] == ["the remote display's property VNCPassword has no effect"]


def test_certificate_and_key_are_the_files_that_are_named() -> None:
    options = options_of(display(Security_ServerCertificate="/c.pem", Security_ServerPrivateKey="/k.pem"))
    assert (options.certificate, options.key) == (Path("/c.pem"), Path("/k.pem"))


def test_certificate_that_tls_does_not_take_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.pem"
    path.touch(mode=0o600)
    path.write_bytes(certificates._make(rsa.generate_private_key(public_exponent=65537, key_size=1024)))
    frontend = RdpFrontend(options_of(display(Security_ServerCertificate=str(path), Security_ServerPrivateKey=str(path))))
    with pytest.raises(DriverError, match=r"short\.pem: TLS does not take the certificate: EE_KEY_TOO_SMALL"):
        frontend.start(NO_SESSION)


def test_others_than_this_host_connect_as_users() -> None:
    options = options_of(attrs.evolve(display(TCP_Address="0.0.0.0"), auth_type="External"))
    assert (options.address, options.auth) == ("0.0.0.0", Authentication.USERS)


@pytest.mark.parametrize(
    ("multi", "reuse", "policy"),
    [
        (False, False, (1, WhenFull.REFUSE)),
        (False, True, (1, WhenFull.TAKE_OVER)),
        (True, False, (MOST_CLIENTS, WhenFull.REFUSE)),
        (True, True, (MOST_CLIENTS, WhenFull.REFUSE)),
    ],
)
def test_connections_are_one_a_newer_one_or_several(multi: bool, reuse: bool, policy: tuple[int, WhenFull]) -> None:
    options = options_of(RemoteDisplay(enabled=True, allow_multi_connection=multi, reuse_single_connection=reuse))
    assert (options.max_clients, options.when_full) == policy


@pytest.mark.parametrize(
    ("wanted", "kind", "said"),
    [
        (RemoteDisplay(auth_type="Guest"), UnsupportedError, "authentication type guest: .*accepted: null, external"),
        (RemoteDisplay(auth_type="Other"), ConfigError, "authentication type 'Other'"),
        (display(Security_Method="RDP"), UnsupportedError, "Security/Method=RDP: .*accepted: TLS, NEGOTIATE"),
        (display(Security_Method="x"), ConfigError, "Security/Method=x; accepted"),
        (display(Security_CACertificate="/ca.pem"), UnsupportedError, "Security/CACertificate is not supported; accepted: "),
        (display(Security_ServerCertificate="/c.pem"), ConfigError, "one without the other; accepted"),
        (display(Security_ServerCertificate="c.pem", Security_ServerPrivateKey="/k.pem"), ConfigError, "Security/ServerCertificate: 'c.pem'; accepted"),
        (display(TCP_Address="0.0.0.0"), ConfigError, "TCP/Address=0.0.0.0: .*accepted with authentication type external"),
        (display(TCP_Address="here"), ConfigError, "TCP/Address: 'here'"),
        (display(TCP_Ports="99999"), ConfigError, "TCP/Ports: '99999'; accepted"),
        (display(Client_DisableDisplay="1"), UnsupportedError, "Client/DisableDisplay=1: .*accepted: 0"),
        (display(Client_DisableInput="maybe"), ConfigError, "Client/DisableInput: 'maybe'; accepted"),
    ],
    ids=["guest", "auth", "rdp", "method", "ca", "no-key", "relative", "everywhere", "name", "port", "blind", "flag"],
)
def test_what_cannot_be_had_is_named(wanted: RemoteDisplay, kind: type[ConfigError], said: str) -> None:
    with pytest.raises(kind, match=said):
        options_of(wanted)


@given(st.dictionaries(st.sampled_from(sorted(MEANINGS)), st.text(max_size=20)), st.text(max_size=10))
def test_any_machine_file_gives_options_or_one_clear_error(properties: dict[str, str], auth_type: str) -> None:
    wanted = RemoteDisplay(enabled=True, auth_type=auth_type, properties=properties)
    try:
        options: Any = options_of(wanted)
    except ConfigError as error:
        assert str(error)
    else:
        assert options.is_loopback or options.auth is Authentication.USERS


@given(st.text(alphabet="0123456789,- ", max_size=24))
def test_ports_are_what_they_say_or_refused(text: str) -> None:
    try:
        chosen = ports(text)
    except ValueError as error:
        assert "accepted" in str(error)
    else:
        assert chosen == [0] or (chosen and all(1 <= port <= 65535 for port in chosen) and len(set(chosen)) == len(chosen))
