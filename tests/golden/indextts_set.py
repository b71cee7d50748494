"""Where the golden set of IndexTTS is, and which cases it holds: another one of the same layout may hold others."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path

from safetensors import safe_open

SHIPPED = Path(__file__).resolve().parent / "indextts"
FOLDER = Path(os.environ.get("GOLDEN_INDEXTTS") or SHIPPED).resolve()
TEXT_CASES = json.loads((FOLDER / "expected" / "text_and_codes.json").read_text("utf-8"))


@cache
def names(file: str) -> list[str]:
    """Of the tensors in expected/`file`.safetensors."""
    with safe_open(FOLDER / "expected" / f"{file}.safetensors", framework="np") as tensors:
        return sorted(tensors.keys())


def found(file: str, pattern: str) -> list[str]:
    """What the pattern's one group matches in the names that it matches as a whole."""
    return [match[1] for name in names(file) if (match := re.fullmatch(pattern, name))]


SENTENCES = [int(index) for index in found("gpt", r"s(\d+)\.text_ids")]
SOUNDS = found("gpt", r"(s\d+)\.wav")
STEPS = [int(step) for step in found("sampling", r"step(\d+)\.logits")]
SPOKEN = [int(index) for index in found("e2e", r"infer\.s(\d+)\.pcm16")]
LONG = [int(limit) for limit in found("e2e", r"infer\.long(\d+)\.pcm16")]
