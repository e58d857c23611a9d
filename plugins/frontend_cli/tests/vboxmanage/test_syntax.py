from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_cli.vboxmanage.errors import VerbSyntaxError
from ringone_frontend_cli.vboxmanage.syntax import Arguments, canonical, choice, flag, integer, number, on_off, option, parse, uuid_text

OPTIONS = (
    option("--name"),
    option("--memory", "-m", parse=number(4, 3584)),
    option("--ioapic", parse=on_off),
    option("--boot<N>", parse=choice("dvd", "disk")),
    option("--register", parse=flag),
    option("--uuid", parse=uuid_text),
)


def parsed(*words: str) -> Arguments:
    return parse(words, OPTIONS, least=0, most=None)


@pytest.mark.parametrize(
    "words",
    [("--memory", "64"), ("--memory=64",), ("--memory:64",), ("-memory", "64"), ("-m", "64"), ("--mem-ory", "0x40")],
    ids=["two words", "equals sign", "colon", "one dash", "short", "dashes and hexadecimal"],
)
def test_an_option_can_be_written_as_all_virtualboxes_had_it(words: tuple[str, ...]) -> None:
    assert parsed(*words).get("--memory") == 64


def test_options_and_words_may_stand_in_any_order_and_the_last_value_counts() -> None:
    arguments = parsed("--name", "a", "debian", "--register", "--name", "b", "more")
    assert arguments.words == ("debian", "more")
    assert arguments.get("--name") == "b"
    assert arguments.all("--name") == ["a", "b"]
    assert arguments.has("--register")


def test_a_value_may_look_like_an_option() -> None:
    assert parsed("--name", "--register").get("--name") == "--register"


def test_an_option_has_the_number_in_its_name() -> None:
    (given,) = parsed("--boot12", "dvd").given
    assert (given.key, given.index, given.value) == ("boot", 12, "dvd")


def test_negative_numbers_are_words() -> None:
    assert parsed("-5", "+7").words == ("-5", "+7")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--color",), "Unknown option: --color"),
        (("--boot", "dvd"), "Unknown option: --boot"),
        (("--boot0", "dvd"), "Unknown option: --boot0"),
        (("--name",), "Missing value for option '--name'"),
        (("--register=yes",), "Option '--register' takes no value"),
        (("--memory", "3"), "Invalid value '3' for option '--memory'; accepted: 4 to 3584"),
        (("--memory", "64M"), "Invalid value '64M' for option '--memory'"),
        (("--ioapic", "maybe"), "Invalid value 'maybe' for option '--ioapic'; accepted: on, off"),
        (("--boot1", "cow"), "Invalid value 'cow' for option '--boot1'; accepted: dvd, disk"),
        (("--uuid", "7"), "Invalid value '7' for option '--uuid'; accepted: a UUID"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_names_the_option_and_what_is_accepted(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(VerbSyntaxError) as failure:
        parsed(*words)
    assert message in str(failure.value)


def test_too_few_and_too_many_words_are_mistakes() -> None:
    with pytest.raises(VerbSyntaxError, match="Not enough parameters"):
        parse([], OPTIONS, least=1, most=1)
    with pytest.raises(VerbSyntaxError, match="Invalid parameter 'b'"):
        parse(["a", "b"], OPTIONS, least=1, most=1)


@given(st.integers(-(1 << 62), 1 << 62))
def test_numbers_are_read_as_they_are_written(value: int) -> None:
    assert integer(str(value)) == value
    assert integer(f"-{hex(-value)}" if value < 0 else hex(value)) == value


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        arguments = parsed(*words)
    except VerbSyntaxError:
        return
    assert len(arguments.words) + len(arguments.given) <= len(words)


@given(st.text(alphabet="abc-", min_size=1))
def test_dashes_do_not_count_in_names(name: str) -> None:
    assert canonical(name) == name.replace("-", "")
