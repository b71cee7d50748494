"""One BERT, HuBERT and speaker network in a process for all parts and models that name the same files."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from deployments.families.gpt_sovits.family import load
from deployments.families.gpt_sovits.text.bert import BertFeatures
from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend
from deployments.families.gpt_sovits.voice import GptSovitsVoiceEncoder
from tests.families.gpt_sovits.files import CPU, reference

HUBERT, BERT = "chinese-hubert-base", "chinese-roberta-wwm-ext-large"


def parts(bundle: Path, sovits: str, **paths: str) -> tuple[GptSovitsFrontend, GptSovitsVoiceEncoder]:
    family = load({"model_dir": str(bundle), "gpt": "s1.ckpt", "sovits": sovits} | paths)
    frontend, encoder = family.frontend(CPU), family.voice_encoder(CPU)
    assert isinstance(frontend, GptSovitsFrontend) and isinstance(encoder, GptSovitsVoiceEncoder)
    return frontend, encoder


def test_two_models_share_what_they_have_in_common(gpt_sovits, tmp_path):
    bundle = gpt_sovits / "bundle"
    first, voice = parts(bundle, "s2_v2Pro.pth")
    second, other = parts(bundle, "s2_v2ProPlus.pth")
    assert isinstance(voice.frontend, GptSovitsFrontend)
    assert first.bert._net is second.bert._net is voice.frontend.bert._net
    assert voice.hubert is other.hubert and voice.speaker is other.speaker is not None
    assert voice.timbre is not other.timbre

    copy = shutil.copytree(bundle / HUBERT, tmp_path / HUBERT)
    _, apart = parts(bundle, "s2_v2Pro.pth", hubert=str(copy))
    assert apart.hubert is not voice.hubert
    said = [
        encoder.encode(reference(gpt_sovits, "ref.wav", transcript="你好。")) for encoder in (voice, apart)
    ]
    assert said[0].key == said[1].key


def test_another_file_or_precision_is_another_network(gpt_sovits, tmp_path):
    folder = Path(shutil.copytree(gpt_sovits / "bundle" / BERT, tmp_path / BERT))
    one, again = BertFeatures.load(folder, CPU), BertFeatures.load(folder, CPU)
    assert one._net is again._net
    half = BertFeatures.load(folder, replace(CPU, dtype=torch.bfloat16))
    assert half._net is not one._net
    assert {parameter.dtype for parameter in one._net.parameters()} == {torch.float32}
    weights = folder / "pytorch_model.bin"
    tensors = torch.load(weights, weights_only=True)
    torch.save({name: 0.5 * tensor.float() for name, tensor in tensors.items()}, weights)
    os.utime(weights, (1, 1))
    changed = BertFeatures.load(folder, CPU)
    assert changed._net is not one._net
    assert not np.array_equal(changed("天气"), one("天气"))


def test_the_last_user_frees_it(gpt_sovits):
    folder = gpt_sovits / "bundle" / BERT
    users = [BertFeatures.load(folder, replace(CPU, dtype=torch.float64)) for _ in range(2)]
    net = weakref.ref(users[0]._net)
    del users[0]
    gc.collect()
    assert net() is not None
    users.clear()
    gc.collect()
    assert net() is None
