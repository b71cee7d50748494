"""The published sizes: the counts of their tensors, and folders of random tensors that load and run."""

from __future__ import annotations

import asyncio
import json
import math
import shutil

import numpy as np
import psutil
import pytest
import torch

from deployments.contract.device import Device
from deployments.contract.options import ChunkOptions, DeviceOptions, FamilyOptions, GptOptions, ModelOptions
from deployments.contract.speech import Reference
from deployments.engine.device import memory
from deployments.families.voxcpm.audio_vae import VaeWeights
from deployments.families.voxcpm.config import read_config
from deployments.families.voxcpm.gpt import VoxGpt
from deployments.families.voxcpm.text.tokenizer import Tokenizer
from serve_app.backends.local import LocalBackend
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer
from tests.golden.random_voxcpm import VERSIONS, config_of, make, shapes_of, tokenizer

PATCHES = 3
NEEDED = {"0.5B": 6, "1.5": 7, "2": 14}  # GiB


@pytest.mark.parametrize(
    ("version", "tensors", "millions", "vae_tensors", "vae_millions"),
    [
        ("0.5B", 377, 652, 243, 48.4 + 26.9),
        ("1.5", 467, 802, 299, 43.6 + 42.9),
        ("2", 577, 2290, 312, 48.4 + 45.8),
    ],
)
def test_the_published_sizes(tmp_path, version, tensors, millions, vae_tensors, vae_millions):
    (tmp_path / "config.json").write_text(json.dumps(config_of(version)))
    lm, vae = shapes_of(read_config(tmp_path))
    assert (len(lm), len(vae)) == (tensors, vae_tensors)
    assert sum(map(math.prod, lm.values())) / 1e6 == pytest.approx(millions, rel=0.003)
    assert sum(map(math.prod, vae.values())) / 1e6 == pytest.approx(vae_millions, rel=0.003)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_step_and_both_halves_of_the_audio_vae_fit_together(tmp_path, monkeypatch, version):
    """Every layer is built from tensors of the published shapes, and computes shapes only."""
    (tmp_path / "config.json").write_text(json.dumps(config_of(version)))
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer()), "utf-8")
    config, meta = read_config(tmp_path), torch.device("meta")
    lm, vae = (
        {name: torch.empty(shape, device=meta) for name, shape in shapes.items()}
        for shapes in shapes_of(config)
    )
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 40)
    device = Device(meta, "meta", "shapes only", torch.bfloat16)
    words = Tokenizer.load(tmp_path / "tokenizer.json", config.lm_config.vocab_size)
    with torch.inference_mode():
        gpt = VoxGpt(lm, config, words, device, slots=2, context=512, steps=10)
        output = gpt.step(torch.arange(2, device=meta), 256)
        assert output.codes.shape == (2, config.patch_size, config.feat_dim)
        if config.version == 2:
            bounds = torch.tensor(config.audio_vae_config.sr_bin_boundaries, dtype=torch.int32)
            vae["decoder.sr_bin_boundaries"] = bounds
        weights = VaeWeights(vae, config.audio_vae_config, config.version, "audiovae.pth")
        decoder, encoder = weights.decoder(meta), weights.encoder(meta)
        patch = torch.empty(1, config.feat_dim, config.patch_size, device=meta)
        assert decoder(patch, decoder.silence())[0].shape == (1, config.samples_per_patch)
        frames = torch.empty(1, 1, 3 * encoder.hop, device=meta)
        assert encoder(frames).shape == (1, config.feat_dim, 3)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_folder_of_the_published_size_speaks(tmp_path, version):
    if psutil.virtual_memory().available < NEEDED[version] * 2**30:
        pytest.skip(f"needs {NEEDED[version]} GiB of memory")
    folder = make(tmp_path / version, version)
    family = FamilyOptions(name="voxcpm", options={"model_dir": str(folder), "max_length": 256})
    options = ModelOptions(
        family=family,
        device=DeviceOptions(preference="cpu"),
        gpt=GptOptions(slots=2),
        chunks=ChunkOptions(first=1),
    )
    backend = LocalBackend(options).wait()
    shutil.rmtree(folder)
    reference = 0.1 * np.random.default_rng(0).standard_normal(16000, dtype=np.float32)

    async def speak(text: str) -> np.ndarray:
        prompt = await backend.encode_voice(Reference.of(reference, 16000, "A tone."))
        sampling = backend.spec.sampling(max_tokens=PATCHES, seed=1)
        stream = Synthesizer(backend).stream(Speech(text, prompt, sampling)).sound
        return np.concatenate([piece async for piece in stream])

    async def both() -> list[np.ndarray]:
        return await asyncio.gather(speak("请把窗户打开。"), speak("Where is the key?"))

    try:
        sounds = asyncio.run(both())
    finally:
        backend.close()
    for sound in sounds:
        assert sound.shape == (PATCHES * backend.spec.samples_per_code,)
        assert np.isfinite(sound).all() and 0 < np.abs(sound).max() <= 1
