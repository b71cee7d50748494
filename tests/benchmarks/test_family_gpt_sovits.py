"""The GPT-SoVITS benchmark: its baseline gives the published results, and both methods run on the golden checkpoint."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.published_gpt_sovits import PublishedGpt, PublishedVits
from deployments.contract.speech import Sampling
from deployments.families.gpt_sovits.checkpoints import read_gpt, read_sovits
from deployments.families.gpt_sovits.eres2net import Eres2Net
from tests.families.gpt_sovits.files import AUDIO, near, recording, tensors
from tests.golden.archive import golden_set

golden = golden_set("gpt_sovits")


@pytest.fixture
def bundle(gpt_sovits):
    return gpt_sovits / "bundle"


def test_the_baseline_gives_the_published_codes_and_samples(gpt_sovits, bundle):
    facts, sound = (tensors(gpt_sovits / f"{name}_golden.safetensors") for name in ("t2s", "sovits"))
    gpt, sovits = read_gpt(bundle / "s1.ckpt"), read_sovits(bundle / "s2_v2Pro.pth")
    phones, bert = (torch.cat([facts["prompt.phones"], facts["t2s.zh1.phones"]]),
                    torch.cat([facts["prompt.bert"], facts["t2s.zh1.bert"]], 1).T)  # fmt: skip
    greedy = Sampling.of(temperature=0.0, repetition_penalty=1.35)
    speaker = Eres2Net.load(bundle / "sv" / "pretrained_eres2netv2w24s4ep4.ckpt")
    with torch.inference_mode():
        codes = PublishedGpt(gpt, gpt.tensors()).codes(
            phones, bert, facts["prompt.codes"], greedy, torch.Generator()
        )
        assert torch.equal(codes, facts["t2s.zh1.greedy_codes"])
        vits = PublishedVits(sovits, sovits.tensors(), speaker)
        found = vits.decode(
            sound["s2.codes"], sound["s2.phones"], *recording(gpt_sovits / "ref.wav"), noise_scale=0
        )
    near(found, sound["v2Pro.audio_noise0"], **AUDIO)


def test_both_methods_run_on_the_golden_checkpoint(run, bundle):
    files = {"model_dir": str(bundle), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"}
    words = ["--batch", "2", "--codes", "12", "--threads", "1", "--files", json.dumps(files)]
    rows = run("family_gpt_sovits", *words)["rows"]
    assert [row["way"] for row in rows] == ["published", "chorale", "chorale bf16"]
    for row in rows:
        assert 0 < row["audio_s"] <= 2 * 12 / 25 + 0.01
        assert row["rtf"] > 0 and row["peak_gib"] > 0
    assert ["times_faster" in row for row in rows] == [False, True, True]
