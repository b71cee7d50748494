"""Training of the GPT on the codes, with the speaker vector of another utterance of the same speaker.

Losses: cross-entropy of the next code and of the pointer's advance.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.small.gpt_net import END
from training import loop, ranks
from training.codec import reduced
from training.encode import FASTEST, Encoded
from training.gpt_net import StructuredGpt
from training.next_voice import NEXT

IGNORED = -100
DROPOUT = 0.1
HIDDEN = 0.15  # share of code inputs hidden, so that the model relies on phones and speaker
DRAWN = 0.2  # share of code inputs that the model drew itself when it last saw the utterance
VALID = 40  # rows of a validation batch


class Batches:
    """Batches of utterances of similar length, with `budget` padded codes each."""

    def __init__(self, rows: Encoded, budget: int, rank: int, size: int, seed: int) -> None:
        self.rows, self.budget, self.rank, self.size = rows, budget, rank, size
        self.known, self.held = np.flatnonzero(~rows.held), np.flatnonzero(rows.held)
        self.drawn = rows.codes.clone()  # at each step, given the true codes before it
        self.order_rng, self.rng = np.random.default_rng(seed), np.random.default_rng(seed + 7 + rank)
        self.of_speaker: dict[str, list[int]] = defaultdict(list)
        for index in self.known:
            self.of_speaker[rows.names[index]].append(int(index))
        self.queue: list[np.ndarray] = []

    def next(self) -> dict[str, Tensor]:
        if not self.queue:
            lengths = self.rows.steps[self.known]
            groups = ranks.epoch(lengths, self.budget, 12, self.size, self.order_rng)
            self.queue = [self.known[group] for group in groups[self.rank :: self.size]]
        batch = self.collate(self.queue.pop())
        codes = batch["codes"]
        drawn = self.drawn[batch["rows"], : codes.shape[1] - 1].long()
        swap = torch.rand(drawn.shape, device=codes.device) < DRAWN
        codes[:, 1:] = torch.where(swap, drawn, codes[:, 1:])
        return batch

    @torch.no_grad()
    def remember(self, rows: Tensor, logits: Tensor) -> None:
        """Draws a code at every step of some rows. rows (B,) int64, logits (B, T, n_codes)"""
        drawn = torch.multinomial(logits.float().softmax(-1).flatten(0, 1), 1).view(logits.shape[:2])
        self.drawn[rows, : drawn.shape[1]] = drawn.short()

    def collate(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Padded tensors: inputs of `StructuredGpt.forward`, the targets `next` and `advance`, and the `rows`."""
        rows, device = self.rows, self.rows.codes.device
        own = torch.from_numpy(indices).to(device)
        steps, phones = int(rows.steps[indices].max()), int(rows.phones_of[indices].max())
        count = torch.from_numpy(rows.steps[indices]).to(device).unsqueeze(1)
        real = torch.arange(steps, device=device) < count  # (B, T)
        codes, pointer = (values[own, :steps].long() for values in (rows.codes, rows.pointer))
        moved = F.pad(pointer[:, 1:] - pointer[:, :-1], (0, 1)).clamp(0, FASTEST)
        last = torch.arange(steps, device=device) == count - 1
        names = (rows.names[i] for i in indices)
        others = [
            int(self.rng.choice(self.of_speaker.get(name) or [i]))
            for i, name in zip(indices, names, strict=True)
        ]
        return {
            "rows": own,
            "speaker": rows.speaker[torch.tensor(others, device=device)],
            "phones": rows.phones[own, :phones].long(),
            "pace": rows.pace[own],
            "codes": F.pad(codes[:, :-1], (1, 0), value=NEXT.bos),
            "pointer": pointer,
            "stay": rows.stay[own, :steps].long(),
            "next": codes.masked_fill(~real, IGNORED),
            "advance": torch.where(last, END, moved).masked_fill(~real, IGNORED),
        }


def losses(
    net: StructuredGpt, batch: dict[str, Tensor], hidden: float
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The sum, its parts, and the logits of the codes."""
    inputs = [batch[name] for name in ("speaker", "phones", "pace", "codes", "pointer", "stay")]
    with reduced(batch["codes"].device):
        code_logits, advance_logits = net(*inputs, drop=hidden)
    code = F.cross_entropy(code_logits.float().flatten(0, 1), batch["next"].flatten(), ignore_index=IGNORED)
    advance = F.cross_entropy(
        advance_logits.float().flatten(0, 1), batch["advance"].flatten(), ignore_index=IGNORED
    )
    return code + advance, {"code": code.detach(), "advance": advance.detach()}, code_logits.detach()


def train(
    rank: int,
    size: int,
    rows: Encoded,
    checkpoint: Path,
    minutes: float,
    rate: float,
    tokens: int,
    start: Path | None = None,
    steps: int | None = None,
) -> None:
    """tokens: padded codes per rank and step. start: a checkpoint to begin with. steps: instead of minutes."""
    net = (load_gpt(start) if start else StructuredGpt(NEXT)).to(rows.codes.device)
    for block in net.blocks:
        block.dropout = DROPOUT
    seed = torch.load(checkpoint, map_location="cpu")["step"] if checkpoint.exists() else 0
    batches = Batches(rows, tokens, rank, size, seed)

    def step(_: float) -> tuple[Tensor, dict[str, Tensor]]:
        batch = batches.next()
        loss, parts, logits = losses(net, batch, HIDDEN)
        batches.remember(batch["rows"], logits)
        return loss, parts

    def validate() -> dict[str, Tensor]:
        groups = [batches.held[i : i + VALID] for i in range(0, len(batches.held), VALID)]
        parts = [losses(net, batches.collate(group), 0.0)[1] for group in groups]
        return {
            f"valid_{name}": torch.stack([part[name] for part in parts]).mean()
            for name in (parts[0] if parts else ())
        }

    tell_s = 10.0 if rows.codes.device.type == "cuda" else 60.0
    schedule = loop.Schedule(
        minutes, rate, steps, warmup=150, hold=0.4, betas=(0.9, 0.95), decay=0.05, tell_s=tell_s
    )
    loop.train("gpt", net, step, checkpoint, schedule, rank, validate)


def load_gpt(checkpoint: Path) -> StructuredGpt:
    """The best network by validation. Raises RuntimeError if the checkpoint belongs to another one."""
    net = StructuredGpt(NEXT)
    loop.trained(net, checkpoint)
    return net
