"""Families, devices and requests of benchmarks.gpu. Texts are random token ids, so no frontend is needed."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deployments import families
from deployments.contract.device import Device
from deployments.contract.family import Family
from deployments.contract.speech import GptRequest, Segment, VoicePrompt
from deployments.engine.device.choose import choose_device
from tests.golden.indextts_set import SHIPPED

ROOT = Path(__file__).resolve().parent.parent
VOICES = ROOT / "deployments" / "families" / "small" / "voices"
MOST_TOKENS = 100  # of a random text


def load(name: str, folder: str | None) -> Family:
    """folder: the IndexTTS checkpoint."""
    return families.load(name, options_of(name, folder))


def options_of(name: str, folder: str | None) -> dict[str, Any]:
    return {"model_dir": folder or str(SHIPPED / "checkpoint")} if name == "indextts" else {}


def device_of(preference: str, *, half: bool) -> Device:
    """On a CPU, `half` means bfloat16, so that the step can be tried. The service uses it there for VoxCPM only."""
    device = choose_device(preference, half=half, threads=1)
    return replace(device, dtype=torch.bfloat16) if half and device.kind == "cpu" else device


def segment(family: Family, index: int, tokens: int = MOST_TOKENS) -> Segment:
    """The same index gives the same text. Ids 0 and 1 are special in both families."""
    config: Any = getattr(family, "config", None)
    vocabulary = config.n_phones if family.spec.name == "small" else config.gpt.number_text_tokens
    count = min(tokens, getattr(family, "limit", tokens))
    return Segment("", np.random.default_rng(index).integers(2, vocabulary, count))


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


def prompt(family: Family, index: int = 0) -> VoicePrompt:
    """A prompt with random values of the right shapes."""
    draw = np.random.default_rng(index)
    shapes = {name: value.shape for name, value in family.example_prompt().tensors.items()}
    drawn = {name: 0.1 * draw.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return VoicePrompt.of(family.spec.name, drawn)


def recording(index: int) -> tuple[np.ndarray, int]:
    """The recording of a shipped voice, at a different level for each index: (float32 (N,), Hz)."""
    files = sorted(VOICES.glob("*.wav"))
    with wave.open(str(files[index % len(files)])) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    return (samples / 32768 * (1 - 0.1 * (index // len(files)))).astype(np.float32), rate
