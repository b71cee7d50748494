"""Train the judge of Mandarin and phones: python -m training.listener --minutes 25

A CTC recogniser (Graves et al. 2006) trained on whole utterances of the teachers; the blank is PAD. It shares no
weights with the recogniser in the codec's training. It prints its error rates on held-out sentences. Checkpoint:
training/runs/listener.pt.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from deployments.text.phones import INITIALS, PAUSE_IDS, PHONES
from training import loop, ranks
from training.corpus import Corpus
from training.pitch import measured_log_f0

BLANK = 0
SECONDS = 30.0  # of sound in a batch, padding included
NOISE = 0.01
PITCH = 5.0  # scales log F0, which varies by about 0.2, to the size of the log-mels
MASKED = 12  # fewer frames than this are masked in an utterance, so that the network uses their context


class Listener(nn.Module):
    """Waveforms to phones, with 50 predictions per second."""

    def __init__(self, config: SmallConfig, dim: int = 224, blocks: int = 4, memory: int = 160) -> None:
        super().__init__()
        self.log_mel = LogMel(config)
        self.enter = nn.Linear(2 * (config.n_mels + 2), dim)
        self.blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(blocks)])
        self.memory = nn.GRU(dim, memory, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * memory)
        self.head = nn.Linear(2 * memory, len(PHONES))

    def features(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """waveforms (B, N), frames (B,) -> (B, F, M + 2), 0 where padded: log-mels minus their mean, log F0 minus its
        mean (0 where unvoiced), and voicing. Log-mels alone hardly show tones."""
        mel = self.log_mel(waveforms)
        log_f0 = measured_log_f0(waveforms).unsqueeze(-1)
        mask = (torch.arange(mel.shape[1]) < frames.unsqueeze(1)).unsqueeze(-1)
        voiced = ~log_f0.isnan() & mask
        pitch = torch.where(voiced, log_f0 - log_f0.masked_fill(~mask, torch.nan).nanmean(1, keepdim=True), 0)
        mean = (mel * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        return torch.cat([(mel - mean) / 3 * mask, torch.nan_to_num(pitch) * PITCH, voiced.float()], dim=-1)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(B, F, M + 2), (B,) -> log probabilities (B, F // 2, phones)."""
        x = self.enter(features[:, : features.shape[1] // 2 * 2].unflatten(1, (-1, 2)).flatten(2))
        mask = (torch.arange(x.shape[1]) < (frames // 2).unsqueeze(1)).unsqueeze(-1).to(x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        packed = nn.utils.rnn.pack_padded_sequence(x, frames // 2, batch_first=True, enforce_sorted=False)
        x, _ = nn.utils.rnn.pad_packed_sequence(self.memory(packed)[0], batch_first=True)
        return self.head(self.norm(x)).log_softmax(-1)

    @torch.inference_mode()
    def hear(self, waveform: np.ndarray) -> list[int]:
        """16 kHz (N,) -> the ids of the phones without pauses."""
        frames = torch.tensor([len(waveform) // self.log_mel.hop])
        features = self.features(torch.from_numpy(waveform).float().unsqueeze(0), frames)
        guesses = self(features, frames)[0].argmax(-1)
        return [int(p) for p in torch.unique_consecutive(guesses) if p != BLANK]


def sounds(phones: np.ndarray) -> np.ndarray:
    """The phones without pauses."""
    return phones[~np.isin(phones, PAUSE_IDS)]


@dataclass
class Errors:
    """Counts of errors in recognised syllables."""

    syllables: int = 0
    wrong: int = 0  # substituted, deleted or inserted, ignoring tones
    matched: int = 0
    tones: int = 0  # wrong tones of matched syllables

    @property
    def syllable_rate(self) -> float:
        return self.wrong / max(1, self.syllables)

    @property
    def tone_rate(self) -> float:
        return self.tones / max(1, self.matched)


def syllables_of(phones: list[int]) -> list[tuple[str, str]]:
    """Mandarin phones -> syllables and their tones: ("ZH+ONG", "1"). English phones are single, with tone ""."""
    made, initial = [], ""
    initials = {one.upper() for one in INITIALS}
    for name in (PHONES[p] for p in phones):
        if name in initials:
            if initial:
                made.append((initial, ""))
            initial = name
        else:
            tone = name[-1] if name[-1].isdigit() else ""
            made.append((f"{initial}+{name.removesuffix(tone)}", tone))
            initial = ""
    return [*made, (initial, "")] if initial else made


def compare(meant: list[int], heard: list[int], errors: Errors) -> None:
    """Adds one utterance, with the cheapest alignment of the syllables, ignoring tones."""
    a, b = syllables_of(meant), syllables_of(heard)
    cost = np.zeros((len(a) + 1, len(b) + 1), int)
    cost[:, 0], cost[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            same = a[i - 1][0] == b[j - 1][0]
            cost[i, j] = min(cost[i - 1, j - 1] + (not same), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    errors.syllables += len(a)
    errors.wrong += int(cost[-1, -1])
    i, j = len(a), len(b)
    while i and j:
        same = a[i - 1][0] == b[j - 1][0]
        if cost[i, j] == cost[i - 1, j - 1] + (not same):
            i, j = i - 1, j - 1
            if same:
                errors.matched += 1
                errors.tones += a[i][1] != b[j][1]
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1


class Batches:
    """Whole utterances of similar length."""

    def __init__(self, corpus: Corpus, rank: int, size: int, seed: int) -> None:
        self.corpus, self.rank, self.size = corpus, rank, size
        self.rng = np.random.default_rng(seed)  # the same on every rank
        self.queue: list[list[int]] = []

    def next(self) -> tuple[Tensor, Tensor, list[np.ndarray]]:
        """Waveforms (B, N), frames (B,), and the phones of each."""
        if not self.queue:
            lengths = {i: self.corpus.frames(i) for i in self.corpus.train}
            groups = ranks.epoch(lengths, int(100 * SECONDS), 40, self.size, self.rng)
            self.queue = groups[self.rank :: self.size]
        return self.collate(self.queue.pop())

    def collate(self, indices: list[int]) -> tuple[Tensor, Tensor, list[np.ndarray]]:
        waveforms = [torch.from_numpy(self.corpus.waveform(i)) for i in indices]
        frames = torch.tensor([self.corpus.frames(i) for i in indices])
        padded = nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
        return padded, frames, [sounds(self.corpus.phones(i)[0]) for i in indices]


def ctc(net: Listener, batch: tuple[Tensor, Tensor, list[np.ndarray]], disturb: bool) -> Tensor:
    waveforms, frames, phones = batch
    if disturb:
        level = torch.rand(len(waveforms), 1) ** 3 * NOISE
        waveforms = waveforms + torch.randn_like(waveforms) * level
    features = net.features(waveforms, frames)
    if disturb:
        for row, count in zip(features, frames.tolist(), strict=True):
            start, width = int(torch.randint(0, count, ())), int(torch.randint(0, MASKED, ()))
            row[start : start + width] = 0
    targets = torch.from_numpy(np.concatenate(phones))
    lengths = torch.tensor([len(p) for p in phones])
    guesses = net(features, frames).transpose(0, 1)
    return F.ctc_loss(guesses, targets, frames // 2, lengths, BLANK, zero_infinity=True)


def judge_listener(net: Listener, corpus: Corpus, indices: list[int]) -> dict[str, float]:
    """The error rates on the utterances at `indices`, by language."""
    made = {"en": Errors(), "zh": Errors()}
    for index in indices:
        language = "zh" if any(character > "\u2e80" for character in corpus.texts[index]) else "en"
        compare(sounds(corpus.phones(index)[0]).tolist(), net.hear(corpus.waveform(index)), made[language])
    zh = made["zh"]
    return {"phone_en": made["en"].syllable_rate, "syllable_zh": zh.syllable_rate, "tone_zh": zh.tone_rate}


def load_listener(path: Path) -> Listener:
    net = Listener(SmallConfig())
    net.load_state_dict(torch.load(path)["net"])
    return net.eval()


def train(rank: int, size: int, args: argparse.Namespace) -> None:
    net, corpus = Listener(SmallConfig()), Corpus(args.data)
    batches = Batches(corpus, rank, size, seed=loop.begun(args.checkpoint))

    def losses() -> tuple[Tensor, dict[str, float]]:
        loss = ctc(net, batches.next(), disturb=True)
        return loss, {"loss": loss.item()}

    def validate() -> dict[str, float]:
        net.eval()
        rates = judge_listener(net, corpus, corpus.valid)
        net.train()
        return rates

    schedule = loop.Schedule(args.minutes, args.rate, warmup=200, hold=0.4, clip=5.0)
    loop.train(net, losses, args.checkpoint, schedule, rank, validate)


def main() -> None:
    parser = loop.arguments(__doc__, "listener.pt", minutes=25, rate=1.5e-3)
    parser.add_argument("--data", type=Path, default=Path("training/runs/data"))
    args = parser.parse_args()
    ranks.launch(train, args.ranks, args)


if __name__ == "__main__":
    main()
