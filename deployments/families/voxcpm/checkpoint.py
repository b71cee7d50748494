"""The files of a published folder, and LoRA weights, which are merged when they are read."""

import json
from pathlib import Path

import torch
from torch import Tensor

from deployments.contract.errors import CheckpointError
from deployments.families.checkpoint import Tensors, read_tensors
from deployments.families.voxcpm.audio_vae import VaeWeights
from deployments.families.voxcpm.config import VoxConfig

LM_FILES = ("model.safetensors", "pytorch_model.bin")  # the first that is there
VAE_FILES = ("audiovae.safetensors", "audiovae.pth")
LORA_FILES = ("lora_weights.safetensors", "lora_weights.ckpt")
LORA_CONFIG = "lora_config.json"


def present(folder: Path, names: tuple[str, ...], where: str = "the model folder") -> Path:
    """Raises CheckpointError if none of the files is there."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{names[0]}: not found in {where}, nor {' or '.join(names[1:])}")


def read_lm(folder: Path, lora: Path | None = None) -> tuple[Tensors, str]:
    """The language model's tensors and their file's name. Raises CheckpointError."""
    path = present(folder, LM_FILES)
    tensors = read_tensors(path)
    if lora is not None:
        merge_lora(tensors, lora)
    return tensors, path.name


def read_vae(folder: Path, config: VoxConfig) -> VaeWeights:
    path = present(folder, VAE_FILES)
    return VaeWeights(read_tensors(path), config.audio_vae_config, config.version, path.name)


def merge_lora(tensors: Tensors, folder: Path) -> None:
    """W + alpha / r * B A for each `X.lora_A` (r, in), `X.lora_B` (out, r) in `folder`; W becomes float32.

    Hu et al., 2021, arXiv 2106.09685. Raises CheckpointError for a matrix without its partner or its layer.
    """
    path = present(folder, LORA_FILES, "family.options.lora_dir")
    found = read_tensors(path)
    scale = _lora_scale(folder)
    names = {name.removesuffix(".lora_A").removesuffix(".lora_B") for name in found}
    for name in sorted(names):
        parts = [found.get(f"{name}.lora_{part}") for part in "AB"]
        weight = tensors.get(f"{name}.weight")
        down, up = parts
        if down is None or up is None or weight is None:
            fault = "has no layer in the model" if weight is None else "must have lora_A and lora_B"
            raise CheckpointError(f"{path.name}: {name} {fault}")
        if not _fits(weight, down, up):
            shapes = ", ".join(str(tuple(part.shape)) for part in (up, down))
            raise CheckpointError(f"{path.name}: {name} is {shapes}, the layer {tuple(weight.shape)}")
        tensors[f"{name}.weight"] = torch.addmm(
            weight.float(), up.float(), down.float(), alpha=scale / len(down)
        )


def _fits(weight: Tensor, down: Tensor, up: Tensor) -> bool:
    if not (weight.dim() == down.dim() == up.dim() == 2):
        return False
    return weight.shape == (up.shape[0], down.shape[1]) and 0 < up.shape[1] == down.shape[0]


def _lora_scale(folder: Path) -> float:
    """alpha of lora_config.json, at its top or under "lora_config"."""
    try:
        content = json.loads((folder / LORA_CONFIG).read_text("utf-8"))
        alpha = content.get("lora_config", content)["alpha"]
    except FileNotFoundError:
        raise CheckpointError(f"{LORA_CONFIG}: not found in family.options.lora_dir") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{LORA_CONFIG}: must be JSON with a number alpha") from None
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1e6:
        raise CheckpointError(f"{LORA_CONFIG}: alpha must be a number above 0")
    return float(alpha)
