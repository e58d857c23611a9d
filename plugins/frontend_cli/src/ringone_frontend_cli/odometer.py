"""A chip without pins that ends a run after a number of guest instructions.

Backends count instructions between runs of theirs, so it looks now and then, more often towards the end: a run overshoots by a little. Under the deterministic
clock the first run that arrives decides when that was, and the others end at the same virtual time, which is the same instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from ringone.api import statistics as names
from ringone.api.config import ClockPolicy, DeviceConfig, MachineConfig
from ringone.api.devices import DeviceContext, DeviceSpec
from ringone.api.frontends import VmSession
from ringone.api.hooks import hookimpl
from ringone.api.options import NoOptions

ODOMETER = "odometer"
SHORTEST_NS = 100_000
LONGEST_NS = 10_000_000
"""Between looks, in virtual time."""


@attrs.define
class Destination:
    """Where runs end; `arrival_ns` is known once one has been there and others must end at the same moment."""

    instructions: int
    arrival_ns: int | None = None


@attrs.define(slots=True)
class OdometerState:
    """Nothing: what there is to know is the run's, not the machine's."""


class Odometer:
    def __init__(self, context: DeviceContext, plugin: OdometerPlugin) -> None:
        self._plugin = plugin
        self._now_ns = context.now_ns
        self._timer = context.timer("look", self._look)

    def reset(self) -> None:
        arrival = self._plugin.destination.arrival_ns
        if arrival is None:
            self._timer.arm_after(SHORTEST_NS)
        else:
            self._timer.arm_at(arrival)

    def _look(self) -> None:
        destination, now = self._plugin.destination, self._now_ns()
        if destination.arrival_ns is None:
            done = self._plugin.session.statistics()[names.INSTRUCTIONS]
            left = destination.instructions - done
            if left > 0:
                half_way_ns = now * left // (2 * max(1, done))
                self._timer.arm_after(max(SHORTEST_NS, min(half_way_ns, LONGEST_NS)))
                return
            if self._plugin.session.config.clock.policy is ClockPolicy.DETERMINISTIC:
                destination.arrival_ns = now
        self._plugin.arrived()

    def save_state(self) -> OdometerState:
        return OdometerState()

    def load_state(self, state: OdometerState) -> None:
        """Nothing is kept."""


class OdometerPlugin:
    """Offers the chip to one machine; `session` is set when the machine is assembled. `arrived` is called on the machine's thread, between instructions."""

    session: VmSession

    def __init__(self, destination: Destination, arrived: Callable[[], None]) -> None:
        self.destination = destination
        self.arrived = arrived

    @hookimpl
    def ringone_device_types(self) -> Iterable[DeviceSpec]:
        yield DeviceSpec(
            name=ODOMETER,
            summary="ends a run after a number of instructions",
            options=NoOptions,
            state=OdometerState,
            create=lambda context, options: Odometer(context, self),
        )

    @hookimpl
    def ringone_machine_assembled(self, session: VmSession) -> None:
        self.session = session


def with_odometer(config: MachineConfig) -> MachineConfig:
    return attrs.evolve(config, devices=(*config.devices, DeviceConfig(id=ODOMETER, type=ODOMETER)))
