"""Drawing codes: temperature, top-k, top-p and repetition penalty by row, from noise keyed by (seed, step).

A row's draw depends on its own logits and settings alone, so it does not matter who shares its batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deployments.engine.noise import uniform
from deployments.families.base import Sampling

NARROW = 64  # rows with a top-k up to this are sorted no further, on the CPU
_INF = float("inf")


class SamplingState:
    """Settings and history of every slot, in static tensors of (slots + 1,): the last slot is scratch.

    vocabulary: V, the width of the logits; penalty: whether repetition penalties are kept track of at all.
    """

    def __init__(self, slots: int, vocabulary: int, device: torch.device, penalty: bool = True) -> None:
        rows = slots + 1
        self.vocabulary = vocabulary
        self.seed = torch.zeros(rows, dtype=torch.int64, device=device)
        self.step = torch.zeros(rows, dtype=torch.int64, device=device)
        self.temperature = torch.ones(rows, device=device)
        self.top_k = torch.full((rows,), vocabulary, dtype=torch.int64, device=device)
        self.top_p = torch.ones(rows, device=device)
        self.penalty = torch.ones(rows, device=device)
        self.seen = torch.zeros(rows, vocabulary, dtype=torch.bool, device=device) if penalty else None
        # the last draw, and whether it was new
        self._last = torch.zeros(rows, dtype=torch.int64, device=device)
        self._last_new = torch.zeros(rows, dtype=torch.bool, device=device)
        self._ranks = torch.arange(vocabulary, device=device)

    def set(self, slot: int, sampling: Sampling) -> None:
        """Begins a sequence in `slot`. top_k 0 means all codes; temperature 0 means the likeliest code."""
        self.seed[slot] = _signed64(sampling.seed)
        self.step[slot] = 0
        self.temperature[slot] = sampling.temperature
        self.top_k[slot] = min(sampling.top_k, self.vocabulary) if sampling.top_k > 0 else self.vocabulary
        self.top_p[slot] = sampling.top_p
        self.penalty[slot] = sampling.repetition_penalty
        if self.seen is not None:
            self.seen[slot] = False

    def draw(self, logits: Tensor, rows: Tensor) -> Tensor:
        """logits: float32 (B, V), -inf where a code is forbidden; rows: int64 (B,) slots -> int64 (B,).

        -1 marks a row that has no distribution (NaN, +inf, or every code forbidden). Each row's step advances.
        """
        on_host = logits.device.type == "cpu"
        logits = self.penalise(logits, rows)
        peak = logits.amax(-1)
        sound = (peak > -_INF) & (peak < _INF)  # false for NaN too
        noise = uniform(self.seed[rows], self.step[rows])
        if on_host:
            codes = self._draw_by_width(logits, rows, noise)
        else:
            codes = self._invert(*torch.sort(logits, dim=-1, descending=True, stable=True), rows, noise)
        codes = torch.where(self.temperature[rows] > 0, codes, logits.argmax(-1))
        codes = torch.where(sound, codes, -1)
        self._remember(codes.clamp_min(0), rows)
        return codes

    def penalise(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Codes that a row has seen become less likely: positive logits are divided, others multiplied. (B, V)"""
        if self.seen is None:
            return logits
        factor = self.penalty[rows, None]
        if logits.device.type == "cpu" and not (factor != 1).any():  # a factor of 1 changes no bit
            return logits
        return torch.where(self.seen[rows], torch.where(logits > 0, logits / factor, logits * factor), logits)

    def shares(self, ordered: Tensor, rows: Tensor) -> Tensor:
        """Temperature, then top-k, then top-p on descending logits (B, W) -> shares (B, W), not normalised."""
        ranks = self._ranks[: ordered.shape[1]]
        temperature = self.temperature[rows, None].clamp_min(1e-4)
        kept = torch.where(ranks < self.top_k[rows, None], ordered, -_INF)
        share = torch.softmax(kept / temperature, -1)
        below = share.cumsum(-1) - share
        return torch.where((below < self.top_p[rows, None]) | (ranks == 0), share, 0.0)

    def force(self, slot: int, code: int) -> None:
        """The last draw of `slot` counts as `code`."""
        if self.seen is not None:
            seen = self.seen[slot]  # (V,)
            last = self._last[slot : slot + 1]  # as a vector: a scalar index would synchronise
            seen[last] = seen[last] & ~self._last_new[slot : slot + 1]
            self._last_new[slot] = ~seen[code]
            seen[code] = True
        self._last[slot] = code

    def _draw_by_width(self, logits: Tensor, rows: Tensor, noise: Tensor) -> Tensor:
        """Rows with a small top-k are not sorted whole; which way a row goes depends on its own top-k only."""
        widths = self.top_k[rows]
        if widths.max() <= NARROW:
            ordered = torch.topk(logits, min(NARROW, self.vocabulary), sorted=True)
            return self._invert(ordered.values, ordered.indices, rows, noise)
        codes = torch.empty_like(rows)
        narrow = (widths <= NARROW).nonzero()[:, 0]
        if len(narrow):
            ordered = torch.topk(logits[narrow], min(NARROW, self.vocabulary), sorted=True)
            codes[narrow] = self._invert(ordered.values, ordered.indices, rows[narrow], noise[narrow])
        for b in (widths > NARROW).nonzero()[:, 0].tolist():
            ordered = torch.sort(logits[b : b + 1], descending=True, stable=True)
            codes[b] = self._invert(*ordered, rows[b : b + 1], noise[b : b + 1])[0]
        return codes

    def _invert(self, ordered: Tensor, indices: Tensor, rows: Tensor, noise: Tensor) -> Tensor:
        """Inverse of the cumulative distribution. ordered, indices: (B, W) descending; noise: (B,) -> (B,)"""
        share = self.shares(ordered, rows)
        total = share.cumsum(-1)
        reached = (total <= noise[:, None] * total[:, -1:]).sum(-1)
        last = (share > 0).sum(-1) - 1  # rounding must not reach past the last code with a share
        return indices.gather(1, torch.minimum(reached, last.clamp_min(0))[:, None])[:, 0]

    def _remember(self, codes: Tensor, rows: Tensor) -> None:
        self.step[rows] = self.step[rows] + 1
        self._last[rows] = codes
        if self.seen is not None:
            self._last_new[rows] = ~self.seen[rows, codes]
            self.seen[rows, codes] = True


def _signed64(seed: int) -> int:
    return (seed + (1 << 63)) % (1 << 64) - (1 << 63)
