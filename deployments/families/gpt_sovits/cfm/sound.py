"""Mels to samples, in windows of one length that share a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from deployments.contract.family import Call, Tensors
from deployments.families.bigvgan.net import BigVgan
from deployments.families.bigvgan.receptive_field import Window as Range
from deployments.families.bigvgan.receptive_field import context
from deployments.families.gpt_sovits.cfm.chunks import Window, grouped, windows
from deployments.families.gpt_sovits.cfm.solver import directly
from deployments.families.gpt_sovits.hifigan import reach
from deployments.families.gpt_sovits.vits.generator import Generator

WINDOW = 500  # frames of a call


class MelVocoder(Protocol):
    """mel (B, T, M), natural logarithms -> samples (B, T * frame_samples) in -1..1.

    context: frames to each side that a frame's samples depend on. maskable: whether rows may be padded at their end.
    """

    context: int
    maskable: bool

    def __call__(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: (B, T, 1), 0 where padded."""
        ...

    def largest(self) -> int:
        """Numbers of the largest signal inside, for each frame."""
        ...


class HifiGanVocoder:
    """v4's. Implements MelVocoder."""

    maskable = True

    def __init__(self, net: Generator, device: torch.device) -> None:
        self.net = net.to(device)
        self.context = reach(net)

    def __call__(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        x = mel.transpose(1, 2)
        if mask is None:
            return self.net(x)
        mask = mask.transpose(1, 2)
        return self.net(x * mask, mask=mask)

    def largest(self) -> int:
        return max(channels * rate for rate, channels in self.net.sizes)


class BigVganVocoder:
    """v3's. Implements MelVocoder. Its signals continue beyond their ends by their last values: no mask can do that."""

    maskable = False

    def __init__(self, net: BigVgan, device: torch.device) -> None:
        self.net = net.to(device).prepare()
        self.context = context(net.shape)

    def __call__(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        samples = mel.shape[1] * self.net.shape.samples_per_frame
        return self.net(mel.contiguous(), None, Range.whole(samples))

    def largest(self) -> int:
        shape, rate, largest = self.net.shape, 1, 0
        for stage, factor in enumerate(shape.upsample_rates):
            rate *= factor
            largest = max(largest, rate * (shape.upsample_initial_channel >> (stage + 1)))
        return largest


def sounds(
    vocoder: MelVocoder,
    mels: Sequence[Tensor],
    window: int,
    batches: Sequence[int] = (),
    call: Call = directly,
) -> list[Tensor]:
    """Mels (F, M) of any lengths to their samples (F * frame_samples,).

    window: frames of a call, padded where a signal is shorter. batches: how many windows share a call, ascending;
    without them, each runs alone and unpadded.
    """
    plans = [windows(len(mel), window, vocoder.context) for mel in mels]
    cuts = [mel[cut.start : cut.stop] for mel, plan in zip(mels, plans, strict=True) for cut in plan]
    made = iter(_vocoded(vocoder, cuts, window, batches, call))
    return [torch.cat([_wanted(next(made), cut) for cut in plan]) for plan in plans]


def _wanted(samples: Tensor, cut: Window) -> Tensor:
    rate = len(samples) // cut.size
    return samples[(cut.first - cut.start) * rate : (cut.last - cut.start) * rate]


def _vocoded(
    vocoder: MelVocoder, cuts: Sequence[Tensor], window: int, batches: Sequence[int], call: Call
) -> list[Tensor]:
    """(T, M) each -> (T * frame_samples,) each."""
    shared = [i for i, cut in enumerate(cuts) if batches and (vocoder.maskable or len(cut) == window)]
    made = {i: vocoder(cut[None])[0] for i, cut in enumerate(cuts) if i not in shared}
    for group, size in grouped(shared, batches):
        mel = cuts[0].new_zeros(size, window, cuts[0].shape[1])
        mask = cuts[0].new_zeros(size, window, 1)
        for row, i in enumerate(group):
            mel[row, : len(cuts[i])] = cuts[i]
            mask[row, : len(cuts[i])] = 1
        samples = shared_call(vocoder, mel, mask, call)
        rate = samples.shape[1] // window
        made |= {i: samples[row, : len(cuts[i]) * rate] for row, i in enumerate(group)}
    return [made[i] for i in range(len(cuts))]


def shared_call(vocoder: MelVocoder, mel: Tensor, mask: Tensor, call: Call) -> Tensor:
    """(B, T, M) -> (B, T * frame_samples)"""

    def forward(inputs: Tensors) -> Tensors:
        return {"samples": vocoder(inputs["mel"], inputs["mask"])}

    return call(("mel to sound", *mel.shape[:2]), forward, {"mel": mel, "mask": mask})["samples"].clone()
