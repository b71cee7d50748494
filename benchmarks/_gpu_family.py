"""Families, devices and requests of benchmarks.gpu. Texts are token ids drawn by number: no frontend is needed."""

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

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "indextts" / "checkpoint"
VOICES = ROOT / "deployments" / "families" / "small" / "voices"
MOST_TOKENS = 100  # of a drawn text


def load(name: str, folder: str | None) -> Family:
    """folder: of the IndexTTS checkpoint."""
    return families.load(name, options_of(name, folder))


def options_of(name: str, folder: str | None) -> dict[str, Any]:
    return {"model_dir": folder or str(GOLDEN)} if name == "indextts" else {}


def device_of(preference: str, *, half: bool) -> Device:
    """On a CPU, which the service never runs in half precision, half is bfloat16: so that the step can be tried."""
    device = choose_device(preference, half=half, threads=1)
    return replace(device, dtype=torch.bfloat16) if half and device.kind == "cpu" else device


def segment(family: Family, index: int, tokens: int = MOST_TOKENS) -> Segment:
    """The same index gives the same text. Ids 0 and 1 are marks in either family."""
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
    """Of the right shapes, with drawn values."""
    draw = np.random.default_rng(index)
    shapes = {name: value.shape for name, value in family.example_prompt().tensors.items()}
    drawn = {name: 0.1 * draw.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return VoicePrompt.of(family.spec.name, drawn)


def recording(index: int) -> tuple[np.ndarray, int]:
    """A shipped voice's recording, each index at another level: (float32 (N,), Hz)."""
    files = sorted(VOICES.glob("*.wav"))
    with wave.open(str(files[index % len(files)])) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    return (samples / 32768 * (1 - 0.1 * (index // len(files)))).astype(np.float32), rate
