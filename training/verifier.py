"""Train the speaker verifier: python -m training.verifier --minutes 8

A speaker embedding trained on hundreds of pseudo-speakers with an additive angular margin (Deng et al. 2019,
"ArcFace"). It shares only its block type with the family's own speaker encoder. It prints its equal error rate on
unseen speakers. Checkpoint: training/runs/verifier.pt.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from training import loop, ranks
from training.corpus import Corpus

CROP = 160  # frames
MARGIN, SCALE = 0.2, 20.0
NOISE, GAIN_DB = 0.01, 6.0  # random changes, so that loudness and silence do not identify a speaker
TRIALS = 2000


class Verifier(nn.Module):
    """Waveform (B, N) -> embedding (B, D) of length 1."""

    def __init__(self, config: SmallConfig, dim: int = 192, blocks: int = 4, out: int = 128) -> None:
        super().__init__()
        self.log_mel = LogMel(config)
        self.enter = nn.Linear(2 * config.n_mels, dim)
        self.blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(blocks)])
        self.weigh = nn.Linear(dim, dim)
        self.leave = nn.Linear(2 * dim, out)

    def forward(self, waveform: Tensor) -> Tensor:
        mel = self.log_mel(waveform)
        mel = mel[:, : mel.shape[1] // 2 * 2]
        x = self.enter(((mel + 5) / 3).unflatten(1, (-1, 2)).flatten(2))
        for block in self.blocks:
            x = block(x)
        weight = self.weigh(x).softmax(1)  # (B, T, D)
        mean = (weight * x).sum(1)
        spread = ((weight * x**2).sum(1) - mean**2).clamp(min=1e-6).sqrt()
        return F.normalize(self.leave(torch.cat([mean, spread], dim=-1)), dim=-1)


class Classifier(nn.Module):
    """The verifier, and a direction for each training speaker."""

    def __init__(self, config: SmallConfig, speakers: int) -> None:
        super().__init__()
        self.verifier = Verifier(config)
        self.directions = nn.Parameter(torch.randn(speakers, 128))

    def forward(self, waveform: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the share of recognised speakers."""
        cosine = self.verifier(waveform) @ F.normalize(self.directions, dim=-1).t()
        own = cosine.gather(1, speaker.unsqueeze(1)).clamp(-0.999, 0.999)
        harder = torch.cos((torch.acos(own) + MARGIN).clamp(max=math.pi))
        logits = SCALE * cosine.scatter(1, speaker.unsqueeze(1), harder)
        return F.cross_entropy(logits, speaker), (cosine.argmax(1) == speaker).float().mean()


class Batches:
    def __init__(self, corpus: Corpus, seed: int) -> None:
        self.corpus, self.rng = corpus, np.random.default_rng(seed)
        self.speakers = sorted(corpus.of_speaker)

    def crop(self, index: int) -> Tensor:
        start = int(self.rng.integers(0, max(1, self.corpus.frames(index) - CROP)))
        return torch.from_numpy(np.resize(self.corpus.waveform(index, start, CROP), CROP * 160))

    def draw(self, size: int) -> tuple[Tensor, Tensor]:
        """Waveforms (B, N), speakers (B,)."""
        chosen = self.rng.choice(len(self.speakers), size)
        indices = [int(self.rng.choice(self.corpus.of_speaker[self.speakers[s]])) for s in chosen]
        waveforms = torch.stack([self.crop(i) for i in indices])
        gain = 10 ** (torch.empty(size, 1).uniform_(-GAIN_DB, GAIN_DB) / 20)
        level = torch.rand(size, 1) ** 3 * NOISE
        return waveforms * gain + torch.randn_like(waveforms) * level, torch.from_numpy(chosen)


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """The rate at the threshold where the share of `same` scores below equals the share of `different` ones above."""
    thresholds = np.sort(np.concatenate([same, different]))
    missed = np.searchsorted(np.sort(same), thresholds) / len(same)
    taken = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    at = int(np.argmin(np.abs(missed - taken)))
    return float((missed[at] + taken[at]) / 2)


@torch.inference_mode()
def judge_verifier(verifier: Verifier, corpus: Corpus, seed: int = 0) -> float:
    """The equal error rate over pairs of whole utterances of the corpus's speakers."""
    rng = np.random.default_rng(seed)
    everyone = {s: [i for i, own in enumerate(corpus.speakers) if own == s] for s in set(corpus.speakers)}
    spoken = {s: rows for s, rows in sorted(everyone.items()) if len(rows) > 1}
    made = {
        i: verifier(torch.from_numpy(corpus.waveform(i)).unsqueeze(0))[0].numpy()
        for rows in spoken.values()
        for i in rows
    }
    names, same, different = list(spoken), [], []
    for _ in range(TRIALS):
        one, other = rng.choice(len(names), 2, replace=False)
        a, b = rng.choice(spoken[names[one]], 2, replace=False)
        c = rng.choice(spoken[names[other]])
        same.append(float(made[a] @ made[b]))
        different.append(float(made[a] @ made[c]))
    return equal_error_rate(np.array(same), np.array(different))


def train(rank: int, size: int, args: argparse.Namespace) -> None:
    batches = Batches(Corpus(args.data), seed=rank + 2 * loop.begun(args.checkpoint))
    net = Classifier(SmallConfig(), len(batches.speakers))

    def losses() -> tuple[Tensor, dict[str, float]]:
        loss, right = net(*batches.draw(args.batch))
        return loss, {"loss": loss.item(), "right": right.item()}

    loop.train(net, losses, args.checkpoint, loop.Schedule(args.minutes, args.rate, hold=0.3), rank)
    if rank == 0:
        rate = judge_verifier(net.verifier.eval(), Corpus(args.strangers, held_out=0))
        print(f"equal error rate on unseen speakers: {rate:.1%}")


def load_verifier(path: Path) -> Verifier:
    state = torch.load(path)["net"]
    verifier = Verifier(SmallConfig())
    own = {k.removeprefix("verifier."): v for k, v in state.items() if k.startswith("verifier.")}
    verifier.load_state_dict(own)
    return verifier.eval()


def main() -> None:
    parser = loop.arguments(__doc__, "verifier.pt", minutes=8, rate=2e-3)
    parser.add_argument("--data", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--strangers", type=Path, default=Path("training/runs/strangers"))
    parser.add_argument("--batch", type=int, default=16, help="crops per rank and step")
    args = parser.parse_args()
    ranks.launch(train, args.ranks, args)


if __name__ == "__main__":
    main()
