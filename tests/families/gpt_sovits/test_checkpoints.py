"""The files of a voice model: versions, and what is refused."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.contract.errors import CheckpointError, ConfigError
from deployments.families.gpt_sovits.checkpoints import check_pair, read_gpt, read_sovits
from deployments.families.gpt_sovits.family import load
from deployments.families.gpt_sovits.header import HParams, archive_of, as_plain, read_header
from tests.families.gpt_sovits.files import CPU, VITS, sovits_path


@pytest.fixture
def bundle(gpt_sovits, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(gpt_sovits / "bundle", tmp_path / "bundle"))


@pytest.fixture
def changed(bundle) -> Callable[..., Path]:
    """changed("s1.ckpt", lambda content: ...) -> the file with its content changed in place"""

    def change(name: str, edit: Callable[[dict[str, Any]], object]) -> Path:
        allowed: list[Any] = [(HParams, "utils.HParams")]
        with archive_of(bundle / name) as source, torch.serialization.safe_globals(allowed):
            content = torch.load(source, weights_only=True)
        content["config"] = as_plain(content["config"])
        edit(content)
        torch.save(content, bundle / name)
        return bundle / name

    return change


def options(bundle: Path, **others: Any) -> dict[str, Any]:
    return {"model_dir": str(bundle), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"} | others


@pytest.mark.parametrize("version", [*VITS, "v1"])
def test_versions(gpt_sovits, gpt_sovits_v1, version):
    """One file is marked by PK and known by its shapes, two by digits in place of PK; configs are of both kinds."""
    sovits = read_sovits(sovits_path(gpt_sovits, gpt_sovits_v1, version))
    assert sovits.version == version
    assert sovits.symbols == ("v1" if version == "v1" else "v2")
    assert sovits.pro == version.startswith("v2Pro")
    assert not sovits.cfm and sovits.lora_rank is None
    assert {name: tuple(t.shape) for name, t in sovits.tensors().items()} == sovits.shapes


def test_the_header_of_a_gpt(gpt_sovits):
    gpt = read_gpt(gpt_sovits / "bundle" / "s1.ckpt")
    assert (gpt.phones, gpt.bert_width, gpt.config.head, gpt.config.EOS) == (732, 64, 4, 1024)
    assert {name: tuple(t.shape) for name, t in gpt.tensors().items()} == gpt.shapes


def test_the_spec_needs_no_torch(gpt_sovits):
    code = (
        "import sys; from deployments import families;"
        f" family = families.load('gpt_sovits', {options(gpt_sovits / 'bundle')!r});"
        " assert family.spec.sample_rate == 32000; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"sovits": "s1.ckpt"}, r"s1.ckpt: a GPT file \(s1\)"),
        ({"gpt": "s2_v2.pth"}, r"s2_v2.pth: not a GPT file \(s1\)"),
        ({"gpt": "nothing.ckpt"}, r"family.options.gpt: 'nothing.ckpt' not found"),
        ({"gpt": None}, "family.options.gpt: give it, or a version"),
        ({"gpt": None, "version": "v2Pro"}, "family.options.gpt: 's1v3.ckpt' not found"),
        ({"version": "v2"}, "family.options.version: v2, but s2_v2Pro.pth is v2Pro"),
        ({"version": "v5"}, "family.options.version: "),
        ({"hubert": "nothing"}, "family.options.hubert: 'nothing' not found"),
        ({"speaker": "sv/nothing"}, "family.options.speaker: 'nothing' not found"),
        ({"model_dir": "checkpoints"}, "must be an absolute path"),
        ({"model_dir": "/nothing/here"}, "folder 'here' does not exist"),
        ({"gpt": "~nobody-at-all/s1.ckpt"}, "names an unknown user"),
        ({"noise_scale": 3}, "family.options.noise_scale: "),
        ({"beams": 3}, "family.options.beams: .*allowed: model_dir"),
    ],
)
def test_wrong_options(gpt_sovits, others, message):
    with pytest.raises(ConfigError, match=message):
        load(options(gpt_sovits / "bundle", **others))


def test_a_gpt_and_a_decoder_of_different_symbols(gpt_sovits, gpt_sovits_v1, changed):
    old = read_sovits(gpt_sovits_v1 / "s2_v1.pth")
    with pytest.raises(CheckpointError, match=r"732 phones do not match s2_v1.pth \(v1\)"):
        check_pair(read_gpt(gpt_sovits / "bundle" / "s1.ckpt"), old)

    def cut(content: dict) -> None:
        name = "model.ar_text_embedding.word_embeddings.weight"
        content["weight"][name] = content["weight"][name][:512].clone()

    gpt = read_gpt(changed("s1.ckpt", cut))
    check_pair(gpt, old)
    with pytest.raises(CheckpointError, match=r"512 phones do not match s2_v2.pth \(v2\)"):
        check_pair(gpt, read_sovits(gpt_sovits / "bundle" / "s2_v2.pth"))


@pytest.mark.parametrize("name", ["s1.ckpt", "s2_v2.pth", "s2_v2Pro.pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file(bundle, name, share):
    path = bundle / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=rf"{name}: cannot be read: truncated"):
        (read_gpt if name == "s1.ckpt" else read_sovits)(path)


class Malicious:
    def __reduce__(self) -> tuple:
        return (print, ("this must not run",))


@pytest.mark.parametrize("name", ["s1.ckpt", "s2_v2.pth"])
def test_a_pickle_with_code(changed, name, capsys):
    path = changed(name, lambda content: content.update(info=Malicious()))
    with pytest.raises(CheckpointError, match=f"{name}: refused: it contains .*print"):
        read_header(path)
    assert "must not run" not in capsys.readouterr().out


def test_a_pickle_that_is_too_large_is_not_read(bundle):
    path = bundle / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps(b"\0" * (40 << 20)))
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match=r"bomb\.pth: not a torch file"):
        read_header(path)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("s1.ckpt", lambda c: c.pop("weight"), "needs the keys 'weight' and 'config'"),
        ("s1.ckpt", lambda c: c["config"].pop("model"), "its config has no section 'model'"),
        ("s1.ckpt", lambda c: c["config"]["model"].update(head=0), "config.model.head: "),
        (
            "s1.ckpt",
            lambda c: c["config"]["model"].update(EOS=7),
            "EOS is 7, but must be the last of 1025 codes",
        ),
        ("s2_v2.pth", lambda c: c["config"]["model"].update(resblock="2"), "config.model.resblock: "),
        ("s2_v2.pth", lambda c: c["weight"].pop("dec.ups.0.weight_v"), "it has no decoder"),
        (
            "s2_v2.pth",
            lambda c: c["weight"].update({"enc_p.text_embedding.weight": torch.zeros(9, 32)}),
            "has 9 rows, must have 322 or 732",
        ),
        (
            "s2_v2.pth",
            lambda c: c["weight"].update({"x.lora_A.default.weight": torch.zeros(9, 32)}),
            "has LoRA weights but no lora_rank",
        ),
    ],
)
def test_a_wrong_content(changed, name, edit, message):
    path = changed(name, edit)
    with pytest.raises(CheckpointError, match=message):
        (read_gpt if name == "s1.ckpt" else read_sovits)(path)


@pytest.mark.parametrize(
    ("part", "name", "tensor"),
    [
        ("gpt", "s1.ckpt", "model.h.layers.1.linear1.bias"),
        ("vocoder", "s2_v2Pro.pth", "dec.conv_post.weight"),
        ("vocoder", "s2_v2Pro.pth", "enc_p.encoder2.norm_layers_1.0.gamma"),
        ("vocoder", "s2_v2Pro.pth", "flow.flows.2.post.bias"),
    ],
)
def test_a_missing_tensor_is_named(changed, bundle, part, name, tensor):
    changed(name, lambda content: content["weight"].pop(tensor))
    family = load(options(bundle))
    with pytest.raises(CheckpointError, match=f"{name}: .*{tensor.split('.')[-1]}.* is missing"):
        family.gpt(CPU, 1) if part == "gpt" else family.vocoder(CPU)


def test_an_untrained_codebook(changed, bundle):
    name = "quantizer.vq.layers.0._codebook.inited"
    changed("s2_v2Pro.pth", lambda content: content["weight"].update({name: torch.zeros(1)}))
    with pytest.raises(CheckpointError, match="the codebook was never trained"):
        load(options(bundle)).voice_encoder(CPU)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"sovits": "s2_v4_lora.pth", "base": None}, "family.options.base: 's2Gv4.pth' not found"),
        ({"sovits": "s2_v4_lora.pth", "base": "s2_v3.pth"}, "s2_v3.pth is not the full model of v4"),
        (
            {"sovits": "s2_v4_lora.pth", "base": "s2_v4_lora.pth"},
            "s2_v4_lora.pth is not the full model of v4",
        ),
        ({"sovits": "s2_v4.pth", "version": "v3"}, "family.options.version: v3, but s2_v4.pth is v4"),
        (
            {"sovits": "s2_v4.pth", "hifigan": "nothing.pth"},
            "family.options.hifigan: 'nothing.pth' not found",
        ),
        ({"sovits": "s2_v3.pth", "bigvgan": "nothing"}, "family.options.bigvgan: 'nothing' not found"),
    ],
)
def test_wrong_files_of_v3_and_v4(gpt_sovits, gpt_sovits_v3v4, others, message):
    bundle, there = gpt_sovits / "bundle", gpt_sovits_v3v4 / "bundle"
    paths = {
        name: value if name == "version" or value is None else str(there / value)
        for name, value in others.items()
    }
    with pytest.raises(ConfigError, match=message):
        load(options(bundle, **paths))
