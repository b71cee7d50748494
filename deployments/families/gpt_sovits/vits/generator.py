"""The HiFi-GAN generator: latents or mels of one rate to samples. VITS uses it with a speaker, v4's vocoder without."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.gpt_sovits.checkpoints import SovitsConfig
from deployments.families.gpt_sovits.weights import Shapes

SLOPE, LAST_SLOPE = 0.1, 0.01  # of the leaky ReLUs


class ResBlock(nn.Module):
    """Three pairs of convolutions, each with a residual: x (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def convs(dilations: tuple[int, ...]) -> nn.ModuleList:
            return nn.ModuleList(
                [nn.Conv1d(channels, channels, kernel, padding="same", dilation=step) for step in dilations]
            )

        self.convs1, self.convs2 = convs(dilations), convs((1,) * len(dilations))
        self.reach = kernel // 2 * sum(step + 1 for step in dilations)  # samples to each side

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for wide, narrow in zip(self.convs1, self.convs2, strict=True):
            y = wide(F.leaky_relu(x, SLOPE))
            y = F.leaky_relu(y, SLOPE) if mask is None else F.leaky_relu(y, SLOPE).mul_(mask)
            y = narrow(y)
            x = x + (y if mask is None else y.mul_(mask))
        return x


class Generator(nn.Module):
    """x (B, I, T), speaker (B, G, 1) or None -> (B, T * rate) in -1..1."""

    def __init__(self, shapes: Shapes, config: SovitsConfig) -> None:
        """shapes: of the tensors, without a prefix and without weight norm."""
        super().__init__()
        channels, inputs, kernel = shapes["conv_pre.weight"]
        self.rates = config.upsample_rates
        self.conv_pre: nn.Module = nn.Conv1d(inputs, channels, kernel, padding=kernel // 2)
        self.cond = nn.Conv1d(shapes["cond.weight"][1], channels, 1) if "cond.weight" in shapes else None
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        self.sizes: list[tuple[int, int]] = []  # samples per frame and channels after each stage
        for stage, rate in enumerate(self.rates):
            wide, narrow, kernel = shapes[f"ups.{stage}.weight"]
            padding = (kernel - rate) // 2
            self.sizes.append((math.prod(self.rates[: stage + 1]), narrow))
            self.ups.append(nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=padding))
            for size, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            ):
                self.resblocks.append(ResBlock(narrow, size, dilations))
        last, kernel = shapes["conv_post.weight"][1:]
        self.margins = self._margins(kernel)
        self.conv_post = nn.Conv1d(last, 1, kernel, padding=kernel // 2, bias="conv_post.bias" in shapes)

    def forward(
        self,
        x: Tensor,
        speaker: Tensor | None = None,
        mask: Tensor | None = None,
        context: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """mask: (B, 1, T), 0 beyond a row's end. The row then sounds as it does without padding.

        context: frames before and after those whose samples are returned, which these depend on. Of them, each layer
        computes only what the next ones still need: most of the work is in the last stages, which need little.
        """
        before, after = context
        x = self.conv_pre(x)
        if self.cond is not None:
            assert speaker is not None
            x = x + self.cond(speaker)
        blocks = len(self.resblocks) // len(self.ups)
        for stage, (up, rate) in enumerate(zip(self.ups, self.rates, strict=True)):
            if mask is not None:
                x = x * mask
                mask = mask.repeat_interleave(rate, dim=2)
            x = up(F.leaky_relu(x, SLOPE))
            before, after = before * rate, after * rate
            spare = max(0, before - self.margins[stage]), max(0, after - self.margins[stage])
            x = x[:, :, spare[0] : x.shape[2] - spare[1]]
            before, after = before - spare[0], after - spare[1]
            if mask is not None:
                x = x * mask
            own = self.resblocks[stage * blocks : (stage + 1) * blocks]
            total = own[0](x, mask)
            for block in own[1:]:
                total = total + block(x, mask)
            x = total / blocks
        sound = torch.tanh(self.conv_post(F.leaky_relu(x, LAST_SLOPE)))[:, 0]
        return sound[:, before : sound.shape[1] - after]

    def _margins(self, kernel: int) -> list[int]:
        """Samples to each side that a stage's output must have beyond those that are wanted. kernel: the last one's."""
        margins, needed = [], kernel // 2
        blocks = len(self.resblocks) // len(self.ups)
        for stage in reversed(range(len(self.ups))):
            own = self.resblocks[stage * blocks : (stage + 1) * blocks]
            needed += max(int(block.reach) for block in own)  # pyright: ignore[reportArgumentType]
            margins.insert(0, needed)
            up, rate = self.ups[stage], self.rates[stage]
            padding = up.kernel_size[0] - 1 - up.padding[0]  # pyright: ignore
            needed = -(-(needed + padding) // rate)
        return margins
