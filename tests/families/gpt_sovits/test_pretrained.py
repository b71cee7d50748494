"""Pretrained models beside the two files of a voice: what is missing, damaged or of another kind is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deployments.contract.errors import CheckpointError
from deployments.families.gpt_sovits.family import load
from tests.families.gpt_sovits.files import CPU

HUBERT, BERT = "chinese-hubert-base", "chinese-roberta-wwm-ext-large"
SPEAKER = "sv/pretrained_eres2netv2w24s4ep4.ckpt"


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_a_layer(path: Path) -> None:
    tensors = torch.load(path, weights_only=True)
    torch.save({name: tensor for name, tensor in tensors.items() if not name.startswith("layer4.")}, path)


def flat(path: Path) -> None:
    tensors = torch.load(path, weights_only=True)
    torch.save({**tensors, "layer1.0.conv1.weight": torch.zeros(3)}, path)


def copied(source: Path, to: Path) -> None:
    if to.is_dir():
        shutil.rmtree(to)
        shutil.copytree(source, to)
    else:
        shutil.copy(source, to)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no HuBERT": (lambda f: (f / HUBERT / "pytorch_model.bin").unlink(), "pytorch_model.bin: not found"),
    "no config": (lambda f: (f / HUBERT / "config.json").unlink(), f"{HUBERT}: config.json not found"),
    "half a HuBERT": (lambda f: cut_short(f / HUBERT / "pytorch_model.bin"), "pytorch_model.bin: cannot be read"),
    "BERT as HuBERT": (lambda f: copied(f / BERT, f / HUBERT), f"{HUBERT}/config.json: "),
    "HuBERT as BERT": (lambda f: copied(f / HUBERT, f / BERT), f"{BERT}/config.json: "),
    "half a speaker network": (lambda f: cut_short(f / SPEAKER), "pretrained_eres2netv2w24s4ep4.ckpt: cannot be read"),
    "a speaker network without a layer": (
        lambda f: without_a_layer(f / SPEAKER),
        r"pretrained_eres2netv2w24s4ep4.ckpt: .*layer4",
    ),
    "a speaker network with a flat layer": (
        lambda f: flat(f / SPEAKER),
        r"pretrained_eres2netv2w24s4ep4.ckpt: the tensors \* do not fit together",
    ),
    "a decoder as speaker network": (
        lambda f: copied(f / "s2_v2.pth", f / SPEAKER),
        "pretrained_eres2netv2w24s4ep4.ckpt: refused",
    ),
    "HuBERT as speaker network": (
        lambda f: copied(f / HUBERT / "pytorch_model.bin", f / SPEAKER),
        "pretrained_eres2netv2w24s4ep4.ckpt: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_file_and_the_fault_are_named(gpt_sovits, tmp_path, fault):
    bundle = Path(shutil.copytree(gpt_sovits / "bundle", tmp_path / "bundle"))
    damage, message = FAULTS[fault]
    damage(bundle)
    with pytest.raises(CheckpointError, match=message) as refused:
        load({"model_dir": str(bundle), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"}).voice_encoder(CPU)
    assert str(tmp_path) not in str(refused.value)
