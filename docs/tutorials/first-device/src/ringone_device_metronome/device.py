"""A metronome: the guest sets a tempo, and the chip raises its interrupt on every beat.

Two ports from `base`. Port 0: beats per minute, 0 stops it. Port 1, read only: beats since the last read; reading lowers the interrupt.
"""

from __future__ import annotations

import attrs
from ringone.api.devices import DeviceContext, DeviceSpec
from ringone.api.options import option

TEMPO = 0
BEATS = 1
MINUTE_NS = 60_000_000_000


@attrs.frozen(kw_only=True)
class MetronomeOptions:
    base: int = option(0x350, help="first of two I/O ports")


@attrs.define(slots=True)
class MetronomeState:
    tempo: int = 0
    beats: int = 0


class Metronome:
    def __init__(self, context: DeviceContext, options: MetronomeOptions) -> None:
        context.map_ports(options.base, 2, read=self.read, write=self.write)
        self._irq = context.output("IRQ")
        self._timer = context.timer("beat", self._beat)
        self._state = MetronomeState()

    def reset(self) -> None:
        self._state = MetronomeState()
        self._timer.cancel()
        self._irq.set(False)

    def save_state(self) -> MetronomeState:
        return attrs.evolve(self._state)

    def load_state(self, state: MetronomeState) -> None:
        self._state = MetronomeState(tempo=state.tempo & 0xFF, beats=state.beats & 0xFF)

    def read(self, offset: int, size: int) -> int:
        state = self._state
        if offset == TEMPO:
            return state.tempo
        beats, state.beats = state.beats, 0
        self._irq.set(False)
        return beats

    def write(self, offset: int, size: int, value: int) -> None:
        if offset != TEMPO:
            return
        self._state.tempo = value
        if value:
            self._timer.arm_after(MINUTE_NS // value)
        else:
            self._timer.cancel()

    def _beat(self) -> None:
        state = self._state
        state.beats = min(state.beats + 1, 0xFF)
        self._timer.arm_after(MINUTE_NS // state.tempo)
        self._irq.set(True)


SPEC = DeviceSpec(
    name="metronome",
    summary="A metronome that interrupts on every beat",
    options=MetronomeOptions,
    state=MetronomeState,
    create=Metronome,
    outputs=("IRQ",),
)
