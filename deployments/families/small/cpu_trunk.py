"""The vocoder's trunk over rows, as one TorchScript call, because calls from Python dominate a short chunk."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.spans import Span
from deployments.families.small.vocoder_net import VocoderNet

_BLOCK = 768  # rows of a product: its result stays in the cache for the next one
_STEP = 16  # rows: oneDNN keeps a program of some KiB for each shape of its GELU, so shapes must be few
_FEWEST = 12  # rows of a product: with fewer it may sum in another order (MKL, one thread or two)


class CpuBlock(nn.Module):
    """A ConvBlock over rows."""

    __constants__ = ("before", "most", "step")

    def __init__(self, block: ConvBlock) -> None:
        super().__init__()
        self.most, self.step = _BLOCK, _STEP
        self.taps = block.depthwise.weight.detach()[:, 0].t().contiguous()  # (K, D)
        assert block.depthwise.bias is not None
        self.tap_bias, self.before = block.depthwise.bias.detach(), block.reach[0]
        self.widen, self.widen_bias = block.widen.weight.detach().t().contiguous(), block.widen.bias.detach()
        scale = block.scale.detach()
        self.narrow = (block.narrow.weight.detach() * scale.unsqueeze(1)).t().contiguous()
        self.narrow_bias = block.narrow.bias.detach() * scale

    def forward(self, x: Tensor, before: list[Span], after: list[Span], gains: list[Tensor]) -> Tensor:
        """x: rows of `before` -> rows of `after`. gains: each chunk's gain and shift, (2, D)."""
        dim, made = x.shape[1], after[-1].row + after[-1].stop - after[-1].start
        if made == 0:
            return x[:0]
        y = x.new_empty((made, dim))
        normed: list[Tensor] = []
        for chunk, want in enumerate(after):
            have, size = before[chunk], want.stop - want.start
            own, skipped = x[have.row : have.row + have.stop - have.start], want.start - have.start
            mixed = self._depthwise(own, skipped, size)
            normed.append(F.layer_norm(mixed, (dim,), gains[chunk][0], gains[chunk][1]))
            torch.add(own[skipped : skipped + size], self.narrow_bias, out=y[want.row : want.row + size])
        inner, y = filled_up(normed[0] if len(normed) == 1 else torch.cat(normed)), filled_up(y)
        wide = x.new_empty((min(self._stepped(len(y)), self.most), self.widen.shape[1]))
        for start in range(0, len(y), self.most):
            stop = min(start + self.most, len(y))
            size = stop - start
            torch.addmm(self.widen_bias, inner[start:stop], self.widen, out=wide[:size])
            stepped = wide[: self._stepped(size)]
            stepped[size:].zero_()
            torch.ops.aten.gelu_(stepped)
            y[start:stop].addmm_(wide[:size], self.narrow)
        return y[:made]

    def _stepped(self, count: int) -> int:
        return (count + self.step - 1) // self.step * self.step

    def _depthwise(self, x: Tensor, skipped: int, count: int) -> Tensor:
        """Steps skipped..skipped + count of the convolution of x, which continues as zeros."""
        y = torch.addcmul(self.tap_bias, x[skipped : skipped + count], self.taps[self.before])
        for tap in range(self.taps.shape[0]):
            start = skipped + tap - self.before
            low, high = max(0, -start), min(count, x.shape[0] - start)
            if tap != self.before and low < high:
                y[low:high].addcmul_(x[start + low : start + high], self.taps[tap])
        return y


class CpuTrunk(nn.Module):
    def __init__(self, net: VocoderNet) -> None:
        super().__init__()
        self.code_blocks = nn.ModuleList([CpuBlock(block) for block in blocks(net.code_blocks)])
        self.frame_blocks = nn.ModuleList([CpuBlock(block) for block in blocks(net.frame_blocks)])
        self.upsample, self.upsample_bias = linear(net.upsample)

    def forward(
        self,
        x: Tensor,
        have: list[list[Span]],
        made: list[list[Span]],
        voices: list[Tensor],
        kept: list[Tensor | None],
        takes: list[list[int]],
    ) -> tuple[Tensor, list[Tensor]]:
        """x (R, D): the codes' rows -> the last layer's rows, and the steps to keep of all layers, (K, D) per chunk.

        have, made: see Plan. For each chunk, voices (blocks, 2, D); kept (K, D) of the previous chunk; takes, how many
        steps of each layer to keep, or empty.
        """
        taken: list[list[Tensor]] = []
        for _ in takes:
            none: list[Tensor] = []
            taken.append(none)
        read = [0 for _ in takes]
        layer, dim = 0, x.shape[1]
        for block in self.code_blocks:
            x = block(x, have[layer], made[layer + 1], [voice[layer] for voice in voices])
            layer += 1
            x = self._woven(x, have[layer], made[layer], kept, read)
            self._take(x, layer, have[layer], takes, taken)
        count = x.shape[0]
        x = torch.addmm(self.upsample_bias, filled_up(x), self.upsample)[:count].view(-1, dim)
        layer += 1
        x = self._woven(x, have[layer], made[layer], kept, read)
        self._take(x, layer, have[layer], takes, taken)
        for block in self.frame_blocks:
            x = block(x, have[layer], made[layer + 1], [voice[layer - 1] for voice in voices])
            layer += 1
            x = self._woven(x, have[layer], made[layer], kept, read)
            self._take(x, layer, have[layer], takes, taken)
        return x, [torch.cat(parts) if len(parts) > 0 else x[:0] for parts in taken]

    def _woven(
        self, x: Tensor, have: list[Span], made: list[Span], kept: list[Tensor | None], read: list[int]
    ) -> Tensor:
        """Rows of `made` -> rows of `have`, with the kept steps inserted, of which `read` are used already."""
        parts: list[Tensor] = []
        woven = False
        for chunk, span in enumerate(have):
            rows, new = kept[chunk], made[chunk]
            if rows is not None and span.kept > 0:
                parts.append(rows[read[chunk] : read[chunk] + span.kept])
                read[chunk] += span.kept
                woven = True
            parts.append(x[new.row : new.row + new.stop - new.start])
        return torch.cat(parts) if woven else x

    def _take(
        self, x: Tensor, layer: int, have: list[Span], takes: list[list[int]], taken: list[list[Tensor]]
    ) -> None:
        for chunk, counts in enumerate(takes):
            if len(counts) > 0 and counts[layer] > 0:
                stop = have[chunk].row + have[chunk].stop - have[chunk].start
                taken[chunk].append(x[stop - counts[layer] : stop])


def blocks(modules: Iterable[nn.Module]) -> list[ConvBlock]:
    return [module for module in modules if isinstance(module, ConvBlock)]


def linear(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """The weight as (in, out), and the bias."""
    return layer.weight.detach().t().contiguous(), layer.bias.detach()


def filled_up(x: Tensor, fewest: int = _FEWEST) -> Tensor:
    """Pads x to the least number of rows of a batch-invariant product."""
    return x if len(x) >= fewest else F.pad(x, (0, 0, 0, fewest - len(x)))
