"""Options of the frontend ``rdp``."""

from __future__ import annotations

import enum
import ipaddress
import re
from pathlib import Path
from typing import Any

import attrs
from ringone.api.options import option
from ringone.keyboard import pick

MOST_CLIENTS = 64
MAX_PORT = 65535
DEFAULT_PORT = "3389"
PORT = re.compile(r"[0-9]{1,5}")


class Authentication(enum.Enum):
    NONE = "none"
    USERS = "users"


class SecurityMethod(enum.Enum):
    """`NEGOTIATE` takes NLA where the client can, TLS with the password inside otherwise."""

    NEGOTIATE = "negotiate"
    NLA = "nla"
    TLS = "tls"


class Video(enum.Enum):
    """What H.264 is for: `AUTO` takes it while much of the screen moves, where the client and this host have it.

    `BITMAPS` does without the graphics pipeline.
    """

    AUTO = "auto"
    LOSSLESS = "lossless"
    AVC420 = "avc420"
    BITMAPS = "bitmaps"


class WhenFull(enum.Enum):
    REFUSE = "refuse"
    TAKE_OVER = "take-over"
    """The one who has been connected the longest is disconnected."""


def ports(text: str) -> list[int]:
    """``3389``, ``5000-5010``, several of them (``3389,5000-5010``), or ``0`` for one that the host chooses."""
    chosen: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not PORT.fullmatch(first) or (dash and not PORT.fullmatch(last)):
            raise ValueError(f"{text!r}; accepted: a port, a range such as 5000-5010, several of them with commas between, or 0")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or numbers[-1] > MAX_PORT:
            raise ValueError(f"{text!r}; accepted: ports of 1 to {MAX_PORT}, or 0 alone")
        chosen.update(dict.fromkeys(numbers))
    if 0 in chosen and len(chosen) > 1:
        raise ValueError(f"{text!r}; accepted: ports of 1 to {MAX_PORT}, or 0 alone")
    return list(chosen)


def _is_ports(instance: Any, attribute: attrs.Attribute[str], value: str) -> None:
    ports(value)


def _is_address(instance: Any, attribute: attrs.Attribute[str], value: str) -> None:
    ipaddress.ip_address(value)


def _is_layout(instance: Any, attribute: attrs.Attribute[str], value: str) -> None:
    pick(value)


@attrs.frozen(kw_only=True)
class RdpOptions:
    port: str = option(DEFAULT_PORT, help="the port, a range of which the first free one is taken (5000-5010), or 0 for any free one", validator=_is_ports)
    address: str = option("127.0.0.1", help="the address listened at; one that is not of this host alone needs auth=users", validator=_is_address)
    auth: Authentication = option(Authentication.NONE, help="who may connect: none asks nobody, users asks for a user of the user database")
    users: Path | None = option(None, help="the user database; the user's own where not given")
    security: SecurityMethod = option(SecurityMethod.NEGOTIATE, help="nla, tls (for old clients), or negotiate: what the client can")
    certificate: Path | None = option(None, help="certificate chain, PEM; the host's own, made once, where not given")
    key: Path | None = option(None, help="the certificate's private key, PEM, without a password")
    max_clients: int = option(
        4, help="how many clients may be connected at once", validator=attrs.validators.and_(attrs.validators.ge(1), attrs.validators.le(MOST_CLIENTS))
    )
    when_full: WhenFull = option(WhenFull.REFUSE, help="what becomes of one more: refuse, or take-over, which disconnects the one who came first")
    view_only: bool = option(False, help="show the screen, take no keys and no mouse")
    layout: str = option("us", help="the guest's keyboard layout, by which characters that clients send become keys", validator=_is_layout)
    clipboard: bool = option(False, help="Ctrl+Alt+V types the text of the client's clipboard")
    video: Video = option(Video.AUTO, help="H.264 while the screen moves: auto where it pays, lossless never, avc420 always; bitmaps: as before RDP 8")
    process: bool = option(True, help="serve from a process of its own, which holds up the guest less; off takes less memory")

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback
