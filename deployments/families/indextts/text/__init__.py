"""Text processing of IndexTTS 1.x: normalisation, sentencepiece pieces, sentences. Needs no torch."""

from __future__ import annotations

from deployments.families.indextts.text.frontend import IndexFrontend
from deployments.families.indextts.text.normalize import Normalizer
from deployments.families.indextts.text.pieces import Pieces
from deployments.families.indextts.text.split import split_sentences

__all__ = ["IndexFrontend", "Normalizer", "Pieces", "split_sentences"]
