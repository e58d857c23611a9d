"""Waiting for a machine: for text on its screen or a serial port, for a state, for a screen that has come to rest.

State and serial ports wake the waiter. A screen tells nobody that it changed and is looked at, so seldom that looking costs the guest less than a fiftieth of
its time, and the longer it takes the more seldom: what comes is seen late by a twentieth of the waiting. Text is read from text modes only, where it is exact;
a graphics mode has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import re
import time
from collections.abc import Callable
from typing import Protocol

import attrs
from ringone.api.console import TextScreen
from ringone.api.errors import ConfigError, StateError, WaitTimeoutError
from ringone.api.events import MachineState, StateChanged
from ringone.api.frontends import VmSession

from ringone_control_api.bell import Bell
from ringone_control_api.machine_calls import on_machine
from ringone_control_api.serial_history import SerialHistory

MAX_TIMEOUT_S = 7 * 24 * 3600.0
MAX_PATTERN_CHARACTERS = 4096
REGEX_SPAN_BYTES = 1 << 16
"""A match of a regular expression on a serial port is found where it is no longer than this."""

LOOKS_PART = 50
"""A look costs the guest at most one part in so many."""
LATE_PART = 20
"""What comes after so many parts of waiting is seen late by at most one."""
MIN_POLL_S, MAX_POLL_S = 0.01, 0.25
MAX_RUSH_S = 0.05
"""Between looks at a serial port that says something all the time."""

ENDED = frozenset({MachineState.POWERED_OFF, MachineState.STUCK, MachineState.ABORTED})


class Clock(enum.Enum):
    """What a timeout counts: the guest's virtual time, which stands while the machine is paused, or the host's."""

    GUEST = "guest"
    WALL = "wall"


@attrs.frozen(kw_only=True)
class Match:
    """What was waited for. `groups` are a regular expression's, None where one took no part. On a serial port `start` and `end` are positions in its stream:
    waiting again from `end` does not see the same match twice. On a screen they are None."""

    text: str = ""
    groups: tuple[str | None, ...] = ()
    start: int | None = None
    end: int | None = None
    virtual_ns: int = 0


class Condition(Protocol):
    ends_with_machine: bool
    """Nothing more will come once the machine has ended."""
    polled: bool
    """Whether it has to be looked for; otherwise `listen` tells."""

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake`, from any thread, when looking may be worth it; returns what ends that."""
        ...

    def look(self, session: VmSession) -> None:
        """On the machine's thread, while the guest stands: remember what is to be judged."""
        ...

    def judge(self) -> Match | None:
        """What matches of what was last seen."""
        ...

    def story(self) -> str:
        """What was waited for and what was seen instead."""
        ...


def compile_pattern(pattern: str) -> re.Pattern[str]:
    _check_length("regular expression", pattern)
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"regular expression {_short(pattern)}: {error}") from None


def _check_length(what: str, text: str) -> None:
    if not 0 < len(text) <= MAX_PATTERN_CHARACTERS:
        raise ConfigError(f"{what} of {len(text)} characters; accepted: 1 to {MAX_PATTERN_CHARACTERS}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _no_listening() -> None:
    """For conditions that are polled."""


class ScreenText:
    """A regular expression on the text screen: its rows as lines, blanks at their ends removed."""

    ends_with_machine = True
    polled = True

    def __init__(self, pattern: re.Pattern[str], shown: str = "") -> None:
        self._pattern = pattern
        self._shown = _short(shown or pattern.pattern)
        self._screen: TextScreen | None = None
        self._judged = b""

    @classmethod
    def string(cls, text: str) -> ScreenText:
        _check_length("text", text)
        return cls(re.compile(re.escape(text)), text)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        return _no_listening

    def look(self, session: VmSession) -> None:
        self._screen = session.text_screen()

    def judge(self) -> Match | None:
        if self._screen is None or self._screen.cells == self._judged:
            return None
        self._judged = self._screen.cells
        found = self._pattern.search(self._screen.text())
        return None if found is None else Match(text=found[0], groups=found.groups())

    def story(self) -> str:
        why = " (it is in a graphics mode, and text is read from text modes only)" if self._screen is None else ""
        return f"{self._shown} was not on the screen{why}"


class SerialText:
    """A regular expression in what a serial port said from position `since` on, whether it came before or comes while waiting."""

    ends_with_machine = True
    polled = False

    def __init__(self, history: SerialHistory, pattern: re.Pattern[bytes], since: int = 0, *, span_bytes: int = REGEX_SPAN_BYTES, shown: str = "") -> None:
        self._history = history
        self._pattern = pattern
        self._shown = _short(shown or pattern.pattern.decode())
        self._since = since
        self._span_bytes = span_bytes
        self._searched = since

    @classmethod
    def string(cls, history: SerialHistory, text: str, since: int = 0) -> SerialText:
        _check_length("text", text)
        return cls(history, re.compile(re.escape(text.encode())), since, span_bytes=len(text.encode()), shown=text)

    @classmethod
    def regex(cls, history: SerialHistory, pattern: str, since: int = 0) -> SerialText:
        compile_pattern(pattern)
        return cls(history, re.compile(pattern.encode()), since)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        return self._history.listen(wake)

    def look(self, session: VmSession) -> None:
        """The history needs no standing guest."""

    def judge(self) -> Match | None:
        span = self._span_bytes
        start, said = self._history.read(max(self._since, self._searched - 2 * span))
        found = self._pattern.search(said, max(0, self._searched - span - start))  # what stands before is there for ^ and look-behinds
        self._searched = start + len(said)
        if found is None:
            return None
        groups = tuple(None if group is None else group.decode("utf-8", "replace") for group in found.groups())
        return Match(text=found[0].decode("utf-8", "replace"), groups=groups, start=start + found.start(), end=start + found.end())

    def story(self) -> str:
        tail = self._history.read(self._history.end - 200)[1].decode("utf-8", "replace")
        return f"{self._shown} did not come on the serial port from position {self._since} on; it ends with {tail!r}"


class InState:
    """The machine is in a state."""

    ends_with_machine = False
    polled = False

    def __init__(self, state: MachineState) -> None:
        self._wanted = state
        self._found: MachineState | None = None

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        return _no_listening

    def look(self, session: VmSession) -> None:
        self._found = session.state

    def judge(self) -> Match | None:
        return Match(text=self._wanted.value) if self._found is self._wanted else None

    def story(self) -> str:
        return f"the machine did not become {self._wanted.value}"


class IdleScreen:
    """Nothing visible has changed for `quiet_ns` of the guest's time. A blinking cursor is no change."""

    ends_with_machine = True
    polled = True

    def __init__(self, quiet_ns: int) -> None:
        if quiet_ns <= 0:
            raise ConfigError(f"a screen is idle after {quiet_ns} ns; accepted: more than 0")
        self._quiet_ns = quiet_ns
        self._generation = -1
        self._since_ns = self._now_ns = 0

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        return _no_listening

    def look(self, session: VmSession) -> None:
        generation, self._now_ns = session.frame_generation(), session.virtual_ns()
        if generation != self._generation:
            self._generation, self._since_ns = generation, self._now_ns

    def judge(self) -> Match | None:
        return Match() if self._now_ns - self._since_ns >= self._quiet_ns else None

    def story(self) -> str:
        return f"the screen was never the same for {self._quiet_ns / 1e9:g} s"


async def wait_for(session: VmSession, condition: Condition, *, timeout_s: float, clock: Clock = Clock.GUEST) -> Match:
    """Returns what matched. `WaitTimeoutError` when `timeout_s` is over; `StateError` when the machine has ended and nothing more can come."""
    if not 0 <= timeout_s <= MAX_TIMEOUT_S:
        raise ConfigError(f"timeout of {timeout_s} s; accepted: 0 to {MAX_TIMEOUT_S:.0f}")
    bell = Bell()

    def observe(event: object) -> None:
        if isinstance(event, StateChanged):
            bell.ring()

    unsubscribe = await on_machine(session, lambda: session.subscribe(observe))
    forget = condition.listen(bell.ring)
    try:
        return await _wait(session, condition, _Deadline(timeout_s, clock), bell)
    finally:
        forget()
        session.request(unsubscribe)


class _Deadline:
    def __init__(self, timeout_s: float, clock: Clock) -> None:
        self.timeout_s = timeout_s
        self.clock = clock
        self._wall_start = time.monotonic()
        self._guest_start_ns: int | None = None

    def left_s(self, virtual_ns: int) -> float:
        if self.clock is Clock.WALL:
            return self.timeout_s - (time.monotonic() - self._wall_start)
        if self._guest_start_ns is None:
            self._guest_start_ns = virtual_ns
        return self.timeout_s - (virtual_ns - self._guest_start_ns) / 1e9


@attrs.frozen
class _Look:
    state: MachineState
    virtual_ns: int
    cost_s: float


async def _wait(session: VmSession, condition: Condition, deadline: _Deadline, bell: Bell) -> Match:
    def look() -> _Look:
        started = time.perf_counter()
        condition.look(session)
        return _Look(session.state, session.virtual_ns(), time.perf_counter() - started)

    started = time.monotonic()
    while True:
        bell.answer()
        seen = await on_machine(session, look)
        match = condition.judge()
        if match is not None:
            return attrs.evolve(match, virtual_ns=seen.virtual_ns)
        if condition.ends_with_machine and seen.state in ENDED:
            raise StateError(f"{condition.story()}, and the machine is {seen.state.value}")
        left_s = deadline.left_s(seen.virtual_ns)
        if left_s <= 0:
            raise await _too_late(session, condition, deadline)
        pause_s = max(MIN_POLL_S, (time.monotonic() - started) / LATE_PART)
        if condition.polled:
            await bell.wait(min(max(pause_s, seen.cost_s * LOOKS_PART), MAX_POLL_S, left_s))
        else:
            await asyncio.sleep(min(pause_s, MAX_RUSH_S, left_s))
            await bell.wait(min(MAX_POLL_S, left_s))


async def _too_late(session: VmSession, condition: Condition, deadline: _Deadline) -> WaitTimeoutError:
    screen = None
    with contextlib.suppress(StateError):  # a machine without a display
        screen = await on_machine(session, session.text_screen)
    message = f"{condition.story()} within {deadline.timeout_s:g} s of {deadline.clock.value} time; the machine is {session.state.value}"
    return WaitTimeoutError(message, screen="" if screen is None else screen.text())
