"""What plugins rely on: the names of `ringone.api`, and a page that tells of every hook."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
import ringone.api
from ringone import hookspecs

NAMES = Path(__file__).parent / "data" / "api_names.txt"
HOOKS_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"
HOOKS = [name for name, value in vars(hookspecs).items() if inspect.isfunction(value)]


def public_names() -> list[str]:
    """``module.name`` of everything that the modules of `ringone.api` define themselves, and ``module.Class.member``."""
    names = []
    for module in ("ringone.api", *(f"ringone.api.{info.name}" for info in pkgutil.iter_modules(ringone.api.__path__))):
        for name, node in defined(ast.parse(inspect.getsource(import_module(module))).body):
            names.append(f"{module}.{name}")
            if isinstance(node, ast.ClassDef):
                names += [f"{module}.{name}.{member}" for member, _ in defined(node.body)]
    return sorted(set(names))


def defined(body: list[ast.stmt]) -> list[tuple[str, ast.stmt]]:
    found: list[tuple[str, ast.stmt]] = []
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                if not name.startswith("_"):
                    found.append((name, node))
    return found


def test_the_public_names_are_those_that_were_agreed() -> None:
    agreed = NAMES.read_text(encoding="utf-8").splitlines()
    present = public_names()
    changes = [f"-{name}" for name in agreed if name not in present] + [f"+{name}" for name in present if name not in agreed]
    assert not changes, f"edit {NAMES.name}; a removed name also raises API_VERSION"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_explains_itself(hook: str) -> None:
    assert inspect.getdoc(getattr(hookspecs, hook))
    assert f"### {hook}\n" in HOOKS_PAGE.read_text(encoding="utf-8")
