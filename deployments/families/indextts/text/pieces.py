"""Spoken text as pieces of the checkpoint's sentencepiece vocabulary."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from sentencepiece import SentencePieceProcessor

from deployments.contract.errors import CheckpointError

START, STOP = 0, 1  # ids of <s> and </s>
_BLANK = "▁"
_CJK = (
    r"[\u1100-\u11ff\u2e80-\ua4cf\ua840-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff65-\uffdc\U00020000-\U0002ffff]"
)
_EACH_CJK = re.compile(f"({_CJK})")
_BLANK_AFTER_CJK = re.compile(rf"(?<={_CJK}) | (?={_CJK})")


def pre_tokenized(text: str) -> str:
    """Converts to upper case and separates CJK characters with spaces."""
    chunks = (chunk.strip().upper() for chunk in _EACH_CJK.split(text))
    return " ".join(chunk for chunk in chunks if chunk)


def readable(pieces: Sequence[str]) -> str:
    """The text of the pieces, without the spaces around CJK characters."""
    return _BLANK_AFTER_CJK.sub("", "".join(pieces).replace(_BLANK, " ").strip())


class Pieces:
    """The vocabulary. Thread-safe."""

    def __init__(self, processor: SentencePieceProcessor) -> None:
        self._processor = processor
        self._unknown: int = processor.unk_id()

    @classmethod
    def load(cls, path: Path, expected: int) -> Self:
        """expected: gpt.number_text_tokens of config.yaml. Raises CheckpointError, which names the file."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise CheckpointError(f"no {path.name} in the model folder") from None
        except OSError as error:
            raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from None
        try:
            if not content:
                raise ValueError("empty")
            processor = SentencePieceProcessor(model_proto=content)
        except (RuntimeError, ValueError):
            raise CheckpointError(f"{path.name} is not a sentencepiece model, or is truncated") from None
        held = len(processor)
        if held != expected:
            raise CheckpointError(
                f"{path.name} has {held} pieces, config.yaml's gpt.number_text_tokens says {expected}"
            )
        if (processor.bos_id(), processor.eos_id()) != (START, STOP):
            raise CheckpointError(f"{path.name}: pieces 0 and 1 must be <s> and </s>")
        return cls(processor)

    def __len__(self) -> int:
        return len(self._processor)

    def encode(self, text: str) -> list[str]:
        return self._processor.encode(text, out_type=str)

    def ids(self, pieces: Sequence[str]) -> np.ndarray:
        """int64 (T,). A piece that is not in the vocabulary gets the unknown id."""
        return np.array([self._processor.piece_to_id(piece) for piece in pieces], dtype=np.int64)

    def names(self, ids: np.ndarray) -> list[str]:
        return [self._processor.id_to_piece(int(index)) for index in ids]

    def speakable(self, piece: str) -> bool:
        """True if the piece is in the vocabulary and contains a letter, a digit or a character that is spoken."""
        return any(map(str.isalnum, piece)) and self._processor.piece_to_id(piece) != self._unknown
