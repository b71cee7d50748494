"""Line breaks: those of wrapped prose are blanks, the others are pauses; words broken at a line's end are joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from deployments.text.rewritten import Edit, Rewritten

NARROW = 40  # characters: nothing wraps prose to fewer; lines of a list, an address or a poem are shorter
WRAPPED = 0.7  # share of the breaks of a block that look wrapped where all of it is

_BROKEN_WORD = re.compile(r"(?<![A-Za-z-])([A-Za-z]{2,30})-[ \t]*\n[ \t]*([a-z]{2,30})(?![A-Za-z])")
_ITEM = re.compile(r"[ \t]*(?:[-*•+#>|]|\d{1,3}[.)]|[=_~-]{3})(?:[ \t|=_~-]|$)|#{1,6} ")
_ALONE = re.compile(r"[ \t]*(?:#{1,6} |\|)|.*\t")
_FIRST_WORD = re.compile(r"[ \t]*[\"'(]*([A-Za-z]*)\S*")
_CLOSED = re.compile(r"[.!?:;…][\"')\]*_]*[ \t]*$")
_OPENERS = frozenset(
    "The A An This That These Those It He She We You They In On At For From With If When While As But And Or So There "
    "Here What Who How Why Where Please To My Your Our His Her Their Its".split()
)
_BOUND = frozenset(
    "the a an of in on at to for with from by and or but that which is are was were be been has have had not as into "
    "than their his her its our my your this these those very more most who if when".split()
)


def joined(text: Rewritten, known: Callable[[str], bool]) -> Rewritten:
    """`text` whose only line ends are those that pause. Linear in its length.

    A break is that of wrapped prose if the next word would not have fitted into the line, or if the sentence continues.
    """
    if "\n" not in text.text:
        return text

    def whole(m: re.Match[str]) -> str | None:
        word = m[1] + m[2]
        if known(word.lower()) or not (known(m[1].lower()) and known(m[2])):
            return word
        return f"{m[1]}-{m[2]}"

    text = text.sub(_BROKEN_WORD, whole)
    return text.edited(_soft(text.text))


def _soft(text: str) -> Iterator[Edit]:
    for block in _blocks(text):
        starts = [block[0]]
        while (end := text.find("\n", starts[-1], block[1])) >= 0:
            starts.append(end + 1)
        lines = [
            text[start:end]
            for start, end in zip(starts, [*(s - 1 for s in starts[1:]), block[1]], strict=True)
        ]
        for start, soft in zip(starts[1:], _wrapped(lines), strict=True):
            if soft:
                yield start - 1, start, " "


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Runs of at least two lines with something in each."""
    begin, at = -1, 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if text[at:end].isspace() or at == end:
            if 0 <= begin < at - 1 and "\n" in text[begin : at - 1]:
                yield begin, at - 1
            begin = -1
        elif begin < 0:
            begin = at
        at = end + 1
    if begin >= 0 and "\n" in text[begin:]:
        yield begin, len(text)


def _wrapped(lines: list[str]) -> list[bool]:
    """For each break between two of `lines`, whether it is that of wrapped prose."""
    lengths = [len(line.rstrip()) for line in lines]
    width = max(lengths)
    firsts = [match[0] if (match := _FIRST_WORD.match(line)) else "" for line in lines]
    full = [
        width >= NARROW and lengths[i] + 1 + len(firsts[i + 1].strip()) > width for i in range(len(lines) - 1)
    ]
    prose = sum(full) >= WRAPPED * len(full)
    capital = lines[0].lstrip("\"'( \t")[:1].isupper()
    return [_is_soft(lines[i], lines[i + 1], full[i], prose, capital) for i in range(len(lines) - 1)]


def _is_soft(line: str, following: str, full: bool, prose: bool, capital: bool) -> bool:
    """full: the next word would not have fitted; prose: so it is at most breaks; capital: the block begins with one."""
    words = line.split()
    if _is_item(following) or _stands_alone(line) or not words or not any(map(str.isalnum, line)):
        return False
    first, last = _first(following), words[-1].strip("\"'(*_")
    if last in _BOUND:
        return True
    closed = bool(_CLOSED.search(line))
    if full and (prose or first.islower()):
        return closed or first not in _OPENERS or last.endswith(",")
    return not closed and capital and first.islower() and len(words) >= 4


def _first(line: str) -> str:
    match = _FIRST_WORD.match(line)
    return match[1] if match else ""


def _is_item(line: str) -> bool:
    """Of a list or a table."""
    return bool(_ITEM.match(line)) or "\t" in line.rstrip()


def _stands_alone(line: str) -> bool:
    """A heading, a row of a table, or a line that Markdown ends with two blanks."""
    return line.endswith("  ") or bool(_ALONE.match(line))
