"""Run the benchmarks and print their results: ``python -m bench [--rounds N] [--json]``."""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import boots, micro, states

BACKENDS = ("patm", "recompiler")


def _boot_rounds(rounds: int) -> dict[str, dict[str, float]]:
    """Medians over rounds in which QEMU and RingOne's processors take turns."""
    runs: dict[str, Callable[[], dict[str, float]]] = {"qemu": boots.qemu, **{cpu: functools.partial(boots.ringone, cpu) for cpu in BACKENDS}}
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            print(f"bench: Linux boot, round {number + 1} of {rounds}, {name}", file=sys.stderr)
            samples[name].append(run())
    return {
        marker: {name: statistics.median(times[marker] for times in taken) for name, taken in samples.items()}
        for marker in boots.MARKERS
        if all(marker in times for taken in samples.values() for times in taken)
    }


def _measure(rounds: int) -> dict[str, Any]:
    print("bench: loops and costs", file=sys.stderr)
    results: dict[str, Any] = {"mips": micro.loops(), "cost_us": micro.costs()}
    print("bench: start", file=sys.stderr)
    results["first_instruction_s"] = statistics.median(boots.first_instruction() for _ in range(5))
    print("bench: idle shell", file=sys.stderr)
    results["idle_percent"] = {cpu: boots.idle(cpu) for cpu in BACKENDS}
    results["linux_boot_s"] = _boot_rounds(rounds)
    results["states"] = {}
    for name, run in (("qemu", states.qemu), ("ringone", states.ringone)):
        print(f"bench: states of a Linux shell, {name}", file=sys.stderr)
        results["states"][name] = run()
    print("bench: counters", file=sys.stderr)
    results["linux_boot_counters"] = {cpu: boots.counters(cpu) for cpu in BACKENDS}
    return results


def _show(results: dict[str, Any]) -> None:
    table = Table("what", "QEMU TCG", "RingOne", "ratio", title="RingOne's benchmarks")
    for marker, times in results["linux_boot_s"].items():
        for cpu in BACKENDS:
            row = f"Linux 6.1 i386 to {marker!r}, {cpu}"
            table.add_row(row, f"{times['qemu']:.2f} s", f"{times[cpu]:.2f} s", f"{times[cpu] / times['qemu']:.2f}")
    table.add_row("command to first guest instruction", "", f"{results['first_instruction_s']:.2f} s", "")
    for cpu, share in results["idle_percent"].items():
        table.add_row(f"idle Linux shell, of one core, {cpu}", "", f"{share:.1f} %", "")
    for name, mips in results["mips"].items():
        table.add_row(f"loop over {name}", "", f"{mips:.0f} MIPS", "")
    for name, cost in results["cost_us"].items():
        table.add_row(f"one {name}", "", f"{cost:.2f} us", "")
    for row, (name, form) in states.ROWS.items():
        table.add_row(f"Linux shell, 128 MiB: {row}", *(form.format(found[name]) if name in found else "" for found in results["states"].values()), "")
    for cpu, counters in results["linux_boot_counters"].items():
        for name, count in counters.items():
            table.add_row(f"{name} in that boot, {cpu}", "", f"{count:,}", "")
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="Linux boots of each (default 3)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args()
    results = _measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        _show(results)


main()
