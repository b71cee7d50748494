"""BERT features against the golden hidden states, and folders that are not such a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from deployments.contract.errors import CheckpointError
from deployments.families.gpt_sovits.text.bert import BertFeatures
from tests.families.gpt_sovits.text.conftest import BERT, CPU

ZH1 = "今天天气真不错,我们一起去公园散步吧."


@pytest.fixture
def folder(gpt_sovits: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(gpt_sovits / "bundle" / BERT, tmp_path / BERT, copy_function=shutil.copyfile))


def test_hidden_states_and_ids_are_the_golden_ones(gpt_sovits: Path) -> None:
    bert, expected = (
        BertFeatures.load(gpt_sovits / "bundle" / BERT, CPU),
        load_file(gpt_sovits / "t2s_golden.safetensors"),
    )
    assert bert.ids(ZH1) == expected["bert.zh1.input_ids"].tolist()
    np.testing.assert_allclose(bert(ZH1), expected["bert.zh1.hidden_m3"][1:-1], atol=5e-4, rtol=1e-4)


def test_a_text_beyond_the_positions_is_read_in_parts(gpt_sovits: Path) -> None:
    bert = BertFeatures.load(gpt_sovits / "bundle" / BERT, CPU)
    text = "今天天气" * 150
    rows = bert(text)
    assert rows.shape == (600, bert.width)
    np.testing.assert_allclose(rows[510:], bert(text[510:]), atol=1e-6)


def test_the_file_may_have_new_or_old_names_and_no_unused_layer(folder: Path) -> None:
    plain = BertFeatures.load(folder, CPU)(ZH1)
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(("cls.", "bert.encoder.layer.3."))
    }
    renamed = {name.removeprefix("bert."): tensor.clone() for name, tensor in kept.items()}
    save_file(
        {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): tensor
            for name, tensor in renamed.items()
        },
        folder / "model.safetensors",
    )
    (folder / "pytorch_model.bin").unlink()
    np.testing.assert_array_equal(BertFeatures.load(folder, CPU)(ZH1), plain)


def _config(folder: Path, **changed: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json not found"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), "config.json: not JSON"),
    "another activation": (lambda f: _config(f, hidden_act="relu"), "hidden_act"),
    "too few layers": (lambda f: _config(f, num_hidden_layers=2), "num_hidden_layers"),
    "another width": (lambda f: _config(f, hidden_size=32), "pytorch_model.bin: .* the config wants"),
    "more layers": (lambda f: _config(f, num_hidden_layers=9), "pytorch_model.bin: layers.4"),
    "no weights": (lambda f: (f / "pytorch_model.bin").unlink(), "pytorch_model.bin: not found"),
    "truncated": (
        lambda f: (f / "pytorch_model.bin").write_bytes(b"PK\3\4 and no more"),
        "pytorch_model.bin",
    ),
    "no vocabulary": (lambda f: (f / "vocab.txt").unlink(), "vocab.txt: not found"),
    "no classes": (lambda f: (f / "vocab.txt").write_text("a\nb\n"), r"vocab.txt: has no token \[CLS\]"),
    "too many tokens": (
        lambda f: (f / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n" + "a\n" * 300),
        "vocab.txt: has 303 tokens, config.json's vocab_size says 228",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_folder_is_refused_with_the_file_and_the_reason(folder: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as refused:
        BertFeatures.load(folder, CPU)
    assert str(folder.parent) not in str(refused.value)
