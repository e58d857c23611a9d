"""A machine as other threads see it: its own thread, and calls that are carried out there.

The thread assembles the machine, runs it and takes it apart, so that a backend may tie itself to it. A call from the machine's thread itself (an observer's) is
carried out at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ringone.api.errors import StateError
from ringone.api.events import MachineState
from ringone.api.media import Progress, no_progress
from ringone.machine.commands import CommandQueue
from ringone.machine.disks import NO_DISKS, Chains, nothing
from ringone.machine.machine import ENDED, Machine
from ringone.machine.runloop import RunLoop
from ringone.snapshot.statefile import OpenStateFile, dump_state, open_state, open_state_file

if TYPE_CHECKING:
    from ringone.api.config import MachineConfig
    from ringone.api.console import Frame, TextScreen
    from ringone.api.cpu import CpuState
    from ringone.api.frontends import SerialLine
    from ringone.api.recording import RecordingControl
    from ringone.api.remotedisplay import RemoteDisplayControl
    from ringone.api.snapshot import MachineKeeper
    from ringone.machine.plan import Plan
    from ringone.plugins import PluginRegistry
    from ringone.snapshot.image import StateImage

T = TypeVar("T")


class Session:
    """`ringone.api.frontends.VmSession`. The constructor returns when the machine is assembled, or raises what kept it from being."""

    def __init__(self, plan: Plan, registry: PluginRegistry) -> None:
        self.config: MachineConfig = plan.config
        self.keeper: MachineKeeper | None = None
        self.remote_display: RemoteDisplayControl | None = None
        self.recording: RecordingControl | None = None
        self.serial_lines: Mapping[int, SerialLine] = {}
        self._registry = registry
        self._commands = CommandQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._machine: Machine
        assembled: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, args=(plan, assembled), name=plan.config.name, daemon=True)
        self._thread.start()
        assembled.result()

    def _main(self, plan: Plan, assembled: Future[None]) -> None:
        try:
            self._machine = Machine(plan, self._registry.media_formats(), self._commands)
            self._announce()
        except BaseException as error:
            self._commands.close()
            assembled.set_exception(error)
            return
        assembled.set_result(None)
        RunLoop(self._machine, self._commands).run()
        self._machine.close()

    def _announce(self) -> None:
        try:
            self._registry.machine_assembled(self)
        except BaseException:
            self._machine.close()
            raise

    # --- life

    @property
    def state(self) -> MachineState:
        return self._machine.state

    @property
    def error(self) -> BaseException | None:
        return self._machine.error

    def start(self) -> None:
        self._do(self._machine.power_on)

    def wait(self, timeout_s: float | None = None) -> MachineState:
        if self._is_own_thread():
            raise StateError("the machine's own thread cannot wait for the machine")
        machine = self._machine
        with machine.changed:
            machine.changed.wait_for(lambda: machine.state in ENDED, timeout_s)
            return machine.state

    def pause(self) -> None:
        self._do(self._machine.pause)

    def resume(self) -> None:
        self._do(self._machine.resume)

    def reset(self) -> None:
        self._do(self._machine.reset, "asked for from outside")

    def power_off(self) -> None:
        self._do(self._machine.power_off)

    def inject_nmi(self) -> None:
        self._do(self._machine.inject_nmi)

    def close(self) -> None:
        own_thread = self._is_own_thread()
        if self._closing.acquire(blocking=not own_thread):
            try:
                self._close_once()
            finally:
                self._closing.release()
        if not own_thread:
            self._thread.join()

    def _close_once(self) -> None:
        if not self._closed:
            self._closed = True
            self._do(self._machine.stop)
            self._registry.machine_closing(self)
            self._commands.close()

    # --- console

    def press_power_button(self) -> None:
        self._do(self._machine.send_input, "power-button", lambda button: button.press())

    def put_scancodes(self, codes: bytes) -> None:
        self._do(self._machine.send_input, "keyboard", lambda keyboard: keyboard.put_scancodes(codes))

    def move_mouse(self, dx: int, dy: int, dz: int = 0, buttons: int = 0) -> None:
        self._do(self._machine.send_input, "mouse", lambda mouse: mouse.move(dx, dy, dz, buttons))

    def keyboard_pending(self) -> int:
        return self._console("keyboard", lambda keyboard: int(keyboard.pending))

    def keyboard_leds(self) -> int:
        return self._console("keyboard", lambda keyboard: int(keyboard.leds))

    def frame(self) -> Frame:
        frame: Frame = self._console("display", lambda display: display.frame())
        return frame

    def frame_generation(self) -> int:
        return self._console("display", lambda display: int(display.generation))

    def text_screen(self) -> TextScreen | None:
        text: TextScreen | None = self._console("display", lambda display: display.text())
        return text

    # --- state and insight

    def save_state(self) -> bytes:
        return dump_state(self.capture())

    def load_state(self, container: bytes) -> None:
        self._load(open_state(container), {}, no_progress)

    def capture(self, disks: Chains = NO_DISKS, meanwhile: Callable[[], None] = nothing) -> StateImage:
        """A copy of the whole state, to be written by `ringone.snapshot.statefile.write_state_file` while the guest goes on: it waits only for the copying.
        In the same moment other images are put under the fixed disks that are named (`switch_disks`); where that fails, nothing has changed."""
        return self._do(self._machine.capture, disks, meanwhile)

    def restore(self, image: StateImage, disks: Chains = NO_DISKS, meanwhile: Callable[[], None] = nothing) -> None:
        """Replace the whole state in place and put other images under the fixed disks that are named, in one step: where it fails, the old state and the old
        images are still there. The machine goes on running or stays paused as it was; one that was off or stuck is paused afterwards. Raises `SnapshotError`,
        and what `switch_disks` raises."""
        self._do(self._machine.restore, image, disks, meanwhile)

    def restore_file(self, path: Path, disks: Chains = NO_DISKS, progress: Progress = no_progress) -> None:
        """`restore` from a state file. The old state goes on running until the file has been checked and unpacked."""
        with open_state_file(path) as state:
            self._load(state, disks, progress)

    def _load(self, state: OpenStateFile, disks: Chains, progress: Progress) -> None:
        self._do(self._machine.check_state, state.sections, state.memory_sizes)
        self.restore(state.load(progress), disks)

    def disk_chains(self) -> Chains:
        """The images in use of all fixed disks, each with its parents."""
        return self._do(self._machine.disks.chains)

    def switch_disks(self, disks: Chains, meanwhile: Callable[[], None] = nothing) -> None:
        """Put other images of the same sizes under fixed disks; all or none. `meanwhile` is called while none of them is open. Raises `MediumError`, and
        `StateError` where they have checkpoints or their writes are thrown away."""
        self._do(self._machine.switch_disks, disks, meanwhile)

    def take_checkpoint(self) -> int:
        return self._do(self._machine.take_checkpoint)

    def roll_back(self, checkpoint: int) -> None:
        self._do(self._machine.roll_back, checkpoint)

    def drop_checkpoint(self, checkpoint: int) -> None:
        self._do(self._machine.drop_checkpoint, checkpoint)

    def state_hash(self) -> str:
        return self._do(self._machine.state_hash)

    def read_memory(self, address: int, size: int) -> bytes:
        return self._do(self._machine.parts.memory.read, address, size)

    def registers(self) -> CpuState:
        return self._do(self._machine.parts.cpu.save_state)

    def change_cpu_options(self, options: Mapping[str, str]) -> Mapping[str, str]:
        return self._do(self._machine.change_cpu_options, options)

    def change_medium(self, drive: str, image: Path | None, *, force: bool = False) -> None:
        self._do(self._machine.change_medium, drive, image)

    def statistics(self) -> Mapping[str, int]:
        return self._do(self._machine.statistics)

    def virtual_ns(self) -> int:
        return self._do(self._machine.parts.clock.now_ns)

    def subscribe(self, observer: Callable[[object], None]) -> Callable[[], None]:
        unsubscribe = self._do(self._machine.events.subscribe, observer)
        return lambda: self._do(unsubscribe)

    def announce(self, event: object) -> None:
        """Tell the observers of something that happened around the machine."""
        self._machine.emit(event)

    def request(self, command: Callable[[], T]) -> Future[T]:
        if not self._is_own_thread():
            return self._commands.request(command)
        future: Future[T] = Future()
        try:
            future.set_result(command())
        except BaseException as error:
            future.set_exception(error)
        return future

    def _do(self, command: Callable[..., T], *arguments: Any) -> T:
        if self._is_own_thread():
            return command(*arguments)
        return self._commands.request(partial(command, *arguments)).result()

    def _console(self, interface: str, command: Callable[[Any], T]) -> T:
        return self._do(lambda: self._machine.on_console(interface, command))

    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread
