"""The codec in training: encoder and quantiser in front of the shipped networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig
from deployments.families.small.fsq import FSQ
from deployments.families.small.speaker import SpeakerEncoder
from deployments.families.small.vocoder_net import VocoderNet


def quantise(fsq: FSQ, z: Tensor) -> tuple[Tensor, Tensor]:
    """Unbounded (..., Q) -> latents (..., Q) with a straight-through gradient, codes (...) int64."""
    half = (fsq.levels - 1) / 2
    scaled = (torch.tanh(z) * 0.999 + 1) * half  # 0 ... levels - 1
    rounded = torch.round(scaled)
    codes = (rounded.long() * fsq.radix).sum(-1)
    return (scaled + (rounded - scaled).detach() - half) / half, codes


class Encoder(nn.Module):
    """Frames to latents before quantisation. The means over the utterance are subtracted from its inputs."""

    def __init__(self, config: SmallConfig, dim: int = 192) -> None:
        super().__init__()
        self.enter = nn.Linear(config.n_mels + 2, dim)
        self.frame_blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(2)])
        self.per_code = config.frames_per_code
        self.down = nn.Linear(self.per_code * dim, dim)
        self.code_blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(6)])
        self.norm = nn.LayerNorm(dim)
        self.leave = nn.Linear(dim, len(config.fsq_levels))

    def forward(
        self,
        mel: Tensor,
        log_f0: Tensor,
        voiced: Tensor,
        mean_mel: Tensor,
        mean_log_f0: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """mel (B, F, M), log_f0, voiced (B, F), mean_mel (B, M), mean_log_f0 (B,) -> (B, T, Q) unbounded.

        mask (B, T): 0 for the padding after an utterance.
        """
        codes = None if mask is None else mask.unsqueeze(-1)
        frame_mask = None if codes is None else codes.repeat_interleave(self.per_code, dim=1)
        pitch = (log_f0 - mean_log_f0.unsqueeze(1)) * voiced * 4
        frames = torch.cat([(mel - mean_mel.unsqueeze(1)) / 3, torch.stack([pitch, voiced], -1)], dim=-1)
        x = self.enter(frames)
        for block in self.frame_blocks:
            x = block(x, frame_mask)
        x = self.down(x.unflatten(1, (-1, self.per_code)).flatten(2))
        for block in self.code_blocks:
            x = block(x, codes)
        return self.leave(self.norm(x))


class Codec(nn.Module):
    """Encoder, quantiser (inside the vocoder), speaker encoder, vocoder, and two auxiliary heads for training.

    The heads predict the mel, and from the codes alone the phone, so that the codes keep what is said.
    """

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.speaker = SpeakerEncoder(config)
        self.vocoder = VocoderNet(config)
        self.mel_head = nn.Linear(config.vocoder_dim, config.n_mels)
        self.log_mel = self.speaker.log_mel
        width = 192
        self.phone_in = nn.Linear(len(config.fsq_levels), width)
        self.phone_blocks = nn.ModuleList([ConvBlock(width, 2 * width) for _ in range(2)])
        self.phone_head = nn.Linear(width, config.n_phones)

    def encode(self, *features: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The encoder's input features -> latents (B, T, Q), codes (B, T)."""
        return quantise(self.vocoder.fsq, self.encoder(*features, mask=mask))

    def phones(self, latents: Tensor) -> Tensor:
        """Latents (B, T, Q) -> logits of the phone at each code, (B, T, phones)."""
        x = self.phone_in(latents)
        for block in self.phone_blocks:
            x = block(x)
        return self.phone_head(x)
