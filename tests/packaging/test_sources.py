"""What holds for every source file and every member: importing needs no Linux, and no tool forgets a package."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = sorted(path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "kernel" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")))
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


@pytest.mark.parametrize("member", MEMBERS)
def test_the_workspace_and_its_tools_know_every_member(member: str) -> None:
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    distribution = tomllib.loads((ROOT / member / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    package = next((ROOT / member / "src").iterdir()).name
    linter = workspace["tool"]["importlinter"]
    assert distribution in workspace["project"]["dependencies"]
    assert workspace["tool"]["uv"]["sources"][distribution] == {"workspace": True}
    assert f"{member}/src" in workspace["tool"]["mypy"]["mypy_path"]
    assert package in linter["root_packages"]
    if member != "kernel":
        kernel, independence, *_ = linter["contracts"]
        assert package in kernel["forbidden_modules"] and package in independence["modules"]
        assert any(package in contract["source_modules"] for contract in linter["contracts"][2:4])
