"""Several voices in one text: [voice:anna]…[/voice], within a paragraph or over several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.contract.errors import printable

DEEPEST = 20  # levels of nested tags
_WARNINGS = 20  # of a chapter

_TAG = re.compile(
    r"\[\s{0,9}(?:voice\s{0,9}[:=]\s{0,9}([^\[\]\n]{1,80}?)|(/)\s{0,9}voice)\s{0,9}\]", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Part:
    """Text in one voice, without tags. span: in the text of its block; voice: None for the book's own."""

    text: str
    span: tuple[int, int]
    voice: str | None


@dataclass(frozen=True, slots=True)
class Tagged:
    """parts: of each block, in order; none where a block holds only tags. warnings: what is not closed or opened."""

    parts: tuple[tuple[Part, ...], ...]
    warnings: tuple[str, ...]

    @property
    def voices(self) -> frozenset[str]:
        return frozenset(part.voice for parts in self.parts for part in parts if part.voice is not None)


def tagged(texts: Sequence[str]) -> Tagged:
    """texts: of the blocks of a chapter. An unclosed tag applies until the end of the chapter.

    The innermost of nested tags applies. Linear in the length of the texts.
    """
    voices: list[str] = []
    warnings: list[str] = []
    blocks: list[tuple[Part, ...]] = []
    for text in texts:
        parts: list[Part] = []
        at = 0
        for tag in _TAG.finditer(text):
            _add(parts, text, at, tag.start(), voices)
            at = tag.end()
            if tag[2] is None:
                voices.append(tag[1])
                if len(voices) > DEEPEST:
                    del voices[0]
            elif voices:
                voices.pop()
            elif len(warnings) < _WARNINGS:
                before = printable(text[: min(tag.start(), 61)], 60)
                warnings.append(f"[/voice] without [voice:NAME] before it, after {before!r}")
        _add(parts, text, at, len(text), voices)
        blocks.append(tuple(parts))
    warnings += (f"[voice:{printable(voice)}] is not closed in its chapter" for voice in voices)
    return Tagged(tuple(blocks), tuple(warnings))


def _add(parts: list[Part], text: str, begin: int, end: int, voices: Sequence[str]) -> None:
    """text[begin:end] without the blanks at its ends, if anything is left."""
    begin += len(text[begin:end]) - len(text[begin:end].lstrip())
    end = begin + len(text[begin:end].rstrip())
    if begin < end:
        parts.append(Part(text[begin:end], (begin, end), voices[-1] if voices else None))
