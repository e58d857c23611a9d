"""What holds for every source file: importing RingOne needs no Linux."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path.relative_to(ROOT).as_posix() for folder in ("kernel", "plugins") for path in (ROOT / folder).rglob("src/**/*.py"))
NOT_EVERYWHERE = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "spwd", "syslog", "termios", "tty"}
"""Modules of the standard library that only Unix has; what needs them imports them inside a function."""


def imported_at_once(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Line and module of what importing a file imports: everything but functions' bodies and what stands under a condition."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
        elif isinstance(node, (ast.ClassDef, ast.With)):
            yield from imported_at_once(node.body)


@pytest.mark.parametrize("source", SOURCES)
def test_importing_needs_no_particular_system(source: str) -> None:
    tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
    assert [found for found in imported_at_once(tree.body) if found[1].partition(".")[0] in NOT_EVERYWHERE] == []
