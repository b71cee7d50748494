"""The dilation-free WaveNet of VITS ("WN"): gated convolutions that a speaker conditions."""

import torch
from torch import Tensor, nn

from deployments.families.gpt_sovits.vits.attention import masked
from deployments.families.gpt_sovits.weights import Shapes


class WaveNet(nn.Module):
    """x (B, C, T), conditions (B, 2 C layers, 1) as `condition` makes them -> (B, C, T)."""

    def __init__(self, shapes: Shapes) -> None:
        """shapes: of the tensors, without a prefix and without weight norm."""
        super().__init__()
        outputs, speaker, _ = shapes["cond_layer.weight"]
        double, channels, kernel = shapes["in_layers.0.weight"]
        layers = outputs // double
        self.cond_layer = nn.Conv1d(speaker, outputs, 1)
        self.in_layers = nn.ModuleList(
            [nn.Conv1d(channels, double, kernel, padding=kernel // 2) for _ in range(layers)]
        )
        self.res_skip_layers = nn.ModuleList(
            [nn.Conv1d(channels, double if layer < layers - 1 else channels, 1) for layer in range(layers)]
        )

    def condition(self, speaker: Tensor) -> Tensor:
        """(B, G, 1) -> (B, 2 C layers, 1): constant over time, so that a voice needs it once."""
        return self.cond_layer(speaker)

    def forward(self, x: Tensor, conditions: Tensor, mask: Tensor | None = None) -> Tensor:
        skipped = torch.zeros_like(x)
        parts = conditions.chunk(len(self.in_layers), dim=1)
        for number, (inner, outer, part) in enumerate(
            zip(self.in_layers, self.res_skip_layers, parts, strict=True), start=1
        ):
            value, gate = (inner(x) + part).chunk(2, dim=1)
            y = outer(torch.tanh(value) * torch.sigmoid(gate))
            if number < len(self.in_layers):
                residual, y = y.chunk(2, dim=1)
                x = masked(x + residual, mask)
            skipped = skipped + y
        return masked(skipped, mask)
