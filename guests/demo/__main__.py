"""``python -m guests.demo``: builds the demo guest, runs it in raw mode, and shows its console while it speaks and a report of traps and patches at the end.

The exit code is 0 only if it passed and powered off.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import attrs
from ringone.api.config import ClockPolicy, CpuConfig, MachineConfig
from ringone.api.errors import RingOneError
from ringone.api.events import MachineState
from ringone.plugins import PluginRegistry

from guests.console import Guest
from guests.demo.build import BuildError, build
from guests.demo.machine import PASSED, machine
from guests.demo.report import Run, counters, summary

TIMEOUT_S = 120
RAW_MODE = CpuConfig(backend="patm", options={"hits": "on"})

ReportPart = Callable[[Run], Iterator[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m guests.demo", description="Boot the demo guest and show its console and a report.")
    parser.add_argument("--firmware", default="auto", help="firmware to boot with (default: the best one there is)")
    parser.add_argument("--clock", default="host", choices=[ClockPolicy.HOST.value, ClockPolicy.DETERMINISTIC.value], help="where the guest's time comes from")
    parser.add_argument("--statistics", action="store_true", help="show all that was counted, too")
    options = parser.parse_args(arguments)
    try:
        config = machine(build(), firmware=options.firmware, clock=ClockPolicy(options.clock))
        return _run(attrs.evolve(config, cpu=RAW_MODE), (summary, counters) if options.statistics else (summary,))
    except (BuildError, RingOneError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _run(config: MachineConfig, report: Sequence[ReportPart]) -> int:
    with Guest(config, PluginRegistry(), listener=_show) as guest:
        began = time.monotonic()
        guest.start()
        state = guest.session.wait(TIMEOUT_S)
        seconds = time.monotonic() - began
        run = Run(state=state, seconds=seconds, virtual_ns=guest.session.virtual_ns(), statistics=guest.session.statistics())
        for part in report:
            print("", *part(run), sep="\n")
        if guest.session.error is not None:
            print(f"demo: {guest.session.error}", file=sys.stderr)
        return 0 if state is MachineState.POWERED_OFF and PASSED in guest.serial and PASSED in guest.screen else 1


def _show(data: bytes) -> None:
    sys.stdout.write(data.decode("ascii", "replace").replace("\r", ""))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
