"""Pauses that the text asks for: [pause:1.5s], [pause:300ms]."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Segment

LONGEST_PAUSE = 30.0  # seconds

_TAG = re.compile(
    r"\[\s{0,9}pause\s{0,9}[:=]([^\[\]\n]{0,400})\]|<break\s+time\s*=\s*[\"']([^\"'<>\n]{0,40})[\"']\s*/?>",
    re.IGNORECASE,
)
_LENGTH = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(ms|s|sec|seconds?)?", re.IGNORECASE)


def with_pauses(text: str, read: Callable[[str], list[Segment]]) -> list[Segment]:
    """The segments that `read` makes of `text` between its pauses, and a silent one for each pause.

    A silent segment has no tokens; its `pause_after` is its silence. What is said before a pause has no other silence
    behind it. Raises InvalidInput (param "input") for a pause that is longer than `LONGEST_PAUSE` or is no length, and
    what `read` raises; where nothing stands between pauses, nothing is asked of it.
    """
    tags = list(_TAG.finditer(text))
    if not tags:
        return read(text)
    segments: list[Segment] = []
    at = 0
    tail = _between(text, tags[-1].end(), len(text), read)
    for tag in tags:
        seconds = _seconds(tag)
        before = _between(text, at, tag.start(), read)
        if before:
            before[-1] = replace(before[-1], pause_after=0.0)
        end = tag.end() if tail or tag is not tags[-1] else len(text)
        segments += [*before, _silence(text, tag.start() if before else at, end, seconds)]
        at = tag.end()
    return segments + tail


def check_pauses(text: str) -> None:
    """Raises InvalidInput as `with_pauses` does."""
    for tag in _TAG.finditer(text):
        _seconds(tag)


def _silence(text: str, start: int, end: int, seconds: float) -> Segment:
    """text[start:end] holds the tag, and signs around it that are not said."""
    start = end - len(text[start:end].lstrip())
    end = start + len(text[start:end].rstrip())
    return Segment(text[start:end], np.zeros(0, np.int64), seconds, span=(start, end))


def _between(text: str, start: int, end: int, read: Callable[[str], list[Segment]]) -> list[Segment]:
    try:
        found = read(text[start:end])
    except InvalidInput as error:
        if error.code not in ("nothing_to_speak", "empty_input"):
            raise
        return []
    return [s if s.span is None else replace(s, span=(s.span[0] + start, s.span[1] + start)) for s in found]


def _seconds(tag: re.Match[str]) -> float:
    length = (tag[1] if tag[1] is not None else tag[2]).strip()
    m = _LENGTH.fullmatch(length)
    seconds = float(m[1]) / (1000 if m[2] and m[2].lower() == "ms" else 1) if m else None
    if seconds is None or seconds > LONGEST_PAUSE:
        raise InvalidInput(
            f"input has the pause {tag[0][:40]!r}: a pause is from 0 to {LONGEST_PAUSE:g} seconds, "
            "written like [pause:1.5s] or [pause:300ms]",
            param="input",
            code="invalid_pause",
        )
    return seconds
