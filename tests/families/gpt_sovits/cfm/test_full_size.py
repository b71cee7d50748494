"""The published sizes: their shapes, and random files of them from loading to sound."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from deployments.contract.speech import VocoderChunk, VoicePrompt
from deployments.engine.device.choose import choose_device
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.gpt_sovits.checkpoints import Version, read_sovits
from deployments.families.gpt_sovits.options import PUBLISHED, GptSovitsOptions
from deployments.families.gpt_sovits.vocoder_cfm import CfmVocoder
from tests.families.gpt_sovits.cfm.parts import VERSIONS
from tests.golden.random_gpt_sovits_cfm import MELS, NUMBERS, SPEAKER, TENSORS, make, sovits_shapes


def test_a_published_file_has_these_shapes() -> None:
    shapes = sovits_shapes()
    assert len(shapes) == TENSORS
    assert sum(math.prod(shape) for shape in shapes.values()) == NUMBERS


@pytest.mark.nightly
@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_the_published_size_speak(tmp_path: Path, version: Version) -> None:
    folder, layout = make(tmp_path, version), LAYOUTS[version]
    file = read_sovits(folder / PUBLISHED[version][1])
    assert file.version == version
    sound = folder / GptSovitsOptions.model_fields["bigvgan" if version == "v3" else "hifigan"].default
    vocoder = CfmVocoder.load(file, file.tensors(), sound, choose_device("cpu", threads=1))
    draw = np.random.default_rng(0)
    prompt = VoicePrompt.of(
        "gpt_sovits",
        {
            "ge": draw.standard_normal(SPEAKER).astype(np.float32),
            "codes": draw.integers(0, 1024, 20),
            "phones": draw.integers(0, 732, 9),
            "mel": draw.standard_normal((60, MELS)).astype(np.float32),
        },
    )
    phones = {"phones": draw.integers(0, 732, 8)}
    codes = draw.integers(0, 1024, 15)
    chunk = VocoderChunk(codes, 0, 0, 0, prompt, seed=1, conditions=phones, controls={"sample_steps": 4})
    (made,) = vocoder.split(vocoder.forward(vocoder.collate([chunk], 1, 0)), [chunk])
    assert len(made.waveform) == 15 * layout.samples_per_code
    assert np.isfinite(made.waveform).all() and 0 < np.abs(made.waveform).max() <= 1
