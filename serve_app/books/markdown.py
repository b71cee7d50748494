"""What Markdown files hold beside CommonMark: front matter in YAML, footnotes, and attributes of headings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import yaml

FIELD = 500  # characters of a field of the metadata
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.{0,4000}?)\n(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
_LINE = re.compile(r"([A-Za-z][\w-]{0,40}):[ \t]*(.*)")
_NOTE = re.compile(  # up to a blank line that no indented line follows
    r"^ {0,3}\[\^([^\]\s]{1,60})\]:[^\n]*"
    r"(?:\n+(?: {4}|\t)[^\n]+|\n(?! {0,3}(?:\[\^|#|>|[-*+] ))[^\n]*\S[^\n]*)*+",
    re.MULTILINE,
)
_REFERENCE = re.compile(r"\[\^([^\]\s]{1,60})\]")
_ATTRIBUTES = re.compile(r"^( {0,3}#{1,6}[ \t][^\n{}]{1,500})\{[#.-][^\n{}]{0,200}\}[ \t#]*$", re.MULTILINE)
_DIV = re.compile(r"^ {0,3}:::[^\n]*$", re.MULTILINE)


def front_matter(text: str) -> tuple[str, dict[str, list[str]]]:
    """The text behind the YAML block at its beginning, and the values of that block by name, in lower case."""
    m = _FRONT_MATTER.match(text)
    if m is None:
        return text, {}
    try:
        fields: Any = yaml.safe_load(m[1])
    except (yaml.YAMLError, ValueError):  # such as "title: One: Two" without quotes, or the 30th of February
        lines = [_LINE.fullmatch(line) for line in m[1].split("\n")]
        fields = {line[1]: line[2].strip("\"' \t") for line in lines if line}
    if not isinstance(fields, dict):
        return text, {}
    values = {k.lower(): _values(v) for k, v in fields.items() if isinstance(k, str)}
    return text[m.end() :], {name: each for name, each in values.items() if each}


def _values(value: object) -> list[str]:
    """A scalar, or those of a list; of a mapping, its name."""
    if isinstance(value, Mapping):
        value = value.get("name")
    if isinstance(value, list):
        return [text for each in value[:50] if not isinstance(each, list) for text in _values(each)]
    if not isinstance(value, str | int | float | date):
        return []
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return [text[:FIELD]] if text else []


def plain(text: str) -> str:
    """The text without footnotes and references to them, attributes of headings, and marks of divisions."""
    notes = {m[1] for m in _NOTE.finditer(text)}
    if notes:
        text = _REFERENCE.sub(lambda m: "" if m[1] in notes else m[0], _NOTE.sub("", text))
    return _DIV.sub("", _ATTRIBUTES.sub(r"\1", text))
