"""The contents list of plain text: titles that occur again later on lines of their own, in the same order."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = re.compile(r"(?:table\s+of\s+)?contents[.:]?|目\s*录|目\s*錄|目\s*次", re.IGNORECASE)
_BEFORE = 200  # paragraphs: the list is near the beginning
_LINE, _LONGEST = 90, 3000  # characters of a line; lines of the list
_FEWEST, _SHARE = 3, 0.6  # titles found again
_PAGE = re.compile(r"(?:[\s.·…_]{2,}|\t)(?:\d{1,4}|[ivxlc]{1,7})\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(?:(?:chapter\s+)?(?:\d{1,3}|[ivxlc]{1,8})[.):]\s+|[-*•]\s+)", re.IGNORECASE)
_SIGNS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Contents:
    """span: the groups of the list, its heading included; places: the group and the title of each entry, in order."""

    span: tuple[int, int]
    places: tuple[tuple[int, str], ...]


def listed(groups: Sequence[Sequence[str]]) -> Contents | None:
    """groups: the lines of each paragraph."""
    for at, lines in enumerate(groups[:_BEFORE]):
        if len(lines[0]) <= _LINE and _HEAD.fullmatch(lines[0].strip(" \t\u3000*_#=-")):
            return _list_at(groups, at)
    return None


def _list_at(groups: Sequence[Sequence[str]], head: int) -> Contents | None:
    titles: list[tuple[str, str]] = []  # as compared, as shown
    seen: set[str] = set()
    end = head
    for at in range(head, len(groups)):
        lines = groups[at][1:] if at == head else groups[at]
        if any(len(line) > _LINE for line in lines) or len(titles) > _LONGEST:
            break
        keys = [(_key(title), title) for line in lines if (title := _title(line))]
        if len(lines) <= 2 and any(key in seen for key, _ in keys):  # the text begins
            break
        titles += keys
        seen.update(key for key, _ in keys)
        end = at + 1
    lines_of: dict[str, list[int]] = {}
    for at in range(end, len(groups)):
        if len(groups[at]) <= 2 and all(len(line) <= _LINE for line in groups[at]):
            lines_of.setdefault(_key(_title(" ".join(groups[at]))), []).append(at)
            lines_of.setdefault(_key(_title(groups[at][0])), []).append(at)
    places: list[tuple[int, str]] = []
    after = end
    for key, title in titles:
        found = lines_of.get(key, []) if key else []
        at = bisect_left(found, after)
        if at < len(found):
            places.append((found[at], title))
            after = found[at] + 1
    if len(places) < max(_FEWEST, _SHARE * len(titles)):
        return None
    return Contents((head, end), tuple(places))


def _title(line: str) -> str:
    """The entry without its page number."""
    return " ".join(_PAGE.sub("", line).split())


def _key(title: str) -> str:
    return _SIGNS.sub("", _NUMBER.sub("", title, count=1).casefold())
