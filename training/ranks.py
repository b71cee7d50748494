"""Data-parallel training on CPU cores: one single-threaded process per core, gradients averaged over gloo.

On two cores, this was measured to be faster than one process with two threads. One rank needs no process group.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

PR_SET_PDEATHSIG = 1  # Linux: sets the signal that a process gets when its parent dies


def launch(worker: Callable[..., None], ranks: int, *args: object) -> None:
    """Runs worker(rank, ranks, *args) in `ranks` processes; in this one if it is one."""
    if ranks == 1:
        worker(0, 1, *args)
        return
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        torch.multiprocessing.spawn(_enter, args=(worker, ranks, store, args), nprocs=ranks)


def _enter(rank: int, worker: Callable[..., None], ranks: int, store: str, args: tuple[object, ...]) -> None:
    # torch sends SIGINT, which background processes ignore
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(
        0, {cores[rank % len(cores)]}
    )  # ranks in lockstep lose half their time on a shared core
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks)
    torch.manual_seed(1000 + rank + int(time.time()))
    worker(rank, ranks, *args)
    dist.destroy_process_group()


def share_parameters(net: nn.Module) -> None:
    """Copies rank 0's parameters to all ranks."""
    if dist.is_initialized():
        for parameter in net.parameters():
            dist.broadcast(parameter.data, 0)


def gather(parts: list[Tensor]) -> list[Tensor]:
    """The parts of all ranks, in the order of a list that `[rank::size]` was taken from."""
    if not dist.is_initialized():
        return parts
    every: list[list[Tensor]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(every, parts)
    return [every[i % len(every)][i // len(every)] for i in range(sum(map(len, every)))]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages all gradients in one all-reduce."""
    if not dist.is_initialized():
        return
    parameters = [p for p in parameters if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)


def epoch(
    lengths: np.ndarray, budget: int, jitter: int, size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Groups of indices of similar length in random order, with a padded size of at most `budget`; a multiple of the
    ranks.

    jitter: random change of the lengths, so that groups differ between epochs. All ranks get the same groups if their
    `rng` is the same.
    """
    groups, group, longest = [], [], 0
    for index in np.argsort(lengths + rng.integers(0, jitter, len(lengths)), kind="stable"):
        longest = max(longest, int(lengths[index]))
        if group and longest * (len(group) + 1) > budget:
            groups.append(np.array(group))
            group, longest = [], int(lengths[index])
        group.append(index)
    groups.append(np.array(group))
    order = rng.permutation(len(groups))
    groups = [groups[i] for i in order]
    return groups + groups[: -len(groups) % size]


class Budget:
    """The wall-clock minutes of a training, resumable. All ranks use rank 0's clock."""

    def __init__(self, minutes: float, spent: float = 0.0) -> None:
        self.minutes, self.base, self.begin = minutes, spent, time.time()

    @property
    def spent(self) -> float:
        """The minutes so far, including earlier runs."""
        return self.base + (time.time() - self.begin) / 60

    def progress(self) -> float:
        """0 ... 1, the same on every rank."""
        now = torch.tensor([self.spent / self.minutes])
        if dist.is_initialized():
            dist.broadcast(now, 0)
        return float(now)


def rate(progress: float, step: int, warmup: int, hold: float) -> float:
    """Factor of the learning rate: linear warm-up, constant until `hold`, then half a cosine to 2 %."""
    fall = min(1.0, max(0.0, (progress - hold) / (1 - hold)))
    return min(1.0, (step + 1) / warmup) * (0.51 + 0.49 * math.cos(math.pi * fall))


def save(path: Path, **values: object) -> None:
    """Writes a checkpoint atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(values, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def clip(parameters: Iterable[nn.Parameter], norm: float) -> Tensor:
    return nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], norm)
