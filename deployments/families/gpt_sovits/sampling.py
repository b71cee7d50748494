"""The published order of the sampling parameters: top-p, then temperature, then top-k."""

import torch
from torch import Tensor

from deployments.contract.speech import Sampling
from deployments.engine.decode.sampling import Rows, SamplingState


class PublishedSampling(SamplingState):
    """Differs from the engine's order, in which temperature comes first and top-p last.

    Top-p is of the shares at a temperature of 1, and drops the code that crosses p. Top-k keeps ties.
    """

    def set(self, slot: int, sampling: Sampling) -> None:
        super().set(slot, sampling)
        if sampling.controls.get("top_p", 1.0) < 1:  # its shares are of all codes
            self.widen(slot)

    def shares(self, ordered: Tensor, rows: Rows) -> Tensor:
        ranks = self._ranks[: ordered.shape[1]]
        reached = torch.softmax(ordered, -1).cumsum(-1)
        top_p = self.top_p[rows]
        kept = (reached <= top_p) | (top_p >= 1) | (ranks == 0)
        scores = torch.where(kept, ordered, float("-inf")) / self.temperature[rows]
        last = (self.top_k[rows] - 1).clamp(max=ordered.shape[1] - 1)
        return torch.softmax(torch.where(scores >= scores.gather(1, last), scores, float("-inf")), -1)
