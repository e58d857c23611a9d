"""State objects to JSON and back, and everything that is refused on the way back."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.cpu import CpuState, SegmentState, TableState
from ringone.api.errors import PluginError, SnapshotError
from ringone.snapshot.codec import dump, load


class Mode(enum.Enum):
    ONE_SHOT = 0
    RATE = 2


@attrs.define(slots=True)
class Counter:
    value: int = attrs.field(default=0, validator=[attrs.validators.ge(0), attrs.validators.le(0xFFFF)])
    mode: Mode = Mode.RATE
    latched: int | None = None


@attrs.define(slots=True)
class Chip:
    counters: list[Counter] = attrs.field(factory=lambda: [Counter(), Counter(value=7, latched=3)])
    gate: bool = True
    name: str = "pit"
    fifo: bytes = b"\x00\xff"
    pair: tuple[int, bool] = (1, False)
    run: tuple[int, ...] = (1, 2, 3)
    table: dict[str, Counter] = attrs.field(factory=lambda: {"a": Counter(value=1)})
    msr: Mapping[int, int] = attrs.field(factory=lambda: {0x1B: 0xFEE00900, -1: 0})
    other: Counter | None = None
    _hidden: int = 5


def test_a_state_survives_the_way_through_json() -> None:
    chip = Chip()
    assert load(Chip, json.loads(json.dumps(dump(chip)))) == chip


def test_the_json_is_plain_to_read() -> None:
    assert dump(Counter(value=9)) == {"value": 9, "mode": "RATE", "latched": None}


def test_a_cpu_state_survives() -> None:
    segment = SegmentState(selector=8, base=0, limit=0xFFFF_FFFF, attributes=0xC09B)
    names = ("cs", "ss", "ds", "es", "fs", "gs", "ldtr", "tr")
    table = TableState(base=0, limit=0xFFFF)
    state = CpuState(
        gpr=(1, 2, 3, 4, 5, 6, 7, 8),
        eip=0xFFF0,
        eflags=2,
        **dict.fromkeys(names, segment),  # type: ignore[arg-type]
        gdtr=table,
        idtr=table,
        cr0=0x6000_0010,
        cr2=0,
        cr3=0,
        cr4=0,
        dr=(0, 0, 0, 0, 0xFFFF_0FF0, 0x400),
        msr={0x10: 5},
        fpu=bytes(512),
    )
    assert load(CpuState, json.loads(json.dumps(dump(state)))) == state


def changed(**changes: Any) -> Any:
    return {**dump(Chip()), **changes}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param([], "pit: .* is not an object with Chip's fields", id="not an object"),
        pytest.param(changed(extra=1), r"unknown fields \['extra'\]", id="extra field"),
        pytest.param({"gate": True}, "missing fields", id="missing fields"),
        pytest.param(changed(gate=1), r"pit\.gate: 1 is not true or false", id="int for bool"),
        pytest.param(changed(_hidden=True), "is not an integer", id="bool for int"),
        pytest.param(changed(_hidden=1.0), "is not an integer", id="float for int"),
        pytest.param(changed(_hidden=1 << 64), "65 bits is out of range", id="huge integer"),
        pytest.param(changed(name=None), "is not a string", id="null for string"),
        pytest.param(changed(fifo="AAA="), "is not a byte string", id="bare string for bytes"),
        pytest.param(changed(fifo={"base64": "A"}), "damaged base64", id="bad base64"),
        pytest.param(changed(fifo={"base64": "", "blob": "x"}), "is not a byte string", id="two forms of bytes"),
        pytest.param(changed(pair=[1]), "is not a list of 2", id="short tuple"),
        pytest.param(changed(pair=[1, 2]), r"pair\[1\]: 2 is not true or false", id="wrong tuple item"),
        pytest.param(changed(run={}), "is not a list", id="object for list"),
        pytest.param(changed(table=[]), "is not an object", id="list for dict"),
        pytest.param(changed(msr={"0x1b": 0}), "is not a decimal integer", id="bad integer key"),
        pytest.param(changed(msr={"01": 0}), "is not a decimal integer", id="padded integer key"),
        pytest.param(changed(msr={"9" * 5000: 0}), "is not a decimal integer", id="endless integer key"),
        pytest.param(changed(other={"value": 0x1_0000, "mode": "RATE", "latched": None}), "pit.other: .*<= 65535", id="validator"),
        pytest.param(changed(other={"value": 0, "mode": "SINE", "latched": None}), "is not one of ONE_SHOT, RATE", id="enum"),
    ],
)
def test_wrong_states_are_refused_with_the_fields_name(data: Any, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        load(Chip, data, name="pit")


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=10)


@given(field=st.sampled_from([field.name for field in attrs.fields(Chip)]), value=_JSON)
def test_any_json_in_any_field_loads_or_is_refused(field: str, value: Any) -> None:
    try:
        chip = load(Chip, changed(**{field: value}))
    except SnapshotError:
        return
    assert load(Chip, dump(chip)) == chip


def test_a_state_that_lies_about_its_types_cannot_be_saved() -> None:
    with pytest.raises(TypeError, match=r"state\.gate holds 3"):
        dump(Chip(gate=3))  # type: ignore[arg-type]


@attrs.define(slots=True)
class Floating:
    level: float = 0.5


@attrs.define(slots=True)
class Ambiguous:
    value: int | str = 0


@pytest.mark.parametrize("state", [Floating(), Ambiguous()])
def test_types_that_a_state_cannot_hold_are_the_plugins_mistake(state: object) -> None:
    with pytest.raises(PluginError, match="a state cannot hold"):
        dump(state)
