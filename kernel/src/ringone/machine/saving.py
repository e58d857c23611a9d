"""A machine's whole state and back: the kernel's section (time, alarms, line levels), the processor's, one per device, and every block of memory.

Disk contents, host drivers and a backend's caches are not part of it. Everything that can be checked is checked before the first part is touched, and where a
part refuses its state all the same, the others get their former state back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ringone.api.cpu import CpuState
from ringone.api.errors import SnapshotError
from ringone.api.memory import PAGE_SIZE
from ringone.clock import ClockState
from ringone.hostmemory import reserve
from ringone.keptmemory import copy_used, differences
from ringone.machine.builder import Assembly, guarded
from ringone.snapshot.codec import dump, load
from ringone.snapshot.image import StateImage, hash_state
from ringone.snapshot.sections import SectionData, check_device_section, load_device, save_device

KERNEL_SECTION = "system"
CPU_SECTION = "cpu"
KERNEL_VERSION = 1
CPU_VERSION = 1


class BrokenState(SnapshotError):
    """A part refused a state, and then its former one: the machine is between two states and can only be reset or powered off."""


@attrs.frozen(kw_only=True)
class KernelState:
    """`lines` are the levels of all outputs."""

    clock: ClockState
    lines: Mapping[str, bool]


@attrs.frozen(kw_only=True)
class CheckedState:
    """Sections that fit the machine, everything but memory."""

    kernel: KernelState
    cpu: CpuState
    devices: Mapping[str, Any]


def save_sections(parts: Assembly) -> dict[str, SectionData]:
    kernel = KernelState(clock=parts.clock.save(), lines=parts.lines.save())
    sections = {
        KERNEL_SECTION: SectionData(KERNEL_SECTION, KERNEL_VERSION, dump(kernel, name=KERNEL_SECTION)),
        CPU_SECTION: SectionData(CPU_SECTION, CPU_VERSION, dump(parts.cpu.save_state(), name=CPU_SECTION)),
    }
    for id, component in parts.devices.items():
        with guarded(id, "saving its state"):
            sections[id] = save_device(id, component.spec, component.device)
    return sections


def capture(parts: Assembly) -> StateImage:
    """A copy of everything, for other threads."""
    memory = {}
    for name, block in parts.memory.blocks.items():
        memory[name] = memoryview(reserve(block.size))
        copy_used(block.data, memory[name])
    return StateImage(parts.config.name, save_sections(parts), memory)


def digest(parts: Assembly) -> str:
    """SHA-256 over the same state that `capture` copies."""
    return hash_state(save_sections(parts), {name: block.data for name, block in parts.memory.blocks.items()})


def check(parts: Assembly, sections: Mapping[str, SectionData], memory_sizes: Mapping[str, int]) -> CheckedState:
    """Check a state against the machine; changes nothing. Raises `SnapshotError`."""
    _same("section", {KERNEL_SECTION, CPU_SECTION, *parts.devices}, set(sections))
    _same("memory block", set(parts.memory.blocks), set(memory_sizes))
    for name, block in parts.memory.blocks.items():
        if memory_sizes[name] != block.size:
            raise SnapshotError(f"saved {name} has {memory_sizes[name]} bytes, and this machine's has {block.size}")
    return check_sections(parts, sections)


def check_sections(parts: Assembly, sections: Mapping[str, SectionData]) -> CheckedState:
    return CheckedState(
        kernel=_own_section(sections, KERNEL_SECTION, KERNEL_VERSION, KernelState),
        cpu=_own_section(sections, CPU_SECTION, CPU_VERSION, CpuState),
        devices={id: check_device_section(id, component.spec, sections[id]) for id, component in parts.devices.items()},
    )


def restore(parts: Assembly, state: CheckedState, memory: Mapping[str, memoryview]) -> None:
    """Make the machine what a checked state says. Where a part refuses, all have their former state again; `BrokenState` where that does not work either."""
    former = check_sections(parts, save_sections(parts))
    try:
        load_parts(parts, state)
    except BaseException as error:
        _back_to(parts, former, error)
        raise
    for name, block in parts.memory.blocks.items():
        changed = differences(memory[name], block.data)
        for first, end in changed:
            here = slice(first * PAGE_SIZE, end * PAGE_SIZE)
            block.data[here] = memory[name][here]
        page = block.backing_offset // PAGE_SIZE
        parts.memory.replaced((first + page, end + page) for first, end in changed)


def load_parts(parts: Assembly, state: CheckedState) -> None:
    """Everything but memory."""
    parts.clock.restore(state.kernel.clock)
    parts.lines.restore(state.kernel.lines)
    for id, component in parts.devices.items():
        load_device(id, component.device, state.devices[id])
    parts.cpu.load_state(state.cpu)
    parts.present_levels()


def _back_to(parts: Assembly, former: CheckedState, cause: BaseException) -> None:
    try:
        load_parts(parts, former)
    except Exception as error:
        raise BrokenState(f"{cause}; and the former state is refused as well: {error}") from cause


def _own_section(sections: Mapping[str, SectionData], name: str, version: int, kind: type[Any]) -> Any:
    section = sections[name]
    if (section.kind, section.version) != (name, version):
        raise SnapshotError(f"section {name!r} is of kind {section.kind!r} and version {section.version}; accepted: {name!r}, version {version}")
    return load(kind, section.state, name=name)


def _same(kind: str, expected: set[str], found: set[str]) -> None:
    if missing := sorted(expected - found):
        raise SnapshotError(f"the saved state lacks the {kind} {_first(missing)}")
    if unknown := sorted(found - expected):
        raise SnapshotError(f"the saved state has a {kind} that this machine does not: {_first(unknown)}")


def _first(names: list[str]) -> str:
    return repr(names[0]) if len(names) == 1 else f"{names[0]!r} (and {len(names) - 1} more)"
