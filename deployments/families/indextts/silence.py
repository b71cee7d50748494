"""Drops surplus silence while decoding.

The published rule applies to a finished segment: if more than 30 of its codes are silent, every run of silent codes is
cut to its first 10. This streaming version drops the codes after the tenth of a run once a segment has more than 30
silent ones. At most 20 early silent codes (0.85 s) remain that the published rule would drop.
"""

import torch
from torch import Tensor

from deployments.families.indextts.config import SILENT_CODE

ALLOWED = 30  # silent codes in a segment before any is dropped
RUN = 10  # silent codes of a run that are kept


class Silence:
    """Counts by slot: int64 (slots + 1,)."""

    def __init__(self, slots: int, device: torch.device, shrink: bool = True) -> None:
        self.shrink = shrink
        self.run = torch.zeros(slots + 1, dtype=torch.int64, device=device)
        self.total = torch.zeros(slots + 1, dtype=torch.int64, device=device)

    def reset(self, slot: int) -> None:
        self.run[slot] = 0
        self.total[slot] = 0

    def keeps(self, rows: Tensor, codes: Tensor) -> Tensor:
        """True where `codes`, int64 (B,), would be kept as the next of their rows -> bool (B,)"""
        return self._next(rows, codes)[2]

    def feed(self, rows: Tensor, codes: Tensor) -> Tensor:
        """Like `keeps`, and counts `codes`. It is separate because a sampled code may still be replaced."""
        run, total, kept = self._next(rows, codes)
        self.run[rows] = run
        self.total[rows] = total
        return kept

    def _next(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        silent = codes == SILENT_CODE
        run = torch.where(silent, self.run[rows] + 1, 0)
        total = self.total[rows] + silent
        surplus = silent & (run > RUN) & (total > ALLOWED)
        return run, total, ~surplus if self.shrink else torch.ones_like(surplus)
