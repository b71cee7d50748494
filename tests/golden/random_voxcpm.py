"""Creates a full-size VoxCPM folder of random tensors with the published shapes. It runs, but does not speak.

    python -m tests.golden.random_voxcpm FOLDER [--version 0.5B|1.5|2]

It takes 1.6 GB (0.5B), 2 GB (1.5) or 5 GB (2) of disk: the language models in bf16 and the AudioVAE in fp32, as
published.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from deployments.families.voxcpm import audio_vae, net
from deployments.families.voxcpm.config import FILE, VoxConfig, read_config

VOCABULARY = 73448
Shapes = dict[str, tuple[int, ...]]

_LM = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_position_embeddings": 32768,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000,
    "vocab_size": VOCABULARY,
    "use_mup": False,
    "scale_emb": 12,
    "dim_model_base": 256,
    "scale_depth": 1.4,
}
_SIZES = {  # (hidden, intermediate, layers), residual layers, local layers, patch, FSQ, KV slots, head size
    "0.5B": ((1024, 4096, 24), 6, 4, 2, 256, 4096, 64),
    "1.5": ((1024, 4096, 24), 8, 8, 4, 256, 8192, 64),
    "2": ((2048, 6144, 28), 8, 12, 4, 512, 8192, 128),
}
_VAES = {
    "1.5": {
        "encoder_dim": 64,
        "encoder_rates": [2, 3, 6, 7, 7],
        "latent_dim": 64,
        "decoder_dim": 2048,
        "decoder_rates": [7, 7, 6, 3, 2],
        "sample_rate": 44100,
    },
    "2": {
        "encoder_dim": 128,
        "encoder_rates": [2, 5, 8, 8],
        "latent_dim": 64,
        "decoder_dim": 2048,
        "decoder_rates": [8, 6, 5, 2, 2, 2],
        "sample_rate": 16000,
        "out_sample_rate": 48000,
        "sr_bin_boundaries": [20000, 30000, 40000],
    },
}
VERSIONS = tuple(_SIZES)


def config_of(version: str) -> dict[str, Any]:
    """config.json of a release. 0.5B has no section for the AudioVAE."""
    (hidden, intermediate, layers), residual, local, patch, codes, slots, head = _SIZES[version]
    channels = {"kv_channels": head} if version == "2" else {}
    lm = {"hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers}
    factors = [1.0 + index / head for index in range(head // 2)]
    rope = {"type": "longrope", "long_factor": factors, "short_factor": factors}
    part = {"hidden_dim": 1024, "ffn_dim": 4096, "num_heads": 16, "num_layers": local} | channels
    config = {
        "architecture": "voxcpm2" if version == "2" else "voxcpm",
        "lm_config": _LM
        | lm
        | channels
        | {"rope_scaling": rope | {"original_max_position_embeddings": 32768}},
        "patch_size": patch,
        "feat_dim": 64,
        "residual_lm_num_layers": residual,
        "residual_lm_no_rope": version == "2",
        "scalar_quantization_latent_dim": codes,
        "scalar_quantization_scale": 9,
        "encoder_config": part,
        "dit_config": part,
        "max_length": slots,
        "dtype": "bfloat16",
    }
    return config | ({"audio_vae_config": _VAES[version]} if version in _VAES else {})


def shapes_of(config: VoxConfig) -> tuple[Shapes, Shapes]:
    """The name and shape of every tensor of the two files, weight norm not folded."""
    vae: Shapes = {}
    for name, shape in audio_vae.expected_shapes(config.audio_vae_config, config.version).items():
        if name.endswith(".weight") and len(shape) == 3:
            vae[f"{name}_g"] = (shape[0], 1, 1)
            vae[f"{name}_v"] = shape
        else:
            vae[name] = shape
    return net.expected_shapes(config), vae


def make(folder: Path, version: str = "1.5", seed: int = 0) -> Path:
    """Writes the files of a published folder into `folder`, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(config_of(version)))
    config = read_config(folder)
    lm, vae = shapes_of(config)
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: filled(name, shape, generator).bfloat16() for name, shape in lm.items()}
    if version == "0.5B":
        torch.save({"state_dict": tensors}, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors")
    del tensors
    made = {name: filled(name, shape, generator) for name, shape in vae.items()}
    if config.version == 2:
        made["decoder.sr_bin_boundaries"] = torch.tensor(
            config.audio_vae_config.sr_bin_boundaries, dtype=torch.int32
        )
    torch.save({"state_dict": made}, folder / "audiovae.pth")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()), "utf-8")
    return folder


def filled(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Values that keep the size of signals through the tensor's layer."""
    if name == "stop_head.weight":
        return torch.zeros(shape)  # never stops
    values = torch.randn(shape, generator=generator)
    if name.endswith("alpha"):
        return 1 + 0.1 * values
    if name.endswith("bias"):
        return 0.02 * values
    if len(shape) == 1:  # the weight of a norm
        return 1 + 0.1 * values
    if name.endswith("weight_g"):
        return 0.7 + 0.1 * values.abs()
    if name.endswith("embed.weight"):  # scale and bias of a bandwidth
        return (1.0 if "scale" in name else 0.0) + 0.1 * values
    if name == "feat_decoder.estimator.out_proj.weight":
        return values / shape[1]  # the flow stays near its noise
    return values / math.sqrt(math.prod(shape[1:]))


def tokenizer() -> dict[str, Any]:
    """Bytes, Latin letters and the Chinese characters of the test sentences' range, without merges."""
    marks = {"<unk>": 0, "<s>": 1, "</s>": 2}
    marks |= {
        "<|audio_start|>": 101,
        "<|audio_end|>": 102,
        "<|audio_prompt_start|>": 103,
        "<|audio_prompt_end|>": 104,
    }
    free = (id for id in range(VOCABULARY) if id not in marks.values())
    pieces = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁"] + [chr(code) for code in range(0x21, 0x7F)]
    pieces += [chr(code) for code in range(0x4E00, 0xA000)]
    model = {
        "type": "BPE",
        "byte_fallback": True,
        "unk_token": "<unk>",
        "vocab": marks | dict(zip(pieces, free, strict=False)),
        "merges": [],
    }
    steps = [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]
    return {
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": None,
        "model": model,
        "added_tokens": [{"content": mark, "id": id, "special": True} for mark, id in marks.items()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", choices=VERSIONS, default="1.5")
    options = parser.parse_args()
    print(make(options.folder, options.version))


if __name__ == "__main__":
    main()
