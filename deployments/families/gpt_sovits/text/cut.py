"""Where a text is cut into the pieces that are synthesised one by one: the published methods cut0 to cut5.

Source: the published system's text preprocessing, with its rules for marks, short and very long pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, get_args

Method = Literal["cut0", "cut1", "cut2", "cut3", "cut4", "cut5"]
METHODS: tuple[Method, ...] = get_args(Method)

ENDS = "，。？！,.?!~:：—…"
SHORTEST = 5  # characters: shorter pieces are joined
LONGEST = 510  # characters: longer pieces are cut at their marks
SHORT_START = 4  # characters: a shorter first phrase gets a mark before it

_MARKS = frozenset("!?…,.- ")
_RUN = re.compile(r"([!?…,.\-])[!?…,.\-]+")
_PIECE = re.compile(f"[^{ENDS}]*[{ENDS}]")
_CUT5 = "，。？！,.;?!、：…"  # with an ASCII semicolon but not the wide one, and the other way round for the colon
_CUT5_PIECE = re.compile(rf"(?:[^{_CUT5}]|(?<=\d)\.(?=\d))*(?:(?!(?<=\d)\.(?=\d))[{_CUT5}]|$)")
_WORD = re.compile(r"\w")


def collapsed(text: str) -> str:
    """`text` with each run of marks reduced to its first one: "!!," becomes "!"."""
    return _RUN.sub(r"\1", text)


def split(text: str) -> list[str]:
    """`text` broken after each mark of `ENDS`, decimal points included; a missing last mark is added."""
    text = text.replace("……", "。").replace("——", "，")
    return _PIECE.findall(text if text[-1:] in tuple(ENDS) else text + "。")


def cut(text: str, method: Method) -> str:
    """The pieces of `text` by `method`, one a line. Pieces of marks alone are left out."""
    return _CUTS[method](text.strip("\n"))


def pieces(text: str, method: Method = "cut5", language: str = "zh") -> list[str]:
    """The pieces of `text` that are synthesised, each with an end mark; none if nothing can be spoken.

    A short first phrase gets a mark before it. Pieces of fewer than `SHORTEST` characters are joined with the next,
    those of more than `LONGEST` are cut at their marks. language: "en" for an ASCII stop where a mark is missing.
    """
    text = text.strip("\n")
    if not text:
        return []
    stop = "." if language == "en" else "。"
    if text[0] not in ENDS and len(re.split(f"[{ENDS}]", text, maxsplit=1)[0].strip()) < SHORT_START:
        text = stop + text
    found: list[str] = []
    for piece in _long_enough([line for line in cut(text, method).split("\n") if line.strip()]):
        if not _WORD.search(piece):
            continue
        closed = piece if piece[-1] in ENDS else piece + stop
        found += [closed] if len(closed) <= LONGEST else _grouped(split(closed), LONGEST)
    return found


def _long_enough(lines: list[str]) -> list[str]:
    """The lines, joined up to at least `SHORTEST` characters; a short rest belongs to the last one."""
    joined: list[str] = []
    held = ""
    for line in lines:
        held += line
        if len(held) >= SHORTEST:
            joined.append(held)
            held = ""
    if held and joined:
        joined[-1] += held
    elif held:
        joined.append(held)
    return joined


def _grouped(parts: list[str], most: int) -> list[str]:
    """The parts joined while together they have at most `most` characters; a longer part is cut."""
    groups = [""]
    for part in parts:
        for start in range(0, len(part), most):
            slice_ = part[start : start + most]
            if len(groups[-1]) + len(slice_) > most:
                groups.append("")
            groups[-1] += slice_
    return [group for group in groups if group]


def _lines(groups: list[str]) -> str:
    return "\n".join(group for group in groups if not _MARKS.issuperset(group))


def _whole(text: str) -> str:
    return "\n" if _MARKS.issuperset(text) else text


def _by_four(text: str) -> str:
    parts = split(text)
    starts = list(range(0, len(parts), 4))[:-1]  # the last group takes what would be a group of its own
    if not starts:
        return _lines([text])
    ends = [*starts[1:], len(parts)]
    return _lines(["".join(parts[start:end]) for start, end in zip(starts, ends, strict=True)])


def _by_fifty(text: str) -> str:
    parts = split(text)
    if len(parts) < 2:
        return _lines([text])
    groups = [""]
    for part in parts:
        groups[-1] += part
        if len(groups[-1]) > 50:
            groups.append("")
    if not groups[-1]:
        groups.pop()
    if len(groups) > 1 and len(groups[-1]) < 50:
        groups[-2:] = ["".join(groups[-2:])]
    return _lines(groups)


def _by_chinese_stop(text: str) -> str:
    return _lines(text.strip("。").split("。"))


def _by_english_stop(text: str) -> str:
    return _lines(re.split(r"(?<!\d)\.(?!\d)", text.strip(".")))


def _by_mark(text: str) -> str:
    found = [part for part in _CUT5_PIECE.findall(text) if part]
    return "\n".join(part for part in found if not set(_CUT5).issuperset(part))


_CUTS: dict[Method, Callable[[str], str]] = {
    "cut0": _whole, "cut1": _by_four, "cut2": _by_fifty,
    "cut3": _by_chinese_stop, "cut4": _by_english_stop, "cut5": _by_mark,
}  # fmt: skip
