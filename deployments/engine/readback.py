"""Outputs of a step on their way to the host, without waiting for the step that was just enqueued."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class HostCopy:
    """Tensors on the host, complete once `ready` is (None: they are)."""

    tensors: dict[str, Tensor]
    ready: torch.cuda.Event | None = None

    def open(self) -> dict[str, np.ndarray]:
        """Waits for the copies. The arrays are views, valid until their buffers are used again."""
        if self.ready is not None:
            self.ready.synchronize()
        return {name: tensor.numpy() for name, tensor in self.tensors.items()}


class Readback:
    """`late` copies may be on their way while the next is sent; 0 copies at once. rows: the most of a batch.

    Buffers are allocated with the first copy and used in turn; pinned on CUDA.
    """

    def __init__(self, late: int, rows: int, on_cuda: bool) -> None:
        self.late, self._rows, self._on_cuda = late, rows, on_cuda
        self._buffers: list[dict[str, Tensor]] = [{} for _ in range(late + 1)]
        self._turn = 0

    def send(self, output: dict[str, Tensor], at_once: bool = False) -> HostCopy:
        """output: tensors of (B, ...), B <= rows, which the next step overwrites."""
        if not self.late or at_once:
            return HostCopy({name: part.cpu() for name, part in output.items()})
        buffers = self._buffers[self._turn]
        self._turn = (self._turn + 1) % len(self._buffers)
        for name, part in output.items():
            if name not in buffers:
                shape = (self._rows, *part.shape[1:])
                buffers[name] = torch.empty(shape, dtype=part.dtype, pin_memory=self._on_cuda)
            buffers[name][: len(part)].copy_(part, non_blocking=True)
        if not self._on_cuda:
            return HostCopy(buffers)
        ready = torch.cuda.Event()
        ready.record()
        return HostCopy(buffers, ready)
