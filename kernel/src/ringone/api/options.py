"""Options of plugins: frozen attrs classes whose fields explain themselves.

The kernel converts text from machine files and command lines by the field's annotation: ``int`` (decimal, 0x hex, and K/M/G suffixes), ``bool`` (on/off,
true/false, yes/no, 1/0), ``str``, ``float``, `pathlib.Path` (``~`` expanded, relative to the machine file), an `enum.Enum` by value, and each of them
``| None``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

T = TypeVar("T")


def option(default: Any = attrs.NOTHING, *, help: str, validator: Callable[..., Any] | None = None, unit: str = "") -> Any:
    """An attrs field with a help text; `unit` is shown behind the value (``bytes``, ``ns`` ...). Without a default the option is required."""
    return attrs.field(default=default, validator=validator, metadata={"help": help, "unit": unit})


@attrs.frozen(kw_only=True)
class NoOptions:
    """For plugins that have none."""
