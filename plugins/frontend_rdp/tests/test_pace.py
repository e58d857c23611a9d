"""Clients that make more work than they may are slowed down, and those that never stop are disconnected. Nobody's mouse is."""

from __future__ import annotations

import attrs
import pytest
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.pace import BURST_S, EVENT_S, LONGEST_FLOOD_S, PDU_S, READ_BYTES, REDRAW_S, REQUEST_S, Pace


@attrs.define
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


MOST_AT_ONCE = READ_BYTES // 10


def reads(pace: Pace, events: float) -> float:
    """What so many PDUs of ten bytes and one event each cost that are read at once."""
    return pace.spend(REQUEST_S + (PDU_S + EVENT_S) * events, READ_BYTES if events >= MOST_AT_ONCE else int(10 * events))


def test_typing_and_single_redraws_never_wait() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(1000):
        assert reads(pace, 2) == 0
        clock.now += 0.03
    clock.now += 1
    assert pace.spend(REDRAW_S, 60) == 0


@pytest.mark.parametrize("hertz", [125, 500, 1000])
def test_mice_wait_for_milliseconds_at_most(hertz: int) -> None:
    clock = Clock()
    pace = Pace(clock)
    pending = 1.0
    while clock.now < 1000 + 4 * LONGEST_FLOOD_S:
        wait_s = reads(pace, pending)
        assert wait_s < 0.005
        passed = max(wait_s, 1 / hertz)
        clock.now += passed
        pending = hertz * passed


def test_what_has_piled_up_is_taken_in() -> None:
    """Ten seconds of a mouse, in pieces of what is read at once, while it goes on moving."""
    clock = Clock()
    pace = Pace(clock)
    pending = 10 * 1000.0
    while pending > 10:
        read = min(pending, MOST_AT_ONCE)
        wait_s = reads(pace, read)
        clock.now += wait_s
        pending += 1000 * wait_s - read
    assert clock.now < 1000 + 10


def test_flood_is_slowed_down_and_ended() -> None:
    clock = Clock()
    pace = Pace(clock)
    taken = -2 * MOST_AT_ONCE
    with pytest.raises(ProtocolError, match="for 30 seconds"):
        while True:
            clock.now += reads(pace, MOST_AT_ONCE)
            taken += MOST_AT_ONCE
    assert taken / (clock.now - 1000) < 1 / (PDU_S + EVENT_S) + 1
    assert LONGEST_FLOOD_S < clock.now - 1000 < LONGEST_FLOOD_S + 1


def test_bursts_far_apart_are_no_flood() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(1000):
        clock.now += reads(pace, MOST_AT_ONCE) + BURST_S
        assert reads(pace, 1) < BURST_S
        clock.now += BURST_S
