"""``python tools/check_files.py FILES``: TOML and XML that cannot be read, and files too large for a repository of sources."""

from __future__ import annotations

import sys
import tomllib
import xml.parsers.expat
from collections.abc import Iterator, Sequence
from pathlib import Path

MAX_BYTES = 512 << 10
XML_SUFFIXES = {".vbox", ".xml", ".xsd"}


def problems(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    if len(data) > MAX_BYTES:
        yield f"{path}: {len(data)} bytes; at most {MAX_BYTES} are accepted"
    try:
        if path.suffix == ".toml":
            tomllib.loads(data.decode("utf-8"))
        elif path.suffix in XML_SUFFIXES:
            xml.parsers.expat.ParserCreate().Parse(data, True)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, xml.parsers.expat.ExpatError) as error:
        yield f"{path}: {error}"


def main(arguments: Sequence[str]) -> int:
    found = [problem for name in arguments for problem in problems(Path(name))]
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
