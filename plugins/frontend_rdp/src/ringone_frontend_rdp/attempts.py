"""Wrong passwords, counted by the address that they come from: who guesses is kept waiting, longer each time."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

import attrs

FREE = 5
FIRST_WAIT_S = 5
LONGEST_WAIT_S = 300
MOST_ADDRESSES = 4096
IPV6_NETWORK = 64
"""Bits. Whoever has one address of such a network has all of them."""


@attrs.define
class _Failures:
    count: int = 0
    until: float = 0.0


class Attempts:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def failed(self, address: str) -> None:
        whose = origin(address)
        failures = self._failures.setdefault(whose, _Failures())
        self._failures.move_to_end(whose)
        failures.count += 1
        if failures.count >= FREE:
            failures.until = self._now() + min(FIRST_WAIT_S << min(failures.count - FREE, 16), LONGEST_WAIT_S)
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        self._failures.pop(origin(address), None)

    def locked_out(self, address: str) -> bool:
        failures = self._failures.get(origin(address))
        return failures is not None and self._now() < failures.until


def origin(address: str) -> str:
    """What is counted as one: an address, or the network that somebody who has it has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, IPV6_NETWORK), strict=False))
