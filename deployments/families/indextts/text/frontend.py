"""The frontend of IndexTTS 1.x: text to segments of token ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Segment
from deployments.families.indextts.text.normalize import Normalizer, Reading
from deployments.families.indextts.text.pieces import START, STOP, Pieces, pre_tokenized, readable
from deployments.families.indextts.text.split import split_sentences

LANGUAGES: tuple[Reading, ...] = ("zh", "en")


class IndexFrontend:
    """`Frontend` of the IndexTTS family for Chinese, English and mixed text. Thread-safe.

    model_path: bpe.model of the checkpoint folder. number_text_tokens: gpt.number_text_tokens of its config.yaml.
    limit: most pieces of a segment (one more if a quotation mark follows a sentence's end, see `split_sentences`).
    Raises ConfigError if the file is not a vocabulary of that size.
    """

    def __init__(self, model_path: Path, number_text_tokens: int, limit: int = 120) -> None:
        self.pieces = Pieces.load(Path(model_path), number_text_tokens)
        self.normalizer = Normalizer()
        self.limit = limit

    def segments(self, text: str, language: str | None = None) -> list[Segment]:
        """One segment per sentence, without silence after it, because the model speaks its own pauses.

        language: "zh" or "en" (or with a region, "zh-CN") determines how numbers are read; None: detected from the
        text. Token ids 0 and 1 are removed, because they are the GPT's start and stop tokens.
        Raises InvalidInput with param "language" for another language, and with param "input" for text without a
        letter, digit or Chinese character that the vocabulary knows.
        """
        reading = reading_of(language)
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
                segments.append(Segment(text=readable(sentence), token_ids=ids))
        return segments

    def check(self, text: str, language: str | None = None) -> None:
        """Raises InvalidInput for another language. Characters that cannot be spoken are ignored."""
        reading_of(language)

    def pieces_of(self, text: str, reading: Reading | None = None) -> list[str]:
        """All pieces of the normalised `text`. A single punctuation mark is not normalised.

        (The published code does not normalise a single letter or digit either, although its vocabulary is upper case
        and has no digits.)
        """
        lone = text.strip()
        if len(lone) == 1 and lone.isprintable() and not lone.isalnum():
            return self.pieces.encode(text)
        return self.pieces.encode(pre_tokenized(self.normalizer(text, reading)))


def reading_of(language: str | None) -> Reading | None:
    """Parses one of `LANGUAGES` in any case, with or without a region. Raises InvalidInput (param "language")."""
    if not language:
        return None
    for reading in LANGUAGES:
        if language.replace("_", "-").split("-")[0].strip().lower() == reading:
            return reading
    raise InvalidInput(
        f"language {language[:20]!r} is not supported by this model; allowed: {', '.join(LANGUAGES)}",
        param="language",
        code="unsupported_language",
    )
