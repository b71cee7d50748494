"""Where the chapters of plain text begin: own markers, else lines that read like the heading of a chapter.

A line counts if it stands alone and if the numbers of its kind rise. The contents list, where the same lines follow one
another without text, does not count.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from serve_app.books.contents import listed
from serve_app.books.numerals import HANZI_NUMBER, NUMBER, number_of

_LINE = 80  # characters of a heading, at most
_LONGEST = 330  # of a marker
_SUBTITLE = 60
_CAPITALS = 60
_FEWEST = 3  # weak headings, such as bare numbers, that make chapters
_PART, _CHAPTER = 0, 1  # ranks

_MARKER = re.compile(
    r"\s*(?:<<CHAPTER_MARKER:(?P<abogen>[^<>\n]{0,300})>>|\[chapter:(?P<own>[^\[\]\n]{0,300})\])\s*",
    re.IGNORECASE,
)
_HASHES = re.compile(r"#{1,3}\s+(?P<title>\S.{0,200}?)\s*#*\s*")
_DECORATION = " \t\u3000*_=~-–—•·◆●☆★【】"
_PARTS = "part|book|volume|act|partie|teil|livre|libro|parte"
_CHAPTERS = "|".join(
    (
        "chapter canto stave letter scene section episode lesson "
        "chapitre kapitel cap[ií]tulo capitolo hoofdstuk глава"
    ).split()
)
_LATIN = re.compile(
    rf"(?:(?P<part>{_PARTS})|(?P<chapter>{_CHAPTERS}))\s+(?:the\s+)?(?P<number>{NUMBER})\b(?P<rest>.*)",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    rf"(?:正文\s*)?第\s?(?P<number>{HANZI_NUMBER})\s?(?:(?P<part>[卷部册冊篇编編幕集])|(?P<chapter>[章回节節话話]))(?P<rest>.*)"
)
_NAMED = re.compile(
    r"(?:prologue|epilogue|introduction|preface|foreword|afterword|interlude|conclusion|postscript|author's note|"
    r"appendix(?:\s+[A-Z\d]{1,3})?)\b(?P<rest>.*)|"
    r"(?:序章|序幕|序言|自序|序|前言|引言|楔子|引子|尾声|尾聲|终章|終章|后记|後記|番外\S{0,10}|附录|附錄)(?P<zrest>[\s:：].*)?",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?P<number>\d{1,3}|[IVXLC]{1,8}|[一二三四五六七八九十百]{1,5})\s?[.、]?")
_SEPARATED = re.compile(r"\s*[.:：—–―\-|,，、]+\s*(?P<title>.*)|[\s\u3000]+(?P<words>.*)")
_SENTENCE_END = re.compile(r"[.!?。！？…,，;；][\"'”’」』]*$")


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


@dataclass(frozen=True, slots=True)
class _Candidate:
    at: int
    rank: int
    number: int | None
    name: str  # of what does not have a number
    title: str
    size: int


def find_chapters(groups: Sequence[Sequence[str]]) -> Found:
    """groups: the lines of each paragraph."""
    if markers := tuple(_markers(groups)):
        return Found(markers)
    contents = listed(groups)
    candidates = list(_candidates(groups, _candidate))
    strong = _rising(_outside_contents(candidates, contents.span if contents else None))
    known = {c.at for c in strong}
    if contents:
        extra = [
            _Candidate(at, _CHAPTER, None, title, title, 1)
            for at, title in contents.places
            if at not in known
        ]
        strong = sorted([*strong, *extra], key=lambda c: c.at)
    if sum(c.number is not None or c.rank == _CHAPTER for c in strong) < 2:
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


def stands_alone(line: str) -> bool:
    """Whether it is a paragraph of its own even without blank lines around it: a marker, or "第三回" with its title."""
    text = line.strip()
    return len(text) <= _LONGEST and bool(
        _MARKER.fullmatch(text) or _CHINESE.match(text) and _candidate(text)
    )


def is_heading(line: str) -> bool:
    """Whether it reads like the heading of a chapter or a part."""
    return _candidate(line) is not None


def is_part(line: str) -> bool:
    candidate = _candidate(line)
    return candidate is not None and candidate.rank == _PART


def _markers(groups: Sequence[Sequence[str]]) -> Iterator[Start]:
    hashes: list[Start] = []
    for at, lines in enumerate(groups):
        if len(lines) > 1 or len(lines[0]) > _LONGEST:
            continue
        if m := _MARKER.fullmatch(lines[0]):
            yield Start(at, " ".join((m["abogen"] or m["own"] or "").split()), 1, marker=True)
        elif m := _HASHES.fullmatch(lines[0]):
            hashes.append(Start(at, m["title"]))
    if len(hashes) > 1:
        yield from hashes


def _candidates(
    groups: Sequence[Sequence[str]], judge: Callable[[str], _Candidate | None]
) -> Iterator[_Candidate]:
    for at, lines in enumerate(groups):
        if len(lines) <= 3 and all(len(line.strip()) <= _LINE for line in lines):
            found = judge(lines[0])
            if found is not None:
                yield _with_subtitle(groups, at, found)


def _with_subtitle(groups: Sequence[Sequence[str]], at: int, found: _Candidate) -> _Candidate:
    """The rest of its lines belongs to its title, and so does a short line alone after a bare "Chapter 5"."""
    lines = groups[at]
    more = [line.strip(_DECORATION) for line in lines[1:]]
    size = 1
    if not more and not found.name and at + 1 < len(groups):
        following = groups[at + 1]
        if len(following) == 1 and _is_subtitle(following[0]) and at + 2 < len(groups):
            more, size = [following[0].strip(_DECORATION)], 2
    title = ". ".join(filter(None, (found.title.rstrip(".:： "), *more)))
    return _Candidate(at, found.rank, found.number, found.name, title, size)


def _is_subtitle(line: str) -> bool:
    text = line.strip(_DECORATION)
    if (
        not text
        or len(text) > _SUBTITLE
        or _SENTENCE_END.search(text)
        or _candidate(line)
        or _MARKER.match(line)
    ):
        return False
    words = [word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 3]
    return (
        bool(words) and (not text[0].islower()) and sum(not w[0].islower() for w in words) >= 0.6 * len(words)
    )


def _candidate(line: str) -> _Candidate | None:
    """`name` is set where the line has a title, so that the next line is not one."""
    text = line.strip().strip(_DECORATION)
    if not text or len(text) > _LINE:
        return None
    if (m := _LATIN.fullmatch(text)) or (m := _CHINESE.fullmatch(text)):
        number = number_of(m["number"])
        rest = _rest(m["rest"], chinese=m.re is _CHINESE)
        if number is None or rest is None:
            return None
        return _Candidate(0, _PART if m["part"] else _CHAPTER, number, rest, text, 1)
    if m := _NAMED.fullmatch(text):
        rest = _rest(m["rest"] or m["zrest"] or "", chinese=False)
        if rest is not None and text[0].isupper() or rest is not None and not text[0].isascii():
            return _Candidate(0, _CHAPTER, None, text.lower(), text, 1)
    return None


def _rest(rest: str, chinese: bool) -> str | None:
    """The title that follows a number; None if a sentence goes on, as in "Chapter 5 was hard"."""
    if not rest.strip(" .:：\u3000"):
        return ""
    m = _SEPARATED.fullmatch(rest)
    if m is None:
        return rest.strip() if chinese and not _SENTENCE_END.search(rest) else None
    title = m["title"] or m["words"] or ""
    if m["words"] and (
        title[:1].islower() or _SENTENCE_END.search(title) and not title.isupper() and not chinese
    ):
        return None
    if chinese and title.endswith(("。", "，", "；")):
        return None
    return title


def _outside_contents(candidates: list[_Candidate], contents: tuple[int, int] | None) -> list[_Candidate]:
    """Without those of a contents list: neighbours without text between them that occur again later."""
    last = {(c.rank, c.number, c.name if c.number is None else ""): c.at for c in candidates}
    kept: list[_Candidate] = []
    for run in _neighbours(candidates):
        ranks = [c.rank for c in run]
        in_list = len(run) >= _FEWEST and len(set(ranks)) < len(ranks)
        for c in run:
            again = last[(c.rank, c.number, c.name if c.number is None else "")] != c.at
            inside = contents is not None and contents[0] <= c.at < contents[1]
            if not (in_list and again) and not inside:
                kept.append(c)
    return kept


def _neighbours(candidates: list[_Candidate]) -> Iterator[list[_Candidate]]:
    run: list[_Candidate] = []
    for c in candidates:
        if run and c.at > run[-1].at + run[-1].size:
            yield run
            run = []
        run.append(c)
    if run:
        yield run


def _rising(candidates: list[_Candidate]) -> list[_Candidate]:
    """Parts whose numbers rise; within each, chapters whose numbers rise; and what has no number."""
    parts = _longest_rise([c for c in candidates if c.rank == _PART and c.number is not None])
    borders = [c.at for c in parts]
    sections: dict[int, list[list[_Candidate]]] = {}
    for c in candidates:
        if c.rank == _CHAPTER and c.number is not None:
            runs = sections.setdefault(bisect_left(borders, c.at), [[]])
            if c.number == 1 and len({each.number for each in runs[-1]}) > 1:
                runs.append([])  # another story in the same file
            runs[-1].append(c)
    chapters = [c for runs in sections.values() for run in runs for c in _longest_rise(run)]
    others = [c for c in candidates if c.number is None] if chapters or parts else []
    return sorted([*parts, *chapters, *others], key=lambda c: c.at)


def _longest_rise(candidates: list[_Candidate]) -> list[_Candidate]:
    """The longest subsequence with rising numbers, by patience sorting."""
    tops: list[int] = []  # the smallest last number of a rise of each length
    ends: list[int] = []  # its index
    before: list[int] = []
    for i, c in enumerate(candidates):
        number = c.number or 0
        length = bisect_left(tops, number)
        before.append(ends[length - 1] if length else -1)
        tops[length : length + 1] = [number]
        ends[length : length + 1] = [i]
    chain: list[_Candidate] = []
    i = ends[-1] if ends else -1
    while i >= 0:
        chain.append(candidates[i])
        i = before[i]
    return chain[::-1]


def _weak(groups: Sequence[Sequence[str]], contents: tuple[int, int] | None) -> list[_Candidate]:
    """Bare numbers that count from one, else lines in capitals."""
    bare = _outside_contents(list(_candidates(groups, _bare)), contents)
    rise = _longest_rise(bare)
    if len(rise) >= _FEWEST and [c.number for c in rise] == list(range(1, len(rise) + 1)):
        return rise
    capitals = _outside_contents(list(_candidates(groups, _in_capitals)), contents)
    times = Counter(c.title for c in capitals)
    alone = [run[0] for run in _neighbours([c for c in capitals if times[c.title] == 1])]
    return alone if len(alone) >= _FEWEST else []


def _bare(line: str) -> _Candidate | None:
    m = _BARE.fullmatch(line.strip().strip(_DECORATION))
    number = number_of(m["number"]) if m else None
    return None if number is None else _Candidate(0, _CHAPTER, number, "", m[0] if m else "", 1)


def _in_capitals(line: str) -> _Candidate | None:
    text = line.strip().strip(_DECORATION)
    letters = sum(map(str.isalpha, text))
    if letters < 3 or len(text) > _CAPITALS or not text.isupper() or text.endswith((",", ";", "!", "?")):
        return None
    return _Candidate(0, _CHAPTER, None, text.lower(), text, 1)
