"""Folders of the published sizes load and run. The tensors are random, so only shapes and memory are tested."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from deployments.contract.options import DeviceOptions, FamilyOptions, GptOptions, ModelOptions
from deployments.contract.speech import Reference
from serve_app.backends.local import LocalBackend
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer
from tests.golden.random_gpt_sovits import VITS, make

CODES = 12


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", VITS)
def test_a_folder_of_the_published_size_speaks(tmp_path, version):
    folder = make(tmp_path / version, version)
    family = FamilyOptions(name="gpt_sovits", options={"model_dir": str(folder), "version": version})
    options = ModelOptions(family=family, device=DeviceOptions(preference="cpu"), gpt=GptOptions(slots=2))
    backend = LocalBackend(options).wait()
    reference = 0.1 * np.random.default_rng(0).standard_normal(4 * 32000, dtype=np.float32)

    async def speak(text: str) -> np.ndarray:
        prompt = await backend.encode_voice(Reference.of(reference, 32000, "This is what I say.", "en"))
        sampling = backend.spec.sampling(max_tokens=CODES, seed=1)
        stream = Synthesizer(backend).stream(Speech(text, prompt, sampling)).sound
        return np.concatenate([piece async for piece in stream])

    async def both() -> list[np.ndarray]:
        return list(await asyncio.gather(speak("请把窗户打开。"), speak("Where is the key?")))

    try:
        sounds = asyncio.run(both())
    finally:
        backend.close()
    for sound in sounds:
        assert len(sound) >= CODES * 1280
        assert np.isfinite(sound).all() and 0 < np.abs(sound).max() <= 1
