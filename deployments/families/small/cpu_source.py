"""SourceFilter over slots: the frames of all chunks of a batch, one after the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from deployments.engine.noise import normal
from deployments.families.small.config import SmallConfig
from deployments.families.small.phase import QUIET, carried_phases, restarts
from deployments.families.small.source_filter import SourceFilter
from deployments.families.small.spans import AFTER, BEFORE, Extent, Layer

_BLOCK = 512  # slots computed at a time: their signals stay in the cache


@dataclass(frozen=True, slots=True)
class Slots:
    """A chunk of n emitted frames has BEFORE + n + AFTER slots, even where its segment has no frames.

    starts, counts: each chunk's first emitted frame, as a slot, and its emitted frames; order: the row of each slot (of
    its neighbour for a slot without a frame), None if rows are in this order already; empty: slots without a frame.
    """

    starts: list[int]
    counts: list[int]
    order: Tensor | None
    empty: list[slice]

    @classmethod
    def of(cls, frames: Layer, chunks: Sequence[Extent], rate: int) -> Self:
        starts, counts, order, empty, slot = [], [], [], [], 0
        for span, chunk in zip(frames, chunks, strict=True):
            count = chunk.count * rate
            steps = torch.arange(-BEFORE, count + AFTER)
            order.append(steps.clamp_(span.start, span.stop - 1) + (span.row - span.start))
            start = slot + BEFORE
            slot = start + count + AFTER
            starts.append(start)
            counts.append(count)
            empty += [slice(start - BEFORE, start + span.start), slice(start + span.stop, slot)]
        empty = [part for part in empty if part.stop > part.start]
        return cls(starts, counts, torch.cat(order) if empty else None, empty)

    def __len__(self) -> int:
        return self.starts[-1] + self.counts[-1] + AFTER

    def each(self) -> list[slice]:
        """The slots of each chunk."""
        pairs = zip(self.starts, self.counts, strict=True)
        return [slice(start - BEFORE, start + count + AFTER) for start, count in pairs]

    def lay(self, x: Tensor) -> Tensor:
        """Rows (R, D) -> slots (S, D)"""
        return x if self.order is None else x.index_select(0, self.order)


class CpuSource:
    """See `SourceFilter`, whose tables it takes."""

    def __init__(self, config: SmallConfig, tables: SourceFilter) -> None:
        self.config, self.ramp = config, tables.ramp
        self.hop, self.n_fft, self.hops, self.side = tables.hop, tables.n_fft, tables.hops, tables.side
        self.window, self.bend = tables.window, 0.5 * tables.ramp**2
        # the second window, with the divisor of overlap-add
        self.closing = tables.window / tables.overlap[torch.arange(self.n_fft) % self.hop]

    def __call__(
        self,
        log_f0: Tensor,
        voicing: Tensor,
        filters: Tensor,
        slots: Slots,
        seeds: list[int],
        firsts: list[int],
        phase: Tensor,
        chain: Tensor,
    ) -> tuple[list[Tensor], Tensor]:
        """log_f0 (S,) float64, voicing (S,), filters (S, 2 or 3 bins) as in VocoderNet, which are overwritten.

        firsts: the index of each chunk's first emitted frame in its segment; phase, chain: as in VocoderNet.
        Returns the chunks' waveforms and the phases after them.
        """
        config, bins = self.config, self.config.n_bins
        f0 = torch.exp(log_f0).clamp_(config.f0_floor, config.f0_ceil)
        voiced = (voicing > 0).float()
        turn, after = self._phases(f0, voiced, slots, phase, chain)
        source = torch.zeros(2, (len(slots) + 2 * self.hops) * self.hop)  # pulses, noise
        inner = source[:, self.hops * self.hop :][:, : len(slots) * self.hop].view(2, -1, self.hop)
        controls = torch.stack([f0.float(), voiced, turn], dim=1)
        for begin in range(0, len(slots) - 1, _BLOCK):
            some = slice(begin, begin + _BLOCK + 1)
            self._pulses(controls[some], inner[0, some])
        self._noise(slots, seeds, firsts, inner[1])
        filters[:, : 2 * bins].clamp_(-12, 4).exp_()
        for part in slots.empty:
            inner[:, part] = 0
            filters[part] = 0
        first = self.hops * self.hop - self.side
        windows = source[:, first:].unfold(-1, self.n_fft, self.hop)
        pieces = source.new_empty(len(slots), self.n_fft)
        for begin in range(0, len(slots), _BLOCK):
            some = slice(begin, min(begin + _BLOCK, len(slots)))
            spectra, gains = torch.fft.rfft(windows[:, some] * self.window), filters[some]  # (2, slots, bins)
            harmonic, noisy = gains[:, :bins], gains[:, bins : 2 * bins]
            if config.phase_filter:
                harmonic = torch.polar(harmonic, gains[:, 2 * bins :])
            spectrum = spectra[0].mul_(harmonic).add_(spectra[1].mul_(noisy))
            torch.mul(torch.fft.irfft(spectrum, n=self.n_fft), self.closing, out=pieces[some])
        added = source.new_zeros(len(slots) + self.hops, self.hop)  # begins `side` before the first slot
        for hop, part in enumerate(pieces.split(self.hop, dim=1)):
            added[hop : hop + len(slots), : part.shape[1]] += part
        sound = added.flatten()[self.side :]
        edges = zip(slots.starts, slots.counts, strict=True)
        waveforms = [sound[start * self.hop : (start + count) * self.hop] for start, count in edges]
        return waveforms, after

    def _phases(
        self, f0: Tensor, voiced: Tensor, slots: Slots, phase: Tensor, chain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """f0 (S,) float64, voiced (S,) -> cycles (S,) at slots' starts, in -0.5..0.5, and phases (B,) after chunks."""
        rates, heard = f0.numpy(), np.zeros(QUIET + len(f0))
        heard[QUIET:] = voiced.numpy()
        for part in slots.empty:
            heard[part.start + QUIET : part.stop + QUIET] = 0
        marks: np.ndarray = restarts(heard)
        cycles = (rates[:-1] + rates[1:]) * (0.5 * self.hop / self.config.sample_rate)
        turn = np.zeros_like(rates)
        for own, start in zip(slots.each(), slots.starts, strict=True):
            np.cumsum(cycles[own.start : own.stop - 1], out=turn[own.start + 1 : own.stop])
            marks[own.start : start + 1] = False  # these take the carried phase
            marks[own.start] = True
        # for each slot, where its phase last restarted, or the first slot of its chunk
        origins = np.flatnonzero(marks)[np.cumsum(marks) - 1]
        starts = np.array(slots.starts)
        stops = starts + np.array(slots.counts)
        before, restarted = turn[starts], origins[stops] > starts
        passed = turn[stops] - np.where(restarted, turn[origins[stops]], before)
        shift = -turn
        shift[starts - BEFORE] = carried_phases(phase.numpy(), chain.numpy(), restarted, passed) - before
        turn += shift[origins]
        return torch.from_numpy(turn - np.round(turn)).float(), torch.from_numpy(turn[stops] % 1.0)

    def _pulses(self, controls: Tensor, out: Tensor) -> None:
        """Writes SourceFilter.pulses of the voiced slots into `out` (S, hop).

        controls (S + 1, 3): F0, voiced, and cycles at the slots' starts; the last slot has no pulses.
        """
        heard = (controls[:-1, 1] + controls[1:, 1]).nonzero().squeeze(1)
        now, later = controls[heard].unsqueeze(-1), controls[heard + 1].unsqueeze(-1)  # (A, 3, 1)
        base, level, turned = now.unbind(1)  # (A, 1) each
        change, fade = (later - now)[:, 0], (later - now)[:, 1]
        angle = (base * self.ramp).addcmul_(change, self.bend).mul_(self.hop / self.config.sample_rate)
        angle.add_(turned)
        angle.sub_(angle.round()).mul_(2 * math.pi)  # -pi ... pi
        fit = torch.addcmul(base, change, self.ramp).reciprocal_().mul_(self.config.top_harmonic)
        full = fit.floor().sub_(1.0)
        half = (angle * 0.5).sin_()
        near = half.abs() < 1e-5
        highest = (full + 1.0).mul_(angle).cos_().mul_(fit - full - 1.0)
        kernel = (full + 0.5).mul_(angle).sin_().div_(half.mul_(2).masked_fill_(near, 1.0)).sub_(0.5)
        pulse = torch.where(near, full, kernel).add_(highest).mul_(torch.sqrt(2 / fit))
        out.index_copy_(0, heard, pulse.mul_(torch.addcmul(level, fade, self.ramp)))

    def _noise(self, slots: Slots, seeds: list[int], firsts: list[int], out: Tensor) -> None:
        frames = [
            torch.arange(first - BEFORE, first + count + AFTER)
            for first, count in zip(firsts, slots.counts, strict=True)
        ]
        seed = [torch.full((len(frame),), value) for frame, value in zip(frames, seeds, strict=True)]
        counter = torch.cat(frames).unsqueeze(1) * self.hop + torch.arange(self.hop)
        out.copy_(normal(torch.cat(seed).unsqueeze(1), counter))
