"""A machine's whole state and back: the kernel's section (time, alarms, line levels), the processor's, one per device, and every block of memory.

Disk contents, host drivers and a backend's caches are not part of it. Everything is checked before the first part is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ringone import __version__
from ringone.api.cpu import CpuState
from ringone.api.errors import SnapshotError
from ringone.api.memory import MapChange
from ringone.clock import ClockState
from ringone.machine.builder import Assembly, guarded
from ringone.memory import PAGE_COUNT
from ringone.snapshot.codec import dump, load
from ringone.snapshot.container import Container, hash_state, read_container, write_container
from ringone.snapshot.sections import SectionData, check_device_section, load_device, save_device

KERNEL_SECTION = "system"
CPU_SECTION = "cpu"
KERNEL_VERSION = 1
CPU_VERSION = 1
MEMORY_PREFIX = "memory."


@attrs.frozen(kw_only=True)
class KernelState:
    """`lines` are the levels of all outputs."""

    clock: ClockState
    lines: Mapping[str, bool]


@attrs.frozen(kw_only=True)
class CheckedState:
    """A container whose every section fits the machine."""

    container: Container
    kernel: KernelState
    cpu: CpuState
    devices: Mapping[str, Any]


def save(parts: Assembly) -> bytes:
    sections, blobs = _collect(parts)
    return write_container(sections, blobs, {"machine": parts.config.name, "ringone": __version__})


def digest(parts: Assembly) -> str:
    """SHA-256 over the same state that `save` writes."""
    return hash_state(*_collect(parts))


def _collect(parts: Assembly) -> tuple[dict[str, SectionData], dict[str, memoryview | bytes]]:
    blobs: dict[str, bytes] = {}
    kernel = KernelState(clock=parts.clock.save(), lines=parts.lines.save())
    sections = {
        KERNEL_SECTION: SectionData(KERNEL_SECTION, KERNEL_VERSION, dump(kernel, name=KERNEL_SECTION)),
        CPU_SECTION: SectionData(CPU_SECTION, CPU_VERSION, dump(parts.cpu.save_state(), blobs=blobs, name=CPU_SECTION)),
    }
    for id, component in parts.devices.items():
        with guarded(id, "saving its state"):
            sections[id] = save_device(id, component.spec, component.device, blobs)
    return sections, {**blobs, **{MEMORY_PREFIX + name: block.data for name, block in parts.memory.blocks.items()}}


def read(parts: Assembly, data: bytes) -> CheckedState:
    """Check a container against the machine; changes nothing. Raises `SnapshotError`."""
    container = read_container(data)
    memory = {MEMORY_PREFIX + name: block.size for name, block in parts.memory.blocks.items()}
    container.require(sections={KERNEL_SECTION, CPU_SECTION, *parts.devices}, blobs=memory)
    sizes = container.blob_sizes
    for name, size in memory.items():
        if sizes[name] != size:
            raise SnapshotError(f"saved {name.removeprefix(MEMORY_PREFIX)} has {sizes[name]} bytes, and this machine's has {size}")
    blobs = {name: container.blob(name) for name in sizes.keys() - memory.keys()}
    return CheckedState(
        container=container,
        kernel=_own_section(container, KERNEL_SECTION, KERNEL_VERSION, KernelState, blobs),
        cpu=_own_section(container, CPU_SECTION, CPU_VERSION, CpuState, blobs),
        devices={id: check_device_section(id, component.spec, container.sections[id], blobs) for id, component in parts.devices.items()},
    )


def _own_section(container: Container, name: str, version: int, kind: type[Any], blobs: Mapping[str, bytes]) -> Any:
    section = container.sections[name]
    if (section.kind, section.version) != (name, version):
        raise SnapshotError(f"section {name!r} is of kind {section.kind!r} and version {section.version}; accepted: {name!r}, version {version}")
    return load(kind, section.state, blobs=blobs, name=name)


def restore(parts: Assembly, state: CheckedState) -> None:
    """Give every part its state. Where one refuses, the machine is left between two states and can only be reset or powered off."""
    parts.clock.restore(state.kernel.clock)
    parts.lines.restore(state.kernel.lines)
    for name, block in parts.memory.blocks.items():
        state.container.load_blob(MEMORY_PREFIX + name, block.data)
    for id, component in parts.devices.items():
        load_device(id, component.device, state.devices[id])
    parts.cpu.memory_changed([MapChange(0, PAGE_COUNT)])
    parts.cpu.invalidate_code(0, parts.memory.ram_size)
    parts.cpu.load_state(state.cpu)
    parts.present_levels()
