"""The training loop: data-parallel, measured in wall-clock minutes, resumable.

A checkpoint holds the network, the optimiser, the step and the minutes spent. A run that finds one continues from it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training import ranks

Losses = Callable[[], tuple[Tensor, dict[str, float]]]  # of the next batch: the total, and the parts to print


@dataclass(frozen=True)
class Schedule:
    """rate: the peak rate. hold: the share of the time before it decays. store_s: seconds between checkpoints."""

    minutes: float
    rate: float
    warmup: int = 100
    hold: float = 0.5
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 0.01
    clip: float = 1.0
    tell_every: int = 100
    store_s: float = 120.0


def arguments(
    description: str | None, checkpoint: str, minutes: float, rate: float
) -> argparse.ArgumentParser:
    """The arguments of every training."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("training/runs") / checkpoint)
    parser.add_argument(
        "--minutes",
        type=float,
        default=minutes,
        help=f"wall-clock minutes in total, including earlier runs ({minutes:g})",
    )
    parser.add_argument("--rate", type=float, default=rate, help=f"learning rate ({rate:g})")
    parser.add_argument("--ranks", type=int, default=2, help="single-threaded processes (2)")
    return parser


def begun(checkpoint: Path) -> int:
    """The step from which a run continues; 0 for a new one."""
    return torch.load(checkpoint)["step"] if checkpoint.exists() else 0


def train(
    net: nn.Module,
    losses: Losses,
    checkpoint: Path,
    schedule: Schedule,
    rank: int,
    validate: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Trains the parameters of `net` that require gradients, until the minutes are spent."""
    optimiser = torch.optim.AdamW(
        net.parameters(), schedule.rate, betas=schedule.betas, weight_decay=schedule.decay, fused=True
    )
    first, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        first, spent = state["step"], state["minutes"]
    ranks.share_parameters(net)
    budget, saved, recent = ranks.Budget(schedule.minutes, spent), time.time(), []

    def store(step: int) -> None:
        ranks.save(
            checkpoint,
            net=net.state_dict(),
            optimiser=optimiser.state_dict(),
            step=step,
            minutes=budget.spent,
        )

    step = first
    for step in itertools.count(first):
        progress = budget.progress()
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * ranks.rate(progress, step, schedule.warmup, schedule.hold)
        loss, parts = losses()
        optimiser.zero_grad()
        loss.backward()
        ranks.average_gradients(net.parameters())
        ranks.clip(net.parameters(), schedule.clip)
        optimiser.step()
        if rank == 0:
            recent.append(parts)
        if rank == 0 and (step + 1) % schedule.tell_every == 0:
            means = {k: float(np.mean([r[k] for r in recent])) for k in parts} | (
                validate() if validate else {}
            )
            shown = " ".join(f"{k} {v:.3f}" for k, v in means.items())
            print(f"step {step + 1} min {budget.spent:.2f} {shown}", flush=True)
            recent = []
        if rank == 0 and time.time() - saved > schedule.store_s:
            store(step + 1)
            saved = time.time()
    if rank == 0:
        store(step)
