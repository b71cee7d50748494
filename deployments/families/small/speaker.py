"""The speaker encoder: a reference recording to one vector."""

import torch
from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig
from deployments.families.small.f0 import pitch_of
from deployments.families.small.features import LogMel

PITCH_DIMS = 2  # the last dimensions of a speaker vector: the voice's median pitch and its spread
PITCH_MIDDLE = 5.0  # log Hz
PITCH_SCALE = 3.0  # scales the pitch to the size of the other dimensions


class SpeakerEncoder(nn.Module):
    """Waveform of a reference (B, N) of 40 ms or more -> speaker vector (B, S).

    The learned part has zero mean and unit variance. The pitch follows it; it is measured, not learned, so that it is
    also right for unseen speakers.
    """

    def __init__(self, config: SmallConfig, blocks: int = 3) -> None:
        super().__init__()
        self.config, dim = config, config.speaker_hidden
        learned = config.speaker_dim - PITCH_DIMS
        self.log_mel = LogMel(config)
        self.enter = nn.Linear(2 * config.n_mels, dim)
        self.blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(blocks)])
        self.leave = nn.Linear(2 * dim, learned)
        self.norm = nn.LayerNorm(learned, elementwise_affine=False)

    def forward(self, waveform: Tensor) -> Tensor:
        mel = self.log_mel(waveform)  # (B, T, M)
        batch, frames, mels = mel.shape
        pairs = ((mel[:, : frames // 2 * 2] + 5) / 3).reshape(batch, frames // 2, 2 * mels)
        x = self.enter(pairs)  # (B, T / 2, D)
        for block in self.blocks:
            x = block(x)
        vector = self.norm(self.leave(torch.cat([x.mean(1), x.std(1)], dim=-1)))
        median, spread = pitch_of(waveform, self.config.sample_rate, self.config.hop)
        pitch = torch.stack([median - PITCH_MIDDLE, spread], dim=-1) * PITCH_SCALE
        return torch.cat([vector, pitch], dim=-1)
