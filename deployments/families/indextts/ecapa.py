"""ECAPA-TDNN (Desplanques et al., 2020): log-mel to speaker vector. Names match the checkpoint's `speaker_encoder.`"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.contract.errors import CheckpointError
from deployments.families.indextts.config import N_MELS

SCALE = 8  # groups of channels in a Res2Net block
DILATIONS = (2, 3, 4)  # of the three blocks
COUNTERS = "num_batches_tracked"  # a statistic of training in some checkpoints, which inference does not use


@dataclass(frozen=True, slots=True)
class EcapaWidths:
    """Widths that the config does not state. The published ones are 512, 128, 1536 and 128."""

    channels: int  # of the blocks
    squeezed: int  # inside a squeeze-excitation
    aggregated: int  # of the combined outputs of the blocks
    attention: int  # inside the pooling

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], file: str, prefix: str = "speaker_encoder.") -> Self:
        """From the shapes of tensors named without `prefix`. Raises CheckpointError, which names file and tensor."""

        def outputs(name: str) -> int:
            if name not in tensors:
                raise CheckpointError(f"{file}: {prefix}{name} is missing")
            if tensors[name].dim() != 3:
                raise CheckpointError(
                    f"{file}: {prefix}{name} is {tuple(tensors[name].shape)}, not the shape of a convolution weight"
                )
            return tensors[name].shape[0]

        widths = cls(
            channels=outputs("blocks.0.conv.conv.weight"),
            squeezed=outputs("blocks.1.se_block.conv1.conv.weight"),
            aggregated=outputs("mfa.conv.conv.weight"),
            attention=outputs("asp.tdnn.conv.conv.weight"),
        )
        if widths.channels % SCALE:
            raise CheckpointError(
                f"{file}: {prefix}blocks.0 has {widths.channels} channels, not a multiple of {SCALE}"
            )
        return widths


def without_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTERS)}


class Ecapa(nn.Module):
    """Log-mel (B, 100, T), T > 4 -> speaker vectors (B, speaker_dim)."""

    def __init__(self, widths: EcapaWidths, speaker_dim: int) -> None:
        super().__init__()
        dim, total = widths.channels, widths.aggregated
        self.blocks = nn.ModuleList([Tdnn(N_MELS, dim, 5)])
        self.blocks.extend([SeRes2Net(dim, widths.squeezed, dilation) for dilation in DILATIONS])
        self.mfa = Tdnn(len(DILATIONS) * dim, total, 1)
        self.asp = AttentivePooling(total, widths.attention)
        self.asp_bn = named("norm", StoredNorm(2 * total))
        self.fc = convolution(2 * total, speaker_dim, 1)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.blocks[0](mel)  # (B, C, T)
        outputs = []
        for block in self.blocks[1:]:  # pyright: ignore[reportGeneralTypeIssues]
            x = block(x)
            outputs.append(x)
        pooled = self.asp(self.mfa(torch.cat(outputs, dim=1)))  # (B, 2 Cm, 1)
        return self.fc(self.asp_bn(pooled)).squeeze(2)


def named(name: str, module: nn.Module) -> nn.Sequential:
    """The checkpoint wraps each convolution and each norm once."""
    return nn.Sequential(OrderedDict({name: module}))


def convolution(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Module:
    """(B, C, T) -> (B, D, T): a convolution over time with reflected edges."""
    side = dilation * (kernel - 1) // 2
    mode = "reflect" if side else "zeros"
    conv = nn.Conv1d(inputs, outputs, kernel, padding=side, dilation=dilation, padding_mode=mode)
    return named("conv", conv)


class StoredNorm(nn.Module):
    """Batch norm by stored statistics: (B, C, T) -> (B, C, T)"""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=1e-5)


class Tdnn(nn.Module):
    """(B, C, T) -> (B, D, T)"""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs, kernel, dilation)
        self.norm = named("norm", StoredNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.relu(self.conv(x)))


class SeRes2Net(nn.Module):
    """(B, C, T) -> (B, C, T)"""

    def __init__(self, dim: int, squeezed: int, dilation: int) -> None:
        super().__init__()
        self.tdnn1 = Tdnn(dim, dim, 1)
        self.res2net_block = Res2Net(dim, dilation)
        self.tdnn2 = Tdnn(dim, dim, 1)
        self.se_block = SqueezeExcitation(dim, squeezed)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))))


class Res2Net(nn.Module):
    """A chain of groups of channels, each with a wider receptive field than the one before."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        part = dim // SCALE
        self.blocks = nn.ModuleList([Tdnn(part, part, 3, dilation) for _ in range(SCALE - 1)])

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = x.chunk(SCALE, dim=1)  # (B, C / 8, T) each
        outputs = [first]
        for index, (block, part) in enumerate(zip(self.blocks, rest, strict=True)):
            outputs.append(block(part + outputs[-1] if index else part))
        return torch.cat(outputs, dim=1)


class SqueezeExcitation(nn.Module):
    """Scales channels by gates computed from their means."""

    def __init__(self, dim: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = convolution(dim, squeezed, 1)
        self.conv2 = convolution(squeezed, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean(dim=2, keepdim=True)  # (B, C, 1)
        return x * torch.sigmoid(self.conv2(F.relu(self.conv1(level))))


class AttentivePooling(nn.Module):
    """(B, C, T) -> mean and standard deviation over the frames, weighted by attention: (B, 2 C, 1)."""

    def __init__(self, channels: int, attention: int) -> None:
        super().__init__()
        self.tdnn = Tdnn(3 * channels, attention, 1)
        self.conv = convolution(attention, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        whole = statistics(x, torch.full_like(x[:1, :1], 1 / x.shape[2])).expand(-1, -1, x.shape[2])
        scores = self.conv(torch.tanh(self.tdnn(torch.cat([x, whole], dim=1))))
        return statistics(x, scores.softmax(dim=2))


def statistics(x: Tensor, weights: Tensor) -> Tensor:
    """Mean and standard deviation of x (B, C, T) with weights that sum to one over T: (B, 2 C, 1)."""
    mean = (weights * x).sum(dim=2, keepdim=True)
    variance = (weights * (x - mean) ** 2).sum(dim=2, keepdim=True)
    return torch.cat([mean, variance.clamp(min=1e-12).sqrt()], dim=1)
