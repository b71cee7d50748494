"""The BigVGAN generator: frames, of mels or of latents, to sound, in stages of up-sampling and filtering.

A frame of the late, expensive stages depends on few earlier frames, so each layer computes only the window of its
signal that the following layers need. Convolutions see zeros only outside the true ends of a signal.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from deployments.contract.errors import CheckpointError
from deployments.families.bigvgan.antialias import AntiAliasedSnake, low_pass
from deployments.families.bigvgan.conv import Conv
from deployments.families.bigvgan.receptive_field import (
    ACTIVATION,
    EDGE,
    EDGE_TAPS,
    Window,
    block_reach,
    blocks,
    inner_needs,
    needs,
)
from deployments.families.bigvgan.shape import BigVganShape
from deployments.families.bigvgan.window import crop, cut
from deployments.families.checkpoint import fill, fold_weight_norm

FILTER_TOLERANCE = 1e-6


class Upsample(nn.Module):
    """A transposed convolution with stride `rate`, (B, N, in) -> (B, _, out), which makes `rate` frames of each.

    It is computed as a plain convolution from in to rate x out channels, whose frames each hold `rate` frames. Kernels
    are padded to a multiple of the rate. Call `prepare` once weights are loaded.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, rate: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.rate, self.early = rate, (kernel - rate) // 2

    def prepare(self) -> None:
        weight, bias = self.weight.detach(), self.bias.detach()
        del self.weight, self.bias
        self.register_buffer("bias", bias, persistent=False)
        inputs, outputs, kernel = weight.shape
        taps = -(-kernel // self.rate)
        weight = nn.functional.pad(weight, (0, taps * self.rate - kernel)).unflatten(2, (taps, self.rate))
        self.conv = Conv(inputs, outputs * self.rate, taps).to(weight.device)
        # (in, out, taps, rate) -> (rate, out, in, taps), the last tap first because it applies to the earliest frame
        self.conv.weight.data = weight.permute(3, 1, 0, 2).flip(3).reshape(self.rate * outputs, inputs, taps)
        self.conv.prepare()

    def forward(self, x: Tensor, have: Window, want: Window, bias: Tensor) -> Tensor:
        """bias (B, out) replaces the convolution's own."""
        first = (want.start + self.early) // self.rate
        stop = (want.stop - 1 + self.early) // self.rate + 1
        seen = Window(first - self.conv.kernel + 1, stop, have.length)
        y = self.conv(cut(x, have, seen), bias.repeat(1, self.rate))
        y = y.reshape(len(y), (stop - first) * self.rate, bias.shape[1])
        skipped = want.start + self.early - first * self.rate
        return y[:, skipped : skipped + want.size]


class AmpBlock(nn.Module):
    """Three residual steps, each of two activations followed by a convolution. The first convolution is dilated."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(Conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(Conv(channels, channels, kernel) for _ in dilations)
        self.activations = nn.ModuleList(AntiAliasedSnake(channels) for _ in range(2 * len(dilations)))
        self.side, self.dilations = kernel // 2, tuple(dilations)

    def forward(self, x: Tensor, have: Window, want: Window) -> Tensor:
        for step, (conv1, conv2) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            reach = block_reach(2 * self.side + 1, self.dilations[step + 1 :])
            after = want.grown(reach).clipped()
            between = after.grown(self.side + ACTIVATION).clipped()
            wide = self.side * self.dilations[step]
            y = conv1(self.activations[2 * step](x, have, between.grown(wide)))
            y = conv2(self.activations[2 * step + 1](y, between, after.grown(self.side)))
            x, have = y.add_(cut(x, have, after)), after
        return x


class BigVgan(nn.Module):
    """Attribute names match the checkpoint. Call `prepare` once weights are loaded and on their device."""

    def __init__(self, shape: BigVganShape) -> None:
        super().__init__()
        self.shape = shape
        top = shape.upsample_initial_channel
        widths = [top >> (stage + 1) for stage in range(len(shape.upsample_rates))]
        sizes = zip([top, *widths], widths, shape.upsample_kernel_sizes, shape.upsample_rates, strict=False)
        self.conv_pre = Conv(shape.inputs, top, EDGE_TAPS)
        self.ups = nn.ModuleList(nn.ModuleList([Upsample(*size)]) for size in sizes)
        if shape.speaker:
            self.cond_layer = nn.Conv1d(shape.speaker, top, 1)
            self.conds = nn.ModuleList(nn.Conv1d(shape.speaker, width, 1) for width in widths)
        self.resblocks = nn.ModuleList(AmpBlock(width, *block) for width in widths for block in blocks(shape))
        self.activation_post = AntiAliasedSnake(widths[-1])
        self.conv_post = Conv(widths[-1], 1, EDGE_TAPS)

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], shape: BigVganShape, file: str) -> Self:
        """Builds the network on the CPU from a checkpoint's tensors. Call `prepare` next.

        Raises CheckpointError, which names the file and the tensor, if one is missing, unexpected or of another shape,
        or if a stored low-pass filter differs from the one computed here.
        """
        own = dict(tensors)
        taps = low_pass().float()
        for name in [name for name in own if name.endswith(".filter")]:
            stored = own.pop(name).float().flatten()
            if stored.shape != taps.shape or (stored - taps).abs().max() > FILTER_TOLERANCE:
                raise CheckpointError(f"{file}: {name} is not the low-pass filter of factor 2")
        if not shape.final_bias:
            own.setdefault("conv_post.bias", torch.zeros(1))
        with torch.device("meta"):
            net = cls(shape)
        net.to_empty(device="cpu")
        return fill(net, fold_weight_norm(own), file).eval()

    def prepare(self) -> Self:
        for module in list(self.modules()):
            if isinstance(module, Conv | Upsample | AntiAliasedSnake):
                module.prepare()
        return self

    def forward(self, frames: Tensor, speaker: Tensor | None, want: Window) -> Tensor:
        """The samples `want` of the sound: frames (B, T, inputs), speaker (B, S) or None -> (B, want.size) in -1..1.

        The T frames are the whole signal, or a part of it that extends at least `context` frames beyond `want` on
        each side, or up to the signal's end.
        """
        need = needs(self.shape, want)
        have = Window(0, frames.shape[1], frames.shape[1])
        x = self._first(frames, speaker, have, need.closed[0])
        for stage, (opened, closed) in enumerate(zip(need.opened, need.closed[1:], strict=True)):
            x = self._stage(stage, x, speaker, need.closed[stage], opened, closed)
        return self._last(x, need.closed[-1], want)

    def rows(self, frames: Tensor, speaker: Tensor | None, first: Tensor, count: int) -> Tensor:
        """The samples of `count` frames of each row, from frame `first` (B,) int64: (B, count * samples_per_frame).

        After each stage, the part that the rest needs is cut out, the same length from each row. So shapes depend on
        `count` alone, nothing waits for the device, and a CUDA graph can capture it. Requires first + count <= T.
        """
        origin, need = inner_needs(self.shape, count)
        whole = Window.whole(frames.shape[1])
        x = self._first(frames, speaker, whole, whole)
        scale, begin = 1, torch.zeros_like(first)  # of the signal to the frames, and the first of it in x
        for stage, factor in enumerate(self.shape.upsample_rates):
            whole = Window.whole(x.shape[1] * factor)
            x = self._stage(stage, x, speaker, Window.whole(x.shape[1]), whole, whole)
            scale, begin = scale * factor, begin * factor
            closed = need.closed[stage + 1]
            keep = min(closed.size, x.shape[1])
            skipped = (first - origin) * scale + closed.start - begin
            skipped = skipped.clamp(min=0, max=x.shape[1] - keep)
            x, begin = crop(x, skipped, keep), begin + skipped
        whole = Window.whole(x.shape[1])
        sound = self._last(x, whole, whole).unsqueeze(2)
        return crop(sound, first * scale - begin, count * scale).squeeze(2)

    def _first(self, frames: Tensor, speaker: Tensor | None, have: Window, want: Window) -> Tensor:
        bias = self.conv_pre.bias
        if speaker is not None:
            bias = bias + _constant(self.cond_layer, speaker)
        return self.conv_pre(cut(frames, have, want.grown(EDGE)), bias.expand(len(frames), -1))

    def _stage(
        self, stage: int, x: Tensor, speaker: Tensor | None, have: Window, opened: Window, closed: Window
    ) -> Tensor:
        bias = self.get_buffer(f"ups.{stage}.0.bias")
        if speaker is not None:
            bias = bias + _constant(self.conds[stage], speaker)
        x = self.get_submodule(f"ups.{stage}.0")(x, have, opened, bias.expand(len(x), -1))
        count = len(blocks(self.shape))
        first, *others = self.resblocks[stage * count : (stage + 1) * count]
        y = first(x, opened, closed)
        for block in others:
            y.add_(block(x, opened, closed))
        return y.div_(count)

    def _last(self, x: Tensor, have: Window, want: Window) -> Tensor:
        x = self.activation_post(x, have, want.grown(EDGE))
        sound = self.conv_post(x).squeeze(2)
        return sound.tanh_() if self.shape.tanh else sound.clamp_(-1, 1)


def _constant(layer: nn.Module, speaker: Tensor) -> Tensor:
    return layer(speaker.unsqueeze(2)).squeeze(2)
