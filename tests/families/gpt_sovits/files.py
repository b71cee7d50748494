"""What tests of this family share: the golden sets' files, and comparisons with the tolerances of their golden.md."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor

from deployments.contract.speech import Reference, VoicePrompt
from deployments.engine.device.choose import choose_device

CPU = choose_device("cpu", threads=1)
VITS = ("v2", "v2Pro", "v2ProPlus")
HIDDEN = {"atol": 5e-4, "rtol": 1e-4}
PRIOR = {"atol": 1e-3, "rtol": 0.0}
AUDIO = {"atol": 2e-3, "rtol": 0.0}


@cache
def tensors(path: Path) -> dict[str, Tensor]:
    return load_file(path)


def sovits_path(golden: Path, golden_v1: Path, version: str) -> Path:
    return golden_v1 / "s2_v1.pth" if version == "v1" else golden / "bundle" / f"s2_{version}.pth"


def decoded(golden: Path, golden_v1: Path, version: str) -> dict[str, Tensor]:
    """The tensors of the decoder of a version."""
    return tensors((golden_v1 if version == "v1" else golden) / "sovits_golden.safetensors")


def near(found: Tensor | np.ndarray, wanted: Tensor, atol: float, rtol: float = 0.0) -> None:
    found = torch.as_tensor(found)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, atol=atol, rtol=rtol)


def recording(path: Path) -> tuple[np.ndarray, int]:
    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return waveform.mean(axis=1), rate


def reference(
    golden: Path, *names: str, transcript: str | None = None, language: str | None = None
) -> Reference:
    return Reference(tuple(recording(golden / name) for name in names), transcript, language)


def golden_prompt(golden: Path, version: str = "v2Pro") -> VoicePrompt:
    """The prompt of ref.wav from the golden tensors."""
    spoken, style = tensors(golden / "t2s_golden.safetensors"), tensors(golden / "sovits_golden.safetensors")
    return VoicePrompt.of(
        "gpt_sovits",
        {
            "phones": spoken["prompt.phones"].numpy(),
            "bert": spoken["prompt.bert"].T.numpy(),
            "codes": spoken["prompt.codes"].numpy(),
            "ge": style[f"{version}.ge"].numpy(),
        },
    )
