"""A VirtualBox settings file as an element tree: parsed without trust, asked by path, with every mistake collected under its file and line.

Entities, document types, the network and encodings other than UTF-8 are refused before the parser sees them; size and depth are bounded.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lxml import etree
from ringone.api.errors import ConfigError, ConfigErrors

NAMESPACE = "http://www.virtualbox.org/"
INNOTEK_NAMESPACE = "http://www.innotek.de/VirtualBox-settings"
"""Of settings versions before 1.3."""
NEWEST_MINOR = 19
"""Settings version 1.19, written by VirtualBox 7.0."""
MAX_BYTES = 16 << 20
MAX_DEPTH = 600
"""VirtualBox nests at most 250 snapshots, two elements each."""

TRUE_WORDS = frozenset({"true", "yes", "1"})
FALSE_WORDS = frozenset({"false", "no", "0"})
DECLARED_ENCODING = re.compile(r"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']""")
VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(-.*)?", re.ASCII)

Element = etree._Element


class SettingsFile:
    """A parsed file of VirtualBox. `minor` is N of settings version 1.N; `problems` are the mistakes found so far."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.folder = path.absolute().parent
        self.root = parse_root(path, data)
        self.problems: list[ConfigError] = []
        self.namespace = etree.QName(self.root).namespace or ""
        self.minor = self._require_version()

    def place(self, element: Element | None) -> str:
        return f"{self.path}:{element.sourceline}" if element is not None and element.sourceline else str(self.path)

    def problem(self, element: Element | None, message: str, kind: type[ConfigError] = ConfigError) -> None:
        self.problem_at(self.place(element), message, kind)

    def problem_at(self, place: str, message: str, kind: type[ConfigError] = ConfigError) -> None:
        self.problems.append(kind(message, source=place))

    def raise_problems(self) -> None:
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise ConfigErrors(sorted(self.problems, key=_line))

    def tag(self, name: str) -> str:
        return f"{{{self.namespace}}}{name}"

    def name(self, element: Element) -> str:
        return etree.QName(element).localname

    def find_all(self, parent: Element | None, path: str) -> Iterator[Element]:
        """Elements at a path of local names, such as ``BIOS/ACPI``."""
        if parent is not None:
            yield from parent.iterfind(_qualified(self.namespace, path))

    def find(self, parent: Element | None, path: str) -> Element | None:
        return None if parent is None else parent.find(_qualified(self.namespace, path))

    def text(self, element: Element | None, attribute: str, default: str = "") -> str:
        return default if element is None else element.get(attribute, default)

    def number(self, element: Element | None, attribute: str, default: int = 0) -> int:
        """Decimal or 0x hexadecimal. What is not a number has been reported by the schema."""
        text = self.text(element, attribute).strip()
        try:
            return int(text, 16) if text.lower().startswith("0x") else int(text)
        except ValueError:
            return default

    def flag(self, element: Element | None, attribute: str, default: bool) -> bool:
        text = self.text(element, attribute).strip()
        if text in TRUE_WORDS:
            return True
        return False if text in FALSE_WORDS else default

    def _require_version(self) -> int:
        if self.namespace not in (NAMESPACE, INNOTEK_NAMESPACE) or self.name(self.root) != "VirtualBox":
            found = f'<{self.name(self.root)} xmlns="{self.namespace}">'
            raise ConfigError(f'the root element is {found}; accepted is <VirtualBox xmlns="{NAMESPACE}">', source=self.place(self.root))
        text = self.root.get("version", "")
        match = VERSION.fullmatch(text)
        if match is None or match[1] != "1":
            raise ConfigError(f"the settings version is {text!r}; accepted are versions 1.x, for example 1.12-linux", source=self.place(self.root))
        return int(match[2])


@cache
def _qualified(namespace: str, path: str) -> str:
    return "/".join(f"{{{namespace}}}{step}" for step in path.split("/"))


class Document(SettingsFile):
    """A machine file. `machine` is the element that has the Hardware and the drives being looked at: `owner`, or one of its snapshots."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(path, data)
        self.owner = self._require_machine()
        self.machine = self.owner

    @property
    def global_file(self) -> Path:
        """Where VirtualBox before 4.0 kept what all its machines share."""
        return self.folder.parent.parent / "VirtualBox.xml"

    @property
    def is_snapshot(self) -> bool:
        return self.machine is not self.owner

    def of_snapshot(self, element: Element) -> Document:
        """The same file, seen as one of its snapshots; problems go to the same list."""
        view = copy.copy(self)
        view.machine = element
        return view

    def _require_machine(self) -> Element:
        machine = self.find(self.root, "Machine")
        if machine is None:
            what = "this is VirtualBox's global configuration" if self.find(self.root, "Global") is not None else "there is no <Machine> element"
            raise ConfigError(f"{what}; accepted is a machine file, with one <Machine> below <VirtualBox>", source=self.place(self.root))
        return machine


class HomeDocument(SettingsFile):
    """A home's own file."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(path, data)
        self.home = self._require_global()

    def _require_global(self) -> Element:
        home = self.find(self.root, "Global")
        if home is None:
            raise ConfigError("there is no <Global> element; accepted is VirtualBox's global configuration", source=self.place(self.root))
        return home


def read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError("cannot read the machine file: it is no regular file", source=str(path))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the machine file: {reason}", source=str(path)) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"the machine file is larger than {MAX_BYTES >> 20} MiB; accepted are smaller ones", source=str(path))
    return data


def parse_root(path: Path, data: bytes) -> Element:
    """The root element of untrusted XML."""
    text = _decode(path, data)
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, dtd_validation=False, no_network=True, huge_tree=True, remove_blank_text=False)
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 1
        raise ConfigError(f"not well-formed XML: {error.msg}", source=f"{path}:{line}") from error
    _require_flat(path, root)
    return root


def _decode(path: Path, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"the file is not UTF-8 text (byte {data[error.start]:#04x}); accepted is UTF-8", source=f"{path}:{line}") from error
    declared = DECLARED_ENCODING.match(text)
    if declared is not None and declared[1].lower() not in ("utf-8", "us-ascii"):
        raise ConfigError(f"the file declares the encoding {declared[1]!r}; accepted is UTF-8", source=f"{path}:1")
    doctype = text.find("<!DOCTYPE")
    if doctype >= 0:
        line = text.count("\n", 0, doctype) + 1
        raise ConfigError("the file has a <!DOCTYPE>; accepted are machine files without document type and entities", source=f"{path}:{line}")
    return text


def _require_flat(path: Path, root: Element) -> None:
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            raise ConfigError(f"elements are nested more than {MAX_DEPTH} deep", source=f"{path}:{element.sourceline}")


def _line(error: ConfigError) -> int:
    line = error.source.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0
