"""The shipped family on this machine's CPU, and requests for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from deployments import families
from deployments.contract.device import Device
from deployments.contract.speech import GptRequest, Reference, Sampling, VoicePrompt
from deployments.engine.device.choose import choose_device
from deployments.families.small.family import SmallFamily

VOICES = Path("deployments/families/small/voices")


@pytest.fixture(scope="session")
def cpu() -> Device:
    return choose_device("cpu", threads=1)


@pytest.fixture(scope="session")
def family() -> SmallFamily:
    return families.load("small")


@pytest.fixture(scope="session")
def prompts(family: SmallFamily, cpu: Device) -> dict[str, VoicePrompt]:
    """The shipped voices' prompts, by name."""
    encoder = family.voice_encoder(cpu)
    return {path.stem: encoder.encode(Reference.of(*_read(path))) for path in sorted(VOICES.glob("*.flac"))}


@pytest.fixture(scope="session")
def request_of(family: SmallFamily, prompts: dict[str, VoicePrompt]) -> Callable[..., GptRequest]:
    """request_of(text, voice index, **sampling) -> the text's first segment as a request"""
    frontend, voices = family.frontend(), list(prompts.values())

    def make(text: str, voice: int = 0, **sampling: float) -> GptRequest:
        segment = frontend.segments(text)[0]
        return GptRequest(
            segment, voices[voice % len(voices)], Sampling.of(**({"seed": 1, "temperature": 0.6} | sampling))
        )

    return make


def _read(path: Path) -> tuple[np.ndarray, int]:
    return soundfile.read(path, dtype="float32")


@pytest.fixture(scope="session")
def speech() -> list[dict[str, Any]]:
    """Sentences decoded by the shipped GPT: {"voice", "text", "units"} each.

    `python -m training.spoken` regenerates the file.
    """
    return json.loads(Path("tests/data/small_codes.json").read_text("utf-8"))
