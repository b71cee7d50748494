"""Files of a checkpoint with any damage: a CheckpointError, or values that pass every check."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from deployments.contract.errors import CheckpointError
from deployments.contract.speech import VoicePrompt
from deployments.families.checkpoint import read_tensors
from deployments.families.gpt_sovits import ap_bwe, bigvgan
from deployments.families.gpt_sovits.header import read_header
from deployments.families.gpt_sovits.hubert import HubertConfig
from deployments.families.gpt_sovits.pretrained import read_config as read_pretrained
from deployments.families.indextts.config import read_config as read_indextts
from deployments.families.small.family import WEIGHTS, SmallFamily, SmallOptions
from deployments.families.voxcpm.checkpoint import _lora_scale
from deployments.families.voxcpm.config import read_config as read_voxcpm
from deployments.families.voxcpm.text.tokenizer import Tokenizer
from tests.golden import random_gpt_sovits_cfm, random_indextts, random_voxcpm

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}
LLAMA = {
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]
}
TOKENIZER = {
    "model": {
        "type": "BPE",
        "byte_fallback": True,
        "vocab": {"a": 1, "b": 2, "ab": 3},
        "merges": ["a b"],
        "unk_token": "a",
    },
    "added_tokens": [{"content": "</s>", "id": 4, "special": True}],
    "normalizer": LLAMA,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoint")


def _torch_file(content: Any, **options: Any) -> bytes:
    file = BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _safetensors(folder: Path) -> bytes:
    save_file(STATE, folder / "good.safetensors")
    return (folder / "good.safetensors").read_bytes()


def _pickled(data: bytes) -> bytes:
    """A torch file whose pickle is `data`."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", data)
        archive.writestr("x/version", b"3\n")
    return file.getvalue()


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """With some bytes changed, a piece removed or inserted, or the end cut off."""
    data = good
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 8)) :]
    return data[: draw(st.integers(len(data) // 2, len(data)))] if draw(st.booleans()) else data


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "pickle"])
@given(data=st.data())
@settings(max_examples=40)
def test_a_damaged_file_of_tensors(kind: str, data: st.DataObject, folder: Path) -> None:
    if kind == "safetensors":
        content, name = data.draw(damaged(_safetensors(folder))), "x.safetensors"
    elif kind == "pickle":
        content, name = (
            _pickled(data.draw(damaged(pickle.dumps({"a": [1, 2.0], "b": ("c", None)})) | st.binary())),
            "x.pth",
        )
    else:
        content = data.draw(damaged(_torch_file(STATE, _use_new_zipfile_serialization=kind == "zip")))
        name = "x.pth"
    (folder / name).write_bytes(content)
    with suppress(CheckpointError):
        assert all(isinstance(tensor, torch.Tensor) for tensor in read_tensors(folder / name).values())


@pytest.mark.parametrize("kind", ["file", "pickle"])
@given(data=st.data())
@settings(max_examples=40)
def test_a_damaged_header(kind: str, data: st.DataObject, folder: Path) -> None:
    path = folder / "x.pth"
    content = {"weight": STATE, "config": {"model": {"sizes": [1, 2]}}, "info": "x"}
    if kind == "file":
        path.write_bytes(data.draw(damaged(_torch_file(content))))
    else:
        with zipfile.ZipFile(BytesIO(_torch_file(content))) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            good = archive.read(name)
        path.write_bytes(_pickled(data.draw(damaged(good) | st.binary(max_size=60))))
    with suppress(CheckpointError):
        assert all(isinstance(shape, tuple) for shape in read_header(path).shapes.values())


@pytest.mark.parametrize("flag", [{"flag_bits": 1}, {"compress_type": 99}], ids=str)
def test_a_header_that_cannot_be_unpacked(flag: dict[str, int], folder: Path) -> None:
    """Encrypted, or compressed in an unknown way."""
    data = _pickled(b"N.")
    with zipfile.ZipFile(BytesIO(data)) as archive:
        begin = archive.start_dir
    local, central = (6, 8) if "flag_bits" in flag else (8, 10)
    (value,) = flag.values()
    changed = bytearray(data)
    changed[local] = changed[begin + central] = value
    (folder / "x.pth").write_bytes(changed)
    with pytest.raises(CheckpointError):
        read_header(folder / "x.pth")


NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 1, 2, 1 << 20, 1 << 62])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HOSTILE = (
    b"", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000, b'"\\ud800"', b"null", b"[]", b"\xff\xfe", b'{"a": NaN}',
)  # fmt: skip


@st.composite
def altered(draw: st.DrawFn, good: dict[str, Any]) -> bytes:
    """JSON with some values replaced at any depth, or damaged bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(damaged(json.dumps(good).encode()))
    changed = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 2))):
        inner = changed
        while True:
            key = (
                draw(st.sampled_from(sorted(inner)))
                if isinstance(inner, dict)
                else draw(st.integers(0, len(inner) - 1))
            )
            if not isinstance(inner[key], dict | list) or not inner[key] or draw(st.booleans()):
                break
            inner = inner[key]
        inner[key] = draw(JSON)
    return json.dumps(changed).encode()


def _small(folder: Path) -> None:
    family = SmallFamily(SmallOptions(weights=folder))
    assert family.spec.samples_per_code > 0


GOOD: dict[str, Callable[[], dict[str, Any]]] = {
    "small": lambda: json.loads((WEIGHTS / "small.json").read_text()),
    "voxcpm": lambda: random_voxcpm.config_of("2"),
    "voxcpm_lora": lambda: {"lora_config": {"alpha": 8, "r": 4}},
    "tokenizer": lambda: TOKENIZER,
    "indextts": lambda: random_indextts.config_of("1.5"),
    "bigvgan": lambda: random_gpt_sovits_cfm.BIGVGAN,
    "ap_bwe": lambda: {
        "n_fft": 1024, "hop_size": 80, "win_size": 320, "ConvNeXt_channels": 8, "ConvNeXt_layers": 2
    },
    "hubert": lambda: {
        "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
        "conv_dim": [8], "conv_kernel": [3], "conv_stride": [2],
    },
}  # fmt: skip
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "small": ("small.json", _small),
    "voxcpm": ("config.json", read_voxcpm),
    "voxcpm_lora": ("lora_config.json", _lora_scale),
    "tokenizer": (
        "tokenizer.json",
        lambda folder: Tokenizer.load(folder / "tokenizer.json", 10).encode("ab a </s>"),
    ),
    "indextts": ("config.yaml", read_indextts),
    "bigvgan": ("config.json", lambda folder: bigvgan._config(folder / "config.json").shape),
    "ap_bwe": ("config.json", lambda folder: ap_bwe._config(folder / "config.json")),
    "hubert": ("config.json", lambda folder: read_pretrained(folder, HubertConfig)),
}


@cache
def _good(name: str) -> dict[str, Any]:
    """What the reader accepts."""
    return GOOD[name]()


@pytest.mark.parametrize("name", READERS)
def test_the_good_config_is_read(name: str, folder: Path) -> None:
    file, read = READERS[name]
    (folder / file).write_text(json.dumps(_good(name)))
    read(folder)


@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: content[:9].decode("latin-1"))
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_config_is_refused(name: str, content: bytes, folder: Path) -> None:
    file, read = READERS[name]
    (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError):
        read(folder)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=40)
def test_an_altered_config(name: str, data: st.DataObject, folder: Path) -> None:
    file, read = READERS[name]
    (folder / file).write_bytes(data.draw(altered(_good(name))))
    with suppress(CheckpointError):
        read(folder)


@given(data=st.data())
def test_a_damaged_voice_prompt(data: st.DataObject) -> None:
    good = VoicePrompt.of("tones", {"pitch": np.array([220.0]), "codes": np.arange(4)}).to_bytes()
    with suppress(ValueError):
        VoicePrompt.from_bytes("tones", data.draw(damaged(good) | st.binary(max_size=40)))
