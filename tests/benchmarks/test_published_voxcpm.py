"""The baseline of the VoxCPM benchmark does the published work: its sound is the golden set's, whole and streamed."""

from __future__ import annotations

import json

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from benchmarks.published_voxcpm import PublishedVoxCpm
from tests.golden.archive import golden_set

SOUND = 1e-3
voxcpm = golden_set("voxcpm")


@pytest.mark.parametrize("name", ["zero_shot_zh", "continuation_en", "continuation_zh"])
def test_the_baseline_makes_the_published_sound(voxcpm, name):
    folder = voxcpm / "v15"
    case = json.loads((folder / "cases.json").read_text("utf-8"))["cases"][name]
    wanted = load_file(folder / f"case_{name}.safetensors")
    model = PublishedVoxCpm(folder / "checkpoint", torch.float32, case["inference_timesteps"])
    options = {"cfg": case["cfg_value"], "min_len": case["min_len"], "max_len": case["max_len"]}
    if case["prompt_text"]:
        waveform, _ = soundfile.read(folder / "prompt.wav", dtype="float32")
        options |= {"prompt": torch.from_numpy(waveform), "transcript": case["prompt_text"]}
    options["noise"] = wanted["noise"]
    whole = model.generate(case["target_text"], **options)
    streamed = list(model.stream(case["target_text"], **options))
    assert [len(chunk) for chunk in streamed] == wanted["stream_chunk_lens"].tolist()
    for found, sound in ((whole, wanted["wave"][0]), (torch.cat(streamed), wanted["wave_stream"][0])):
        assert found.shape == sound.shape
        assert (found - sound).abs().max() < SOUND * sound.abs().max()
