from __future__ import annotations

import re
from pathlib import Path

import pytest
from ringone_frontend_cli import main
from ringone_frontend_cli.vboxmanage import ALIASES, REFUSED_VERBS, VERB_MODULES, is_verb_line

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage

VERSION = re.compile(r"^(\d+)\.(\d+)\.(\d+)(?:_\w+)?$")
"""What packer, vagrant and minikube look for, before the first r<digits>."""


def test_the_version_is_one_that_tools_understand(vbox: VBoxManage) -> None:
    answer = vbox("--version")
    assert answer.exit_code == 0
    match = VERSION.match(answer.out.strip())
    assert match
    assert match.group(1, 2) == ("6", "1")


@pytest.mark.parametrize("word", ["-q", "--nologo"])
def test_no_logo_may_be_asked_for(ok: VBoxManage, word: str) -> None:
    assert ok(word, "list", "vms").out == ""


@pytest.mark.parametrize("verb", [*VERB_MODULES, *ALIASES])
def test_every_verb_has_help(ok: VBoxManage, verb: str) -> None:
    name = ALIASES.get(verb, verb)
    assert f"VBoxManage {name}" in ok("help", verb).out
    assert ok(verb, "--help").out == ok("help", verb).out


def test_the_overview_names_every_verb(ok: VBoxManage) -> None:
    text = ok("--help").out
    assert all(verb in text for verb in (*VERB_MODULES, *REFUSED_VERBS))


@pytest.mark.parametrize("verb", REFUSED_VERBS)
def test_what_there_is_not_is_refused_by_name(vbox: VBoxManage, verb: str) -> None:
    answer = vbox(verb, "whatever", "--option")
    assert answer.exit_code == 1
    assert answer.err.startswith(f"VBoxManage: error: {verb} is not supported: ")
    assert "VBOX_E_NOT_SUPPORTED" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no verb given"),
        (("dance",), "Invalid command 'dance'"),
        (("--loud", "list"), "Unknown option: --loud"),
        (("createvm", "--nmae", "x"), "Unknown option: --nmae"),
        (("createvm",), "Required parameter --name is missing"),
        (("startvm",), "Not enough parameters"),
        (("list",), 'Missing subcommand for "list" command'),
        (("list", "cows"), "Unknown subcommand 'cows'"),
        (("snapshot", "vm", "juggle"), "Invalid parameter 'juggle'"),
        (("controlvm", "vm"), "Not enough parameters"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_ends_with_2(vbox: VBoxManage, words: tuple[str, ...], message: str) -> None:
    answer = vbox(*words)
    assert answer.exit_code == 2
    assert answer.err.splitlines()[-1].startswith(f"VBoxManage: error: {message}")


def test_a_wrong_option_shows_the_usage_of_its_verb(vbox: VBoxManage) -> None:
    assert vbox("registervm").err.startswith("Usage:\n\nVBoxManage registervm <filename>\n")


def test_errors_have_the_codes_that_tools_look_for(vbox: VBoxManage) -> None:
    answer = vbox("showvminfo", "nobody")
    assert answer.exit_code == 1
    assert answer.out == ""
    assert re.search(r"VBoxManage([.a-z]*): error: Could not find a registered machine named 'nobody'", answer.err)
    assert "VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)" in answer.err


def test_the_home_can_be_named(ok: VBoxManage, tmp_path: Path) -> None:
    ok("--home", tmp_path / "other", "createvm", "--name", "there", "--register")
    assert '"there"' in ok(f"--home={tmp_path / 'other'}", "list", "vms").out
    assert ok("list", "vms").out == ""


# --- the same verbs in `ringone`


def test_ringone_has_the_verbs_under_its_own_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command_line(["createvm", "--name", "one", "--register"]) == 0
    assert main.run_command_line(["list", "vms"]) == 0
    assert '"one" {' in capsys.readouterr().out
    assert main.run_command_line(["showvminfo", "two"]) == 1
    assert capsys.readouterr().err.startswith("ringone: error: Could not find a registered machine named 'two'\n")


def test_ringones_help_tells_of_the_command_that_shares_a_verbs_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command_line(["startvm", "--help"]) == 0
    assert "ringone startvm FILE.vbox runs a machine file" in capsys.readouterr().out
    assert main.run_command_line(["startvm", "x.vbox", "--help"]) == 0
    assert "--throw-away" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "is_verb"),
    [
        ("list vms", True),
        ("-q list vms", True),
        ("--home /x list vms", True),
        ("createhd --filename x", True),
        ("natnetwork list", True),
        ("help createvm", True),
        ("startvm debian", True),
        ("startvm debian --type headless", True),
        ("startvm debian --record pyproject.toml", True),
        ("startvm debian.vbox", False),
        ("startvm debian.vbox --record video.mp4", False),
        ("startvm debian.vbox --type headless", True),
        ("run --cdrom x.iso", False),
        ("devices list", False),
        ("--help", False),
        ("", False),
    ],
)
def test_ringone_tells_verbs_from_its_own_commands(line: str, is_verb: bool) -> None:
    assert is_verb_line(line.split()) is is_verb
