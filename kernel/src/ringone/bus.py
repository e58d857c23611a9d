"""The I/O port space: 65,536 ports, each with at most one reader and one writer in force.

A slot holds a prebound handler, its base and the widths that fit there, so that an access is one table look-up and one call. Claims made at assembly must not
overlap. Ranges that a guest moves later (PCI BARs) may: the one that moved last is in force, and what it covers comes back when it leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ringone.api.devices import PortRead, PortWrite
from ringone.api.errors import AddressOverlapError, AssemblyError, BackendError, DeviceError
from ringone.shadowing import ShadowingLog
from ringone.widths import ALL_ONES, WIDEST, width_mask

PORT_COUNT = 1 << 16
PORT_WIDTHS = (1, 2, 4)

_ReadSlot = tuple[PortRead, int, int, int]
"""Handler, base, the widths that fit at this port (or-ed), the smallest declared width."""
_WriteSlot = tuple[PortWrite, int, int, int]


class PortClaim:
    """Ports granted to a component; see `ringone.api.devices.PortRange`."""

    __slots__ = ("base", "count", "enabled", "mask", "name", "owner", "read", "space", "write")

    def __init__(self, space: PortSpace, owner: str, name: str, base: int, count: int, read: PortRead | None, write: PortWrite | None, mask: int) -> None:
        self.space = space
        self.owner = owner
        self.name = name
        self.base = base
        self.count = count
        self.read = read
        self.write = write
        self.mask = mask
        self.enabled = False

    def __str__(self) -> str:
        label = f" {self.name}" if self.name else ""
        return f"{self.owner}{label} (ports {self.base:#06x}-{self.base + self.count - 1:#06x})"

    def set_enabled(self, enabled: bool) -> None:
        if enabled == self.enabled:
            return
        self.enabled = enabled
        self.space.changed(self, self.base)

    def move(self, base: int) -> None:
        if base == self.base:
            return
        former, self.base = self.base, base
        if self.enabled:
            self.space.changed(self, former)


class PortSpace:
    """All ports of a machine. `read` and `write` are what a CPU backend calls."""

    def __init__(self, log: logging.Logger | None = None) -> None:
        self._log = log or logging.getLogger("ringone.bus")
        self._claims: list[PortClaim] = []
        self._no_read: _ReadSlot = (self._read_unmapped, 0, 1, 1)
        self._no_write: _WriteSlot = (self._write_unmapped, 0, 1, 1)
        self._reads: list[_ReadSlot] = [self._no_read] * PORT_COUNT
        self._writes: list[_WriteSlot] = [self._no_write] * PORT_COUNT
        self._reported: set[int] = set()
        self.unmapped_reads = 0
        self.unmapped_writes = 0
        self._shadowing = ShadowingLog(self._log)

    # --- Access -----------------------------------------------------------------------------------------------------------------------------------------------

    def read(self, port: int, size: int) -> int:
        """What the guest reads; `size` is 1, 2 or 4."""
        handler, base, mask, _ = self._reads[port]
        if size & mask:
            try:
                return handler(port - base, size)
            except Exception as error:
                raise self._failure(error, handler, "read", port, size) from error
        return self._read_parts(port, size)

    def write(self, port: int, size: int, value: int) -> None:
        handler, base, mask, _ = self._writes[port]
        if size & mask:
            try:
                handler(port - base, size, value)
            except Exception as error:
                raise self._failure(error, handler, "write", port, size) from error
            return
        self._write_parts(port, size, value)

    def _read_parts(self, port: int, size: int) -> int:
        slots = self._reads[port : port + size]
        if all(slot is self._no_read for slot in slots):
            return self._read_unmapped(port, size)
        slots += [self._no_read] * (size - len(slots))
        value = done = 0
        while done < size:
            handler, base, mask, smallest = slots[done]
            offset = port + done - base
            remaining = size - done
            width = WIDEST[mask][remaining]
            try:
                if width:
                    part = handler(offset, width)
                else:
                    skew = offset % smallest
                    width = min(remaining, smallest - skew)
                    part = handler(offset - skew, smallest) >> 8 * skew
            except Exception as error:
                raise self._failure(error, handler, "read", port, size) from error
            value |= (part & ALL_ONES[width]) << 8 * done
            done += width
        return value

    def _write_parts(self, port: int, size: int, value: int) -> None:
        slots = self._writes[port : port + size]
        if all(slot is self._no_write for slot in slots):
            self._write_unmapped(port, size, value)
            return
        slots += [self._no_write] * (size - len(slots))
        done = 0
        while done < size:
            handler, base, mask, smallest = slots[done]
            offset = port + done - base
            remaining = size - done
            width = WIDEST[mask][remaining]
            part = value >> 8 * done
            try:
                if width:
                    handler(offset, width, part & ALL_ONES[width])
                else:
                    skew = offset % smallest
                    width = min(remaining, smallest - skew)
                    handler(offset - skew, smallest, (part & ALL_ONES[width]) << 8 * skew)
            except Exception as error:
                raise self._failure(error, handler, "write", port, size) from error
            done += width

    def _read_unmapped(self, port: int, size: int) -> int:
        self.unmapped_reads += 1
        self._report("read from", port)
        return ALL_ONES[size]

    def _write_unmapped(self, port: int, size: int, value: int) -> None:
        self.unmapped_writes += 1
        self._report("write to", port)

    def _report(self, verb: str, port: int) -> None:
        if port not in self._reported:
            self._reported.add(port)
            self._log.debug("%s port %#06x, where no device is (reported once a port)", verb, port)

    def _failure(self, error: Exception, handler: object, verb: str, port: int, size: int) -> Exception:
        if isinstance(error, (DeviceError, BackendError)):
            return error
        owner = next((claim.owner for claim in self._claims if claim.read is handler or claim.write is handler), "bus")
        return DeviceError(owner, f"{verb} of {size} bytes at port {port:#06x}")

    # --- Claims -----------------------------------------------------------------------------------------------------------------------------------------------

    def claim(
        self,
        owner: str,
        base: int,
        count: int,
        *,
        read: PortRead | None = None,
        write: PortWrite | None = None,
        widths: tuple[int, ...] = (1,),
        name: str = "",
        enabled: bool = True,
    ) -> PortClaim:
        """Grant ports at assembly. Enabled claims of one direction must not overlap.

        An access that starts at the base may be wider than the range, so that one port can be a wide data register; an access that starts behind the base and
        runs over the end is split.
        """
        if count < 1 or base < 0 or (enabled and base + count > PORT_COUNT):
            raise AssemblyError(f"ports {base:#x} and the {count - 1} behind it are not within 0x0000-0xffff", component=owner)
        claim = PortClaim(self, owner, name, base, count, read, write, width_mask(widths, PORT_WIDTHS, owner))
        if enabled and (rival := self._rival(claim)):
            raise AddressOverlapError(f"{claim} overlaps {rival}", component=owner)
        self._claims.append(claim)
        claim.set_enabled(enabled)
        return claim

    @property
    def claims(self) -> tuple[PortClaim, ...]:
        """All claims; where two overlap, the later one is in force."""
        return tuple(self._claims)

    def statistics(self) -> Mapping[str, int]:
        return {"UnmappedPortReads": self.unmapped_reads, "UnmappedPortWrites": self.unmapped_writes, "ShadowedPortRanges": self._shadowing.count}

    @property
    def shadowings(self) -> int:
        """How often a claim came to cover another."""
        return self._shadowing.count

    def changed(self, claim: PortClaim, former_base: int) -> None:
        """`claim` was moved from `former_base`, enabled or disabled."""
        if claim.enabled:
            self._claims.remove(claim)
            self._claims.append(claim)
            self._shadowing.note(claim, self._rival(claim))
        self._refill(former_base, former_base + claim.count)
        if claim.base != former_base:
            self._refill(claim.base, claim.base + claim.count)

    def _rival(self, claim: PortClaim) -> PortClaim | None:
        for other in self._claims:
            if other is claim or not other.enabled or other.base >= claim.base + claim.count or claim.base >= other.base + other.count:
                continue
            if (claim.read and other.read) or (claim.write and other.write):
                return other
        return None

    def _refill(self, start: int, end: int) -> None:
        """Work out the slots of the ports from `start` up to `end` anew."""
        start, end = max(start, 0), min(end, PORT_COUNT)
        if start >= end:
            return
        self._reads[start:end] = [self._no_read] * (end - start)
        self._writes[start:end] = [self._no_write] * (end - start)
        for claim in self._claims:
            low, high = max(start, claim.base), min(end, claim.base + claim.count)
            if not claim.enabled or low >= high:
                continue
            fits = [self._fitting(claim, port - claim.base) for port in range(low, high)]
            smallest = claim.mask & -claim.mask
            if claim.read:
                read_slots: dict[int, _ReadSlot] = {mask: (claim.read, claim.base, mask, smallest) for mask in set(fits)}
                self._reads[low:high] = [read_slots[mask] for mask in fits]
            if claim.write:
                write_slots: dict[int, _WriteSlot] = {mask: (claim.write, claim.base, mask, smallest) for mask in set(fits)}
                self._writes[low:high] = [write_slots[mask] for mask in fits]

    @staticmethod
    def _fitting(claim: PortClaim, offset: int) -> int:
        if offset == 0:
            return claim.mask
        room = claim.count - offset
        return claim.mask & (7 if room >= 4 else 3 if room >= 2 else 1)
