"""``python -m guests.demo``: builds the demo guest, runs it, and shows its console while it speaks and a report of the run at the end.

The exit code is 0 only if it passed and powered off.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

from ringone.api.config import ClockPolicy, MachineConfig
from ringone.api.errors import RingOneError
from ringone.api.events import MachineState
from ringone.plugins import PluginRegistry

from guests.console import Guest
from guests.demo.build import BuildError, build
from guests.demo.machine import PASSED, machine

TIMEOUT_S = 120


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m guests.demo", description="Boot the demo guest and show its console and a report.")
    parser.add_argument("--firmware", default="auto", help="firmware to boot with (default: the best one there is)")
    parser.add_argument("--clock", default="host", choices=[ClockPolicy.HOST.value, ClockPolicy.DETERMINISTIC.value], help="where the guest's time comes from")
    options = parser.parse_args(arguments)
    try:
        config = machine(build(), firmware=options.firmware, clock=ClockPolicy(options.clock))
        return _run(config)
    except (BuildError, RingOneError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _run(config: MachineConfig) -> int:
    with Guest(config, PluginRegistry(), listener=_show) as guest:
        began = time.monotonic()
        guest.start()
        state = guest.session.wait(TIMEOUT_S)
        seconds = time.monotonic() - began
        _report(state, seconds, guest.session.virtual_ns(), guest.session.statistics())
        if guest.session.error is not None:
            print(f"demo: {guest.session.error}", file=sys.stderr)
        return 0 if state is MachineState.POWERED_OFF and PASSED in guest.serial and PASSED in guest.screen else 1


def _show(data: bytes) -> None:
    sys.stdout.write(data.decode("ascii", "replace").replace("\r", ""))
    sys.stdout.flush()


def _report(state: MachineState, seconds: float, virtual_ns: int, statistics: Mapping[str, int]) -> None:
    print(f"\n{state.value} after {seconds:.2f} s; the guest's clock says {virtual_ns / 1e9:.2f} s")
    for name, value in statistics.items():
        if value and not name.startswith("Devices/"):
            print(f"  {name:<28} {value:>14,}")


if __name__ == "__main__":
    sys.exit(main())
