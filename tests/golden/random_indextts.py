"""Creates a full-size IndexTTS folder of random tensors with the published shapes. It runs, but does not speak.

    python -m tests.golden.random_indextts FOLDER [--version 1.0|1.5]

It takes 1.2 GB (1.0) or 1.7 GB (1.5) of disk: the GPT in fp16 and the vocoder in fp32, as published.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
import yaml
from sentencepiece import sentencepiece_model_pb2
from torch import Tensor

from deployments.families.bigvgan.antialias import low_pass
from tests.golden.indextts_set import SHIPPED

SHAPES = {"1.0": "official_shapes_indextts_1.0.json", "1.5": "official_shapes_indextts_1.5_inferred.json"}
SIZES = {
    "1.0": {"model_dim": 1024, "layers": 20, "heads": 16, "max_mel_tokens": 605, "max_text_tokens": 402},
    "1.5": {"model_dim": 1280, "layers": 24, "heads": 20, "max_mel_tokens": 800, "max_text_tokens": 600},
}
PIECES, CODES = 12000, 8194
GPT, VOCODER = "gpt.pth", "bigvgan_generator.pth[generator]"  # keys of the shape lists


def make(folder: Path, version: str = "1.5", seed: int = 0) -> Path:
    """Writes config.yaml, gpt.pth, bigvgan_generator.pth and bpe.model into `folder`, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = json.loads((SHIPPED / SHAPES[version]).read_text())
    generator = torch.Generator().manual_seed(seed)
    gpt = {name: filled(name, shape, generator).half() for name, shape in shapes[GPT].items()}
    torch.save(gpt, folder / "gpt.pth")
    del gpt
    vocoder = shapes[VOCODER]
    torch.save(
        {"generator": {name: filled(name, shape, generator) for name, shape in vocoder.items()}},
        folder / "bigvgan_generator.pth",
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(config_of(version)))
    (folder / "bpe.model").write_bytes(padded_pieces())
    return folder


def filled(name: str, shape: list[int], generator: torch.Generator) -> Tensor:
    """Values that keep the size of signals through the tensor's layer."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith(".filter"):
        return low_pass().float().reshape(shape)
    if name.endswith(".pe"):
        return sinusoids(*shape[1:]).unsqueeze(0)
    if name.endswith((".alpha", ".beta")):
        return 0.1 * torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return 0.5 + torch.rand(shape, generator=generator)
    values = torch.randn(shape, generator=generator)
    if name == "mel_head.bias":
        values[-1] = -5000.0  # never sample the stop code
    if name.endswith(("bias", "running_mean")):
        return 0.02 * values
    if len(shape) == 1:  # the weight of a norm
        return 1 + 0.1 * values
    if name.endswith("weight_g"):
        return 0.7 + 0.1 * values.abs()
    if name.endswith("weight_v") or len(shape) != 2:
        return values / math.sqrt(math.prod(shape[1:]))
    if "gpt.h." in name:  # stored input-major
        return values / math.sqrt(shape[0])
    return values / math.sqrt(shape[1])


def sinusoids(positions: int, width: int) -> Tensor:
    """pe[p, 2i] = sin(p w_i), pe[p, 2i + 1] = cos(p w_i), w_i = 10000 ** (-2i / width)"""
    frequency = torch.exp(-torch.arange(0, width, 2) * (math.log(10000.0) / width))
    angle = torch.outer(torch.arange(positions).float(), frequency)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def config_of(version: str) -> dict:
    """The golden set's config.yaml with the published sizes."""
    config = yaml.safe_load((SHIPPED / "checkpoint" / "config.yaml").read_text())
    config["gpt"] |= SIZES[version] | {
        "number_text_tokens": PIECES,
        "number_mel_codes": CODES,
        "start_mel_token": CODES - 2,
        "stop_mel_token": CODES - 1,
    }
    config["gpt"]["condition_module"] |= {
        "output_size": 512,
        "linear_units": 2048,
        "attention_heads": 8,
        "num_blocks": 6,
    }
    config["bigvgan"] |= {
        "upsample_initial_channel": 1536,
        "speaker_embedding_dim": 512,
        "gpt_dim": SIZES[version]["model_dim"],
    }
    if version == "1.0":
        del config["version"]
    return config


def padded_pieces() -> bytes:
    """The golden set's sentencepiece model, extended to the published size with pieces that occur in no text."""
    model = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    model.ParseFromString((SHIPPED / "checkpoint" / "bpe.model").read_bytes())
    for index in range(len(model.pieces), PIECES):
        model.pieces.add(piece=f"\ue000{index}", score=-100.0)
    model.trainer_spec.vocab_size = PIECES
    return model.SerializeToString()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", choices=sorted(SHAPES), default="1.5")
    options = parser.parse_args()
    print(make(options.folder, options.version))


if __name__ == "__main__":
    main()
