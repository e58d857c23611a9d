"""A machine's remote display while it runs: who serves it, who looks at it, and how it is switched and changed.

`ringone.api.config.RemoteDisplay` is what the machine's owner wants. A frontend whose `FrontendSpec` can serve that is all the kernel knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from ringone.api.config import RemoteDisplay

CLOSED_PORT = -1


@attrs.frozen(kw_only=True)
class RemoteClient:
    """Somebody who sees the screen. `user` is "" where nobody is asked for a name."""

    address: str
    user: str


@attrs.frozen(kw_only=True)
class Endpoint:
    """Where a remote display is reached. `fingerprint` is the SHA-256 of the certificate that clients see. `clients` look at it now, the longest first;
    `clients_so_far` counts all that ever did, `sent_bytes` and `received_bytes` what all of them were sent and said, without what encryption adds."""

    address: str
    port: int
    fingerprint: str
    clients: tuple[RemoteClient, ...] = ()
    clients_so_far: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


@attrs.frozen(kw_only=True)
class RemoteDisplayInfo:
    """`display` is what is wanted. `endpoint` is None where nothing is served: the display is off, or `error` says why it is not."""

    display: RemoteDisplay
    endpoint: Endpoint | None = None
    error: str = ""

    @property
    def port(self) -> int:
        return CLOSED_PORT if self.endpoint is None else self.endpoint.port


class RemoteDisplayControl(Protocol):
    """The remote display of a machine that runs: `VmSession.remote_display`. May be called from any thread but the machine's own."""

    def info(self) -> RemoteDisplayInfo: ...
    def change(self, *, enabled: bool | None = None, properties: Mapping[str, str] | None = None) -> RemoteDisplayInfo:
        """Now and, where the machine is one of a home, in its file. None leaves things as they are; a property with an empty value is taken away. Clients are
        disconnected where it is served otherwise afterwards. Raises what keeps it from being served, and all is as before then."""
        ...
