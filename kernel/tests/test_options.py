"""Options from text: every type, every mistake at once, and help rows."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest
from ringone.api.errors import ConfigError, ConfigErrors, PluginError, UnknownNameError
from ringone.api.options import NoOptions, option
from ringone.options import OptionHelp, bind_options, describe_options


class Parity(enum.Enum):
    NONE = "none"
    EVEN = "even"


@attrs.frozen(kw_only=True)
class Options:
    base: int = option(0x3F8, help="first port", validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.lt(1 << 16)))
    size: int = option(1 << 20, help="memory", unit="bytes", validator=attrs.validators.gt(0))
    loud: bool = option(False, help="say more")
    title: str = option("none", help="window title")
    rate: float = option(1.5, help="speed")
    image: Path | None = option(None, help="disk image")
    parity: Parity = option(Parity.EVEN, help="parity bit")
    limit: int | None = option(None, help="upper bound")


@attrs.frozen(kw_only=True)
class Required:
    image: Path = option(help="disk image")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("base", "1016", 1016),
        ("base", "0x3F8", 0x3F8),
        ("size", "64k", 64 << 10),
        ("size", "128M", 128 << 20),
        ("size", " 0x10G ", 16 << 30),
        ("loud", "on", True),
        ("loud", "No", False),
        ("loud", "1", True),
        ("title", "none", "none"),
        ("title", "", ""),
        ("rate", "0.25", 0.25),
        ("image", "disk.img", Path("/machines/disk.img")),
        ("image", "/other/disk.img", Path("/other/disk.img")),
        ("image", "~/disk.img", Path.home() / "disk.img"),
        ("image", "none", None),
        ("parity", "none", Parity.NONE),
        ("limit", "None", None),
        ("limit", "7", 7),
    ],
)
def test_text_becomes_the_annotated_type(name: str, text: str, value: object) -> None:
    assert getattr(bind_options(Options, {name: text}, base_dir=Path("/machines")), name) == value


def test_what_is_not_given_has_its_default() -> None:
    assert bind_options(Options, {}) == Options()
    assert bind_options(NoOptions, {}) == NoOptions()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"base": "three"}, r"vm\.vbox:7: option 'base': 'three' is not an integer \(decimal, 0x hex, with a suffix K, M or G\)"),
        ({"base": "1_000"}, "is not an integer"),
        ({"base": "0x1.5"}, "is not an integer"),
        ({"base": "9" * 100}, "is not an integer"),
        ({"loud": "maybe"}, "is not on or off"),
        ({"rate": "fast"}, "is not a number"),
        ({"parity": "odd"}, "'odd' is not one of none, even"),
        ({"base": "0x10000"}, r"option 'base': '0x10000' is not possible: .*< 65536"),
        ({"limit": "x"}, "is not an integer .*, or none"),
    ],
)
def test_a_wrong_value_says_where_what_and_what_would_do(mapping: Mapping[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bind_options(Options, mapping, source="vm.vbox:7")


def test_an_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown option 'bse' \(did you mean 'base'\?\); known: base, image"):
        bind_options(Options, {"bse": "1"})


def test_a_required_option_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"option 'image' is required: a path \(disk image\)"):
        bind_options(Required, {})


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        bind_options(Options, {"bse": "1", "loud": "maybe", "base": "x"}, source="vm.vbox:7")
    assert len(caught.value.errors) == 3
    with pytest.raises(ConfigErrors) as caught:
        bind_options(Options, {"base": "-1", "size": "0"})
    assert [error.message.split(":")[0] for error in caught.value.errors] == ["option 'base'", "option 'size'"]


def test_a_class_that_checks_itself_is_heard() -> None:
    @attrs.frozen(kw_only=True)
    class Pair:
        low: int = option(0, help="")
        high: int = option(9, help="")

        def __attrs_post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    with pytest.raises(ConfigError, match="here: low is above high"):
        bind_options(Pair, {"low": "20"}, source="here")


def test_an_option_of_a_type_that_text_cannot_become_is_the_plugins_mistake() -> None:
    @attrs.frozen(kw_only=True)
    class Odd:
        numbers: list[int] = option((), help="")

    with pytest.raises(PluginError, match=r"Odd\.numbers"):
        bind_options(Odd, {})


def test_help_rows_follow_the_fields() -> None:
    rows = describe_options(Options)
    assert [(row.name, row.type, row.default) for row in rows] == [
        ("base", "integer", "1016"),
        ("size", "integer", "1048576"),
        ("loud", "on|off", "off"),
        ("title", "text", "none"),
        ("rate", "number", "1.5"),
        ("image", "path or none", "none"),
        ("parity", "none|even", "even"),
        ("limit", "integer or none", "none"),
    ]
    assert rows[1].unit == "bytes"
    assert describe_options(Required) == (OptionHelp(name="image", type="path", default="", required=True, unit="", help="disk image"),)
