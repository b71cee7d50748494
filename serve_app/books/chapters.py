"""Finds where the chapters of plain text begin: at markers, else at lines that read like chapter headings.

A line counts if it is a paragraph of its own and the numbers of its kind increase. Lines of the contents list, which
follow each other without text, do not count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from serve_app.books.chapter_lines import (
    CHAPTER,
    DECORATION,
    HASHES,
    LINE,
    LONGEST,
    MARKER,
    PART,
    Candidate,
    bare_number,
    heading,
    in_capitals,
    is_subtitle,
)
from serve_app.books.contents import listed

_FEWEST = 3  # weak headings, such as bare numbers, that make chapters


@dataclass(frozen=True, slots=True)
class Start:
    """A chapter begins with the group `at`; `size` groups are its heading (0: a marker, which is not spoken)."""

    at: int
    title: str
    size: int = 1
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """starts: in order; contents: the groups begin..end of a contents list, if there is one."""

    starts: tuple[Start, ...] = ()
    contents: tuple[int, int] | None = None


def find_chapters(groups: Sequence[Sequence[str]]) -> Found:
    """groups: the lines of each paragraph."""
    if markers := tuple(_markers(groups)):
        return Found(markers)
    contents = listed(groups)
    candidates = list(_once(_candidates(groups, heading)))
    strong = _rising(_outside_contents(candidates, contents.span if contents else None))
    known = {c.at for c in strong}
    if contents:
        extra = [
            Candidate(at, CHAPTER, None, title, title, 1) for at, title in contents.places if at not in known
        ]
        strong = sorted([*strong, *extra], key=lambda c: c.at)
    if sum(c.number is not None or c.rank == CHAPTER for c in strong) < 2:
        strong = _weak(groups, contents.span if contents else None) or strong
    if len(strong) < 2 and not any(c.number is not None for c in strong):
        strong = []
    taken = -1
    starts: list[Start] = []
    for c in strong:
        if c.at > taken:
            starts.append(Start(c.at, " ".join(c.title.split()), c.size))
            taken = c.at + c.size - 1
    return Found(tuple(starts), contents.span if contents else None)


def _markers(groups: Sequence[Sequence[str]]) -> Iterator[Start]:
    hashes: list[Start] = []
    for at, lines in enumerate(groups):
        if len(lines) > 1 or len(lines[0]) > LONGEST:
            continue
        if m := MARKER.fullmatch(lines[0]):
            yield Start(at, " ".join((m["abogen"] or m["own"] or "").split()), 1, marker=True)
        elif m := HASHES.fullmatch(lines[0]):
            hashes.append(Start(at, m["title"]))
    if len(hashes) > 1:
        yield from hashes


def _candidates(
    groups: Sequence[Sequence[str]], judge: Callable[[str], Candidate | None]
) -> Iterator[Candidate]:
    for at, lines in enumerate(groups):
        if len(lines) <= 3 and all(len(line.strip()) <= LINE for line in lines):
            found = judge(lines[0])
            if found is not None:
                yield _with_subtitle(groups, at, found)


def _once(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """The same heading twice without text between, as web novels have it, is one."""
    last: Candidate | None = None
    for c in candidates:
        if (
            last
            and c.at == last.at + last.size
            and (c.rank, c.number, c.name) == (last.rank, last.number, last.name)
        ):
            last = replace(last, size=last.size + c.size)
            continue
        if last:
            yield last
        last = c
    if last:
        yield last


def _with_subtitle(groups: Sequence[Sequence[str]], at: int, found: Candidate) -> Candidate:
    """Adds its remaining lines to its title, and a short line alone after a bare "Chapter 5"."""
    lines = groups[at]
    more = [line.strip(DECORATION) for line in lines[1:]]
    size = 1
    if not more and not found.name and at + 1 < len(groups):
        following = groups[at + 1]
        if len(following) == 1 and is_subtitle(following[0]) and at + 2 < len(groups):
            more, size = [following[0].strip(DECORATION)], 2
    title = ". ".join(filter(None, (found.title.rstrip(".:： "), *more)))
    return Candidate(at, found.rank, found.number, found.name, title, size)


def _outside_contents(candidates: list[Candidate], contents: tuple[int, int] | None) -> list[Candidate]:
    """Removes those of a contents list: neighbours without text between them that occur again later."""
    last = {(c.rank, c.number, c.name if c.number is None else ""): c.at for c in candidates}
    kept: list[Candidate] = []
    for run in _neighbours(candidates):
        ranks = [c.rank for c in run]
        in_list = len(run) >= _FEWEST and len(set(ranks)) < len(ranks)
        for c in run:
            again = last[(c.rank, c.number, c.name if c.number is None else "")] != c.at
            inside = contents is not None and contents[0] <= c.at < contents[1]
            if not (in_list and again) and not inside:
                kept.append(c)
    return kept


def _neighbours(candidates: list[Candidate]) -> Iterator[list[Candidate]]:
    run: list[Candidate] = []
    for c in candidates:
        if run and c.at > run[-1].at + run[-1].size:
            yield run
            run = []
        run.append(c)
    if run:
        yield run


def _rising(candidates: list[Candidate]) -> list[Candidate]:
    """Parts with increasing numbers; within each, chapters with increasing numbers; and headings without a number."""
    parts = _longest_rise([c for c in candidates if c.rank == PART and c.number is not None])
    borders = [c.at for c in parts]
    sections: dict[int, list[list[Candidate]]] = {}
    for c in candidates:
        if c.rank == CHAPTER and c.number is not None:
            runs = sections.setdefault(bisect_left(borders, c.at), [[]])
            if c.number == 1 and len({each.number for each in runs[-1]}) > 1:
                runs.append([])  # another story in the same file
            runs[-1].append(c)
    chapters = [c for runs in sections.values() for run in runs for c in _longest_rise(run)]
    others = [c for c in candidates if c.number is None] if chapters or parts else []
    return sorted([*parts, *chapters, *others], key=lambda c: c.at)


def _longest_rise(candidates: list[Candidate]) -> list[Candidate]:
    """The longest subsequence with increasing numbers, by patience sorting."""
    tops: list[int] = []  # the smallest last number of an increasing run of each length
    ends: list[int] = []  # its index
    before: list[int] = []
    for i, c in enumerate(candidates):
        number = c.number or 0
        length = bisect_left(tops, number)
        before.append(ends[length - 1] if length else -1)
        tops[length : length + 1] = [number]
        ends[length : length + 1] = [i]
    chain: list[Candidate] = []
    i = ends[-1] if ends else -1
    while i >= 0:
        chain.append(candidates[i])
        i = before[i]
    return chain[::-1]


def _weak(groups: Sequence[Sequence[str]], contents: tuple[int, int] | None) -> list[Candidate]:
    """Bare numbers that count from one, else lines in capitals."""
    bare = _outside_contents(list(_candidates(groups, bare_number)), contents)
    rise = _longest_rise(bare)
    if len(rise) >= _FEWEST and [c.number for c in rise] == list(range(1, len(rise) + 1)):
        return rise
    capitals = _outside_contents(list(_candidates(groups, in_capitals)), contents)
    times = Counter(c.title for c in capitals)
    alone = [run[0] for run in _neighbours([c for c in capitals if times[c.title] == 1])]
    return alone if len(alone) >= _FEWEST else []
