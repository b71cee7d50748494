"""Drawing codes: temperature, top-k, top-p and repetition penalty by row, from noise keyed by (seed, step).

A row's draw depends on its own logits and settings alone, so it does not matter who shares its batch. The noise of a
whole sequence is drawn when it begins: a step only looks it up.
"""

import torch
from torch import Tensor

from deployments.contract.controls import Value
from deployments.contract.speech import Sampling
from deployments.engine.noise import uniform

NARROW = 64  # rows with a top-k up to this are sorted no further, on the CPU
NEUTRAL: dict[str, Value] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}
_INF = float("inf")
Rows = Tensor | slice  # int64 (B,) slots, or the same as a range: cheaper on the CPU


class SamplingState:
    """Settings and history of every slot, in static tensors of (slots + 1,): the last slot is scratch.

    vocabulary: V, the width of the logits; steps: the most draws of a sequence; penalty: whether repetition
    penalties are kept track of at all.
    """

    def __init__(
        self, slots: int, vocabulary: int, device: torch.device, penalty: bool = True, steps: int = 2048
    ) -> None:
        rows = slots + 1
        self.vocabulary = vocabulary
        self.noise = torch.full((rows, steps), 0.5, device=device)
        self.step = torch.zeros(rows, dtype=torch.int64, device=device)
        self.greedy = torch.zeros(rows, dtype=torch.bool, device=device)
        self.temperature = torch.ones(rows, 1, device=device)
        self.top_k = torch.full((rows, 1), vocabulary, dtype=torch.int64, device=device)
        self.top_p = torch.ones(rows, 1, device=device)
        self.penalty = torch.ones(rows, 1, device=device)
        self.seen = torch.zeros(rows, vocabulary, dtype=torch.bool, device=device) if penalty else None
        # the last draw, and whether it was new
        self._last = torch.zeros(rows, dtype=torch.int64, device=device)
        self._last_new = torch.zeros(rows, dtype=torch.bool, device=device)
        self._ranks = torch.arange(vocabulary, device=device)
        self._rows = torch.arange(rows, device=device)
        self._counts = torch.arange(steps, device=device)
        # known to the host: on the CPU they spare a step work that would change nothing
        self._penalised: set[int] = set()
        self._wide: set[int] = set()

    def set(self, slot: int, sampling: Sampling) -> None:
        """Begins a sequence in `slot`: top_k 0 means all codes, temperature 0 the likeliest; others are neutral."""
        asked = NEUTRAL | dict(sampling.controls)
        temperature, top_p, penalty = asked["temperature"], asked["top_p"], asked["repetition_penalty"]
        top_k = min(int(asked["top_k"]) or self.vocabulary, self.vocabulary)
        seed = torch.full((), _signed64(sampling.seed), dtype=torch.int64, device=self._counts.device)
        self.noise[slot] = uniform(seed, self._counts)
        self.step[slot] = 0
        self.greedy[slot] = temperature <= 0
        self.temperature[slot] = max(temperature, 1e-4)
        self.top_k[slot] = top_k
        self.top_p[slot] = top_p
        self.penalty[slot] = penalty
        if self.seen is not None:
            self.seen[slot] = False
        _mark(self._penalised, slot, penalty != 1)
        _mark(self._wide, slot, top_k > NARROW)

    def widen(self, slot: int) -> None:
        """Sorts all logits of `slot`, whatever its top-k."""
        self._wide.add(slot)

    def draw(self, logits: Tensor, rows: Rows) -> Tensor:
        """logits: float32 (B, V), -inf where a code is forbidden -> int64 (B,).

        -1 marks a row that has no distribution (NaN, +inf, or every code forbidden). Each row's step advances.
        """
        return self.draw_from(self.penalise(logits, rows), rows)

    def draw_from(self, logits: Tensor, rows: Rows) -> Tensor:
        """`draw` for logits that are penalised already."""
        noise = self.noise[self._rows[rows], self.step[rows]]
        if logits.device.type == "cpu":
            codes = self._draw_by_width(logits, rows, noise)
        else:
            codes = self._pick(*torch.sort(logits, dim=-1, descending=True, stable=True), rows, noise)
        self._remember(codes.clamp_min(0), rows)
        return codes

    def penalise(self, logits: Tensor, rows: Rows) -> Tensor:
        """Codes that a row has seen become less likely: positive logits are divided, others multiplied. (B, V)"""
        if self.seen is None or (logits.device.type == "cpu" and not self._penalised):
            return logits  # a factor of 1 changes no bit
        factor = self.penalty[rows]
        return torch.where(self.seen[rows], torch.where(logits > 0, logits / factor, logits * factor), logits)

    def shares(self, ordered: Tensor, rows: Rows) -> Tensor:
        """Temperature, then top-k, then top-p on descending logits (B, W) -> shares (B, W), not normalised."""
        ranks = self._ranks[: ordered.shape[1]]
        kept = torch.where(ranks < self.top_k[rows], ordered, -_INF)
        share = torch.softmax(kept / self.temperature[rows], -1)
        below = share.cumsum(-1) - share
        return torch.where((below < self.top_p[rows]) | (ranks == 0), share, 0.0)

    def force(self, slot: int, code: int) -> None:
        """The last draw of `slot` counts as `code`."""
        if self.seen is not None:
            seen = self.seen[slot]  # (V,)
            last = self._last[slot : slot + 1]  # as a vector: a scalar index would synchronise
            seen[last] = seen[last] & ~self._last_new[slot : slot + 1]
            self._last_new[slot] = ~seen[code]
            seen[code] = True
        self._last[slot] = code

    def _draw_by_width(self, logits: Tensor, rows: Rows, noise: Tensor) -> Tensor:
        """Sorts only the largest NARROW logits of rows with a small top-k. The choice depends on the row alone."""
        width = min(NARROW, self.vocabulary)
        if not self._wide:
            return self._pick(*torch.topk(logits, width, sorted=True), rows, noise)
        slots = self._rows[rows]
        codes = torch.empty_like(slots)
        for b, slot in enumerate(slots.tolist()):
            one = logits[b : b + 1]
            if slot in self._wide:
                ordered, indices = torch.sort(one, dim=-1, descending=True, stable=True)
            else:
                ordered, indices = torch.topk(one, width, sorted=True)
            codes[b] = self._pick(ordered, indices, slots[b : b + 1], noise[b : b + 1])[0]
        return codes

    def _pick(self, ordered: Tensor, indices: Tensor, rows: Rows, noise: Tensor) -> Tensor:
        """Inverse of the cumulative distribution. ordered, indices: (B, W) descending; noise: (B,) -> (B,)"""
        share = self.shares(ordered, rows)
        total = share.cumsum(-1)
        reached = (total <= noise[:, None] * total[:, -1:]).sum(-1, keepdim=True)
        last = (share > 0).sum(-1, keepdim=True) - 1  # rounding must not exceed the last code with a share
        codes = indices.gather(1, torch.minimum(reached, last.clamp_min(0)))[:, 0]
        codes = torch.where(self.greedy[rows], indices[:, 0], codes)
        return torch.where(ordered[:, 0].isfinite(), codes, -1)  # NaN sorts first

    def _remember(self, codes: Tensor, rows: Rows) -> None:
        self.step[rows] = self.step[rows] + 1
        self.step[-1] = 0  # scratch has no end
        self._last[rows] = codes
        if self.seen is not None and (self._penalised or codes.device.type != "cpu"):
            slots = self._rows[rows]
            self._last_new[rows] = ~self.seen[slots, codes]
            self.seen[slots, codes] = True


def _mark(slots: set[int], slot: int, member: bool) -> None:
    (slots.add if member else slots.discard)(slot)


def _signed64(seed: int) -> int:
    return (seed + (1 << 63)) % (1 << 64) - (1 << 63)
