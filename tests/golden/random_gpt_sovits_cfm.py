"""The published shapes of the decoders of GPT-SoVITS v3 and v4, and random tensors of them. They run, but do not speak.

    python -m tests.golden.random_gpt_sovits_cfm FOLDER [--version v3|v4]

writes the SoVITS file, 0.75 GB, and the vocoder, to their published places in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from deployments.families.gpt_sovits.bigvgan import CONFIG, WEIGHTS
from deployments.families.gpt_sovits.cfm.layout import MELS
from deployments.families.gpt_sovits.options import PUBLISHED, GptSovitsOptions

Shapes = dict[str, tuple[int, ...]]
CfmVersion = Literal["v3", "v4"]
HIDDEN, SPEAKER, FEATURES, DIM, DEPTH = 192, 512, 512, 1024, 22
TENSORS, NUMBERS = 685, 384_394_985  # of a published SoVITS file
BIGVGAN = {
    "resblock": "1", "upsample_rates": [4, 4, 2, 2, 2, 2], "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 1536, "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3, "use_tanh_at_final": False, "use_bias_at_final": False,
    "activation": "snakebeta", "snake_logscale": True, "num_mels": MELS,
}  # fmt: skip


def sovits_shapes() -> Shapes:
    """Of every tensor of an s2 file: TENSORS of them, NUMBERS in all."""
    shapes = _encoder() | _style() | _layer("ssl_proj", 768, 768, 2)
    book = "quantizer.vq.layers.0._codebook."
    shapes |= {f"{book}inited": (1,), f"{book}cluster_size": (1024,)}
    shapes |= {f"{book}embed": (1024, 768), f"{book}embed_avg": (1024, 768)}
    shapes |= _layer("bridge.0", FEATURES, HIDDEN, 1) | _layer("linear_mel", MELS, FEATURES, 1)
    for name in ("pre", "proj"):
        shapes |= _layer(f"wns1.{name}", FEATURES, FEATURES, 1)
    shapes |= _normed("wns1.enc.cond_layer", 16 * FEATURES, SPEAKER, 1)
    for layer in range(8):
        shapes |= _normed(f"wns1.enc.in_layers.{layer}", 2 * FEATURES, FEATURES, 5)
        outputs = FEATURES if layer == 7 else 2 * FEATURES
        shapes |= _normed(f"wns1.enc.res_skip_layers.{layer}", outputs, FEATURES, 1)
    return shapes | _transformer()


def _encoder() -> Shapes:
    shapes = _layer("enc_p.ssl_proj", HIDDEN, 768, 1) | _layer("enc_p.proj", 2 * HIDDEN, HIDDEN, 1)
    shapes["enc_p.text_embedding.weight"] = (732, HIDDEN)
    for name, layers in (("encoder_ssl", 3), ("encoder_text", 6), ("encoder2", 3)):
        for layer in range(layers):
            attention = f"enc_p.{name}.attn_layers.{layer}"
            for part in "qkvo":
                shapes |= _layer(f"{attention}.conv_{part}", HIDDEN, HIDDEN, 1)
            shapes |= {f"{attention}.emb_rel_{part}": (1, 9, HIDDEN // 2) for part in "kv"}
            for norm in (1, 2):
                shapes |= {
                    f"enc_p.{name}.norm_layers_{norm}.{layer}.{part}": (HIDDEN,) for part in ("gamma", "beta")
                }
            shapes |= _layer(f"enc_p.{name}.ffn_layers.{layer}.conv_1", 768, HIDDEN, 3)
            shapes |= _layer(f"enc_p.{name}.ffn_layers.{layer}.conv_2", HIDDEN, 768, 3)
    for part in "qkvo":
        shapes |= _layer(f"enc_p.mrte.cross_attention.conv_{part}", SPEAKER, SPEAKER, 1)
    for name in ("c_pre", "text_pre"):
        shapes |= _layer(f"enc_p.mrte.{name}", SPEAKER, HIDDEN, 1)
    return shapes | _layer("enc_p.mrte.c_post", HIDDEN, SPEAKER, 1)


def _style() -> Shapes:
    shapes = _layer("ref_enc.spectral.0.fc", 128, 704) | _layer("ref_enc.spectral.3.fc", 128, 128)
    for layer in range(2):
        shapes |= _layer(f"ref_enc.temporal.{layer}.conv1.conv", 256, 128, 5)
    for name in ("w_qs", "w_ks", "w_vs", "fc"):
        shapes |= _layer(f"ref_enc.slf_attn.{name}", 128, 128)
    return shapes | _layer("ref_enc.fc.fc", SPEAKER, 128)


def _transformer() -> Shapes:
    net = "cfm.estimator"
    shapes: Shapes = {f"{net}.rotary_embed.inv_freq": (32,)}
    for name in ("time_embed", "d_embed"):
        shapes |= _layer(f"{net}.{name}.time_mlp.0", DIM, 256) | _layer(f"{net}.{name}.time_mlp.2", DIM, DIM)
    for block in range(4):
        text = f"{net}.text_embed.text_blocks.{block}"
        shapes |= _layer(f"{text}.dwconv", FEATURES, 1, 7)
        shapes |= {f"{text}.norm.{part}": (FEATURES,) for part in ("weight", "bias")}
        shapes |= _layer(f"{text}.pwconv1", 2 * FEATURES, FEATURES)
        shapes |= _layer(f"{text}.pwconv2", FEATURES, 2 * FEATURES)
        shapes |= {f"{text}.grn.{part}": (1, 1, 2 * FEATURES) for part in ("gamma", "beta")}
    shapes |= _layer(f"{net}.input_embed.proj", DIM, 2 * MELS + FEATURES)
    for conv in (0, 2):
        shapes |= _layer(f"{net}.input_embed.conv_pos_embed.conv1d.{conv}", DIM, DIM // 16, 31)
    for block in range(DEPTH):
        name = f"{net}.transformer_blocks.{block}"
        shapes |= _layer(f"{name}.attn_norm.linear", 6 * DIM, DIM)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            shapes |= _layer(f"{name}.attn.{part}", DIM, DIM)
        shapes |= _layer(f"{name}.ff.ff.0.0", 2 * DIM, DIM) | _layer(f"{name}.ff.ff.2", DIM, 2 * DIM)
    return shapes | _layer(f"{net}.norm_out.linear", 2 * DIM, DIM) | _layer(f"{net}.proj_out", MELS, DIM)


def hifigan_shapes(channels: int = 512) -> Shapes:
    """Of v4's vocoder."""
    shapes = _layer("conv_pre", channels, MELS, 7) | _layer("conv_post", 1, channels >> 5, 7)
    for stage, kernel in enumerate((20, 12, 4, 4, 4)):
        wide, narrow = channels >> stage, channels >> (stage + 1)
        shapes |= {f"ups.{stage}.weight": (wide, narrow, kernel), f"ups.{stage}.bias": (narrow,)}
        shapes |= _blocks(stage, narrow)
    return shapes


def bigvgan_shapes(channels: int = 1536) -> Shapes:
    """Of v3's vocoder, as a file without weight norm, and without its filters."""
    shapes: Shapes = _layer("conv_pre", channels, MELS, 7)
    for stage, kernel in enumerate((8, 8, 4, 4, 4, 4)):
        wide, narrow = channels >> stage, channels >> (stage + 1)
        shapes |= {f"ups.{stage}.0.weight": (wide, narrow, kernel), f"ups.{stage}.0.bias": (narrow,)}
        shapes |= _blocks(stage, narrow)
        for block in range(3 * stage, 3 * stage + 3):
            for index in range(6):
                activation = f"resblocks.{block}.activations.{index}.act"
                shapes |= {f"{activation}.{part}": (narrow,) for part in ("alpha", "beta")}
    last = channels >> 6
    shapes |= {f"activation_post.act.{part}": (last,) for part in ("alpha", "beta")}
    return shapes | {"conv_post.weight": (1, last, 7)}


def _blocks(stage: int, channels: int) -> Shapes:
    shapes: Shapes = {}
    for block, kernel in enumerate((3, 7, 11), start=3 * stage):
        for name in ("convs1", "convs2"):
            for index in range(3):
                shapes |= _layer(f"resblocks.{block}.{name}.{index}", channels, channels, kernel)
    return shapes


def _layer(name: str, outputs: int, *inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}


def _normed(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    """With weight norm."""
    shapes = {f"{name}.weight_g": (outputs, 1, 1), f"{name}.weight_v": (outputs, inputs, kernel)}
    return shapes | {f"{name}.bias": (outputs,)}


def random(
    shapes: Shapes, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Values that keep the size of signals through most layers."""

    def values(name: str, shape: tuple[int, ...]) -> Tensor:
        found = torch.randn(shape, generator=generator)
        if len(shape) == 1 and name.endswith("weight"):
            return 1 + 0.1 * found
        if name.endswith("weight_g"):
            return 0.7 + 0.1 * found.abs()
        if len(shape) == 1 or ".grn." in name:
            return 0.05 * found
        return found / math.sqrt(math.prod(shape[1:]))

    return {name: values(name, shape).to(dtype) for name, shape in shapes.items()}


def sovits_tensors(seed: int = 0, dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    weight = random(sovits_shapes(), torch.Generator().manual_seed(seed), dtype)
    weight["quantizer.vq.layers.0._codebook.inited"] = torch.ones(1, dtype=dtype)
    weight["cfm.estimator.rotary_embed.inv_freq"] = (10000.0 ** (-torch.arange(0, 64, 2) / 64)).to(dtype)
    return weight


def make(folder: Path, version: CfmVersion = "v4", seed: int = 0) -> Path:
    """Writes the SoVITS file and the vocoder of `version` to their published places in `folder`, and returns it."""
    generator = torch.Generator().manual_seed(seed)
    options = GptSovitsOptions.model_fields
    sovits = folder / PUBLISHED[version][1]
    sovits.parent.mkdir(parents=True, exist_ok=True)
    content = {"weight": sovits_tensors(seed), "config": {"model": {"version": version}}, "info": ""}
    torch.save(content, sovits)
    if version == "v3":
        place = folder / options["bigvgan"].default
        place.mkdir(parents=True, exist_ok=True)
        (place / CONFIG).write_text(json.dumps(BIGVGAN), "utf-8")
        torch.save({"generator": random(bigvgan_shapes(), generator)}, place / WEIGHTS)
    else:
        place = folder / options["hifigan"].default
        place.parent.mkdir(parents=True, exist_ok=True)
        torch.save(random(hifigan_shapes(), generator), place)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", choices=("v3", "v4"), default="v4")
    given = parser.parse_args()
    print(make(given.folder, given.version))
