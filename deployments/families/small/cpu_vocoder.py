"""The small family's vocoder on a CPU: the same results as VocoderNet, with less work and less memory traffic.

Chunks of any lengths are rows of one matrix, without padding or masks, and a layer computes only what the next one
reads. Matrix products take all rows at once. A depthwise convolution is one multiplication with shifted rows per tap.
Codes and their projection are folded into a table, the residual's scale into its matrix, and a voice's condition into
the gain and shift of the norms.

A row's bits depend on itself alone if matrix products keep theirs, as MKL's do from twelve rows on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from cachetools import LRUCache
from torch import Tensor

from deployments.engine.script import scripted
from deployments.families.small.cpu_source import CpuSource, Slots
from deployments.families.small.cpu_trunk import CpuTrunk, blocks, linear
from deployments.families.small.spans import Extent, Plan, TrunkShape
from deployments.families.small.vocoder_net import VocoderNet

_EXACT = 192  # most rows in float64 at a time: they stay in the cache
_VOICES = 64  # whose conditions are cached
_PLANS = 64  # cached: chunks have few lengths


@dataclass(frozen=True, slots=True)
class CpuChunk:
    """units: int64 (left + count + right,); first: index of units[0] in the segment; speaker (S,); timbre (bins,);
    kept: (K, D) of the previous chunk, layer by layer, if `extent.ahead` is given."""

    units: Tensor
    extent: Extent
    first: int
    seed: int
    speaker: Tensor
    timbre: Tensor
    kept: Tensor | None = None


class CpuVocoder:
    """Made from a net on the CPU, whose weights must not change afterwards."""

    def __init__(self, net: VocoderNet) -> None:
        config = self.config = net.config
        with torch.inference_mode():
            self.table = net.enter(net.fsq.decode(torch.arange(config.n_codes)))  # (codes, D)
        self.phones = None if net.phones is None else net.phones.weight.detach()  # (phones, D)
        self.trunk, _ = scripted(CpuTrunk(net))
        self.filter_head, self.filter_bias = linear(net.filter_head)
        self.normed, self.pitch, self.base = net.normed, net.pitch, net.base
        both = (*blocks(net.code_blocks), *blocks(net.frame_blocks))
        self.conditions = [block.condition for block in both if block.condition]
        self.source = CpuSource(config, net.source_filter)
        self.voices: LRUCache[bytes, Tensor] = LRUCache(_VOICES)
        self.shape = TrunkShape(config.code_reach, config.frame_reach, config.frames_per_code)
        self.most_kept = sum(self.shape.kept(config.right_context, config.left_context))  # K at most
        self.laid_out = lru_cache(_PLANS)(self._lay_out)

    def __call__(
        self, chunks: Sequence[CpuChunk], phase: Tensor, chain: Tensor
    ) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        """Waveforms (count * samples_per_code,), the phases (B,) after them, and the steps to keep, (K, D) each.

        `phase`, `chain`: as in VocoderNet. Nothing is kept if the segment ends or the next chunk is in this batch.
        """
        config = self.config
        extents = [chunk.extent for chunk in chunks]
        plan, slots, saved = self.laid_out(tuple(extents))
        units = [
            chunk.units[span.start + chunk.extent.left :][: span.size]
            for chunk, span in zip(chunks, plan.have[0], strict=True)
        ]
        x, kept = self.trunk(
            self._embedded(torch.cat(units)),
            plan.have,
            plan.made,
            [self._modulation(chunk.speaker) for chunk in chunks],
            [chunk.kept for chunk in chunks],
            [[] if goes_on else counts for counts, goes_on in zip(saved, chain.any(0).tolist(), strict=True)],
        )
        x = slots.lay(x)
        hidden = torch.empty_like(x)
        pitches = []
        for some, out in zip(*(y.chunk(-(-len(x) // _EXACT)) for y in (x, hidden)), strict=True):
            exact = self.normed(some)
            pitches.append(self.pitch(exact))
            out.copy_(exact)
        log_f0, voicing = map(torch.cat, zip(*pitches, strict=True))
        filters = torch.addmm(self.filter_bias, hidden, self.filter_head)
        for chunk, own in zip(chunks, slots.each(), strict=True):
            log_f0[own] += self.base(chunk.speaker)
            filters[own, : 2 * config.n_bins].unflatten(1, (2, -1)).add_(chunk.timbre)
        seeds = [chunk.seed for chunk in chunks]
        firsts = [(chunk.first + chunk.extent.left) * config.frames_per_code for chunk in chunks]
        return *self.source(log_f0, voicing, filters, slots, seeds, firsts, phase, chain), kept

    def _lay_out(self, extents: tuple[Extent, ...]) -> tuple[Plan, Slots, list[list[int]]]:
        plan, shape = Plan.of(extents, self.shape), self.shape
        slots = Slots.of(plan.have[-1], extents, shape.rate)
        saved = [shape.kept(e.right, e.left + e.count) if e.right else [] for e in extents]
        return plan, slots, saved

    def _embedded(self, units: Tensor) -> Tensor:
        """(R,) int64 -> (R, D)"""
        if self.phones is None:
            return self.table.index_select(0, units)
        phones = units.div(self.config.n_codes, rounding_mode="floor")
        codes = units - phones * self.config.n_codes
        return self.table.index_select(0, codes).add_(self.phones.index_select(0, phones))

    def _modulation(self, speaker: Tensor) -> Tensor:
        """Speaker (S,) -> (blocks, 2, D): the gain and shift of each block's norm."""
        key = speaker.numpy().tobytes()
        if (found := self.voices.get(key)) is None:
            # to the bit as in VocoderNet: another rounding would bias the F0 of every frame
            both = [condition(speaker.unsqueeze(0))[0].chunk(2) for condition in self.conditions]
            found = torch.stack([torch.stack([1 + gain, shift]) for gain, shift in both])
            self.voices[key] = found
        return found
