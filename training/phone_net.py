"""A phone recogniser: it aligns utterances without reported times, and its features are a loss of the codec."""

from __future__ import annotations

from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig
from deployments.text.phones import PHONES
from training.warm import phone_state

RECOGNISER = "training/runs/phones.pt"
FRAMES_PER_STEP = 2  # 50 steps per second, like codes


class PhoneNet(nn.Module):
    """Log-mel to phones. The mean of each band over time is subtracted, which removes the recording's colour."""

    def __init__(self, config: SmallConfig, dim: int = 192, blocks: int = 5) -> None:
        super().__init__()
        self.enter = nn.Linear(FRAMES_PER_STEP * config.n_mels, dim)
        self.blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(blocks)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, len(PHONES))

    def forward(self, mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """mel (B, F, M) -> logits (B, F // 2, phones), and the output of each block (B, F // 2, D)."""
        frames = mel[:, : mel.shape[1] // FRAMES_PER_STEP * FRAMES_PER_STEP]
        x = self.enter(
            ((frames - frames.mean(1, keepdim=True)) / 3).unflatten(1, (-1, FRAMES_PER_STEP)).flatten(2)
        )
        made = []
        for block in self.blocks:
            x = block(x)
            made.append(x)
        return self.head(self.norm(x)), made


def load_phone_net(source: str) -> PhoneNet:
    """Loads a checkpoint, or the `shipped` network."""
    net = PhoneNet(SmallConfig())
    net.load_state_dict(phone_state(source))
    return net.eval().requires_grad_(False)
