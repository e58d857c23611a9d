"""Frontends: what a person or a program drives a machine through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

import attrs

from ringone.api import API_VERSION
from ringone.api.config import MachineConfig, Recording, RemoteDisplay
from ringone.api.console import Frame, TextScreen
from ringone.api.cpu import CpuState
from ringone.api.events import MachineState
from ringone.api.recording import RecordingControl
from ringone.api.remotedisplay import Endpoint, RemoteDisplayControl
from ringone.api.snapshot import MachineKeeper

T = TypeVar("T")


class SerialLine(Protocol):
    """A serial port's line as others than its driver see it. All may be called from any thread."""

    def listen(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """`listener(data)` is called on the machine's thread with what the guest says from now on, a few bytes at a time, and must not block; the returned
        function ends that."""
        ...

    def send(self, data: bytes) -> int:
        """Queue bytes for the guest, before what comes from the driver. Returns how many it has not yet taken; too many are a `StateError`."""
        ...


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
    remote_display: RemoteDisplayControl | None
    """None where nobody sees to it."""
    recording: RecordingControl | None
    """None where nobody sees to it."""
    serial_lines: Mapping[int, SerialLine]
    """By slot; empty where the machine's serial ports are not shared (`ringone.machine.create_shared_session`)."""

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
        """The whole state (not disk contents) as the bytes of a state file (`ringone.snapshot`); the machine goes on."""
        ...

    def load_state(self, container: bytes) -> None:
        """Replace the whole state in place. The machine goes on running or stays paused as it was; one that was off or stuck is paused afterwards.
        A state that does not fit is a `SnapshotError` and changes nothing."""
        ...

    def take_checkpoint(self) -> int:
        """Keep the whole state in memory, fixed disks included, and name it by a number that is never used again; the machine goes on.

        While there are checkpoints, what the guest writes to fixed disks stays in memory. Removable media and what host drivers sent are not part of it.
        """
        ...

    def roll_back(self, checkpoint: int) -> None:
        """Go back to a checkpoint in place, in milliseconds; it can be gone back to again, later ones are forgotten. Virtual time goes back too.
        The machine goes on running or stays paused as it was; one that was off or stuck is paused afterwards."""
        ...

    def drop_checkpoint(self, checkpoint: int) -> None:
        """Forget a checkpoint; the present state and the other checkpoints stay. With the last one, disks get what was written to them."""
        ...

    def state_hash(self) -> str:
        """SHA-256 over the whole state: equal for equal states."""
        ...

    def read_memory(self, address: int, size: int) -> bytes: ...
    def registers(self) -> CpuState:
        """The processor's registers, as the guest sees them."""
        ...

    def change_cpu_options(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Give the processor other values for some of its options, as text, between two instructions (``{"patching": "off"}`` on raw mode); returns all that
        were ever given. Raises `ConfigError` for what cannot be changed while the machine exists."""
        ...

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


class RemoteDisplayFrontend(Frontend, Protocol):
    """A frontend that serves a machine's remote display."""

    def endpoint(self) -> Endpoint:
        """While it is started."""
        ...


class RecorderFrontend(Frontend, Protocol):
    """A frontend that makes a video of a machine's screen, from its start to its stop or the machine's end. The file is made when it starts and was not there
    before; it can be played whatever ends it, and there is none where nothing was recorded."""

    def error(self) -> str:
        """Why it has ended before it was stopped; "" while all is well."""
        ...


@attrs.frozen(kw_only=True)
class FrontendSpec:
    """Yielded by the hook ``ringone_frontends``."""

    name: str
    summary: str
    options: type[Any]
    create: Callable[[Any], Frontend]
    remote_display: Callable[[RemoteDisplay], RemoteDisplayFrontend] | None = None
    """Makes the frontend that serves a machine's remote display, where this one can. Raises `ConfigError` for settings that it cannot serve."""
    recorder: Callable[[Recording], RecorderFrontend] | None = None
    """Makes the frontend that records a machine's screen into `Recording.file`, where this one can. Raises `ConfigError` for a video that it cannot make."""
    api_version: int = API_VERSION
