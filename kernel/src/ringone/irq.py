"""Lines between pins: levels, not pulses. An input is the OR of every output wired to it; edge detection is the business of the chip behind the input.

An input's level is worked out from its sources at the moment it is looked at, never counted, so a callback that drives further pins (even the one that is
changing) leaves every input right and shows no glitch to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ringone.api.errors import AssemblyError, SnapshotError, UnconnectedPinError

L = TypeVar("L")


class InputLine:
    """An input pin of a component."""

    __slots__ = ("changed", "level", "name", "sources")

    def __init__(self, name: str, changed: Callable[[bool], None] | None) -> None:
        self.name = name
        self.level = False
        self.changed = changed
        self.sources: list[OutputLine] = []

    def combined(self) -> bool:
        return True in [source.level for source in self.sources]


class OutputLine:
    """An output pin of a component."""

    __slots__ = ("level", "name", "targets")

    def __init__(self, name: str) -> None:
        self.name = name
        self.level = False
        self.targets: tuple[InputLine, ...] = ()

    def set(self, level: bool) -> None:
        if level == self.level:
            return
        self.level = bool(level)
        for target in self.targets:
            combined = self.level or (len(target.sources) > 1 and target.combined())
            if combined != target.level:
                target.level = combined
                if target.changed is not None:
                    target.changed(combined)


class LineNetwork:
    """All pins and wires of a machine. A pin's full name is ``component.PIN``."""

    def __init__(self) -> None:
        self._outputs: dict[str, OutputLine] = {}
        self._inputs: dict[str, InputLine] = {}

    def output(self, component: str, pin: str) -> OutputLine:
        name = f"{component}.{pin}"
        self._refuse_twice(name)
        line = self._outputs[name] = OutputLine(name)
        return line

    def input(self, component: str, pin: str, changed: Callable[[bool], None] | None = None) -> InputLine:
        name = f"{component}.{pin}"
        self._refuse_twice(name)
        line = self._inputs[name] = InputLine(name, changed)
        return line

    def _refuse_twice(self, name: str) -> None:
        if name in self._outputs or name in self._inputs:
            raise AssemblyError(f"the pin {name!r} exists already", component=name.partition(".")[0])

    def connect(self, source: str, target: str) -> None:
        """Wire the output `source` to the input `target`, both ``component.PIN``. An input that rises by it is told."""
        output = self._find(self._outputs, source, "output")
        line = self._find(self._inputs, target, "input")
        if line in output.targets:
            raise AssemblyError(f"{source} and {target} are wired twice", component=source.partition(".")[0])
        output.targets = (*output.targets, line)
        line.sources.append(output)
        if output.level and not line.level:
            line.level = True
            if line.changed is not None:
                line.changed(True)

    @staticmethod
    def _find(pins: Mapping[str, L], name: str, direction: str) -> L:
        line = pins.get(name)
        if line is None:
            component = name.partition(".")[0]
            known = ", ".join(sorted(pin for pin in pins if pin.startswith(f"{component}."))) or "none"
            raise UnconnectedPinError(f"there is no {direction} {name!r}; {direction}s of {component}: {known}", component=component)
        return line

    @property
    def outputs(self) -> Mapping[str, OutputLine]:
        return self._outputs

    @property
    def inputs(self) -> Mapping[str, InputLine]:
        return self._inputs

    def save(self) -> dict[str, bool]:
        """The level of every output, by full name."""
        return {name: line.level for name, line in sorted(self._outputs.items())}

    def restore(self, levels: Mapping[str, bool]) -> None:
        """Take over saved levels; no input's callback is called."""
        if levels.keys() != self._outputs.keys():
            different = sorted(levels.keys() ^ self._outputs.keys())
            raise SnapshotError(f"the saved line levels are of another machine: {', '.join(different[:5])} differ")
        for name, level in levels.items():
            self._outputs[name].level = level
        for line in self._inputs.values():
            line.level = line.combined()
