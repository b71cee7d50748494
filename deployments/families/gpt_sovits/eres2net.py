"""ERes2NetV2 (Chen et al., 2024) without its head: filter banks to the speaker embedding of v2Pro and v2ProPlus.

Names match the checkpoint. The head's pooling and linear layer are in it too, and are not used.
"""

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from deployments.families.checkpoint import read_tensors
from deployments.families.gpt_sovits.weights import Shapes, loaded

STRIDES = (1, 2, 2, 2)  # of the four layers
CEILING = 20.0  # of the clipped ReLU
_VARIANCE = "running_var"
_HEAD = ("seg_1.", "seg_2.", "pool.", "seg_bn_1.")


class Fusion(nn.Module):
    """Attention between two signals (B, C, F, T) of one shape ("AFF"): x a + y (2 - a)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.local_att = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        share = 1 + torch.tanh(self.local_att(torch.cat([x, y], dim=1)))
        return x * share + y * (2 - share)


class Block(nn.Module):
    """A Res2Net bottleneck: each part of the channels sees the part before. The parts meet by a sum or by `Fusion`."""

    def __init__(self, shapes: Shapes, stride: int) -> None:
        super().__init__()
        wide, inputs = shapes["conv1.weight"][:2]
        outputs, part = shapes["conv3.weight"][0], shapes["convs.0.weight"][0]
        parts = wide // part
        self.conv1, self.bn1 = nn.Conv2d(inputs, wide, 1, stride, bias=False), nn.BatchNorm2d(wide)
        self.convs = nn.ModuleList([nn.Conv2d(part, part, 3, padding=1, bias=False) for _ in range(parts)])
        self.bns = nn.ModuleList([nn.BatchNorm2d(part) for _ in range(parts)])
        self.conv3, self.bn3 = nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        hidden = shapes.get("fuse_models.0.local_att.0.weight")
        self.fuse_models = nn.ModuleList(
            [Fusion(part, hidden[0]) for _ in range(parts - 1)] if hidden else []
        )
        self.shortcut = nn.Sequential()
        if "shortcut.0.weight" in shapes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        done: list[Tensor] = []
        for index, part in enumerate(clipped(self.bn1(self.conv1(x))).chunk(len(self.convs), dim=1)):
            if index:
                part = self.fuse_models[index - 1](done[-1], part) if self.fuse_models else done[-1] + part
            done.append(clipped(self.bns[index](self.convs[index](part))))
        return clipped(self.bn3(self.conv3(torch.cat(done, dim=1))) + self.shortcut(x))


class Eres2Net(nn.Module):
    """Filter banks (B, T, 80) -> (B, E), for the published sizes E = 20480."""

    def __init__(self, shapes: Shapes) -> None:
        """shapes: of the tensors that are used."""
        super().__init__()
        first = shapes["conv1.weight"][0]
        self.conv1, self.bn1 = nn.Conv2d(1, first, 3, padding=1, bias=False), nn.BatchNorm2d(first)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _layer(shapes, f"layer{number}.", stride) for number, stride in enumerate(STRIDES, start=1)
        )
        outputs, inputs = shapes["layer3_ds.weight"][:2]
        self.layer3_ds = nn.Conv2d(inputs, outputs, 3, 2, padding=1, bias=False)
        self.fuse34 = Fusion(outputs, shapes["fuse34.local_att.0.weight"][0])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises CheckpointError for a file that is not an ERes2NetV2."""
        tensors = {name: tensor for name, tensor in read_tensors(path).items() if not name.startswith(_HEAD)}
        norms = [name.removesuffix(_VARIANCE) for name in tensors if name.endswith(_VARIANCE)]
        for norm in norms:  # a statistic of training that some files lack
            tensors.setdefault(f"{norm}num_batches_tracked", torch.tensor(0))
        return loaded(cls, tensors, path.name, "")

    def forward(self, banks: Tensor) -> Tensor:
        return self.frames(banks).mean(-1)

    def frames(self, banks: Tensor) -> Tensor:
        """(B, T, 80) -> (B, E, T / 8)"""
        x = torch.relu(self.bn1(self.conv1(banks.transpose(1, 2).unsqueeze(1))))
        third = self.layer3(self.layer2(self.layer1(x)))
        return self.fuse34(self.layer4(third), self.layer3_ds(third)).flatten(1, 2)


def clipped(x: Tensor) -> Tensor:
    return x.clamp(0, CEILING)


def _layer(shapes: Shapes, prefix: str, stride: int) -> nn.Sequential:
    own = shapes.part(prefix)
    numbers = sorted({0, *(int(name.split(".")[0]) for name in own)})
    return nn.Sequential(*(Block(own.part(f"{number}."), 1 if number else stride) for number in numbers))
