"""Folders of the published sizes load and run. Their tensors are random: shapes, memory and batches are tested."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from deployments.contract.options import DeviceOptions, FamilyOptions, GptOptions, ModelOptions
from deployments.contract.speech import Reference
from serve_app.backends.local import LocalBackend
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer
from tests.golden.random_gpt_sovits import VERSIONS, make

CODES = 12
TEXTS = ("请把窗户打开。", "Where is the key?", "今天天气不错。", "The tea is cold.") * 2


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", VERSIONS)
def test_segments_at_once_sound_as_each_alone(tmp_path, version):
    """From a folder of the published size to samples: eight, or two of v3 and v4, whose decoder takes seconds for each
    and whose GPT is that of v2Pro.
    """
    folder = make(tmp_path / version, version)
    family = FamilyOptions(name="gpt_sovits", options={"model_dir": str(folder), "version": version})
    gpt = GptOptions(slots=len(TEXTS))
    backend = LocalBackend(
        ModelOptions(family=family, device=DeviceOptions(preference="cpu"), gpt=gpt)
    ).wait()
    reference = 0.1 * np.random.default_rng(0).standard_normal(4 * 32000, dtype=np.float32)
    cfm = version in ("v3", "v4")
    controls, texts = ({"sample_steps": 4}, TEXTS[:2]) if cfm else ({}, TEXTS)

    async def speak(seed: int) -> np.ndarray:
        prompt = await backend.encode_voice(Reference.of(reference, 32000, "This is what I say.", "en"))
        sampling = backend.spec.sampling(controls, max_tokens=CODES, seed=seed)
        stream = Synthesizer(backend).stream(Speech(texts[seed], prompt, sampling)).sound
        return np.concatenate([piece async for piece in stream])

    async def all_of_them() -> list[np.ndarray]:
        return list(await asyncio.gather(*map(speak, range(len(texts)))))

    try:
        together = asyncio.run(all_of_them())
        alone = [asyncio.run(speak(seed)) for seed in range(len(texts))]
    finally:
        backend.close()
    assert len({sound.tobytes() for sound in alone}) == len(texts)
    for found, wanted in zip(together, alone, strict=True):
        assert len(found) >= CODES * backend.spec.samples_per_code
        assert np.isfinite(found).all() and 0 < np.abs(found).max() <= 1
        np.testing.assert_array_equal(found, wanted)
