"""The frontend of IndexTTS 1.x: text to segments of token ids."""

from pathlib import Path

import numpy as np

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Segment
from deployments.families.indextts.text.normalize import Normalizer, Reading
from deployments.families.indextts.text.pieces import START, STOP, Pieces, pre_tokenized, readable
from deployments.families.indextts.text.split import split_sentences
from deployments.families.language import language_of
from deployments.text.pauses import check_pauses, with_pauses

LANGUAGES: tuple[Reading, ...] = ("zh", "en")


class IndexFrontend:
    """`Frontend` of the IndexTTS family: Chinese, English, and the two mixed. Thread-safe; usable alone.

    model_path: bpe.model of the checkpoint folder; number_text_tokens: gpt.number_text_tokens of its config.yaml;
    limit: pieces of a segment (one more where a quotation mark follows a sentence's end, see `split_sentences`).
    Raises ConfigError where the file is not a vocabulary of that size.
    """

    def __init__(self, model_path: Path, number_text_tokens: int, limit: int = 120) -> None:
        self.pieces = Pieces.load(Path(model_path), number_text_tokens)
        self.normalizer = Normalizer()
        self.limit = limit

    def segments(self, text: str, language: str | None = None) -> list[Segment]:
        """One segment a sentence, with no silence after it (the model speaks its own pauses).

        language: "zh" or "en" says how numbers are read; None lets the text decide. The GPT's own start and stop marks,
        0 and 1, are left out. Raises InvalidInput: param "language" for another language; param "input" for text
        without a letter, digit or Chinese character that the vocabulary knows, and for a pause of more than 30 seconds.
        """
        reading = language_of(language, LANGUAGES)
        return with_pauses(text, lambda part: self._segments(part, reading))

    def _segments(self, text: str, reading: Reading | None) -> list[Segment]:
        pieces = self.pieces_of(text, reading)
        if not any(map(self.pieces.speakable, pieces)):
            raise InvalidInput(
                "input contains nothing that can be spoken: this model reads Chinese and English",
                param="input",
                code="nothing_to_speak",
            )
        segments = []
        for sentence in split_sentences(pieces, self.limit):
            ids = self.pieces.ids(sentence)
            ids = ids[~np.isin(ids, (START, STOP))]
            if len(ids):
                words = readable(sentence)
                segments.append(Segment(text=words, token_ids=ids, spoken=words.lower()))
        return segments

    def symbols(self, segment: Segment) -> list[str]:
        return self.pieces.names(segment.token_ids)

    def check(self, text: str, language: str | None = None) -> None:
        """Raises InvalidInput for another language; characters that cannot be spoken are skipped."""
        language_of(language, LANGUAGES)
        check_pauses(text)

    def pieces_of(self, text: str, reading: Reading | None = None) -> list[str]:
        """All pieces of `text`, normalised; a lone sign is kept unchanged.

        The published code also keeps a lone letter or digit, but its vocabulary spells numbers out.
        """
        lone = text.strip()
        if len(lone) == 1 and lone.isprintable() and not lone.isalnum():
            return self.pieces.encode(text)
        return self.pieces.encode(pre_tokenized(self.normalizer(text, reading)))
