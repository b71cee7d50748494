"""The features that the flow matching of v3 and v4 follows: from codes, phones and the speaker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.gpt_sovits.cfm.layout import Layout
from deployments.families.gpt_sovits.checkpoints import SovitsFile
from deployments.families.gpt_sovits.vits.attention import masked
from deployments.families.gpt_sovits.vits.encoder import (
    FRAMES_PER_CODE,
    ContentEncoder,
    code_embeddings,
    embedded,
    faster,
)
from deployments.families.gpt_sovits.vits.wavenet import WaveNet
from deployments.families.gpt_sovits.weights import Shapes, loaded

_SLOPE = 0.01  # of the bridge's leaky ReLU


class Smoother(nn.Module):
    """A WaveNet between two projections ("wns1"): (B, C, T) -> same. It sees `mask` (B, 1, T) alone."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        channels = shapes["pre.weight"][0]
        self.pre, self.proj = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, channels, 1)
        self.enc = WaveNet(shapes.part("enc."))

    def forward(self, x: Tensor, speaker: Tensor, mask: Tensor | None) -> Tensor:
        x = self.enc(masked(self.pre(x), mask), self.enc.condition(speaker), mask)
        return masked(self.proj(x), mask)


class Features(nn.Module):
    """Codes (B, N), phones (B, P) and speaker (B, G) to features (B, T, C)."""

    codebook: Tensor

    def __init__(
        self, encoder: ContentEncoder, bridge: nn.Conv1d, wns1: Smoother, codebook: Tensor, layout: Layout
    ) -> None:
        super().__init__()
        self.enc_p, self.bridge, self.wns1, self.layout = encoder, bridge, wns1, layout
        self.register_buffer("codebook", codebook, persistent=False)

    @classmethod
    def load(cls, sovits: SovitsFile, tensors: Mapping[str, Tensor], layout: Layout) -> Self:
        """tensors: of the whole file, with LoRA merged and without weight norm. Raises CheckpointError."""
        file = sovits.name
        encoder = loaded(ContentEncoder, tensors, file, "enc_p.", sovits.config.n_heads)
        bridge = loaded(_bridge, tensors, file, "bridge.0.")
        wns1 = loaded(Smoother, tensors, file, "wns1.")
        return cls(encoder, bridge, wns1, code_embeddings(tensors, file), layout).eval().requires_grad_(False)

    @property
    def channels(self) -> int:
        return self.bridge.out_channels

    @property
    def speaker(self) -> int:
        """Numbers of a timbre."""
        return self.wns1.enc.cond_layer.in_channels

    def bridged(self, latents: Tensor) -> Tensor:
        return F.leaky_relu(self.bridge(latents), _SLOPE)

    def forward(self, codes: Tensor, phones: Tensor, speaker: Tensor, speed: float = 1.0) -> Tensor:
        """Of rows without padding."""
        return self.attended(codes, phones, speaker, speed)[0]

    def attended(
        self, codes: Tensor, phones: Tensor, speaker: Tensor, speed: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The same, and the attention of the codes' frames to the phones (B, 2 N, P)."""
        style = speaker.unsqueeze(-1)
        latents, attention = self.enc_p.latents(embedded(self.codebook, codes), phones, style)
        x = stretched(self.bridged(faster(latents, speed)), self.layout.stretch)
        seen = self.layout.unmasked(codes.shape[1], speed)
        mask = None
        if seen < x.shape[2]:
            mask = (torch.arange(x.shape[2], device=x.device) < seen).to(x.dtype)[None, None]
        return self.wns1(x, style, mask).transpose(1, 2), attention

    def padded(
        self, codes: Tensor, code_count: Tensor, phones: Tensor, phone_count: Tensor, speaker: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `attended`, of rows of `code_count` and `phone_count` (B,) codes and phones, padded to fixed shapes."""
        style = speaker.unsqueeze(-1)
        mask = _first(FRAMES_PER_CODE * codes.shape[1], FRAMES_PER_CODE * code_count)
        latents, attention = self.enc_p.latents(
            embedded(self.codebook, codes), phones, style, mask, _first(phones.shape[1], phone_count)
        )
        x = stretched(self.bridged(latents), self.layout.stretch)
        frames = (FRAMES_PER_CODE * code_count * self.layout.stretch).floor()
        return self.wns1(x, style, _first(x.shape[2], frames)).transpose(1, 2), attention


def _first(length: int, count: Tensor) -> Tensor:
    """(B,) -> (B, 1, length), 1 at the first `count` places of a row"""
    return (torch.arange(length, device=count.device) < count[:, None]).float()[:, None]


def _bridge(shapes: Shapes) -> nn.Conv1d:
    outputs, inputs, _ = shapes["weight"]
    return nn.Conv1d(inputs, outputs, 1)


def stretched(x: Tensor, factor: float) -> Tensor:
    """(B, C, L) -> (B, C, floor(L factor)): frame t is frame floor(t / factor)."""
    source = torch.arange(int(x.shape[2] * factor), device=x.device)
    return x[:, :, (source / factor).long()]
