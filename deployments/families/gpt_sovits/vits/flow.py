"""The flow of VITS, in the direction of synthesis: from the prior to the generator's input."""

import torch
from torch import Tensor, nn

from deployments.families.gpt_sovits.vits.attention import masked
from deployments.families.gpt_sovits.vits.wavenet import WaveNet
from deployments.families.gpt_sovits.weights import Shapes


class Coupling(nn.Module):
    """Shifts one half of the channels by what the other half and the speaker say."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        width, half, _ = shapes["pre.weight"]
        self.pre, self.post = nn.Conv1d(half, width, 1), nn.Conv1d(width, half, 1)
        self.enc = WaveNet(shapes.part("enc."))

    def inverse(self, x: Tensor, speaker: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, 2 half, T), speaker (B, G, 1) -> (B, 2 half, T)"""
        kept, shifted = x.chunk(2, dim=1)
        hidden = self.enc(masked(self.pre(kept), mask), self.enc.condition(speaker), mask)
        return torch.cat([kept, shifted - masked(self.post(hidden), mask)], dim=1)


class Flow(nn.Module):
    """z (B, I, T), speaker (B, G, 1) -> (B, I, T). In the file every second entry, a reversal of channels, is empty."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        numbers = sorted({int(name.split(".")[1]) for name in shapes})
        self.flows = nn.ModuleDict(
            {str(number): Coupling(shapes.part(f"flows.{number}.")) for number in numbers}
        )

    def forward(self, z: Tensor, speaker: Tensor, mask: Tensor | None = None) -> Tensor:
        for coupling in reversed(list(self.flows.values())):
            assert isinstance(coupling, Coupling)
            z = coupling.inverse(z.flip(1), speaker, mask)
        return z
