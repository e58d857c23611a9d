"""A copy of a machine's whole snapshot tree, image by image: each copy stands on the copy of what its original stands on."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import attrs
from ringone.api.config import DriveKind
from ringone.api.errors import MediumError
from ringone.api.media import find_format
from ringone.api.settings import MachineSettings, MediumRecord, SnapshotRecord

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import NotSupportedError

COPY_BYTES = 1 << 20


def require_no_states(settings: MachineSettings) -> None:
    """Saved states name the machine and the states that they stand on."""
    with_state = [snapshot.name for snapshot in settings.snapshots() if snapshot.state_file is not None]
    if with_state or settings.state_file is not None:
        what = f"snapshot {with_state[0]!r} was taken while the machine ran" if with_state else "the machine has a saved state"
        raise NotSupportedError(f"clonevm --mode all is not supported for saved states: {what}", "machine")


@attrs.define
class TreeCloner:
    """`images` maps the originals' files to those of the clone; `created` are the clone's files so far."""

    context: Context
    name: str
    folder: Path
    snapshot_folder: Path
    images: dict[Path, Path] = attrs.Factory(dict)
    created: list[Path] = attrs.Factory(list)
    _names: dict[str, str] = attrs.Factory(dict)
    """Snapshots' UUIDs, old to new."""

    def clone(self, settings: MachineSettings) -> MachineSettings:
        from ringone.home.disks import with_chains, with_configs, with_images

        media = tuple(self._copied(record, None) for record in settings.media)
        cloned = with_configs(attrs.evolve(settings, media=media), lambda config: with_images(config, self.images))
        snapshot = None if cloned.snapshot is None else self._renamed(cloned.snapshot)
        current = self._names.get(settings.current_snapshot, "")
        return with_chains(attrs.evolve(cloned, snapshot=snapshot, current_snapshot=current, snapshot_folder=None, last_state_change=None))

    def _copied(self, record: MediumRecord, parent: Path | None) -> MediumRecord:
        if record.kind is not DriveKind.DISK:
            return record
        identity, suffix = str(uuid.uuid4()), record.location.suffix
        target = self.folder / f"{self.name}-disk{len(self.created) + 1}{suffix}" if parent is None else self.snapshot_folder / f"{{{identity}}}{suffix}"
        self._copy_file(record.location, target)
        tools = find_format(self.context.registry.media_formats(), target).tools
        if tools is not None and tools.describe(target).uuid:
            tools.set_uuid(target, identity)
            if parent is not None:
                tools.set_parent(target, parent)
        self.images[record.location] = target
        children = tuple(self._copied(child, target) for child in record.children)
        return attrs.evolve(record, uuid=identity, location=target, children=children)

    def _copy_file(self, source: Path, target: Path) -> None:
        try:
            target.parent.mkdir(exist_ok=True)
            with source.open("rb") as reader, target.open("xb") as writer:
                self.created.append(target)
                shutil.copyfileobj(reader, writer, COPY_BYTES)
        except OSError as error:
            raise MediumError(f"{target}: cannot copy '{source}': {error.strerror or error}") from error

    def _renamed(self, snapshot: SnapshotRecord) -> SnapshotRecord:
        identity = str(uuid.uuid4())
        self._names[snapshot.uuid] = identity
        return attrs.evolve(snapshot, uuid=identity, children=tuple(self._renamed(child) for child in snapshot.children))
