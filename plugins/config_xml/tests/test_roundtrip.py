"""Whatever settings there can be come back from a file as they were, from whatever the file said before."""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.api.config import Drive, DriveKind, MachineConfig, StorageController
from ringone.api.settings import GlobalSettings, GuestProperty, MachineEntry, MachineSettings, MediumRecord, MediumType, SnapshotRecord
from ringone_config_xml.settings import load_home, load_machine, save_home, save_machine

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MIB = 1 << 20

LETTERS = st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\ufffe\uffff")
TEXT = st.text(LETTERS, min_size=1, max_size=12)
TIMES = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1)).map(lambda time: time.replace(microsecond=0, tzinfo=datetime.UTC))
PATHS = TEXT.map(lambda text: Path("/images") / (text.replace("/", "_") + ".vdi"))
IDS = st.builds(str, st.uuids(version=4))


@st.composite
def media(draw: st.DrawFn) -> tuple[MediumRecord, ...]:
    """Trees of disks, then CDs: no UUID and no place twice."""
    uuids = iter(draw(st.lists(IDS, min_size=12, max_size=12, unique=True)))
    places = (Path(f"/images/{number}.vdi") for number in itertools.count())

    def tree(depth: int) -> MediumRecord:
        children = tuple(tree(depth - 1) for _ in range(draw(st.integers(0, 2)))) if depth else ()
        return MediumRecord(
            uuid=next(uuids, "") or str(uuid.uuid5(uuid.NAMESPACE_URL, str(next(places)))),
            location=next(places),
            kind=DriveKind.DISK,
            type=draw(st.sampled_from(MediumType)) if depth == 2 else MediumType.NORMAL,
            auto_reset=draw(st.booleans()) if depth < 2 else False,
            description=draw(st.just("") | TEXT),
            properties=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
            children=children,
        )

    disks = tuple(tree(2) for _ in range(draw(st.integers(0, 2))))
    cds = tuple(MediumRecord(uuid=identity, location=path, kind=DriveKind.CDROM, format="RAW") for identity, path in draw(cd_places()))
    return (*disks, *cds)


def cd_places() -> st.SearchStrategy[list[tuple[str, Path]]]:
    return st.lists(st.tuples(IDS, PATHS), max_size=2, unique_by=(lambda pair: pair[0], lambda pair: pair[1]))


def walk(records: tuple[MediumRecord, ...]) -> Iterator[tuple[MediumRecord, tuple[Path, ...]]]:
    """Records with what they stand on, nearest first."""
    waiting: list[tuple[MediumRecord, tuple[Path, ...]]] = [(record, ()) for record in records]
    while waiting:
        record, below = waiting.pop()
        yield record, below
        waiting += [(child, (record.location, *below)) for child in record.children]


@st.composite
def configs(draw: st.DrawFn, base: MachineConfig, registered: tuple[MediumRecord, ...]) -> MachineConfig:
    disks = [(record, below) for record, below in walk(registered) if record.kind is DriveKind.DISK and record.type is not MediumType.SHAREABLE]
    disks = [(record, below) for record, below in disks if record.type is not MediumType.READONLY]
    drives: list[Drive] = []
    attached = draw(st.booleans())
    if disks and attached:
        record, below = draw(st.sampled_from(disks))
        drives = [Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=record.location, parents=below, format="vdi")]
    return attrs.evolve(
        base,
        memory_bytes=draw(st.integers(1, 4096)) * MIB,
        acpi=draw(st.booleans()),
        storage_controllers=(StorageController(name="IDE", type="PIIX4"),),
        drives=tuple(drives),
    )


@st.composite
def machines(draw: st.DrawFn) -> MachineSettings:
    registered = draw(media())
    base = MachineConfig(name=draw(TEXT), uuid=draw(IDS), description=draw(st.just("") | TEXT), extra_data=draw(st.dictionaries(TEXT, TEXT, max_size=2)))
    uuids = iter(draw(st.lists(IDS, min_size=8, max_size=8, unique=True)))
    made: list[SnapshotRecord] = []

    def tree(depth: int) -> SnapshotRecord:
        children = tuple(tree(depth - 1) for _ in range(draw(st.integers(0, 2)))) if depth else ()
        record = SnapshotRecord(
            uuid=next(uuids),
            name=draw(TEXT),
            taken=draw(TIMES),
            config=draw(configs(base, registered)),
            description=draw(st.just("") | TEXT),
            state_file=draw(st.none() | PATHS),
            children=children,
        )
        made.append(record)
        return record

    root = tree(2) if draw(st.booleans()) else None
    return MachineSettings(
        config=draw(configs(base, registered)),
        media=registered,
        snapshot=root,
        current_snapshot=draw(st.sampled_from(made)).uuid if made else "",
        current_state_modified=draw(st.booleans()),
        state_file=draw(st.none() | PATHS),
        aborted=draw(st.booleans()),
        last_state_change=draw(st.none() | TIMES),
        snapshot_folder=draw(st.none() | PATHS),
        groups=tuple(draw(st.lists(TEXT.map("/{}".format), min_size=1, max_size=2))),
        guest_properties=tuple(draw(st.lists(properties(), max_size=2, unique_by=lambda found: found.name))),
    )


def properties() -> st.SearchStrategy[GuestProperty]:
    return st.builds(GuestProperty, name=TEXT, value=TEXT, timestamp_ns=st.integers(0, 1 << 63), flags=st.sampled_from(["", "TRANSIENT"]))


def comparable(machine: MachineSettings) -> MachineSettings:
    """Without what a file does not have of its own: where it lies, and what a snapshot shares with its machine."""
    shared = attrs.evolve(machine.config, source=None)

    def plain(record: SnapshotRecord) -> SnapshotRecord:
        config = attrs.evolve(record.config, source=None, name=shared.name, uuid=shared.uuid, description=shared.description, extra_data=shared.extra_data)
        return attrs.evolve(record, config=config, children=tuple(map(plain, record.children)))

    return attrs.evolve(machine, config=shared, snapshot=machine.snapshot and plain(machine.snapshot), media=in_order(machine.media))


def in_order(records: tuple[MediumRecord, ...]) -> tuple[MediumRecord, ...]:
    """The order of images that stand side by side says nothing."""
    return tuple(sorted((attrs.evolve(record, children=in_order(record.children)) for record in records), key=lambda record: record.uuid))


@RELAXED
@given(before=machines(), after=machines())
def test_any_settings_come_back_whatever_the_file_said_before(tmp_path: Path, before: MachineSettings, after: MachineSettings) -> None:
    path = tmp_path / "vm.vbox"
    path.unlink(missing_ok=True)
    for machine in (before, after):
        save_machine(machine, path)
        assert comparable(load_machine(path)) == comparable(machine)


@RELAXED
@given(
    states=st.lists(
        st.builds(
            GlobalSettings,
            machines=st.lists(st.builds(MachineEntry, uuid=IDS, path=PATHS), max_size=4, unique_by=lambda entry: entry.uuid).map(tuple),
            media=media(),
            extra_data=st.dictionaries(TEXT, TEXT, max_size=3),
            default_machine_folder=st.none() | PATHS,
            log_history_count=st.integers(0, 100),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_global_settings_come_back_whatever_the_file_said_before(tmp_path: Path, states: list[GlobalSettings]) -> None:
    path = tmp_path / "VirtualBox.xml"
    path.unlink(missing_ok=True)
    for home in states:
        save_home(home, path)
        again = load_home(path)
        assert attrs.evolve(again, media=in_order(again.media), machines=frozenset(again.machines)) == attrs.evolve(  # type: ignore[arg-type]
            home,
            media=in_order(home.media),
            machines=frozenset(home.machines),  # type: ignore[arg-type]
        )
