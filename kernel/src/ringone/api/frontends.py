"""Frontends: what a person or a program drives a machine through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

import attrs

from ringone.api import API_VERSION
from ringone.api.config import MachineConfig
from ringone.api.console import Frame, TextScreen
from ringone.api.events import MachineState
from ringone.api.snapshot import MachineKeeper

T = TypeVar("T")


class VmSession(Protocol):
    """A running machine as other threads see it: every call posts a command to the machine's thread and, where it returns something, waits for it.

    Calls raise `StateError` where the machine's state does not allow them. All may be called from any thread but the machine's own.
    """

    @property
    def config(self) -> MachineConfig: ...
    @property
    def state(self) -> MachineState: ...
    @property
    def error(self) -> BaseException | None:
        """Why the machine aborted."""
        ...

    keeper: MachineKeeper | None
    """The machine's place on disk; None for one that has none (``ringone run`` with options)."""

    def start(self) -> None:
        """Power on; returns when the guest's first instruction is about to run."""
        ...

    def wait(self, timeout_s: float | None = None) -> MachineState:
        """Until the machine is powered off, stuck or aborted, or the time is over; returns the state."""
        ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def reset(self) -> None: ...
    def power_off(self) -> None:
        """Pull the plug."""
        ...

    def press_power_button(self) -> None: ...
    def inject_nmi(self) -> None: ...
    def put_scancodes(self, codes: bytes) -> None: ...
    def keyboard_pending(self) -> int: ...
    def keyboard_leds(self) -> int: ...
    def move_mouse(self, dx: int, dy: int, dz: int = 0, buttons: int = 0) -> None: ...
    def frame(self) -> Frame: ...
    def frame_generation(self) -> int: ...
    def text_screen(self) -> TextScreen | None: ...
    def save_state(self) -> bytes:
        """The whole state (not disk contents) as a container (`ringone.snapshot`); the machine goes on."""
        ...

    def load_state(self, container: bytes) -> None: ...
    def state_hash(self) -> str:
        """SHA-256 over the whole state: equal for equal states."""
        ...

    def read_memory(self, address: int, size: int) -> bytes: ...
    def change_medium(self, drive: str, image: Path | None, *, force: bool = False) -> None:
        """`drive` is the component and slot (``ide.drive10``); None ejects."""
        ...

    def statistics(self) -> Mapping[str, int]: ...
    def virtual_ns(self) -> int: ...
    def subscribe(self, observer: Callable[[object], None]) -> Callable[[], None]:
        """`observer(event)` runs on the machine's thread; the returned function unsubscribes."""
        ...

    def request(self, command: Callable[[], T]) -> Future[T]:
        """Run `command` on the machine's thread."""
        ...

    def close(self) -> None:
        """Power off where needed, end the thread, close drivers. Idempotent."""
        ...


class Frontend(Protocol):
    def start(self, session: VmSession) -> None: ...
    def stop(self) -> None: ...


@attrs.frozen(kw_only=True)
class FrontendSpec:
    """Yielded by the hook ``ringone_frontends``."""

    name: str
    summary: str
    options: type[Any]
    create: Callable[[Any], Frontend]
    api_version: int = API_VERSION
