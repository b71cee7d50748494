"""The training loop: on one device or data-parallel, measured in wall-clock minutes, resumable.

A checkpoint holds the network, the best one by validation, the optimiser, the step and the minutes spent. A run that
finds one continues from it.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training import ranks

Parts = dict[str, Tensor]  # scalars to print
RARE = 10.0
Losses = Callable[[float], tuple[Tensor, Parts]]  # of the next batch, given the progress from 0 to 1


@dataclass(frozen=True)
class Schedule:
    """minutes: of wall-clock time; steps instead, if given. rate: the peak rate. hold: the share of the time before it
    decays. tell_s, store_s: seconds between lines and between checkpoints."""

    minutes: float
    rate: float
    steps: int | None = None
    warmup: int = 100
    hold: float = 0.5
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 0.01
    clip: float = 1.0
    tell_s: float = 60.0
    store_s: float = 60.0


def train(
    name: str,
    net: nn.Module,
    losses: Losses,
    checkpoint: Path,
    schedule: Schedule,
    rank: int,
    validate: Callable[[], Parts] | None = None,
    rare: Sequence[Tensor] = (),
) -> None:
    """Trains the parameters of `net` that require gradients, until the minutes are spent.

    rare: embeddings of which a step sees few rows; their rate is RARE times as high.
    Raises FloatingPointError if a loss is not finite; the last checkpoint is kept.
    """
    own = {id(parameter) for parameter in rare}
    common = [parameter for parameter in net.parameters() if id(parameter) not in own]
    groups = [{"params": common, "factor": 1.0}, *([{"params": list(rare), "factor": RARE}] if rare else [])]
    optimiser = torch.optim.AdamW(
        groups, schedule.rate, betas=schedule.betas, weight_decay=schedule.decay, fused=True
    )
    first, spent, best, score = 0, 0.0, None, math.inf
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=next(net.parameters()).device)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        first, spent, best, score = state["step"], state["minutes"], state["best"], state["score"]
    ranks.share_parameters(net)
    budget, saved = ranks.Budget(schedule.minutes, spent), time.time()
    told, sums, counted = time.time(), {}, 0

    def tell(step: int) -> None:
        nonlocal told, sums, counted, best, score
        shown = {key: float(value) / counted for key, value in sums.items()}
        if not all(map(math.isfinite, shown.values())):
            raise FloatingPointError(f"{name}: a loss is not finite at step {step}: {shown}")
        if validate:
            net.eval()
            with torch.no_grad():
                found = {key: float(value) for key, value in validate().items()}
            net.train()
            shown |= found
            if found and sum(found.values()) < score:
                score = sum(found.values())
                best = {key: value.detach().cpu().clone() for key, value in net.state_dict().items()}
        speed = counted / (time.time() - told)
        figures = " ".join(f"{key} {value:.3f}" for key, value in shown.items())
        print(f"{name} step {step} min {budget.spent:.2f} steps/s {speed:.1f} {figures}", flush=True)
        told, sums, counted = time.time(), {}, 0

    def store(step: int) -> None:
        ranks.save(
            checkpoint,
            net=net.state_dict(),
            best=best,
            score=score,
            optimiser=optimiser.state_dict(),
            step=step,
            minutes=budget.spent,
        )

    step = first
    net.train()
    for step in itertools.count(first):
        progress = budget.progress() if schedule.steps is None else step / schedule.steps
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            rate = schedule.rate * ranks.rate(progress, step, schedule.warmup, schedule.hold)
            group["lr"] = group["factor"] * rate
        loss, parts = losses(progress)
        optimiser.zero_grad()
        loss.backward()
        ranks.average_gradients(net.parameters())
        ranks.clip(net.parameters(), schedule.clip)
        optimiser.step()
        if rank == 0:
            # tensors: reading them would wait for the device
            sums = {key: sums[key] + value if key in sums else value for key, value in parts.items()}
            counted += 1
            quarter = schedule.steps and (step + 1) % max(1, schedule.steps // 4) == 0
            if quarter or time.time() - told > schedule.tell_s:
                tell(step + 1)
            if time.time() - saved > schedule.store_s:
                store(step + 1)
                saved = time.time()
    if rank == 0:
        if counted:
            tell(step)
        store(step)


def trained(net: nn.Module, checkpoint: Path) -> None:
    """Loads the best network of a checkpoint, or the last one if none was validated.

    Raises RuntimeError if it belongs to another network.
    """
    state = torch.load(checkpoint, map_location="cpu")
    net.load_state_dict(state["best"] or state["net"])
    net.eval()
