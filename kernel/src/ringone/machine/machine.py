"""The machine: its parts, its state, and what can be done to it. Everything here happens on the machine's thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ringone.api.cpu import RunBudget, RunResult
from ringone.api.errors import BackendError, DeviceError, RingOneError, StateError, UnknownNameError
from ringone.api.events import MachineReset, MachineState, MediumFull, StateChanged, StateRestored, StateSaved
from ringone.machine import saving
from ringone.machine.builder import assemble, guarded
from ringone.machine.checkpoints import Checkpoints
from ringone.machine.disks import NO_DISKS, Chains, FixedDisks, nothing
from ringone.machine.events import EventDispatcher
from ringone.options import bind_options

if TYPE_CHECKING:
    from ringone.api.media import MediumFormatSpec
    from ringone.machine.commands import CommandQueue
    from ringone.machine.plan import Plan
    from ringone.snapshot.image import StateImage
    from ringone.snapshot.sections import SectionData

POWERED_OFF, RUNNING, PAUSED, STUCK, ABORTED = MachineState
ENDED = frozenset({POWERED_OFF, STUCK, ABORTED})

ALLOWED: Mapping[str, frozenset[MachineState]] = {
    "start": frozenset({POWERED_OFF}),
    "pause": frozenset({RUNNING}),
    "resume": frozenset({PAUSED}),
    "reset": frozenset({RUNNING, PAUSED, STUCK}),
    "power off": frozenset({RUNNING, PAUSED, STUCK}),
    "send input to": frozenset({RUNNING, PAUSED}),
    "interrupt": frozenset({RUNNING, PAUSED}),
    "save": frozenset({RUNNING, PAUSED}),
    "restore": frozenset({POWERED_OFF, RUNNING, PAUSED, STUCK}),
    "hash": frozenset({POWERED_OFF, RUNNING, PAUSED, STUCK}),
}

T = TypeVar("T")


class Machine:
    """One machine. Assembled by the constructor, which leaves nothing behind when it fails; `close` takes the parts apart."""

    def __init__(self, plan: Plan, media_formats: Mapping[str, MediumFormatSpec], commands: CommandQueue) -> None:
        self.config = config = plan.config
        self.state = POWERED_OFF
        self.error: BaseException | None = None
        self.changed = threading.Condition()
        """Notified on every change of `state`."""
        self.log = logging.getLogger(f"ringone.{config.name.replace('.', '_')}")
        self.events = EventDispatcher(self.log)
        self._cpu_options: Mapping[str, str] = config.cpu.options
        self._cpu_options_class = plan.cpu.options
        self._commands = commands
        self._thread = threading.get_ident()
        self._executing = False
        self._used = False
        self._reset_pending = self._power_off_pending = False
        self._pause_reason = ""
        self.parts = assemble(plan, media_formats, self)
        self.disks = FixedDisks(self.parts.drivers)
        self._checkpoints = Checkpoints(self.parts, self.disks)
        commands.connect(self.parts.cpu.request_exit)

    # --- what parts ask for (`ringone.machine.builder.Host`)

    def emit(self, event: object) -> None:
        """Publish a part's event, from any thread. The run loop delivers it, so that no observer is called from inside a part."""
        if threading.get_ident() != self._thread:
            self._commands.post(lambda: self.emit(event))
            return
        if isinstance(event, MediumFull) and self.state is RUNNING:
            self._pause_reason = f"no room for {event.component}: {event.message}"
        self.events.queue(event)
        if self._executing:
            self.parts.cpu.request_exit()

    def call_soon(self, component: str, function: Callable[[], None]) -> None:
        """Run a driver's function on the machine's thread; one that fails aborts the machine."""

        def run() -> None:
            try:
                with guarded(component, "a deferred call"):
                    function()
            except RingOneError as error:
                self.abort(error)

        self._commands.post(run)

    def reset_line(self, level: bool) -> None:
        """``system.RESET``: the machine is reset at the next instruction boundary."""
        self._reset_pending |= level
        self._leave_guest(level)

    def power_off_line(self, level: bool) -> None:
        """``system.POWER_OFF``"""
        self._power_off_pending |= level
        self._leave_guest(level)

    def _leave_guest(self, wanted: bool) -> None:
        if wanted and self._executing:
            self.parts.cpu.request_exit()

    # --- what the run loop does

    def execute(self, budget: RunBudget) -> RunResult:
        """Run guest code."""
        self._executing = True
        try:
            return self.parts.cpu.run(budget)
        except RingOneError:
            raise
        except Exception as error:
            raise BackendError(self.config.cpu.backend, f"{type(error).__name__}: {error}") from error
        finally:
            self._executing = False
            self.parts.clock.horizon_ns = 0

    def attend(self) -> bool:
        """Do what parts asked for since the last call, power-off before reset before pause; says whether the guest may simply go on."""
        if self.events.pending:
            self.events.deliver()
        if self.state is not RUNNING:
            return False
        if self._power_off_pending:
            self.power_off("the guest switched off")
        elif self._reset_pending:
            self.reset("the guest asked for it")
        elif self._pause_reason:
            self.pause(self._pause_reason)
        else:
            return True
        return False

    def triple_fault(self) -> None:
        if self.config.triple_fault_reset:
            self.reset("triple fault")
        else:
            self._enter(STUCK, "triple fault")

    def abort(self, error: BaseException) -> None:
        """A plugin failed: this machine is over, and says why."""
        if self.state is ABORTED:
            return
        self.log.error("aborted: %s", error, exc_info=error)
        self.error = error
        self._enter(ABORTED, f"{type(error).__name__}: {error}")

    # --- what people ask for

    def power_on(self) -> None:
        self._require("start")
        if self._used:
            self._clear_memory()
        self._reset_parts()
        self._enter(RUNNING)

    def pause(self, reason: str = "") -> None:
        self._require("pause")
        self._pause_reason = ""
        self._enter(PAUSED, reason)

    def resume(self) -> None:
        self._require("resume")
        self._enter(RUNNING)

    def reset(self, cause: str) -> None:
        self._require("reset")
        try:
            self._reset_parts()
        except RingOneError as error:
            self.abort(error)
            raise
        self._announce(MachineReset(cause))
        if self.state is STUCK:
            self._enter(RUNNING, "reset")

    def power_off(self, reason: str = "") -> None:
        self._require("power off")
        self._enter(POWERED_OFF, reason)

    def stop(self) -> None:
        """Power off where there is power."""
        if self.state in ALLOWED["power off"]:
            self.power_off()

    def inject_nmi(self) -> None:
        self._require("interrupt")
        self.parts.cpu.pulse_nmi()

    def capture(self, disks: Chains = NO_DISKS, meanwhile: Callable[[], None] = nothing) -> StateImage:
        """Copy the whole state and put other images under the fixed disks, in one moment. Where a disk's cannot be opened, nothing has changed."""
        self._require("save")
        with self.disks.switched(disks, meanwhile):
            image = saving.capture(self.parts)
        self._announce(StateSaved(self.parts.clock.now_ns()))
        return image

    def check_state(self, sections: Mapping[str, SectionData], memory_sizes: Mapping[str, int]) -> None:
        """Raise what `restore` would for a state that does not fit."""
        saving.check(self.parts, sections, memory_sizes)

    def restore(self, image: StateImage, disks: Chains = NO_DISKS, meanwhile: Callable[[], None] = nothing) -> None:
        """Replace the whole state, and put other images under the fixed disks. Where something fails, the old state is still there, or the machine is powered
        off because a part refuses that too."""
        self._require("restore")
        state = saving.check(self.parts, image.sections, {name: len(data) for name, data in image.memory.items()})
        try:
            with self.disks.switched(disks, meanwhile):
                saving.restore(self.parts, state, image.memory)
        except saving.BrokenState:
            if self.state is not POWERED_OFF:
                self.power_off("the saved state could not be restored")
            raise
        self._restored()

    def switch_disks(self, disks: Chains, meanwhile: Callable[[], None]) -> None:
        """Put other images under the fixed disks; all or none."""
        with self.disks.switched(disks, meanwhile):
            """Nothing else changes."""

    def _restored(self) -> None:
        self._used = True
        self._forget_requests()
        if self.state in ENDED:
            self._enter(PAUSED, "restored")
        self._announce(StateRestored(self.parts.clock.now_ns()))

    def take_checkpoint(self) -> int:
        self._require("save")
        return self._checkpoints.take()

    def roll_back(self, checkpoint: int) -> None:
        """Back to a checkpoint, in place. A part that refuses what it gave itself is broken, and the machine with it."""
        self._require("restore")
        wanted = self._checkpoints.find(checkpoint)
        try:
            self._checkpoints.roll_back(wanted)
        except Exception as error:
            self.abort(error)
            raise
        self._restored()

    def drop_checkpoint(self, checkpoint: int) -> None:
        self._checkpoints.drop(self._checkpoints.find(checkpoint))

    def state_hash(self) -> str:
        self._require("hash")
        return saving.digest(self.parts)

    def send_input(self, interface: str, send: Callable[[Any], None]) -> None:
        self._require("send input to")
        self.on_console(interface, send)

    def on_console(self, interface: str, use: Callable[[Any], T]) -> T:
        """Use what the board connects to ``console.<interface>``; where that fails, the machine is aborted."""
        provided = self.parts.console.get(interface)
        if provided is None:
            raise StateError(f"{self.config.name!r} has no {interface}; it has: {', '.join(self.parts.console) or 'no console'}")
        try:
            with guarded(provided.component, f"interface {interface!r}"):
                return use(provided.implementation)
        except DeviceError as error:
            self.abort(error)
            raise

    def change_cpu_options(self, options: Mapping[str, str]) -> Mapping[str, str]:
        given = {**self._cpu_options, **options}
        bound = bind_options(self._cpu_options_class, given, source=f"options of CPU backend {self.config.cpu.backend}", base_dir=None)
        self.parts.cpu.change_options(bound)
        self._cpu_options = given
        return dict(given)

    def change_medium(self, drive: str, image: Path | None) -> None:
        changers = {slot: driver for slot, driver in self.parts.drivers.items() if hasattr(driver, "change")}
        if drive not in changers:
            raise UnknownNameError("removable drive", drive, list(changers))
        changers[drive].change(image)

    def statistics(self) -> dict[str, int]:
        return dict(sorted({**self.parts.statistics.collect(), **self.parts.cpu.statistics()}.items()))

    def close(self) -> None:
        """Take the parts apart. Nothing can be done with the machine afterwards."""
        self._commands.connect(None)
        self.parts.close()

    # --- inside

    def _require(self, action: str) -> None:
        if self.state not in ALLOWED[action]:
            states = " or ".join(sorted(state.value for state in ALLOWED[action]))
            raise StateError(f"cannot {action} {self.config.name!r}: it is {self.state.value}, and would have to be {states}")

    def _enter(self, new: MachineState, reason: str = "") -> None:
        old = self.state
        if new is RUNNING:
            self._used = True
            self.parts.pace.source.resume()
        elif old is RUNNING:
            self.parts.pace.source.pause()
        with self.changed:
            self.state = new
            self.changed.notify_all()
        self.log.info("%s -> %s%s", old.value, new.value, f": {reason}" if reason else "")
        self._announce(StateChanged(old, new, reason))

    def _announce(self, event: object) -> None:
        self.events.queue(event)
        self.events.deliver()

    def _reset_parts(self) -> None:
        parts = self.parts
        for id, component in parts.devices.items():
            with guarded(id, "reset"):
                component.device.reset()
        for image in parts.firmware.ram:
            parts.memory.write(image.address, image.data)
        parts.cpu.reset()
        if parts.firmware.entry is not None:
            parts.cpu.load_state(parts.firmware.entry)
        parts.present_levels()
        self._forget_requests()

    def _forget_requests(self) -> None:
        self._reset_pending = self._power_off_pending = False
        self._pause_reason = ""

    def _clear_memory(self) -> None:
        ram = self.parts.memory.ram.data
        zeros = bytes(1 << 20)
        for start in range(0, len(ram), len(zeros)):
            ram[start : start + len(zeros)] = zeros[: len(ram) - start]
        self.parts.cpu.invalidate_code(0, len(ram))
