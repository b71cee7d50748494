"""The small family's vocoder on a CPU: the same numbers as VocoderNet, with less work and less memory traffic.

Chunks of any lengths are rows of one matrix, unpadded: nothing is masked, and what a layer makes is only what the next
one reads. Matrix products take all rows at once; a depthwise convolution is one multiplication with shifted rows for
each tap. Folded beforehand: codes and their projection into a table, the residual's scale into its matrix, a voice's
condition into the gain and shift of the norms.

A row's bits depend on nothing but itself where matrix products keep theirs, as MKL's do from four rows on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.lean_source import LeanSource, Slots
from deployments.families.small.spans import Extent, Layer, Plan, rows
from deployments.families.small.vocoder_net import VocoderNet

_BLOCK = 768  # rows of a product: what it makes stays in the cache for what comes next
_EXACT = 192  # rows in float64 at most at a time, for the same reason
_VOICES = 64  # whose conditions are kept
_PLANS = 64  # kept: chunks of a stream, and those of an utterance that was cut, are of few lengths

Modulation = tuple[Tensor, Tensor]  # gain and shift of a norm, (D,) each


@dataclass(frozen=True, slots=True)
class LeanChunk:
    """codes: int64 (left + count + right,); first: index of codes[0] in the segment; speaker (S,)."""

    codes: Tensor
    extent: Extent
    first: int
    seed: int
    speaker: Tensor


class LeanBlock:
    """A ConvBlock over rows."""

    def __init__(self, block: ConvBlock) -> None:
        taps = block.depthwise.weight.detach()[:, 0].t().contiguous()  # (K, D)
        assert block.depthwise.bias is not None
        self.taps, self.tap_bias = list(taps), block.depthwise.bias.detach()
        self.middle = len(taps) // 2
        self.widen, self.widen_bias = block.widen.weight.detach().t().contiguous(), block.widen.bias.detach()
        scale = block.scale.detach()
        self.narrow = (block.narrow.weight.detach() * scale.unsqueeze(1)).t().contiguous()
        self.narrow_bias = block.narrow.bias.detach() * scale

    def __call__(self, x: Tensor, before: Layer, after: Layer, modulations: Sequence[Modulation]) -> Tensor:
        """x: rows as `before` says -> rows as `after` says."""
        count, dim = rows(after), x.shape[1]
        y, wide = x.new_empty(count, dim), x.new_empty(min(count, _BLOCK), self.widen.shape[1])
        normed = []
        for have, want, (gain, shift) in zip(before, after, modulations, strict=True):
            own, skipped = x[have.rows], want.start - have.start
            mixed = self._depthwise(own, skipped, want.size)
            normed.append(F.layer_norm(mixed, (dim,), gain, shift))
            torch.add(own[skipped : skipped + want.size], self.narrow_bias, out=y[want.rows])
        inner = normed[0] if len(normed) == 1 else torch.cat(normed)
        for start in range(0, count, _BLOCK):
            block = slice(start, min(start + _BLOCK, count))
            hidden = wide[: block.stop - start]
            torch.addmm(self.widen_bias, inner[block], self.widen, out=hidden)
            torch.ops.aten.gelu_(hidden)
            y[block].addmm_(hidden, self.narrow)
        return y

    def _depthwise(self, x: Tensor, skipped: int, count: int) -> Tensor:
        """Steps skipped..skipped + count of the convolution of x; beyond its ends are zeros."""
        y = torch.addcmul(self.tap_bias, x[skipped : skipped + count], self.taps[self.middle])
        for index, tap in enumerate(self.taps):
            start = skipped + index - self.middle
            low, high = max(0, -start), min(count, len(x) - start)
            if index != self.middle and low < high:
                y[low:high].addcmul_(x[start + low : start + high], tap)
        return y


class LeanVocoder:
    """Built from a net on the CPU whose weights do not change any more."""

    def __init__(self, net: VocoderNet) -> None:
        config = self.config = net.config
        with torch.inference_mode():
            self.table = net.enter(net.fsq.decode(torch.arange(config.n_codes)))  # (codes, D)
        self.code_blocks = [LeanBlock(block) for block in _blocks(net.code_blocks)]
        self.frame_blocks = [LeanBlock(block) for block in _blocks(net.frame_blocks)]
        self.upsample, self.upsample_bias = _linear(net.upsample)
        self.filter_head, self.filter_bias = _linear(net.filter_head)
        self.normed, self.pitch = net.normed, net.pitch
        blocks = _blocks([*net.code_blocks, *net.frame_blocks])
        self.conditions = [block.condition for block in blocks if block.condition is not None]
        self.source = LeanSource(config, net.source_filter)
        self.voices: OrderedDict[bytes, list[Modulation]] = OrderedDict()
        self.laid_out = lru_cache(_PLANS)(self._lay_out)

    def __call__(
        self, chunks: Sequence[LeanChunk], phase: Tensor, chain: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Waveforms (count * samples_per_code,), and the phases (B,) behind them; `phase`, `chain` as in VocoderNet."""
        config = self.config
        extents = [chunk.extent for chunk in chunks]
        plan, slots = self.laid_out(tuple(extents))
        voices = [self._modulations(chunk.speaker) for chunk in chunks]
        modulations = list(zip(*voices, strict=True))  # of each block, those of the chunks
        codes = [
            chunk.codes[span.start + chunk.extent.left :][: span.size]
            for chunk, span in zip(chunks, plan.codes[0], strict=True)
        ]
        x = self.table.index_select(0, torch.cat(codes))
        for index, block in enumerate(self.code_blocks):
            x = block(x, plan.codes[index], plan.codes[index + 1], modulations[index])
        x = torch.addmm(self.upsample_bias, x, self.upsample).view(-1, config.vocoder_dim)
        for index, block in enumerate(self.frame_blocks):
            place = index + len(self.code_blocks)
            x = block(x, plan.frames[index], plan.frames[index + 1], modulations[place])
        x = slots.lay(x)
        hidden = torch.empty_like(x)
        pitches = []
        for some, out in zip(*(y.chunk(-(-len(x) // _EXACT)) for y in (x, hidden)), strict=True):
            exact = self.normed(some)
            pitches.append(self.pitch(exact))
            out.copy_(exact)
        log_f0, voicing = map(torch.cat, zip(*pitches, strict=True))
        filters = torch.addmm(self.filter_bias, hidden, self.filter_head)
        seeds = [chunk.seed for chunk in chunks]
        firsts = [(chunk.first + chunk.extent.left) * config.frames_per_code for chunk in chunks]
        return self.source(log_f0, voicing, filters, slots, seeds, firsts, phase, chain)

    def _lay_out(self, extents: tuple[Extent, ...]) -> tuple[Plan, Slots]:
        config = self.config
        plan = Plan.of(
            extents,
            config.code_kernel // 2,
            config.code_blocks,
            config.frame_kernel // 2,
            config.frame_blocks,
            config.frames_per_code,
        )
        return plan, Slots.of(plan.frames[-1], extents, config.frames_per_code)

    def _modulations(self, speaker: Tensor) -> list[Modulation]:
        key = speaker.numpy().tobytes()
        if key not in self.voices:
            # to the bit what VocoderNet makes of one voice: rounded otherwise, it would bias F0 at every frame alike
            both = [condition(speaker.unsqueeze(0))[0].chunk(2) for condition in self.conditions]
            self.voices[key] = [(1 + gain, shift) for gain, shift in both]
            if len(self.voices) > _VOICES:
                self.voices.popitem(last=False)
        self.voices.move_to_end(key)
        return self.voices[key]


def _blocks(modules: Iterable[nn.Module]) -> list[ConvBlock]:
    return [module for module in modules if isinstance(module, ConvBlock)]


def _linear(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Its matrix as (in, out), and its bias."""
    return layer.weight.detach().t().contiguous(), layer.bias.detach()
