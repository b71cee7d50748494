"""Creates a full-size GPT-SoVITS folder of random tensors with the published shapes. It runs, but does not speak.

    python -m tests.golden.random_gpt_sovits FOLDER [--version v1|v2|v2Pro|v2ProPlus|v3|v4]

The shapes are those of the golden set's small files, with the published widths. It takes 1.2 GB of disk (v3 and v4:
2 GB), in fp16 as published.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deployments.families.gpt_sovits.checkpoints import Version, read_sovits
from deployments.families.gpt_sovits.options import PUBLISHED
from tests.golden import random_gpt_sovits_cfm
from tests.golden.archive import unpacked

Shapes = dict[str, tuple[int, ...]]
VERSIONS: tuple[Version, ...] = ("v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4")
WIDTH, LAYERS, HEADS, CODES, BERT = 512, 24, 16, 1025, 1024
BERT_LAYERS, BERT_HEADS, HUBERT, HUBERT_LAYERS = 24, 16, 768, 12
PLANES, BLOCKS = (64, 128, 256, 512), (3, 4, 6, 3)  # of the speaker network
# the widths of the golden set's v2Pro file, and the published ones, by the beginning of a tensor's name
_WIDTHS: tuple[tuple[str, dict[int, int]], ...] = (
    ("enc_p.mrte.", {24: 512, 32: 192}),
    ("enc_p.proj.", {}),
    ("enc_p.", {32: 192, 48: 768, 16: 96}),
    ("dec.", {2 << n: 16 << n for n in range(6)} | {40: 1024}),
    ("flow.", {8: 96, 32: 192, 64: 384, 256: 1536, 40: 1024}),
    ("ref_enc.", {32: 128, 64: 256, 40: 1024}),
    ("sv_emb.", {40: 1024, 1280: 20480}),
    ("ge_to512.", {24: 512, 40: 1024}),
    ("prelu.", {40: 1024}),
    ("", {48: 768}),
)
_EXACT = {"enc_p.proj.weight": (384, 192, 1), "enc_p.proj.bias": (384,), "dec.conv_pre.weight": (512, 192, 7)}
_PRO = ("sv_emb.", "ge_to512.", "prelu.")


def make(folder: Path, version: Version = "v2Pro", seed: int = 0) -> Path:
    """Writes the files of `version` to their published places in `folder`, and returns it."""
    generator = torch.Generator().manual_seed(seed)
    gpt, sovits = (folder / name for name in PUBLISHED[version])
    with tempfile.TemporaryDirectory() as scratch:
        small = unpacked("gpt_sovits", Path(scratch)) / "bundle"
        template = read_sovits(small / "s2_v2Pro.pth").shapes
        _save(
            gpt, {"weight": filled(gpt_shapes(version), generator), "config": gpt_config(version), "info": ""}
        )
        if version == "v3" or version == "v4":
            random_gpt_sovits_cfm.make(folder, version, seed)
        else:
            _save(sovits, sovits_content(template, version, generator))
        for name in ("chinese-hubert-base", "chinese-roberta-wwm-ext-large"):
            shutil.copytree(small / name, folder / name, dirs_exist_ok=True)
    hubert, bert = folder / "chinese-hubert-base", folder / "chinese-roberta-wwm-ext-large"
    _edit(hubert, hidden_size=HUBERT, intermediate_size=4 * HUBERT, num_attention_heads=12,
          num_hidden_layers=HUBERT_LAYERS, conv_dim=[512] * 7)  # fmt: skip
    torch.save(filled(hubert_shapes(), generator), hubert / "pytorch_model.bin")
    pieces = len((bert / "vocab.txt").read_text("utf-8").splitlines())
    _edit(bert, hidden_size=BERT, intermediate_size=4 * BERT, num_attention_heads=BERT_HEADS,
          num_hidden_layers=BERT_LAYERS)  # fmt: skip
    positions = json.loads((bert / "config.json").read_text())["max_position_embeddings"]
    torch.save(filled(bert_shapes(pieces, positions), generator), bert / "pytorch_model.bin")
    if version.startswith("v2Pro"):
        _save(
            folder / "sv" / "pretrained_eres2netv2w24s4ep4.ckpt",
            filled(speaker_shapes(), generator, torch.float32),
        )
    return folder


def gpt_config(version: Version) -> dict[str, Any]:
    model = {"head": HEADS, "EOS": CODES - 1, "n_layer": LAYERS, "embedding_dim": WIDTH, "vocab_size": CODES}
    return {"model": model | {"phoneme_vocab_size": _phones(version)}}


def gpt_shapes(version: Version) -> Shapes:
    shapes: Shapes = {
        "model.bert_proj.weight": (WIDTH, BERT),
        "model.ar_text_embedding.word_embeddings.weight": (_phones(version), WIDTH),
        "model.ar_audio_embedding.word_embeddings.weight": (CODES, WIDTH),
        "model.ar_text_position.alpha": (1,),
        "model.ar_audio_position.alpha": (1,),
        "model.ar_predict_layer.weight": (CODES, WIDTH),
    }
    for layer in range(LAYERS):
        block = f"model.h.layers.{layer}"
        shapes |= {
            f"{block}.self_attn.in_proj_weight": (3 * WIDTH, WIDTH),
            f"{block}.self_attn.out_proj.weight": (WIDTH, WIDTH),
            f"{block}.linear1.weight": (4 * WIDTH, WIDTH),
            f"{block}.linear2.weight": (WIDTH, 4 * WIDTH),
        }
        shapes |= {
            f"{block}.{norm}.{part}": (WIDTH,) for norm in ("norm1", "norm2") for part in ("weight", "bias")
        }
    biases = {
        n[: -len("weight")] + "bias": (s[0],)
        for n, s in shapes.items()
        if n.endswith("weight") and _biased(n)
    }
    return shapes | biases


def _biased(name: str) -> bool:
    return name.endswith(
        ("in_proj_weight", "out_proj.weight", "linear1.weight", "linear2.weight", "bert_proj.weight")
    )


def _phones(version: Version) -> int:
    return 512 if version == "v1" else 732


def sovits_content(
    template: Mapping[str, tuple[int, ...]], version: Version, generator: torch.Generator
) -> dict:
    """template: the shapes of the golden set's v2Pro file."""
    pro, plus = version.startswith("v2Pro"), version == "v2ProPlus"
    shapes: Shapes = {}
    for name, shape in template.items():
        if not name.startswith(_PRO) or pro:
            widened = _EXACT.get(name) or _widened(name, shape)
            shapes[name] = tuple(
                512 if size == 1024 and not pro and _of_speaker(name) else size for size in widened
            )
    if plus:
        shapes = {name: _plus(name, shape) for name, shape in shapes.items()}
    if version == "v1":
        shapes["enc_p.text_embedding.weight"] = (322, 192)
        shapes["ref_enc.spectral.0.fc.weight"] = (128, 1025)
    weight = filled(shapes, generator)
    weight["quantizer.vq.layers.0._codebook.inited"] = torch.ones(1)
    return {"weight": weight, "config": {"model": {"version": version}}, "info": ""}


def _widened(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    widths = next(widths for prefix, widths in _WIDTHS if name.startswith(prefix))
    kernel = len(shape) == 3 and not name.endswith(("emb_rel_k", "emb_rel_v"))
    return tuple(size if kernel and axis == 2 else widths.get(size, size) for axis, size in enumerate(shape))


def _of_speaker(name: str) -> bool:
    return name.startswith(("dec.cond", "ref_enc.fc")) or "cond_layer" in name


def _plus(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The wider generator of v2ProPlus."""
    if not name.startswith("dec."):
        return shape
    inputs = 2 if name == "dec.conv_pre.weight" or name == "dec.cond.weight" else 1  # axes that do not grow
    axes = range(1 if inputs == 2 else 2)
    wide = tuple(size * 3 // 2 if axis in axes and size > 1 else size for axis, size in enumerate(shape))
    return (*wide[:2], 20) if name == "dec.ups.0.weight_v" else wide


def hubert_shapes() -> Shapes:
    shapes: Shapes = {"feature_extractor.conv_layers.0.conv.weight": (512, 1, 10)}
    for layer, kernel in enumerate((3, 3, 3, 3, 2, 2), start=1):
        shapes[f"feature_extractor.conv_layers.{layer}.conv.weight"] = (512, 512, kernel)
    shapes |= _norm("feature_extractor.conv_layers.0.layer_norm", 512)
    shapes |= _norm("feature_projection.layer_norm", 512) | _linear(
        "feature_projection.projection", HUBERT, 512
    )
    position = "encoder.pos_conv_embed.conv"
    shapes |= {f"{position}.bias": (HUBERT,), f"{position}.weight_g": (1, 1, 128)}
    shapes |= {f"{position}.weight_v": (HUBERT, HUBERT // 16, 128)} | _norm("encoder.layer_norm", HUBERT)
    for layer in range(HUBERT_LAYERS):
        block = f"encoder.layers.{layer}"
        for part in "kvq":
            shapes |= _linear(f"{block}.attention.{part}_proj", HUBERT, HUBERT)
        shapes |= _linear(f"{block}.attention.out_proj", HUBERT, HUBERT)
        shapes |= _linear(f"{block}.feed_forward.intermediate_dense", 4 * HUBERT, HUBERT)
        shapes |= _linear(f"{block}.feed_forward.output_dense", HUBERT, 4 * HUBERT)
        shapes |= _norm(f"{block}.layer_norm", HUBERT) | _norm(f"{block}.final_layer_norm", HUBERT)
    return shapes


def bert_shapes(pieces: int, positions: int) -> Shapes:
    shapes: Shapes = {
        "bert.embeddings.word_embeddings.weight": (pieces, BERT),
        "bert.embeddings.position_embeddings.weight": (positions, BERT),
        "bert.embeddings.token_type_embeddings.weight": (2, BERT),
    } | _norm("bert.embeddings.LayerNorm", BERT)
    for layer in range(BERT_LAYERS):
        block = f"bert.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{block}.attention.self.{part}", BERT, BERT)
        shapes |= _linear(f"{block}.attention.output.dense", BERT, BERT)
        shapes |= _linear(f"{block}.intermediate.dense", 4 * BERT, BERT)
        shapes |= _linear(f"{block}.output.dense", BERT, 4 * BERT)
        shapes |= _norm(f"{block}.attention.output.LayerNorm", BERT) | _norm(
            f"{block}.output.LayerNorm", BERT
        )
    return shapes


def speaker_shapes() -> Shapes:
    """ERes2NetV2 with 64 channels, base width 24, scale 4 and expansion 4."""
    shapes: Shapes = {"conv1.weight": (64, 1, 3, 3)} | _batch_norm("bn1", 64)
    inputs = 64
    for number, (planes, blocks) in enumerate(zip(PLANES, BLOCKS, strict=True), start=1):
        part, outputs = planes * 24 // 64, 4 * planes
        for block in range(blocks):
            name = f"layer{number}.{block}"
            shapes |= {f"{name}.conv1.weight": (4 * part, inputs, 1, 1)} | _batch_norm(
                f"{name}.bn1", 4 * part
            )
            for index in range(4):
                shapes |= {f"{name}.convs.{index}.weight": (part, part, 3, 3)} | _batch_norm(
                    f"{name}.bns.{index}", part
                )
            for index in range(3 if number > 2 else 0):
                shapes |= _fusion(f"{name}.fuse_models.{index}", part)
            shapes |= {f"{name}.conv3.weight": (outputs, 4 * part, 1, 1)} | _batch_norm(
                f"{name}.bn3", outputs
            )
            if not block:
                shapes |= {f"{name}.shortcut.0.weight": (outputs, inputs, 1, 1)}
                shapes |= _batch_norm(f"{name}.shortcut.1", outputs)
            inputs = outputs
    return shapes | {"layer3_ds.weight": (2048, 1024, 3, 3)} | _fusion("fuse34", 2048)


def _fusion(name: str, channels: int) -> Shapes:
    name, hidden = f"{name}.local_att", channels // 4
    return {
        f"{name}.0.weight": (hidden, 2 * channels, 1, 1),
        f"{name}.0.bias": (hidden,),
        f"{name}.3.weight": (channels, hidden, 1, 1),
        f"{name}.3.bias": (channels,),
    } | _batch_norm(f"{name}.1", hidden) | _batch_norm(f"{name}.4", channels)  # fmt: skip


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _batch_norm(name: str, width: int) -> Shapes:
    return _norm(name, width) | {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}


def filled(
    shapes: Shapes, generator: torch.Generator, dtype: torch.dtype = torch.float16
) -> dict[str, Tensor]:
    return {name: _values(name, shape, generator).to(dtype) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Values that keep the size of signals through the tensor's layer."""
    values = torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return 0.5 + values.abs()
    if name.endswith(("bias", "beta", "running_mean", "emb_rel_k", "emb_rel_v")):
        return 0.02 * values
    if name.endswith("weight_g"):
        return 0.7 + 0.1 * values.abs()
    if len(shape) == 1:  # the weight of a norm, or the scale of positions
        return 1 + 0.1 * values
    if "embed" in name:
        return values
    if re.search(r"dec\.ups\.\d\.weight_v$", name):
        return values
    if name.endswith("ar_predict_layer.weight"):
        values[-1] = 0  # the end is never the likeliest code
    return values / math.sqrt(math.prod(shape[1:]))


def _save(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def _edit(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", choices=VERSIONS, default="v2Pro")
    options = parser.parse_args()
    print(make(options.folder, options.version))


if __name__ == "__main__":
    main()
