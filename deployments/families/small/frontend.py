"""The frontend: English and Mandarin text, mixed as one likes, to segments of phone ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from deployments.contract.speech import Segment
from deployments.families.language import language_of
from deployments.families.small.phones import PHONE_SETS, PhoneSet
from deployments.text.characters import nothing_to_speak
from deployments.text.cleaned import cleaned
from deployments.text.english.context import pronounce_words
from deployments.text.english.pronounce import Pronouncer, default_pronouncer
from deployments.text.mandarin.script import starts_chinese
from deployments.text.normalise import normalise
from deployments.text.pauses import check_pauses, with_pauses
from deployments.text.phones import Phones
from deployments.text.rewritten import Rewritten
from deployments.text.segments import MAX_PHONES, before_openers, cut, stripped
from deployments.text.sentences import line_spans, paragraphs, sentences
from deployments.text.words import COMMA, DASH, ELLIPSIS, NO_PAUSE, SEMICOLON, Word

# Seconds of silence after a segment. Of a comma, the pause symbol inside a segment is all there is.
CLAUSE_PAUSE, SENTENCE_PAUSE, LINE_PAUSE, PARAGRAPH_PAUSE = 0.08, 0.25, 0.35, 0.6
PAUSES = {SEMICOLON: 0.1, DASH: 0.17, ELLIPSIS: 0.45}

_ROOM = MAX_PHONES - 2  # phones between the edge pauses


@dataclass(slots=True)
class _Sentence:
    start: int  # in the cleaned text
    end: int
    words: list[Word]
    pause_after: float


class SmallFrontend:
    """`Frontend` of the small family. Thread-safe.

    languages: what the weights speak, of "en" and "zh". phones: the set that they were trained with.
    """

    def __init__(
        self,
        pronouncer: Pronouncer | None = None,
        languages: tuple[str, ...] = ("en", "zh"),
        phones: PhoneSet = PHONE_SETS["flite"],
    ) -> None:
        self.pronouncer = pronouncer or default_pronouncer()
        self.languages, self.hanzi = languages, "zh" in languages
        self.phones = phones

    def segments(self, text: str, language: str | None = None) -> list[Segment]:
        """At most `MAX_PHONES` phones a segment; their texts together are `text`, but for white space.

        Raises InvalidInput: param "language" for another one; param "input" for text that is empty, has nothing to
        speak, or holds another script, control characters, a word of over 60 letters or a pause of over 30 seconds.
        """
        known = language_of(language, self.languages)
        return with_pauses(text, lambda part: self._segments(part, known))

    def _segments(self, text: str, language: str | None) -> list[Segment]:
        clean = self._cleaned(text)
        pieces = list(self._pieces(clean, language))
        if not pieces:
            raise nothing_to_speak()
        cuts = clean.origins([start for start, *_ in pieces[1:]])
        spans = [stripped(text, *ends) for ends in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        return [
            Segment(text[slice(*span)], ids, pause, span=span, spoken=spoken)
            for span, (_, ids, pause, spoken) in zip(spans, pieces, strict=True)
        ]

    def symbols(self, segment: Segment) -> list[str]:
        return [self.phones.symbols[index] for index in segment.token_ids]

    def check(self, text: str, language: str | None = None) -> None:
        """Raises InvalidInput as `segments` does."""
        language_of(language, self.languages)
        check_pauses(text)
        self._cleaned(text)

    def _cleaned(self, text: str) -> Rewritten:
        return cleaned(text, self.pronouncer.known, self.hanzi)

    def phones_of(self, text: str, language: str | None = None) -> list[str]:
        """All phones of `text`. Neighbouring segments share one edge pause."""
        phones: list[str] = []
        for segment in self.segments(text, language):
            phones += self.symbols(segment)[bool(phones) :]
        return phones

    def spoken(self, text: str, language: str | None = None) -> str:
        """The spoken words in lower case, separated by spaces."""
        return " ".join(segment.spoken for segment in self.segments(text, language) if segment.spoken)

    def _sentences(self, text: str, language: str | None) -> Iterator[_Sentence]:
        """Sentences without words are left out; the one before has the longer of the pauses.

        A sentence without letters is read in the language of the sentence before it. The first sentence is read in
        `language`, or in the language of the first letter.
        """
        chinese = language == "zh" if language else starts_chinese(text)
        mixed = chinese or not text.isascii()
        held: _Sentence | None = None
        for first, last in paragraphs(text):
            for begin, stop in line_spans(text, first, last):
                for start, end in sentences(text, begin, stop):
                    pause = PARAGRAPH_PAUSE if end == last else LINE_PAUSE if end == stop else SENTENCE_PAUSE
                    words = normalise(text[start:end], self.pronouncer.known, chinese)
                    chinese = mixed and starts_chinese(reversed(text[start:end]), chinese)
                    if not words:
                        if held:
                            held.pause_after = max(held.pause_after, pause)
                        continue
                    if held:
                        yield held
                    held = _Sentence(start, end, words, pause)
        if held:
            held.pause_after = PARAGRAPH_PAUSE
            yield held

    def _phones(self, words: list[Word], text: str) -> list[Phones]:
        said = pronounce_words(words, text, self.pronouncer)
        return [self.phones.english(phones) if isinstance(phones, str) else phones for phones in said]

    def _pieces(self, clean: Rewritten, language: str | None) -> Iterator[tuple[int, np.ndarray, float, str]]:
        """Of each segment: where it starts in the cleaned text, its token ids, the pause after it, what is spoken."""
        for sentence in self._sentences(clean.text, language):
            text = clean.text[sentence.start : sentence.end]
            words, phones, sizes = _fitting(sentence.words, self._phones(sentence.words, text))
            for begin, end in pairwise(_cuts(words, sizes)):
                start = before_openers(text, words[begin].start) if begin else 0
                last = words[end - 1].pause
                pause, closing = PAUSES.get(last, CLAUSE_PAUSE), self.phones.cut(last)
                if end == len(words):
                    pause, closing = sentence.pause_after, self.phones.closing(text)
                ids = self._token_ids(words[begin:end], phones[begin:end], closing)
                spoken = " ".join([word.text for word in words[begin:end]]).lower()
                yield sentence.start + start, ids, pause, spoken

    def _token_ids(self, words: list[Word], phones: list[Phones], closing: str) -> np.ndarray:
        names, sequence = self.phones.pauses, []
        sequence += self.phones.ids((names[NO_PAUSE],))
        for word, sounds in zip(words, phones, strict=True):
            sequence += self.phones.ids(sounds)
            if word.pause and word is not words[-1]:
                sequence += self.phones.ids((names[word.pause],))
        sequence += self.phones.ids((closing,))
        return np.array(sequence, dtype=np.int64)


def _cuts(words: list[Word], sizes: list[int]) -> list[int]:
    """Where segments begin, and the end: after each pause longer than a comma, and where a segment would be too long.

    sizes: phones of each word.
    """
    cuts = [0]
    for index in [*(i for i, word in enumerate(words[:-1], 1) if word.pause > COMMA), len(words)]:
        begin = cuts[-1]
        if sum(sizes[begin:index]) + index - begin > _ROOM:  # a phone for each pause, at most
            cuts += [begin + c for c in cut(words[begin:index], sizes[begin:index], _ROOM)]
        cuts.append(index)
    return cuts


def _fitting(words: list[Word], phones: list[Phones]) -> tuple[list[Word], list[Phones], list[int]]:
    """Splits (made-up) words with more phones than a segment can hold. The last list: the sizes of the words."""
    sizes = list(map(len, phones))
    if max(sizes) <= _ROOM:
        return words, phones, sizes
    new_words: list[Word] = []
    new_phones: list[Phones] = []
    for word, sounds in zip(words, phones, strict=True):
        count = -(-len(sounds) // _ROOM)
        for i in range(count):
            left, right = (word.start + (word.end - word.start) * k // count for k in (i, i + 1))
            new_words.append(Word(word.text, left, right, word.pause if i == count - 1 else 0))
            new_phones.append(sounds[len(sounds) * i // count : len(sounds) * (i + 1) // count])
    return new_words, new_phones, list(map(len, new_phones))
