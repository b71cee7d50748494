"""Decides which chapters are front or back matter to leave out: by a score, with the reason for the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from serve_app.books.book import Block, Chapter

_THRESHOLD = 3
_TYPE, _TITLE, _TEXT, _EDGE, _LONG = 4, 3, 3, 1, -3  # what each clue adds
_EDGES = 0.15  # share of the text at the beginning and the end
_LONG_TEXT = 15_000  # characters
_SAMPLE = 4_000

# reason: words of epub:type, role and guide without "doc-"; titles
_KINDS: dict[str, tuple[str, str]] = {
    "cover": ("cover", r"(?:front |book )?cover(?: page| image)?|封面"),
    "title page": (
        "titlepage title-page halftitlepage halftitle",
        r"(?:half[- ]?)?title(?: ?page)?|扉页|书名页",
    ),
    "copyright": ("copyright-page copyright imprint colophon", r"copyright.*|imprint|colophon|版权.*|版權.*"),
    "contents": ("toc", r"(?:table of )?contents|目录|目錄|目次"),
    "list of illustrations": (
        "loi lot loa list-of-illustrations list-of-tables",
        r"(?:list of )?(?:illustrations|figures|tables|plates|maps)|插图目录",
    ),
    "notes": ("endnotes rearnotes footnotes notes", r"(?:end|foot)?notes(?: to .*)?|注释|註釋|脚注"),
    "bibliography": (
        "bibliography",
        r"(?:selected |select )?bibliography|references|works cited|further reading|sources|参考文献",
    ),
    "index": ("index", r"(?:general |subject )?index|索引"),
    "acknowledgements": ("acknowledgments acknowledgements", r"acknowledge?ments?|致谢|致謝|鸣谢"),
    "about the author": (
        "contributors",
        r"about (?:the )?(?:authors?|translators?|publisher|type|typeface)|作者简介|作者簡介|关于作者",
    ),
    "advertisement": (
        "other-credits praise",
        r"(?:also|other (?:books|titles|works)|(?:more )?books|works|more) (?:by|from) .*|by the same author|"
        r"praise for .*|"
        r"newsletter|(?:an? )?(?:excerpt|preview|sneak peek).*|coming soon|advertisements?|reviews?",
    ),
}
_TITLES = {reason: re.compile(pattern, re.IGNORECASE) for reason, (_, pattern) in _KINDS.items()}
_TYPES = {word: reason for reason, (words, _) in _KINDS.items() for word in words.split()}
_STORY = frozenset(
    "bodymatter chapter part volume prologue epilogue foreword preface introduction dedication epigraph afterword "
    "conclusion text".split()
)
_COPYRIGHT = re.compile(
    r"©|\bcopyright\b|all rights reserved|\bisbn\b|no part of this|published by|first published|版权所有|版權所有",
    re.IGNORECASE,
)
_SELLING = re.compile(
    r"newsletter|mailing list|sign up|subscribe|leave a review|follow (?:me|us|him|her) on|facebook|instagram|"
    r"free (?:book|copy)|https?://|www\.",
    re.IGNORECASE,
)
_PAGES = re.compile(r",\s*\d{1,4}(?:[–-]\d{1,4})?(?:,\s*\d{1,4}(?:[–-]\d{1,4})?)*\.?$")


@dataclass(slots=True)
class Draft:
    """A chapter before its matter is known. linked: the share of characters in links; linear: as the spine says."""

    title: str
    blocks: list[Block] = field(default_factory=list)
    types: frozenset[str] = frozenset()
    linked: float = 0.0
    linear: bool = True

    @property
    def characters(self) -> int:
        return sum(len(block.text) for block in self.blocks)


def is_matter(title: str) -> bool:
    """Whether it names something that is not the book's own text."""
    return any(pattern.fullmatch(title.strip(" .:*")) for pattern in _TITLES.values())


def judged(drafts: Sequence[Draft]) -> tuple[tuple[Chapter, ...], list[str]]:
    """The chapters, those that are not the book's own text not included, and warnings."""
    sizes = [draft.characters for draft in drafts]
    whole = max(sum(sizes), 1)
    titles = {draft.title.casefold() for draft in drafts}
    reasons: list[str | None] = []
    before = 0
    for draft, size in zip(drafts, sizes, strict=True):
        edge = before < _EDGES * whole or before + size > (1 - _EDGES) * whole
        reasons.append(_reason(draft, size, edge, titles))
        before += size
    warnings = []
    if drafts and all(reasons):
        reasons = [None] * len(drafts)
        warnings.append("all of it looks like front or back matter, so all of it is included")
    chapters = (
        Chapter(draft.title, tuple(draft.blocks), reason is None, reason)
        for draft, reason in zip(drafts, reasons, strict=True)
    )
    return tuple(chapters), warnings


def _reason(draft: Draft, size: int, edge: bool, titles: set[str]) -> str | None:
    scores = dict.fromkeys(_KINDS, 0)
    types = {word.removeprefix("doc-") for word in draft.types}
    for word in types & _TYPES.keys():
        scores[_TYPES[word]] += _TYPE
    for reason, pattern in _TITLES.items():
        if pattern.fullmatch(draft.title.strip(" .:*")):
            scores[reason] += _TITLE
    for reason in _by_text(draft, size, titles):
        scores[reason] += _TEXT
    best = max(scores, key=lambda reason: scores[reason])
    score = scores[best]
    if score:
        score += _EDGE * edge + _LONG * (size > _LONG_TEXT and not types & _TYPES.keys())
        score -= _TYPE * bool(types & _STORY and not types & _TYPES.keys())
    if score >= _THRESHOLD:
        return best
    return None if draft.linear else "not in the reading order"


def _by_text(draft: Draft, size: int, titles: set[str]) -> list[str]:
    """The kind of matter according to the text itself."""
    blocks = draft.blocks
    sample = " ".join(block.text for block in blocks[:60])[:_SAMPLE]
    found = []
    if size < 2 * _SAMPLE and len({m.lower() for m in _COPYRIGHT.findall(sample)}) >= 2:
        found.append("copyright")
    if size < _SAMPLE and len({m.lower() for m in _SELLING.findall(sample)}) >= 3:
        found.append("advertisement")
    of_titles = sum(block.text.casefold() in titles for block in blocks)
    if len(blocks) > 3 and (draft.linked > 0.6 or of_titles > 0.6 * len(blocks)):
        found.append("contents")
    if len(blocks) > 10 and sum(bool(_PAGES.search(block.text[-80:])) for block in blocks) > 0.6 * len(
        blocks
    ):
        found.append("index")
    return found
