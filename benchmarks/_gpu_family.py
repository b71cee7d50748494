"""Families, devices and requests of benchmarks.gpu. Texts are random token ids, so no frontend is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from deployments import families
from deployments.contract.device import Device
from deployments.contract.family import Family
from deployments.contract.speech import GptRequest, Reference, Segment, VoicePrompt
from deployments.engine.device.choose import choose_device
from tests.golden.indextts_set import SHIPPED

RECORDED_S, RATE = 4.0, 24_000  # of a recording
MOST_TOKENS = 100  # of a random text
TRANSCRIPT = "This is what the recording says, word by word."
PHONES, CODES, PATCHES = 60, 100, 20  # of a voice of 3 to 4 s
POSITIONS = 512  # of a slot of VoxCPM


def load(name: str, folder: str | None) -> Family:
    return families.load(name, options_of(name, folder))


def options_of(name: str, folder: str | None) -> dict[str, Any]:
    """folder: of the checkpoint; None for the golden set's of IndexTTS."""
    if name == "small":
        return {}
    own = {"gpt_sovits": {"version": "v2Pro"}, "voxcpm": {"max_length": POSITIONS}}.get(name, {})
    return {"model_dir": folder or str(SHIPPED / "checkpoint"), **own}


def device_of(preference: str, *, half: bool) -> Device:
    """On a CPU, `half` means bfloat16, so that the step can be tried. The service uses it there for VoxCPM only."""
    device = choose_device(preference, half=half, threads=1)
    return replace(device, dtype=torch.bfloat16) if half and device.kind == "cpu" else device


def tokens_of(family: Family) -> int:
    """The ids that a text may have."""
    known: Any = family
    if family.spec.name == "gpt_sovits":
        return known.gpt_file.phones
    return known.config.n_phones if family.spec.name == "small" else known.config.gpt.number_text_tokens


def codes_of(family: Family) -> int:
    """The ids that a frame may have, if frames are ids."""
    known: Any = family
    if family.spec.name == "gpt_sovits":
        return known.gpt_file.config.EOS
    return known.config.n_codes


def segment(family: Family, index: int, tokens: int = MOST_TOKENS) -> Segment:
    """The same index gives the same text. Ids 0 and 1 are special in families with ids; VoxCPM gets letters."""
    draw = np.random.default_rng(index)
    if family.spec.name == "voxcpm":
        letters = draw.integers(ord("a"), ord("z") + 1, tokens)
        return Segment("".join(map(chr, letters)), letters)
    ids = draw.integers(2, tokens_of(family), min(tokens, getattr(family, "limit", tokens)))
    return Segment("", ids, conditions={"phones": ids} if family.spec.name == "gpt_sovits" else {})


def request(
    family: Family,
    index: int,
    prompt: VoicePrompt,
    tokens: int = MOST_TOKENS,
    max_tokens: int | None = None,
    **controls: Any,
) -> GptRequest:
    drawn = family.spec.sampling(controls, seed=index, max_tokens=max_tokens)
    return GptRequest(segment(family, index, tokens), prompt, drawn)


def lasting(family: Family) -> dict[str, Any]:
    """Controls with which random weights do not end early: greedy, or with the most patches that are promised."""
    return {"min_len": 1000} if family.spec.name == "voxcpm" else {"temperature": 0.0}


def positions(request: GptRequest) -> int:
    """At least as many as a request takes in a slot before its first step."""
    known = (len(request.prompt.tensors.get(name, ())) for name in ("phones", "codes", "prompt"))
    return len(request.segment.token_ids) + sum(known)


def prompt(family: Family, index: int = 0) -> VoicePrompt:
    """A prompt with random values of the right shapes."""
    draw = np.random.default_rng(index)
    arrays = {
        name: 0.1 * draw.standard_normal(value.shape, np.float32) if value.dtype.kind == "f" else value
        for name, value in family.example_prompt().tensors.items()
    }
    if family.spec.name == "gpt_sovits":
        arrays |= {"phones": _phones(family, draw), "codes": draw.integers(0, codes_of(family), CODES)}
    elif family.spec.name == "voxcpm":
        shape = PATCHES, *arrays["prompt"].shape[1:]
        arrays["prompt"] = 0.1 * draw.standard_normal(shape, np.float32)
    return VoicePrompt.of(family.spec.name, arrays)


def reference(family: Family, index: int) -> Reference:
    """With a transcript for the families that continue a recording."""
    continues = family.spec.name in ("gpt_sovits", "voxcpm")
    return Reference.of(*recording(index), TRANSCRIPT if continues else None, "en" if continues else None)


def recording(index: int) -> tuple[np.ndarray, int]:
    """Syllables of a made-up voice, of another pitch and vowel for each index: (float32 (N,), Hz).

    A machine with little more than torch cannot decode the shipped recordings.
    """
    time = np.arange(int(RECORDED_S * RATE)) / RATE
    f0 = (90 + 11 * (index % 14)) * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time))
    phase, formant = 2 * np.pi * np.cumsum(f0) / RATE, 400 + 40 * (index % 9)
    sound = np.zeros_like(time)
    for harmonic in range(1, 25):
        loudness = 1 / harmonic + np.exp(-(((harmonic * f0 - formant) / 150) ** 2))
        sound += loudness * np.sin(harmonic * phase)
    sound *= 0.05 * np.clip(np.sin(2 * np.pi * 3 * time) + 0.5, 0, None)
    return (sound + 0.001 * np.random.default_rng(index).standard_normal(len(time))).astype(np.float32), RATE


@contextmanager
def without_frontends(family: Family) -> Iterator[None]:
    """Backends that are made meanwhile have no text frontend, whose packages may be missing."""
    kind = type(family)
    with patch.object(kind, "frontend", lambda self, on: None):
        if family.spec.name != "gpt_sovits":
            yield
            return
        with patch.object(kind, "_frontend", lambda self, on: Transcripts(family)):
            yield


class Transcripts:
    """Random phones in the place of GPT-SoVITS's frontend, which reads the transcript of a voice."""

    def __init__(self, family: Family) -> None:
        self.phones = _phones(family, np.random.default_rng(0))

    def prompt(self, text: str, language: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.phones, np.zeros((len(self.phones), 1), np.float32)


def _phones(family: Family, draw: np.random.Generator) -> np.ndarray:
    return draw.integers(2, tokens_of(family), PHONES)
