"""Checks a document against ``settings.xsd`` and says, in the schema's own words, what would have been accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import cast

from lxml import etree

from ringone_config_xml.document import NAMESPACE, SettingsFile

XS = "{http://www.w3.org/2001/XMLSchema}"
BAD_VALUE = re.compile(
    r"Element '(?:\{[^}]*\})?(?P<element>[^']*)', attribute '(?P<attribute>[^']*)': (?:\[facet '\w+'\] The value )?'(?P<value>.*?)' "
    r"(?:is not|has a length|is less|is greater)",
    re.DOTALL,
)
MISSING = re.compile(r"Element '(?:\{[^}]*\})?(?P<element>[^']*)': The attribute '(?P<attribute>[^']*)' is required but missing")
SHOWN_CHARACTERS = 60
SNAPSHOTS_PASSED = 'name="Snapshot" type="Unjudged"'
SNAPSHOTS_JUDGED = 'name="Snapshot" type="Snapshot"'
"""Whoever runs a file by itself does not mind what is wrong with its snapshots."""


def check(document: SettingsFile, *, judge_snapshots: bool = False) -> None:
    """Add a problem for every attribute that is missing or has a value outside its type."""
    schema = _schema(document.namespace, SNAPSHOTS_JUDGED if judge_snapshots else SNAPSHOTS_PASSED)
    if schema.validate(document.root):
        return
    seen = set()
    for entry in cast("Iterable[etree._LogEntry]", schema.error_log):
        message = _message(entry.message)
        place = f"{document.path}:{entry.line}"
        if (place, message) not in seen:
            seen.add((place, message))
            document.problem_at(place, message)


def _message(text: str) -> str:
    if bad := BAD_VALUE.match(text):
        value = bad["value"]
        shown = repr(value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…")
        return f"{bad['element']} {bad['attribute']} is {shown}; accepted: {_accepted(bad['element'], bad['attribute'])}"
    if missing := MISSING.match(text):
        return f"{missing['element']} lacks the attribute {missing['attribute']}; accepted: {_accepted(missing['element'], missing['attribute'])}"
    return text.replace(f"{{{NAMESPACE}}}", "")


def _accepted(element: str, attribute: str) -> str:
    return _accepted_values().get((element, attribute), "another value")


@cache
def _schema_text() -> str:
    return files("ringone_config_xml").joinpath("settings.xsd").read_text(encoding="utf-8")


def _schema(namespace: str, snapshots: str) -> etree.XMLSchema:
    text = _schema_text().replace(NAMESPACE, namespace).replace(SNAPSHOTS_PASSED, snapshots)
    return etree.XMLSchema(etree.fromstring(text.encode()))


@cache
def _accepted_values() -> dict[tuple[str, str], str]:
    """What the documentation of each attribute's type says, by (element, attribute)."""
    root = etree.fromstring(_schema_text().encode())
    words = {kind.get("name", ""): kind.findtext(f".//{XS}documentation", "") for kind in root.iterfind(f"{XS}simpleType")}
    shared = {kind.get("name", ""): kind for kind in root.iterfind(f"{XS}complexType")}
    accepted = {}
    for element in root.iterfind(f"{XS}element"):
        for attribute in shared.get(element.get("type", ""), element).iter(f"{XS}attribute"):
            accepted[element.get("name", ""), attribute.get("name", "")] = words.get(attribute.get("type", ""), "any text")
    return accepted
