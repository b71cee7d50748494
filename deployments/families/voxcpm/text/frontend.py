"""The frontend of VoxCPM: text to segments of token ids."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Segment
from deployments.families.language import language_of
from deployments.families.voxcpm.config import RATIO, SLACK
from deployments.families.voxcpm.text.normalize import Reading, normalized
from deployments.families.voxcpm.text.tokenizer import Tokenizer
from deployments.text.pauses import check_pauses, with_pauses
from deployments.text.sentences import sentences

LANGUAGES: tuple[Reading, ...] = ("zh", "en")
Span = tuple[int, int]

_CHINESE_END = re.compile(r"[。！？；…]+[”’」』）》]*\s*|\n\s*")
_FINER = (  # ends of the parts of a sentence that is too long
    re.compile(r"[，、：,;:]+[”’\"')）]*\s*"),
    re.compile(r"\s+"),
    re.compile(r"."),
)


class VoxFrontend:
    """`Frontend` of the VoxCPM family. Thread-safe; usable alone.

    limit: token ids of a segment; None makes one segment of a text, as the published package does. normalize: whether
    numbers and signs are written out; the published default leaves them to the model.
    """

    def __init__(self, tokenizer: Tokenizer, limit: int | None, normalize: bool = False) -> None:
        self.tokenizer, self.limit, self.normalize = tokenizer, limit, normalize

    def segments(self, text: str, language: str | None = None) -> list[Segment]:
        """Sentences, as many in a segment as its `limit` allows, because the model reads them as one.

        Raises InvalidInput: param "language" for one that the normaliser does not know; param "input" for text without
        a letter or digit, and for a pause of more than 30 seconds.
        """
        reading = language_of(language, LANGUAGES)
        return with_pauses(text, lambda part: self._segments(part, reading))

    def symbols(self, segment: Segment) -> list[str]:
        return self.tokenizer.names(segment.token_ids)

    def check(self, text: str, language: str | None = None) -> None:
        """Raises InvalidInput for another language, or a pause that is too long."""
        language_of(language, LANGUAGES)
        check_pauses(text)

    def _segments(self, text: str, reading: Reading | None) -> list[Segment]:
        found = [self._segment(text, span, reading) for span in self._spans(text)]
        spoken = [segment for segment in found if any(map(str.isalnum, segment.text))]
        if not spoken:
            raise InvalidInput(
                "input contains nothing that can be spoken: it needs letters or digits",
                param="input",
                code="nothing_to_speak",
            )
        return spoken

    def _segment(self, text: str, span: Span, reading: Reading | None) -> Segment:
        words = " ".join(self.tokenizer.without_marks(text[slice(*span)]).split())
        if self.normalize:
            words = normalized(words, reading)
        ids = np.array(self.tokenizer.encode(words), np.int64)
        return Segment(words, ids, span=span, spoken=words.lower(), max_codes=RATIO * len(ids) + SLACK)

    def _spans(self, text: str) -> Iterator[Span]:
        if self.limit is None:
            yield from _trimmed(text, [(0, len(text))])
            return
        parts = [
            span
            for start, end in sentences(text, 0, len(text))
            for span in _cut(text, (start, end), _CHINESE_END)
        ]
        yield from _trimmed(text, self._packed(text, parts, _FINER))

    def _packed(self, text: str, parts: Sequence[Span], finer: Sequence[re.Pattern[str]]) -> Iterator[Span]:
        """Neighbouring parts joined up to the limit; a part beyond it is cut into finer ones."""
        assert self.limit is not None
        begin, end, size = 0, 0, 0
        for part in parts:
            count = len(self.tokenizer.encode(text[slice(*part)]))
            if size and size + count > self.limit:
                yield begin, end
                size = 0
            if count > self.limit and finer:
                yield from self._packed(text, list(_cut(text, part, finer[0])), finer[1:])
                continue
            begin, end, size = part[0] if not size else begin, part[1], size + count
        if size:
            yield begin, end


def _cut(text: str, span: Span, ends: re.Pattern[str]) -> Iterator[Span]:
    """The parts of text[start:end], each up to a match of `ends`."""
    begin, end = span
    for match in ends.finditer(text, *span):
        yield begin, match.end()
        begin = match.end()
    if begin < end:
        yield begin, end


def _trimmed(text: str, spans: Sequence[Span] | Iterator[Span]) -> Iterator[Span]:
    """The spans without the white space at their edges; none that is empty."""
    for start, end in spans:
        inner = text[start:end]
        start, stop = start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())
        if start < stop:
            yield start, stop
