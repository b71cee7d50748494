"""The vocoder of v4: mels of 100 Hz to samples at 48 kHz."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from deployments.contract.errors import CheckpointError
from deployments.families.checkpoint import fill, read_tensors
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS, MELS
from deployments.families.gpt_sovits.checkpoints import SovitsConfig
from deployments.families.gpt_sovits.vits.generator import Generator
from deployments.families.gpt_sovits.weights import Shapes

EDGE = 3  # frames that the first convolution reaches over
BLOCK = 60  # and the widest residual block: kernel 11, dilations 1, 3 and 5, each followed by 1; in frames of its stage


def read_hifigan(path: Path) -> Generator:
    """Raises CheckpointError if the file is not the vocoder of v4."""
    tensors = read_tensors(path, nests=())
    generator = fill(_empty(tensors, path.name), tensors, path.name).eval().requires_grad_(False)
    try:
        generator(torch.zeros(1, MELS, 1))
    except RuntimeError as error:  # layers of different widths
        why = str(error).splitlines()[0]
        raise CheckpointError(f"{path.name}: its layers do not fit together: {why}") from None
    return generator


def _empty(tensors: Mapping[str, Tensor], file: str) -> Generator:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        rates = tuple(shapes[name][2] // 2 for name in sorted(shapes) if _upsamples(name))
        inputs, samples = shapes["conv_pre.weight"][1], math.prod(rates)
        if inputs != MELS or samples != LAYOUTS["v4"].frame_samples:
            raise CheckpointError(
                f"{file}: makes {samples} samples of a frame of {inputs} bands, the vocoder of v4 makes"
                f" {LAYOUTS['v4'].frame_samples} of {MELS}"
            )
        return Generator(Shapes(tensors, file), SovitsConfig(upsample_rates=rates))
    except (KeyError, IndexError, ValueError, RuntimeError):
        raise CheckpointError(f"{file}: not the vocoder of v4: it has no HiFi-GAN generator") from None


def _upsamples(name: str) -> bool:
    return name.startswith("ups.") and name.endswith(".weight")


def reach(generator: Generator) -> int:
    """The most frames on each side of a frame that its samples depend on."""
    frames, rate = float(EDGE), 1
    for up, factor in zip(generator.ups, generator.rates, strict=True):
        kernel = up.kernel_size[0]  # pyright: ignore
        frames += (kernel - factor) / factor / rate  # at most
        rate *= factor
        frames += BLOCK / rate
    return math.ceil(frames + EDGE / rate)
