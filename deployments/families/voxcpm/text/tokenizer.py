"""The tokenizer of VoxCPM: byte-pair encoding with byte fallback, and Chinese words split into characters."""

import heapq
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from deployments.contract.errors import CheckpointError

SPACE = "▁"


class Tokenizer:
    """Text to ids, without start and end marks. Thread-safe.

    vocabulary: piece to id; merges: pairs of pieces, the most frequent first; specials: marks that stand for
    themselves. A piece that is a known Chinese word of several characters becomes its characters.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        merges: list[tuple[str, str]],
        specials: dict[str, int],
        unknown: int,
        first: str = SPACE,
    ) -> None:
        self._vocabulary, self._unknown, self._first = vocabulary, unknown, first
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._specials = specials
        self._names = {id: piece for piece, id in (vocabulary | specials).items()}
        marks = "|".join(map(re.escape, sorted(specials, key=len, reverse=True)))
        self._marks = re.compile(f"({marks})" if marks else r"(?!)()")
        self._words = {
            piece for piece in vocabulary if len(piece) > 1 and all("一" <= c <= "鿿" for c in piece)
        }

    @classmethod
    def load(cls, path: Path, size: int) -> "Tokenizer":
        """tokenizer.json, whose ids must be below `size`. Raises CheckpointError for another kind of tokenizer."""
        name = path.name
        try:
            content = json.loads(path.read_text("utf-8"))
            model = content["model"]
            kind, vocabulary = (model["type"], model["byte_fallback"]), dict(model["vocab"])
            merges = [_pair(merge) for merge in model["merges"]]
            specials = {
                token["content"]: token["id"] for token in content["added_tokens"] if token["special"]
            }
            unknown = vocabulary.get(model["unk_token"], 0)
        except FileNotFoundError:
            raise CheckpointError(f"{name}: not found in the model folder") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            fault = type(error).__name__
            raise CheckpointError(
                f"{name}: cannot be read: truncated, or not a tokenizer ({fault})"
            ) from None
        if kind != ("BPE", True):
            raise CheckpointError(f"{name}: must be a BPE tokenizer with byte_fallback")
        if content.get("pre_tokenizer") is not None:
            raise CheckpointError(f"{name}: a pre_tokenizer is not supported")
        pieces = vocabulary | specials
        if not all(isinstance(p, str) and isinstance(i, int) and 0 <= i < size for p, i in pieces.items()):
            raise CheckpointError(f"{name}: an id is not below {size}, lm_config.vocab_size of the config")
        return cls(vocabulary, merges, specials, unknown, _first(content.get("normalizer"), name))

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of `text`. Marks such as "</s>" become their own ids: see `without_marks`."""
        parts = [part for part in self._marks.split(text) if part]
        return tuple(id for part in parts for piece in self._pieces(part) for id in self._ids(piece))

    def names(self, ids: Iterable[int]) -> list[str]:
        """The piece of each id; "<0xE4>" for a byte."""
        return [self._names.get(int(id), "") for id in ids]

    def without_marks(self, text: str) -> str:
        """`text` with a space for each mark: a caller's text must not steer the model."""
        return self._marks.sub(" ", text)

    def _pieces(self, part: str) -> Iterator[str]:
        if part in self._specials:
            yield part
            return
        for piece in self._merged(self._first + part.replace(" ", SPACE)):
            word = piece.replace(SPACE, "")
            if word in self._words:
                yield from word
            else:
                yield piece

    def _merged(self, text: str) -> list[str]:
        """Applies the merges, the earliest of the list first, from left to right."""
        pieces: list[str] = list(text)
        after = list(range(1, len(pieces) + 1))  # the index of the next piece
        before = list(range(-1, len(pieces) - 1))
        candidates: list[tuple[int, int, str, str]] = []

        def consider(left: int) -> None:
            right = after[left] if left >= 0 else len(pieces)
            if right < len(pieces):
                rank = self._ranks.get((pieces[left], pieces[right]))
                if rank is not None:
                    heapq.heappush(candidates, (rank, left, pieces[left], pieces[right]))

        for index in range(len(pieces) - 1):
            consider(index)
        while candidates:
            _, left, first, second = heapq.heappop(candidates)
            right = after[left]
            if right >= len(pieces) or (pieces[left], pieces[right]) != (first, second):
                continue  # one of them has been merged since
            pieces[left], pieces[right] = first + second, ""
            after[left] = after[right]
            if after[right] < len(pieces):
                before[after[right]] = left
            consider(before[left])
            consider(left)
        return [piece for piece in pieces if piece]

    def _ids(self, piece: str) -> Iterator[int]:
        known = self._vocabulary.get(piece, self._specials.get(piece))
        if known is not None:
            yield known
            return
        for byte in piece.encode("utf-8", "replace"):
            yield self._vocabulary.get(f"<0x{byte:02X}>", self._unknown)


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return str(left), str(right)


def _first(normalizer: Any, name: str) -> str:
    """What is put before a text. Raises CheckpointError for normalizers other than Llama's."""
    steps = normalizer.get("normalizers", [normalizer]) if isinstance(normalizer, dict) else []
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        steps = []
    prepend = [step for step in steps if step.get("type") == "Prepend"]
    replace = [step for step in steps if step.get("type") == "Replace"]
    if len(steps) != len(prepend) + len(replace) or [step.get("content") for step in replace] != [SPACE]:
        raise CheckpointError(f"{name}: the normalizer must write {SPACE!r} for a space, as Llama's does")
    return str(prepend[0].get("prepend", "")) if prepend else ""
