"""Plain text as paragraphs: blank lines, indents or short last lines separate them; wrapped lines are joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from deployments.text.lines import joined
from deployments.text.rewritten import Rewritten

CJK = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
LONG = 120  # characters: nothing wraps prose to more, so a longer line is a paragraph
SAMPLE = 5_000  # lines that decide how the file is laid out
LARGEST = 5_000  # characters of a paragraph; longer ones are cut after a sentence
_NARROW = 15  # characters: nothing wraps Chinese to fewer
_FEW = 0.03  # blank lines for each other line, below which they do not separate paragraphs
_SHORT = 0.75  # of the usual width: the last line of a paragraph
_CJK = re.compile(f"[{CJK}]")
_INDENT = re.compile(r"[ \t]{2,}|\t|\u3000")
_END = re.compile(r"[.!?…。！？”\"'’」』)）:：]\s*$")
_SENTENCE = re.compile(r"[.!?…][\"'”’)]*\s+|[。！？][”’」』）]*\s*")
_BLANK = re.compile(r"\s+")
_WORD = re.compile(r"[A-Za-z]{2,30}")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x85\u2028]")
_PAGE_ENDS = re.compile("[\x0c\u2029]")


def is_cjk(character: str) -> bool:
    return bool(_CJK.match(character))


def paragraphs(text: str, alone: Callable[[str], bool]) -> list[list[str]]:
    """The lines of each paragraph, without those that are blank. Linear in the text's length.

    alone: whether a line is always a paragraph of its own.
    """
    text = _PAGE_ENDS.sub("\n\n", _LINE_ENDS.sub("\n", text))
    lines = [line.rstrip() for line in text.split("\n")]
    starts = _layout([line for line in lines[:SAMPLE] if line.strip()], lines[:SAMPLE])
    groups: list[list[str]] = []
    previous = ""
    for line in lines:
        if line.strip():
            single = alone(line)
            if single or not previous.strip() or starts(previous, line):
                groups.append([])
            groups[-1].append(line)
            if single:
                line = ""
        previous = line
    return groups


def _layout(full: list[str], lines: list[str]) -> Callable[[str, str], bool]:
    """Whether a paragraph begins between two lines that no blank line separates."""
    lengths = sorted(len(line.strip()) for line in full) or [0]
    width = lengths[int(0.95 * (len(lengths) - 1))]
    blanks = len(lines) - len(full)
    indented = sum(bool(_INDENT.match(line)) for line in full)
    cjk = sum(len(_CJK.findall(line)) for line in full) > 0.3 * sum(lengths)
    if width > LONG:
        return lambda previous, line: True
    if blanks > _FEW * len(full) and not (cjk and indented > 0.3 * len(full)):
        return lambda previous, line: False
    if indented > 0.02 * len(full):
        return lambda previous, line: bool(_INDENT.match(line))
    least = _SHORT * width
    return lambda previous, line: len(previous.strip()) < least and bool(_END.search(previous))


def unwrapped(lines: list[str], known: Callable[[str], bool]) -> str:
    """A paragraph with "\\n" only where a line ends that is not merely wrapped.

    known: whether a word in lower case occurs elsewhere, which joins a word broken at a line's end.
    """
    merged = [
        lines[0].expandtabs(4).rstrip()
    ]  # including its indent, which counted when the text was wrapped
    widest = max(map(len, lines))
    for line in map(str.strip, lines[1:]):
        last = merged[-1][-1]
        if widest > _NARROW and is_cjk(last) and is_cjk(line[0]) and not _END.search(last):
            merged[-1] += line
        else:
            merged.append(line)
    text = joined(Rewritten("\n".join(merged)), known).text
    return "\n".join(" ".join(each.split()) for each in text.split("\n"))


def words_of(text: str) -> frozenset[str]:
    return frozenset(map(str.lower, _WORD.findall(text)))


def cut(text: str) -> Iterator[str]:
    """`text` in parts of at most `LARGEST` characters that end with a sentence if possible, else with a word."""
    at = 0
    while len(text) - at > LARGEST:
        for pattern in (_SENTENCE, _BLANK):
            ends = [m.end() for m in pattern.finditer(text, at + LARGEST // 2, at + LARGEST)]
            if ends:
                break
        end = ends[-1] if ends else at + LARGEST
        yield text[at:end].strip()
        at = end
    if text[at:].strip():
        yield text[at:].strip()
