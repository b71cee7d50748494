"""The frontend of GPT-SoVITS: text to segments of phones, with BERT features of what is Chinese in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from deployments.contract.controls import Value
from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Segment
from deployments.families.gpt_sovits.text import cut, mixed, published
from deployments.families.gpt_sovits.text.bert import BertFeatures
from deployments.families.gpt_sovits.text.controls import CONTROLS, CUT, PAUSE
from deployments.families.gpt_sovits.text.languages import check, declared
from deployments.families.gpt_sovits.text.spoken import MARKS, Spoken
from deployments.families.gpt_sovits.text.symbols import symbols, to_ids
from deployments.text.characters import nothing_to_speak
from deployments.text.pauses import check_pauses, with_pauses
from deployments.text.rewritten import Rewritten
from deployments.text.segments import before_openers, stripped

Rules = Literal["mixed", "published"]

LANGUAGES = ("zh", "en")  # as `FamilySpec.languages` lists them
FEWEST = 6  # phones: a shorter segment gets a stop before it
MOST = 256  # phones of a segment, about 25 seconds

_WORD = re.compile(r"\w")
_ENDS = re.compile(f"[{cut.ENDS}、；; ]")


class PhoneFeatures(NamedTuple):
    """ids: int64 (P,). bert: float32 (P, C), zeros where a phone is not of a Chinese run."""

    ids: np.ndarray
    bert: np.ndarray


class _Piece(NamedTuple):
    """start: in the cleaned text. places: of each phone there, -1 for a mark; empty if not known."""

    start: int
    spoken: list[Spoken]
    places: np.ndarray


class GptSovitsFrontend:
    """`Frontend` of the GPT-SoVITS family. Belongs to one device thread, because of BERT.

    bert: the folder of chinese-roberta-wwm-ext-large. version: "v1" for the shorter table of symbols. rules: "mixed"
    are this project's, "published" those of the published system with their flaws. most: phones of a segment.
    Raises CheckpointError where `bert` does not hold such a model.
    """

    def __init__(
        self, bert: Path, version: str, device: Device, *, rules: Rules = "mixed", most: int = MOST
    ) -> None:
        self.bert = BertFeatures.load(Path(bert), device)
        self.version, self.rules, self.most = version, rules, most
        self._defaults: Mapping[str, Value] = {control.name: control.default for control in CONTROLS}

    def segments(
        self, text: str, language: str | None = None, controls: Mapping[str, Value] | None = None
    ) -> list[Segment]:
        """One segment for each piece of the text. controls: of `CONTROLS`, those that differ from their defaults.

        token_ids: the phones. features: `bert`, float32 (R, C), a row for each Chinese character or mark, and
        `bert_row`, int32 (P,), the row of each phone or -1; both missing if nothing is Chinese (see `phone_features`).
        conditions: `phones`, int16 (P,). The texts together are `text`, but for white space.

        Raises InvalidInput: param "language" for another one, and for text in another one than declared; param "input"
        for text that is empty or has nothing to speak, and for a pause of over 30 seconds.
        """
        asked, chosen = declared(language, self.version), {**self._defaults, **(controls or {})}
        method, pause = cut.METHODS[int(chosen[CUT])], float(chosen[PAUSE])
        return with_pauses(text, lambda part: self._segments(part, asked, method, pause))

    def symbols(self, segment: Segment) -> list[str]:
        table = symbols(self.version)
        return [table[index] for index in segment.token_ids]

    def check(self, text: str, language: str | None = None) -> None:
        """Raises InvalidInput as `segments` does."""
        check_pauses(text)
        self._cleaned(text, declared(language, self.version))

    def prompt(self, text: str, language: str | None = None) -> PhoneFeatures:
        """The phones of a recording's transcript, read as one piece. Raises InvalidInput as `segments`."""
        asked = declared(language, self.version)
        clean = self._cleaned(text, asked).text.replace("\n", " " if self.rules == "mixed" else "").strip()
        piece = clean if clean[-1:] in tuple(cut.ENDS) else clean + ("." if asked == "en" else "。")
        if not (spoken := self.read(piece, asked)):
            raise nothing_to_speak()
        ids, features = self._tokens(spoken)
        return PhoneFeatures(ids, phone_features(features, len(ids), self.bert.width))

    def read(self, piece: str, language: str) -> list[Spoken]:
        """What is said of a piece, empty if nothing is. language: of `languages.DECLARED`."""
        rules = mixed.read if self.rules == "mixed" else published.read

        def runs(text: str) -> list[Spoken]:
            return [run for run in rules(text, language, self.version) if run.phones]

        spoken = runs(piece)
        if all(phone in MARKS for run in spoken for phone in run.phones):
            return []
        return runs("." + piece) if sum(len(run.phones) for run in spoken) < FEWEST else spoken

    def _cleaned(self, text: str, language: str) -> Rewritten:
        if self.rules == "mixed":
            return mixed.cleaned(text, language)
        check(text, language)
        if not text.strip():
            raise InvalidInput("input is empty", param="input", code="empty_input")
        return Rewritten(text)

    def _segments(self, text: str, language: str, method: cut.Method, pause: float) -> list[Segment]:
        clean = self._cleaned(text, language)
        pieces = list(self._pieces(clean.text, language, method))
        if not pieces:
            raise nothing_to_speak()
        starts = clean.origins([piece.start for piece in pieces[1:]])
        spans = [stripped(text, *ends) for ends in zip([0, *starts], [*starts, len(text)], strict=True)]
        segments = []
        for span, piece in zip(spans, pieces, strict=True):
            ids, features = self._tokens(piece.spoken)
            said = " ".join(run.text.strip(MARKS + " ") for run in piece.spoken)
            origins = np.array(clean.origins(np.maximum(piece.places, 0).tolist()), np.int32)
            segments.append(
                Segment(
                    text[slice(*span)],
                    ids,
                    pause,
                    features,
                    span,
                    conditions={"phones": ids.astype(np.int16)},
                    spoken=said.lower(),
                    places=np.where(piece.places < 0, -1, origins - span[0]) if len(origins) else None,
                )
            )
        return segments

    def _pieces(self, clean: str, language: str, method: cut.Method) -> Iterator[_Piece]:
        if self.rules == "mixed":
            pieces = [mixed.shown(piece) for piece in cut.pieces(mixed.hidden(clean), method, "en")]
        else:
            pieces = cut.pieces(cut.collapsed(clean), method, language)
        # cutting changes marks alone, so the n-th letter of the pieces is the n-th of the text
        places, letters = np.array([m.start() for m in _WORD.finditer(clean)], np.int64), 0
        for piece in pieces:
            for part, spoken in self._fitting(piece, language):
                if spoken:
                    own = np.array([letter for run in spoken for letter in run.letters], np.int64)
                    found = np.where(own < 0, -1, places[np.minimum(own + letters, len(places) - 1)])
                    yield _Piece(before_openers(clean, int(places[letters])), spoken, found)
                letters += len(_WORD.findall(part))

    def _fitting(self, piece: str, language: str) -> list[tuple[str, list[Spoken]]]:
        """The piece, or parts of it with at most `most` phones each, and what is said."""
        spoken = self.read(piece, language)
        if sum(len(run.phones) for run in spoken) <= self.most or len(piece) < 2:
            return [(piece, spoken)]
        middle = len(piece) // 2
        marks = [m.end() for m in _ENDS.finditer(piece) if m.end() < len(piece)]
        at = min(marks, key=lambda place: abs(place - middle), default=middle)
        return [part for half in (piece[:at], piece[at:]) for part in self._fitting(half, language)]

    def _tokens(self, spoken: list[Spoken]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The phone ids of a segment, and its BERT features."""
        ids = to_ids((phone for run in spoken for phone in run.phones), self.version)
        if all(run.sizes is None for run in spoken):
            return ids, {}
        rows: list[np.ndarray] = []
        owners: list[np.ndarray] = []
        for run in spoken:
            if run.sizes is None:
                owners.append(np.full(len(run.phones), -1, np.int32))
                continue
            first = sum(map(len, rows))
            rows.append(self.bert(run.text))
            owners.append(np.repeat(np.arange(first, first + len(run.sizes), dtype=np.int32), run.sizes))
        return ids, {"bert": np.concatenate(rows), "bert_row": np.concatenate(owners)}


def phone_features(features: Mapping[str, np.ndarray], phones: int, width: int) -> np.ndarray:
    """The BERT features of a segment for each phone: float32 (P, C), zeros where nothing is Chinese."""
    if "bert" not in features:
        return np.zeros((phones, width), np.float32)
    row = features["bert_row"]
    return np.where(row[:, None] >= 0, features["bert"][row], np.float32(0))
