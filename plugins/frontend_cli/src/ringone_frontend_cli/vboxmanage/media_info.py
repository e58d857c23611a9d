"""What showmediuminfo and list hdds say about an image."""

from __future__ import annotations

from collections.abc import Iterator

from ringone.api.config import DriveKind
from ringone.api.errors import RingOneError
from ringone.api.media import MediumVariant

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.media_registry import Medium, describe

MIB = 1 << 20
WIDTH = 15
LISTED = frozenset({"UUID", "Parent UUID", "State", "Type", "Location", "Storage format", "Capacity", "Encryption"})
VARIANTS = {
    MediumVariant.STANDARD: "dynamic default",
    MediumVariant.FIXED: "fixed default",
    MediumVariant.DIFFERENCING: "differencing default",
    MediumVariant.STREAM: "dynamic streamOptimized",
}


def list_lines(context: Context, medium: Medium) -> Iterator[str]:
    """What lists say."""
    for label, value in _facts(context, medium):
        if label in LISTED:
            yield f"{label + ':':<{WIDTH}} {value}"


def detail_lines(context: Context, medium: Medium) -> Iterator[str]:
    for label, value in _facts(context, medium):
        yield f"{label + ':':<{WIDTH}} {value}"


def _facts(context: Context, medium: Medium) -> Iterator[tuple[str, str]]:
    record = medium.record
    is_disk = record.kind is DriveKind.DISK
    info, error = None, ""
    try:
        info = describe(context, medium) if is_disk else None
        size = record.location.stat().st_size
    except (RingOneError, OSError) as problem:
        size, error = 0, str(problem)
    yield "UUID", record.uuid
    if is_disk:
        yield "Parent UUID", medium.lineage[1].uuid if len(medium.lineage) > 1 else "base"
    yield "State", _state(medium, error)
    if error:
        yield "Access Error", error
    yield "Type", f"{medium.type.value.lower()} ({'differencing' if len(medium.lineage) > 1 else 'base'})" if is_disk else "readonly"
    if record.auto_reset:
        yield "Auto-Reset", "on"
    yield "Location", str(record.location)
    yield "Storage format", record.format
    if info is not None:
        yield "Format variant", VARIANTS[info.variant]
    yield "Capacity", f"{(info.capacity_bytes if info is not None else size) // MIB} MBytes"
    yield "Size on disk", f"{size // MIB} MBytes"
    yield "Encryption", "disabled"
    for name, value in record.properties.items():
        yield "Property", f"{name}={value}"
    for number, machine in enumerate(medium.users):
        yield "" if number else "In use by VMs", f"{machine.registered.name} (UUID: {machine.uuid})"
    for number, child in enumerate(record.children):
        yield "" if number else "Child UUIDs", child.uuid


def _state(medium: Medium, error: str) -> str:
    if error:
        return "inaccessible"
    return "locked write" if any(machine.is_online for machine in medium.users) else "created"
