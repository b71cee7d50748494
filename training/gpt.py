"""Train the GPT: python -m training.gpt --minutes 55

It is trained on the codes from training/encode.py, with the speaker vector of another utterance of the same speaker.
Losses: cross-entropy of the next code and of the pointer's advance. It can be resumed: training/runs/gpt.pt.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig
from deployments.families.small.gpt_net import END
from training import loop, ranks
from training.gpt_net import StructuredGpt
from training.warm import gpt_state, warm, whole

IGNORED = -100


def stays(pointer: Tensor) -> Tensor:
    """Steps already spent at the current phone: pointer (T,) -> (T,)."""
    steps = torch.arange(len(pointer))
    entered = torch.cat([torch.ones(1, dtype=torch.bool), pointer[1:] != pointer[:-1]])
    return steps - torch.cummax(torch.where(entered, steps, torch.zeros_like(steps)), 0).values


class Batches:
    """Batches of utterances of similar length, with `budget` padded codes each."""

    def __init__(
        self, rows: list[dict], config: SmallConfig, budget: int, rank: int, size: int, seed: int
    ) -> None:
        self.rows, self.config, self.budget, self.rank, self.size = rows, config, budget, rank, size
        self.known = sum(not row["held"] for row in rows)  # the others are for validation
        self.order_rng, self.rng = np.random.default_rng(seed), np.random.default_rng(seed + 7 + rank)
        self.of_speaker: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows[: self.known]):
            self.of_speaker[row["name"]].append(index)
        self.queue: list[list[int]] = []

    def next(self) -> dict[str, Tensor]:
        if not self.queue:
            lengths = {i: len(row["codes"]) for i, row in enumerate(self.rows[: self.known])}
            groups = ranks.epoch(lengths, self.budget, 12, self.size, self.order_rng)
            self.queue = groups[self.rank :: self.size]
        return self.collate(self.queue.pop())

    def collate(self, indices: list[int]) -> dict[str, Tensor]:
        """Padded tensors: inputs of `StructuredGpt.forward` and the targets `next` and `advance`."""
        rows = [self.rows[i] for i in indices]
        size, phones, steps = (
            len(rows),
            max(len(r["phones"]) for r in rows),
            max(len(r["codes"]) for r in rows),
        )
        names = ("phones", "codes", "pointer", "stay", "next", "advance")
        batch = {n: torch.zeros(size, phones if n == "phones" else steps, dtype=torch.int64) for n in names}
        batch["next"].fill_(IGNORED)
        batch["advance"].fill_(IGNORED)
        for b, row in enumerate(rows):
            codes, pointer, n = row["codes"].long(), row["pointer"].long(), len(row["codes"])
            batch["phones"][b, : len(row["phones"])] = row["phones"].long()
            batch["codes"][b, 0] = self.config.bos
            batch["codes"][b, 1:n] = codes[:-1]
            batch["pointer"][b, :n] = pointer
            batch["stay"][b, :n] = stays(pointer)
            batch["next"][b, :n] = codes
            batch["advance"][b, : n - 1] = (pointer[1:] - pointer[:-1]).clamp(max=3)
            batch["advance"][b, n - 1] = END
        others = [
            int(self.rng.choice(self.of_speaker.get(row["name"]) or [i]))
            for i, row in zip(indices, rows, strict=True)
        ]
        batch["speaker"] = torch.stack([self.rows[i]["speaker"] for i in others])
        batch["pace"] = torch.tensor([row["pace"] for row in rows])
        return batch


def losses(net: StructuredGpt, batch: dict[str, Tensor], drop: float) -> tuple[Tensor, dict[str, float]]:
    inputs = [batch[name] for name in ("speaker", "phones", "pace", "codes", "pointer", "stay")]
    code_logits, advance_logits = net(*inputs, drop=drop)
    code = F.cross_entropy(code_logits.flatten(0, 1), batch["next"].flatten(), ignore_index=IGNORED)
    advance = F.cross_entropy(advance_logits.flatten(0, 1), batch["advance"].flatten(), ignore_index=IGNORED)
    return code + advance, {"code": code.item(), "advance": advance.item()}


@torch.no_grad()
def validate(net: StructuredGpt, batches: Batches) -> dict[str, float]:
    net.eval()
    parts = [
        losses(net, batches.collate(list(range(i, min(i + 20, len(batches.rows))))), 0.0)[1]
        for i in range(batches.known, len(batches.rows), 20)
    ]
    net.train()
    return {f"valid_{name}": float(np.mean([p[name] for p in parts])) for name in (parts[0] if parts else ())}


def train(rank: int, size: int, args: argparse.Namespace) -> None:
    config = SmallConfig()
    net = load_gpt(args.warm, warm).train() if args.warm else StructuredGpt(config)
    for block in net.blocks:
        block.dropout = args.dropout
    seed = loop.begun(args.checkpoint)
    batches = Batches(torch.load(args.codes), config, args.tokens, rank, size, seed=seed)
    schedule = loop.Schedule(
        args.minutes, args.rate, warmup=150, hold=0.4, betas=(0.9, 0.95), decay=0.05, clip=1.0
    )
    loop.train(
        net,
        lambda: losses(net, batches.next(), args.drop),
        args.checkpoint,
        schedule,
        rank,
        lambda: validate(net, batches),
    )


def load_gpt(
    source: str, take: Callable[[nn.Module, dict[str, Tensor]], None] = partial(whole, but="level_")
) -> StructuredGpt:
    """Loads a checkpoint, or the `shipped` GPT, whose codes each have one merged row. Raises as `take` does."""
    net, state = StructuredGpt(SmallConfig()), gpt_state(source)
    for name, parameter in net.named_parameters():
        if name not in state:
            nn.init.zeros_(parameter)
    take(net, state)
    return net.eval()


def main() -> None:
    parser = loop.arguments(__doc__, "gpt.pt", minutes=90, rate=1.5e-3)
    parser.add_argument("--codes", type=Path, default=Path("training/runs/codes.pt"))
    parser.add_argument("--warm", metavar="FILE", help="a GPT's checkpoint to start from, or `shipped`")
    parser.add_argument("--tokens", type=int, default=1200, help="padded codes per rank and step")
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--drop", type=float, default=0.1, help="share of code inputs hidden")
    args = parser.parse_args()
    ranks.launch(train, args.ranks, args)


if __name__ == "__main__":
    main()
