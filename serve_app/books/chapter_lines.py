"""Recognises lines of plain text that read like the heading of a chapter or a part, or mark one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from serve_app.books.numerals import HANZI_NUMBER, NUMBER, number_of

LINE = 80  # characters of a heading, at most
LONGEST = 330  # of a marker
_SUBTITLE = 60
_CAPITALS = 60
PART, CHAPTER = 0, 1  # ranks

MARKER = re.compile(
    r"\s*(?:<<CHAPTER_MARKER:(?P<abogen>[^<>\n]{0,300})>>|\[chapter:(?P<own>[^\[\]\n]{0,300})\])\s*",
    re.IGNORECASE,
)
HASHES = re.compile(r"#{1,3}\s+(?P<title>\S.{0,200}?)\s*#*\s*")
DECORATION = " \t\u3000*_=~-–—•·◆●☆★【】、"
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
_FRAMED = re.compile(r"^【([^【】]{1,20})】")
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
class Candidate:
    """A line that may begin a chapter. at: the index of its paragraph; size: paragraphs of the heading."""

    at: int
    rank: int
    number: int | None
    name: str  # of headings without a number
    title: str
    size: int


def stands_alone(line: str) -> bool:
    """Whether it is a paragraph of its own even without blank lines around it: a marker, or "第三回" with its title."""
    text = line.strip()
    return len(text) <= LONGEST and bool(
        MARKER.fullmatch(text) or _CHINESE.match(text.lstrip(DECORATION)) and heading(text)
    )


def is_heading(line: str) -> bool:
    """Whether it reads like the heading of a chapter or a part."""
    return heading(line) is not None


def is_part(line: str) -> bool:
    found = heading(line)
    return found is not None and found.rank == PART


def heading(line: str) -> Candidate | None:
    """`name` is set where the line has a title, so that the next line is not one."""
    text = _FRAMED.sub(r"\1 ", line.strip()).strip(DECORATION)
    if not text or len(text) > LINE:
        return None
    if (m := _LATIN.fullmatch(text)) or (m := _CHINESE.fullmatch(text)):
        number = number_of(m["number"])
        rest = _rest(m["rest"], chinese=m.re is _CHINESE)
        if m["part"] and (chapter := _chapter_in(m["rest"])):
            number, rest = chapter
            return Candidate(0, CHAPTER, number, rest, text, 1)
        if number is None or rest is None:
            return None
        return Candidate(0, PART if m["part"] else CHAPTER, number, rest, text, 1)
    if m := _NAMED.fullmatch(text):
        rest = _rest(m["rest"] or m["zrest"] or "", chinese=False)
        if rest is not None and text[0].isupper() or rest is not None and not text[0].isascii():
            return Candidate(0, CHAPTER, None, text.lower(), text, 1)
    return None


def _chapter_in(rest: str) -> tuple[int, str] | None:
    """The number and the title of a chapter whose line names its volume first, as in "第一卷 起 第三章 承"."""
    m = _LATIN.fullmatch(rest.strip(" .,:：—–-")) or _CHINESE.search(rest)
    number = number_of(m["number"]) if m and m["chapter"] else None
    title = _rest(m["rest"], chinese=m.re is _CHINESE) if m else None
    return None if number is None or title is None else (number, title)


def _rest(rest: str, chinese: bool) -> str | None:
    """The title that follows a number; None if a sentence continues, as in "Chapter 5 was hard"."""
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


def bare_number(line: str) -> Candidate | None:
    """A number and nothing else, which alone does not make a heading."""
    m = _BARE.fullmatch(line.strip().strip(DECORATION))
    number = number_of(m["number"]) if m else None
    return None if number is None else Candidate(0, CHAPTER, number, "", m[0] if m else "", 1)


def in_capitals(line: str) -> Candidate | None:
    text = line.strip().strip(DECORATION)
    letters = sum(map(str.isalpha, text))
    if letters < 3 or len(text) > _CAPITALS or not text.isupper() or text.endswith((",", ";", "!", "?")):
        return None
    return Candidate(0, CHAPTER, None, text.lower(), text, 1)


def is_subtitle(line: str) -> bool:
    text = line.strip(DECORATION)
    if not text or len(text) > _SUBTITLE or _SENTENCE_END.search(text) or heading(line) or MARKER.match(line):
        return False
    words = [word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 3]
    return (
        bool(words) and (not text[0].islower()) and sum(not w[0].islower() for w in words) >= 0.6 * len(words)
    )
