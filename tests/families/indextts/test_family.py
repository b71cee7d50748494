"""The checkpoint folder: what is read, and the errors for a wrong one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deployments import families
from deployments.contract.errors import ConfigError
from deployments.engine.device.choose import choose_device

CPU = choose_device("cpu", threads=1)
PARTS = {
    "gpt": lambda family: family.gpt(CPU, 1),
    "voice_encoder": lambda family: family.voice_encoder(CPU),
    "vocoder": lambda family: family.vocoder(CPU),
    "frontend": lambda family: family.frontend(),
}


@pytest.fixture
def folder(shipped, tmp_path) -> Path:
    return Path(shutil.copytree(shipped / "checkpoint", tmp_path / "model"))


def load(folder: Path, parts: Sequence[str], options: dict[str, Any]) -> None:
    family = families.load("indextts", {"model_dir": str(folder), **options})
    for part in parts:
        PARTS[part](family)


def complaint(folder: Path, *parts: str, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, parts, options)
    assert str(folder.parent) not in caught.value.message
    return caught.value.message


def test_the_spec_describes_the_family_to_the_service(shipped):
    spec = families.load("indextts", {"model_dir": str(shipped / "checkpoint")}).spec
    assert (spec.name, spec.sample_rate, spec.samples_per_code) == ("indextts", 24000, 1024)
    assert spec.codes_per_second == 23.4375
    assert spec.languages == ("zh", "en")
    assert spec.defaults == {"temperature": 1.0, "top_k": 30, "top_p": 0.8, "repetition_penalty": 10.0}
    assert spec.max_tokens == 600
    assert spec.window is None


def test_spec_and_frontend_need_no_torch(shipped):
    program = (
        "import sys\nfrom deployments import families\n"
        f"family = families.load('indextts', {{'model_dir': {str(shipped / 'checkpoint')!r}}})\n"
        "family.spec, family.frontend(), family.example_prompt()\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


def test_modes(shipped):
    options = {"model_dir": str(shipped / "checkpoint")}
    infer = families.load("indextts", options)
    fast = families.load("indextts", options | {"mode": "infer_fast", "sentences_bucket_max_size": 4})
    assert (fast.spec.window, infer.spec.window) == (4, None)
    cut = families.load("indextts", options | {"max_text_tokens_per_sentence": 20})
    text = "请把窗户打开，让风吹进来。Where is the key? It is three miles from here."
    counts = [len(family.frontend().segments(text)) for family in (infer, cut)]
    assert counts[1] > counts[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "model_dir: Field required"),
        ({"model_dir": "relative/folder"}, "must be an absolute path"),
        ({"model_dir": "/nowhere/at-all"}, "folder 'at-all' does not exist"),
        ({"model_dir": "/tmp", "mode": "slow"}, "mode: Input should be 'infer' or 'infer_fast'"),
        (
            {"model_dir": "/tmp", "num_beams": 3},
            "num_beams: Extra inputs are not permitted; allowed: model_dir, mode",
        ),
        ({"model_dir": "/tmp", "max_text_tokens_per_sentence": 1}, "greater than or equal to 10"),
    ],
)
def test_wrong_options(options, says):
    with pytest.raises(ConfigError) as caught:
        families.load("indextts", options)
    assert says in caught.value.message


@pytest.mark.parametrize("name", ["config.yaml", "gpt.pth", "bigvgan_generator.pth", "bpe.model"])
def test_a_missing_file_is_named_early(folder, name):
    (folder / name).unlink()
    assert name in complaint(folder)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gpt.pth", "gpt"),
        ("gpt.pth", "voice_encoder"),
        ("bigvgan_generator.pth", "vocoder"),
        ("bigvgan_generator.pth", "voice_encoder"),
        ("bpe.model", "frontend"),
    ],
)
def test_a_truncated_file_is_named(folder, name, part):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    assert complaint(folder, part).startswith(name)


def test_swapped_files_are_named(folder):
    gpt, vocoder, spare = folder / "gpt.pth", folder / "bigvgan_generator.pth", folder / "spare"
    gpt.rename(spare)
    vocoder.rename(gpt)
    spare.rename(vocoder)
    assert complaint(folder, "gpt").startswith("gpt.pth: ")
    assert complaint(folder, "vocoder").startswith("bigvgan_generator.pth: ")
    assert complaint(folder, "voice_encoder").startswith(("gpt.pth: ", "bigvgan_generator.pth: "))


@pytest.mark.parametrize(
    ("before", "after", "part", "says"),
    [
        (
            "layers: 2\n  activation",
            "layers: 3\n  activation",
            "gpt",
            "gpt.pth: gpt.h.2.attn.c_attn.bias is missing",
        ),
        (
            "max_mel_tokens: 72",
            "max_mel_tokens: 605",
            "gpt",
            "mel_pos_embedding.emb.weight is (75, 64), the config",
        ),
        ("num_blocks: 2", "num_blocks: 6", "voice_encoder", "gpt.pth: conditioning_encoder.encoders.2."),
        ("output_size: 32", "output_size: 64", "voice_encoder", "gpt.pth: conditioning_encoder."),
        ("number_text_tokens: 324", "number_text_tokens: 12000", "frontend", "bpe.model has 324 pieces"),
        ("initial_channel: 64", "initial_channel: 1536", "vocoder", "bigvgan_generator.pth: "),
    ],
)
def test_a_config_of_another_version_names_the_tensor(folder, before, after, part, says):
    config = (folder / "config.yaml").read_text()
    assert before in config
    (folder / "config.yaml").write_text(config.replace(before, after))
    assert says in complaint(folder, part)


def test_a_pickle_with_code_is_refused(folder):
    class Code:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"model": Code()}, folder / "gpt.pth")
    assert "gpt.pth: refused" in complaint(folder, "gpt")


def test_a_checkpoint_under_the_key_model(folder):
    torch.save({"model": torch.load(folder / "gpt.pth", weights_only=True)}, folder / "gpt.pth")
    assert families.load("indextts", {"model_dir": str(folder)}).gpt(CPU, 1).slots == 1


def test_files_may_be_safetensors_if_the_config_names_them(folder):
    save_file(torch.load(folder / "gpt.pth", weights_only=True), folder / "gpt.safetensors")
    (folder / "gpt.pth").unlink()
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        config.replace("gpt_checkpoint: gpt.pth", "gpt_checkpoint: gpt.safetensors")
    )
    assert families.load("indextts", {"model_dir": str(folder)}).gpt(CPU, 1).slots == 1
