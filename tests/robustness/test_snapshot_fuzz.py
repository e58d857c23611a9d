"""Saved machines that were damaged: flipped bits, cut ends, wrong values behind right checksums, other machines' states. Each is a `SnapshotError`, no more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.api.errors import SnapshotError
from ringone.api.events import MachineState
from ringone.plugins import PluginRegistry
from ringone.snapshot.statefile import dump_state, open_state

from . import machines
from .machines import Pc, make_config, powered_on

EXAMPLES = int(os.environ.get("RINGONE_FUZZ_EXAMPLES", "0"))
SETTINGS = settings(max_examples=EXAMPLES or 60, derandomize=not EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)

ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 255, 256, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, 1 << 70, -(1 << 63), 1.5, "", "x", "A" * 1000, [], [0], [[]], {},
    {"base64": "?"}, {"x": 1},
)  # fmt: skip

Path_ = tuple[str | int, ...]


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry([machines], strict=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drives")


@pytest.fixture(scope="module")
def pc(registry: PluginRegistry, folder: Path) -> Iterator[Pc]:
    with powered_on(make_config(folder), registry) as pc:
        pc.execute()
        pc.let_pass(50_000_000)
        yield pc


@pytest.fixture(scope="module")
def saved(pc: Pc) -> bytes:
    return save(pc)


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Where the values of a JSON document are."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


def replaced(document: Any, path: Path_, value: Any) -> Any:
    if not path:
        return value
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def forged(saved: bytes, section: str, path: Path_, value: Any) -> bytes:
    """The same container with one value of one section exchanged, and all checksums right."""
    image = open_state(saved).load()
    changed = attrs.evolve(image.sections[section], state=replaced(image.sections[section].state, path, value))
    return dump_state(attrs.evolve(image, sections={**image.sections, section: changed}))


def save(pc: Pc) -> bytes:
    return dump_state(pc.machine.capture())


def load(pc: Pc, data: bytes) -> None:
    pc.machine.restore(open_state(data).load())


def assert_refused_or_loaded(pc: Pc, data: bytes) -> None:
    """A state that is refused before anything was touched leaves the machine as it was; one that a part refuses switches it off; any other can be run."""
    before = pc.machine.state_hash()
    try:
        load(pc, data)
    except SnapshotError:
        if pc.machine.state is not MachineState.POWERED_OFF:
            assert pc.machine.state_hash() == before
    else:
        pc.execute()
        pc.let_pass(1_000_000)
        pc.look()
        pc.machine.state_hash()
    pc.switch_on_again()


@SETTINGS
@given(data=st.data())
def test_a_flipped_bit_is_found(data: st.DataObject, pc: Pc, saved: bytes) -> None:
    damaged = bytearray(saved)
    for place in data.draw(st.lists(st.integers(0, len(saved) - 1), min_size=1, max_size=4)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))

    assert_refused_or_loaded(pc, bytes(damaged))


@SETTINGS
@given(data=st.data())
def test_a_cut_end_is_found(data: st.DataObject, pc: Pc, saved: bytes) -> None:
    before = pc.machine.state_hash()

    with pytest.raises(SnapshotError):
        load(pc, saved[: data.draw(st.integers(0, len(saved) - 1))])

    assert pc.machine.state_hash() == before


@SETTINGS
@given(data=st.data())
def test_a_wrong_value_is_refused_or_harmless(data: st.DataObject, pc: Pc, saved: bytes) -> None:
    sections = open_state(saved).sections
    section = data.draw(st.sampled_from(sorted(sections)))
    path = data.draw(st.sampled_from(list(leaves(sections[section].state))))

    assert_refused_or_loaded(pc, forged(saved, section, path, data.draw(st.sampled_from(ODD_VALUES) | st.integers(0, 0xFFFFFFFF))))


@pytest.mark.parametrize("change", [pytest.param({"memory_bytes": 4 << 20}, id="memory"), pytest.param({"serial_ports": ()}, id="parts")])
def test_the_state_of_another_machine_is_refused(change: dict[str, Any], pc: Pc, registry: PluginRegistry, folder: Path) -> None:
    with powered_on(attrs.evolve(make_config(folder), **change), registry) as other:
        foreign = save(other)
    before = pc.machine.state_hash()

    with pytest.raises(SnapshotError):
        load(pc, foreign)

    assert (pc.machine.state, pc.machine.state_hash()) == (MachineState.RUNNING, before)
