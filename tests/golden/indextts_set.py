"""The location and the cases of the IndexTTS golden set. Another set with the same layout may have other cases."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

from safetensors import safe_open

from tests.golden.archive import unpacked

_HELD = tempfile.mkdtemp(prefix="golden-")  # until this process ends
atexit.register(shutil.rmtree, _HELD, ignore_errors=True)
SHIPPED = unpacked("indextts", Path(_HELD))
FOLDER = Path(os.environ.get("GOLDEN_INDEXTTS") or SHIPPED).resolve()
TEXT_CASES = json.loads((FOLDER / "expected" / "text_and_codes.json").read_text("utf-8"))


@cache
def names(file: str) -> list[str]:
    """The names of the tensors in expected/`file`.safetensors."""
    with safe_open(FOLDER / "expected" / f"{file}.safetensors", framework="np") as tensors:
        return sorted(tensors.keys())


def found(file: str, pattern: str) -> list[str]:
    """The pattern's group in each name that matches as a whole."""
    return [match[1] for name in names(file) if (match := re.fullmatch(pattern, name))]


SENTENCES = [int(index) for index in found("gpt", r"s(\d+)\.text_ids")]
SOUNDS = found("gpt", r"(s\d+)\.wav")
STEPS = [int(step) for step in found("sampling", r"step(\d+)\.logits")]
SPOKEN = [int(index) for index in found("e2e", r"infer\.s(\d+)\.pcm16")]
LONG = [int(limit) for limit in found("e2e", r"infer\.long(\d+)\.pcm16")]
