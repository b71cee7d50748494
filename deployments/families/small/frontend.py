"""The frontend: English, Mandarin or mixed text to segments of phone ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Segment
from deployments.families.small.arpabet import arpabet
from deployments.text.characters import Cleaned, clean
from deployments.text.english.context import pronounce_words
from deployments.text.english.pronounce import Pronouncer, default_pronouncer
from deployments.text.mandarin.script import starts_chinese
from deployments.text.normalise import Word, normalise
from deployments.text.phones import PAUSE, Phones, closing_pause, phone_ids
from deployments.text.segments import MAX_PHONES, cut, paragraphs, sentences

# Seconds of silence after a segment.
CLAUSE_PAUSE, SENTENCE_PAUSE, PARAGRAPH_PAUSE = 0.08, 0.25, 0.6

_ROOM = MAX_PHONES - 2  # phones between the edge pauses
_OPENING = "([{<\"'$£€¥#+-–—"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A future segment: start and end in the cleaned text, phones with edge pauses, and the silence after it."""

    start: int
    end: int
    phones: list[str]
    pause_after: float


class SmallFrontend:
    """`Frontend` of the small family. Thread-safe. The first instance loads the word lists, in well under a second.

    languages: those of "en" and "zh" that the weights speak.
    """

    def __init__(
        self, pronouncer: Pronouncer | None = None, languages: tuple[str, ...] = ("en", "zh")
    ) -> None:
        self.pronouncer = pronouncer or default_pronouncer()
        self.languages, self.hanzi = languages, "zh" in languages

    def segments(self, text: str, language: str | None = None) -> list[Segment]:
        """Segments of at most `MAX_PHONES` phones. Together, their texts are `text` without some whitespace.

        Raises InvalidInput with param "language" for an unsupported language, and with param "input" for text that is
        empty, has nothing to speak, or contains another script, control characters or a word of more than 60 letters.
        """
        self._check_language(language)
        cleaned = clean(text, self.hanzi)
        pieces = list(self._pieces(cleaned, language))
        cuts = [cleaned.origin[p.start] for p in pieces[1:]]
        spans = [_stripped(text, *ends) for ends in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        return [
            Segment(
                text=text[slice(*span)],
                token_ids=np.array(phone_ids(piece.phones), dtype=np.int64),
                pause_after=piece.pause_after,
                span=span,
            )
            for span, piece in zip(spans, pieces, strict=True)
        ]

    def check(self, text: str, language: str | None = None) -> None:
        """Raises InvalidInput as `segments` does."""
        self._check_language(language)
        clean(text, self.hanzi)

    def _check_language(self, language: str | None) -> None:
        if language and language.replace("_", "-").split("-")[0].strip().lower() not in self.languages:
            raise InvalidInput(
                f"language {language[:20]!r} is not supported by this voice; allowed: {', '.join(self.languages)}",
                param="language",
                code="unsupported_language",
            )

    def phones_of(self, text: str, language: str | None = None) -> list[str]:
        """All phones of `text`. Neighbouring segments share one edge pause."""
        phones: list[str] = []
        for piece in self._pieces(clean(text, self.hanzi), language):
            phones += piece.phones[1:] if phones else piece.phones
        return phones

    def spoken(self, text: str, language: str | None = None) -> str:
        """The spoken words in lower case, separated by spaces."""
        cleaned = clean(text, self.hanzi)
        sentences = self._sentences(cleaned, language)
        return " ".join(word.text.lower() for _, _, words, _ in sentences for word in words)

    def _sentences(
        self, cleaned: Cleaned, language: str | None
    ) -> Iterator[tuple[int, int, list[Word], bool]]:
        """Yields start, end, words, and whether the sentence ends a paragraph. Sentences without words are skipped.

        A sentence without letters is read in the language of the sentence before it. The first sentence is read in
        `language`, or in the language of the first letter.
        """
        known = self.pronouncer.known
        chinese = language.lower().startswith("zh") if language else starts_chinese(cleaned.text)
        for first, last in paragraphs(cleaned.text):
            held: tuple[int, int, list[Word]] | None = None
            for start, end in sentences(cleaned.text, first, last):
                sentence = cleaned.text[start:end]
                words = normalise(sentence, known, chinese)
                chinese = starts_chinese(reversed(sentence), chinese)
                if words:
                    if held:
                        yield *held, False
                    held = (start, end, words)
            if held:
                yield *held, True

    def _phones(self, words: list[Word], text: str) -> list[Phones]:
        said = pronounce_words(words, text, self.pronouncer)
        return [arpabet(phones) if isinstance(phones, str) else phones for phones in said]

    def _pieces(self, cleaned: Cleaned, language: str | None) -> Iterator[_Piece]:
        for start, end, words, closes in self._sentences(cleaned, language):
            text = cleaned.text[start:end]
            words, phones = _fitting(words, self._phones(words, text))
            cuts = [0, *cut(words, [len(p) for p in phones], _ROOM), len(words)]
            places = [0, *(_before_openers(text, words[c].start) for c in cuts[1:-1]), len(text)]
            for i in range(len(cuts) - 1):
                run = slice(cuts[i], cuts[i + 1])
                final = i == len(cuts) - 2
                yield _Piece(
                    start=start + places[i],
                    end=start + places[i + 1],
                    phones=_sequence(words[run], phones[run], closing_pause(text) if final else PAUSE),
                    pause_after=CLAUSE_PAUSE if not final else PARAGRAPH_PAUSE if closes else SENTENCE_PAUSE,
                )


def _sequence(words: list[Word], phones: list[Phones], closing: str) -> list[str]:
    sequence = [PAUSE]
    for word, sounds in zip(words, phones, strict=True):
        sequence += sounds
        if word.pause and word is not words[-1]:
            sequence.append(PAUSE)
    return [*sequence, closing]


def _fitting(words: list[Word], phones: list[Phones]) -> tuple[list[Word], list[Phones]]:
    """Splits words (made-up ones) that have more phones than fit into a segment."""
    if all(len(p) <= _ROOM for p in phones):
        return words, phones
    new_words: list[Word] = []
    new_phones: list[Phones] = []
    for word, sounds in zip(words, phones, strict=True):
        count = -(-len(sounds) // _ROOM)
        for i in range(count):
            left, right = (word.start + (word.end - word.start) * k // count for k in (i, i + 1))
            new_words.append(Word(word.text, left, right, word.pause if i == count - 1 else 0))
            new_phones.append(sounds[len(sounds) * i // count : len(sounds) * (i + 1) // count])
    return new_words, new_phones


def _before_openers(text: str, at: int) -> int:
    """Moves a cut before the brackets and quotes that open the word at `at`."""
    while at and text[at - 1] in _OPENING:
        at -= 1
    return at


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without surrounding whitespace."""
    begin = end - len(text[start:end].lstrip())
    return begin, begin + len(text[begin:end].rstrip())


@cache
def _frontend() -> SmallFrontend:
    return SmallFrontend()


def phones_of(text: str) -> list[str]:
    """The phones of `text`, for debugging and tests. Raises InvalidInput as `segments` does."""
    return _frontend().phones_of(text)


def spoken(text: str) -> str:
    """The spoken words of `text` in lower case, to compare with a transcript."""
    return _frontend().spoken(text)
