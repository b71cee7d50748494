"""A phone recogniser: it aligns what a teacher does not time, and what it sees in a sound is a loss of the codec's."""

from __future__ import annotations

from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig
from deployments.text.phones import PHONES
from training.warm import phone_state

RECOGNISER = "training/runs/phones.pt"
FRAMES_PER_STEP = 2  # 50 steps a second, as codes


class PhoneNet(nn.Module):
    """Log-mel to phones. A recording's own colour is taken out: each band's mean over time."""

    def __init__(self, config: SmallConfig, dim: int = 192, blocks: int = 5) -> None:
        super().__init__()
        self.enter = nn.Linear(FRAMES_PER_STEP * config.n_mels, dim)
        self.blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(blocks)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, len(PHONES))

    def forward(self, mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """mel (B, F, M) -> logits (B, F // 2, phones), and what each block made (B, F // 2, D)."""
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
    """Of a checkpoint, or what is `shipped`."""
    net = PhoneNet(SmallConfig())
    net.load_state_dict(phone_state(source))
    return net.eval().requires_grad_(False)
