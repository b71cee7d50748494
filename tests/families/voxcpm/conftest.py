"""The golden set of VoxCPM: small checkpoints in the published layout, and the published code's results for them.

Another set with the same layout may be given in GOLDEN_VOXCPM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.speech import GptRequest, Reference, Sampling, Segment, VoicePrompt
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from deployments.families.voxcpm.checkpoint import read_lm, read_vae
from deployments.families.voxcpm.config import VoxConfig, read_config
from deployments.families.voxcpm.gpt import VoxGpt
from deployments.families.voxcpm.text.tokenizer import Tokenizer
from deployments.families.voxcpm.voice import VoxVoiceEncoder
from tests.golden.archive import golden_set

CPU = choose_device("cpu", threads=1)
VERSIONS = ("v15", "v2")
CASES = [
    ("v15", "zero_shot_zh"),
    ("v15", "continuation_en"),
    ("v15", "continuation_zh"),
    ("v2", "zero_shot_zh"),
    ("v2", "continuation_en"),
    ("v2", "reference_mix"),
    ("v2", "ref_continuation_zh"),
]

voxcpm = golden_set("voxcpm")


def error_of(found: Any, wanted: Any) -> float:
    """The largest difference, relative to the largest value wanted."""
    found, wanted = (torch.as_tensor(part).double() for part in (found, wanted))
    assert found.shape == wanted.shape
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


@dataclass(frozen=True)
class Case:
    """tensors: of the published code; reference: of the voice; sampling: without a seed."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    reference: Reference

    @property
    def noise(self) -> Tensor:
        """(n, P, D)"""
        return self.tensors["noise"].float().transpose(1, 2).contiguous()

    @property
    def sampling(self) -> Sampling:
        mode = self.about["mode"]
        controls = {name: self.about[name] for name in ("cfg_value", "min_len", "inference_timesteps")}
        controls |= {"continuation": "continuation" in mode, "reference": mode.startswith("ref")}
        return Sampling(max_tokens=self.about["max_len"], controls=controls)

    def request(self, prompt: VoicePrompt) -> GptRequest:
        ids = self.tensors["target_ids"].numpy()
        return GptRequest(Segment(self.about["target_text"], ids), prompt, self.sampling)


class Golden:
    """One checkpoint of the set."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.checkpoint = folder, folder / "checkpoint"
        self.about = json.loads((folder / "cases.json").read_text("utf-8"))

    @cached_property
    def config(self) -> VoxConfig:
        return read_config(self.checkpoint)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.checkpoint / "tokenizer.json", self.config.lm_config.vocab_size)

    @cached_property
    def encoder(self) -> VoxVoiceEncoder:
        return VoxVoiceEncoder(read_vae(self.checkpoint, self.config), self.config, torch.device("cpu"))

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{name}.safetensors")

    def recording(self, name: str) -> tuple[np.ndarray, int]:
        return soundfile.read(self.folder / f"{name}.wav", dtype="float32")

    def case(self, name: str) -> Case:
        about = self.about["cases"][name]
        recordings = [self.recording("prompt")]
        if about["mode"].startswith("ref"):
            recordings.append(self.recording("ref"))
        reference = Reference(tuple(recordings), about["prompt_text"] or None)
        return Case(self.tensors(f"case_{name}"), about, reference)

    def gpt(self, slots: int, steps: int, kind: type[VoxGpt] = VoxGpt, device: Device = CPU) -> VoxGpt:
        """Call it on a device thread."""
        tensors, file = read_lm(self.checkpoint)
        context = self.config.max_length
        return kind(
            tensors, self.config, self.tokenizer, device, slots, context=context, steps=steps, file=file
        )


@pytest.fixture(scope="session")
def golden(voxcpm: Path) -> Callable[[str], Golden]:
    known = {version: Golden(voxcpm / version) for version in VERSIONS}
    return known.__getitem__


@pytest.fixture
def on_device() -> Iterator[Callable[..., Any]]:
    """Runs a function on a device thread."""
    thread = DeviceThread("device", threads=1)
    yield lambda function, *args: thread.submit(function, *args).result(timeout=120)
    thread.close()
