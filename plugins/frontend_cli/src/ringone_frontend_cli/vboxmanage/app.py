"""The verbs by name, and the one place where a verb's error becomes lines on standard error and an exit code.

A verb's module is imported when the verb runs, or asks for help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import attrs
from ringone.api.errors import RingOneError

from ringone_frontend_cli.context import Settings
from ringone_frontend_cli.vboxmanage import ALIASES, REFUSED_VERBS, VERB_MODULES
from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import FAILURE_EXIT_CODE, SYNTAX_EXIT_CODE, NotSupportedError, VerbSyntaxError, result_code
from ringone_frontend_cli.vboxmanage.syntax import Branches, Verb, usage_lines

PROGRAM = "VBoxManage"
INTERRUPTED_EXIT_CODE = 130
DIALECT = "6.1.50"
"""The VirtualBox whose options, texts and keys these are."""
OWN_COMMANDS = {"startvm": "ringone startvm FILE.vbox runs a machine file in the foreground; ringone startvm FILE.vbox --help shows its options."}
"""Commands of ``ringone`` that share a verb's name."""
HELP_WORDS = frozenset({"--help", "-help", "-h", "-?"})


@attrs.frozen
class Line:
    """A command line behind its global options."""

    words: tuple[str, ...]
    home: str = ""
    version: bool = False
    help: bool = False


def main() -> None:
    """The program ``VBoxManage``."""
    sys.exit(run(PROGRAM, sys.argv[1:]))


def run(program: str, words: Sequence[str]) -> int:
    """The exit code of a command line."""
    try:
        return _run(program, words)
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILURE_EXIT_CODE
    except VerbSyntaxError as error:
        _complain(program, str(error))
        return SYNTAX_EXIT_CODE
    except RingOneError as error:
        _complain(program, str(error), str(result_code(error)))
        return _failed(error)
    except OSError as error:
        _complain(program, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return _failed(error)
    except Exception as error:
        _complain(program, f"internal error: {type(error).__name__}: {error}")
        return _failed(error)


def _failed(error: Exception) -> int:
    if Settings.debug:
        import traceback

        traceback.print_exception(error)
    return FAILURE_EXIT_CODE


def _run(program: str, words: Sequence[str]) -> int:
    line = global_options(words)
    if line.version:
        print(version_text())
        return 0
    if line.help or line.words[:1] == ("help",):
        return _help(program, line.words[1:2] if not line.help else line.words[:1])
    if not line.words:
        print("\n".join(overview(program)), file=sys.stderr)
        raise VerbSyntaxError("no verb given")
    name, *rest = line.words
    verb = find_verb(name)
    if any(word in HELP_WORDS for word in rest[:1]):
        return _help(program, (name,))
    return run_verb(Context(program=program, home_folder=line.home), verb, rest)


def run_verb(context: Context, verb: Verb | Branches, words: Sequence[str]) -> int:
    try:
        if isinstance(verb, Branches):
            verb, words = _branch(verb, words)
        arguments = verb.parse(words)
        result = verb.run(context, arguments)
    except VerbSyntaxError:
        print("Usage:\n", *usage_lines(context.program, verb), "", sep="\n", file=sys.stderr)
        raise
    except BaseException:
        context.end_progress()
        raise
    sys.stdout.flush()
    return result or 0


def _branch(branches: Branches, words: Sequence[str]) -> tuple[Verb, list[str]]:
    """The verb that the word at the branches' position names, and the other words."""
    if len(words) <= branches.position:
        raise VerbSyntaxError("Not enough parameters")
    name = words[branches.position]
    verb = branches.verbs.get(name)
    if verb is None and name in branches.refused:
        raise NotSupportedError(f"{branches.name} {name} is not supported: {branches.refused[name]}")
    if verb is None:
        raise VerbSyntaxError(f"Invalid parameter '{name}'; accepted: {', '.join(branches.verbs)}")
    return attrs.evolve(verb, name=f"{branches.name} {name}"), [*words[: branches.position], *words[branches.position + 1 :]]


def global_options(words: Sequence[str]) -> Line:
    """What stands before the verb."""
    line, left = Line(()), list(words)
    while left and left[0].startswith("-"):
        word = left.pop(0)
        name, _, value = word.partition("=")
        match name:
            case "-q" | "-nologo" | "--nologo":
                pass
            case "-v" | "-V" | "-version" | "--version":
                line = attrs.evolve(line, version=True)
            case "--debug":
                Settings.debug = True
            case "--home":
                if not value and not left:
                    raise VerbSyntaxError("Missing value for option '--home'")
                line = attrs.evolve(line, home=value or left.pop(0))
            case _ if word in HELP_WORDS:
                line = attrs.evolve(line, help=True)
            case _:
                raise VerbSyntaxError(f"Unknown option: {word}")
    return attrs.evolve(line, words=tuple(left))


def version_text() -> str:
    """In the form of a distributor's VirtualBox (``6.1.50_Debianr161033``), so that programs find the dialect: this one is built by RingOne, version 0.1.0."""
    from importlib.metadata import version

    return f"{DIALECT}_RingOner{version('ringone-kernel').replace('.', '')}"


def find_verb(name: str) -> Verb | Branches:
    if name in REFUSED_VERBS:
        raise NotSupportedError(f"{name} is not supported: {REFUSED_VERBS[name]}")
    known = ALIASES.get(name, name)
    if known not in VERB_MODULES:
        raise VerbSyntaxError(f"Invalid command '{name}'")
    module = import_module(f"ringone_frontend_cli.vboxmanage.{VERB_MODULES[known]}")
    verbs: Sequence[Verb | Branches] = module.VERBS
    return next(verb for verb in verbs if verb.name == known)


def _help(program: str, names: Sequence[str]) -> int:
    print("\n".join(help_text(program, names[0]) if names else overview(program)))
    return 0


def help_text(program: str, name: str) -> list[str]:
    verb = find_verb(name)
    note = [] if program == PROGRAM or verb.name not in OWN_COMMANDS else ["", OWN_COMMANDS[verb.name]]
    return [f"{program} {verb.name} - {verb.summary}", "", "Usage:", "", *usage_lines(program, verb), *note]


def overview(program: str) -> list[str]:
    lines = ["Usage:", "", f"  {program} [-q|--nologo] [--home <folder>] <verb> ...", f"  {program} --version", f"  {program} help <verb>", "", "Verbs:", ""]
    lines += [f"  {name:<18}{find_verb(name).summary}" for name in VERB_MODULES]
    return [*lines, "", f"Not supported: {', '.join(REFUSED_VERBS)}"]


def _complain(program: str, *lines: str) -> None:
    for text in lines:
        for line in filter(None, (line.rstrip() for line in text.splitlines())):
            print(f"{program}: error: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
