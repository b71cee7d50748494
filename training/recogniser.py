"""Train the phone recogniser on teachers that report phone times: python -m training.recogniser --minutes 8

It predicts a phone every 20 ms; closing pauses count as plain ones. Checkpoint: training/runs/phones.pt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from deployments.text.phones import PAUSE_IDS
from training import loop, ranks
from training.corpus import Corpus
from training.phone_net import FRAMES_PER_STEP, PhoneNet

CROP = 160  # frames
NOISE = 0.01  # most RMS of added white noise, because real rooms are not quiet


def plain(phones: np.ndarray) -> np.ndarray:
    """The ids, with all kinds of pauses mapped to one."""
    return np.where(np.isin(phones, PAUSE_IDS), PAUSE_IDS[0], phones)


class Batches:
    def __init__(self, corpus: Corpus, config: SmallConfig, seed: int) -> None:
        self.corpus, self.config, self.mel = corpus, config, LogMel(config)
        self.rng = np.random.default_rng(seed)
        self.known = [i for i in corpus.train if corpus.frames(i) >= CROP and corpus.timed(i)]
        self.valid = [i for i in corpus.valid if corpus.frames(i) >= CROP and corpus.timed(i)]

    def crop(self, index: int, start: int) -> tuple[Tensor, Tensor]:
        """Waveform (N,) and labels (CROP // 2,) from frame `start`."""
        steps = self.corpus.frames(index) // FRAMES_PER_STEP
        pointer = self.corpus.pointer(index, steps, self.config.codes_per_second)
        labels = plain(self.corpus.phones(index)[0])[pointer]
        part = labels[start // FRAMES_PER_STEP :][: CROP // FRAMES_PER_STEP]
        return torch.from_numpy(self.corpus.waveform(index, start, CROP)), torch.from_numpy(part)

    def draw(self, size: int) -> tuple[Tensor, Tensor]:
        """Log-mels (B, CROP, M) and labels (B, CROP // 2)."""
        rows = []
        for index in map(int, self.rng.choice(self.known, size)):
            room = (self.corpus.frames(index) - CROP) // FRAMES_PER_STEP
            rows.append(self.crop(index, int(self.rng.integers(0, room + 1)) * FRAMES_PER_STEP))
        waveforms, labels = map(torch.stack, zip(*rows, strict=True))
        level = torch.from_numpy(self.rng.uniform(0, 1, (size, 1)).astype(np.float32)) ** 3 * NOISE
        return self.mel(waveforms + torch.randn_like(waveforms) * level), labels


def judged(net: PhoneNet, mel: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
    logits, _ = net(mel)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.05)
    return loss, {"loss": loss.item(), "right": float((logits.argmax(-1) == labels).float().mean())}


def train(rank: int, size: int, args: argparse.Namespace) -> None:
    config = SmallConfig()
    net = PhoneNet(config)
    batches = Batches(Corpus(args.data), config, seed=rank + 2 * loop.begun(args.checkpoint))

    @torch.no_grad()
    def validate() -> dict[str, float]:
        if not batches.valid:
            return {}
        waveforms, labels = map(torch.stack, zip(*(batches.crop(i, 0) for i in batches.valid), strict=True))
        return {"valid_" + k: v for k, v in judged(net, batches.mel(waveforms), labels)[1].items()}

    schedule = loop.Schedule(args.minutes, args.rate, hold=0.3)
    loop.train(net, lambda: judged(net, *batches.draw(args.batch)), args.checkpoint, schedule, rank, validate)


def main() -> None:
    parser = loop.arguments(__doc__, "phones.pt", minutes=8, rate=2e-3)
    parser.add_argument("--data", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--batch", type=int, default=12, help="crops per rank and step")
    args = parser.parse_args()
    ranks.launch(train, args.ranks, args)


if __name__ == "__main__":
    main()
