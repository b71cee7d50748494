"""Train the codec: python -m training.codec --minutes 40

Mel and F0 -> encoder -> FSQ -> vocoder -> waveform, with the speaker vector of another utterance. Losses: mel
of a helper head, log F0, voicing, multi-resolution STFT and mel of the waveform (synthesised with the true F0).
Restartable: the checkpoint training/runs/codec.pt keeps the optimiser and the minutes spent. `--freeze` trains
the vocoder only, so that codes made earlier stay valid.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from training import ranks
from training.codec_net import Codec
from training.corpus import Corpus, continuous_pitch

CROP = 128  # frames
REFERENCE = 200  # frames of the speaker's other utterance


class Batches:
    """Random crops with their features."""

    def __init__(self, corpus: Corpus, config: SmallConfig, seed: int) -> None:
        self.corpus, self.config, self.mel = corpus, config, LogMel(config)
        self.rng = np.random.default_rng(seed)
        self.long = [i for i in corpus.train if corpus.frames(i) >= CROP]
        self.mean_mel: dict[int, Tensor] = {}

    def mean(self, index: int) -> Tensor:
        """Mean log-mel of an utterance, (M,), remembered."""
        if index not in self.mean_mel:
            self.mean_mel[index] = self.mel(torch.from_numpy(self.corpus.waveform(index)).unsqueeze(0))[
                0
            ].mean(0)
        return self.mean_mel[index]

    def reference(self, index: int) -> np.ndarray:
        """REFERENCE frames of audio of the same speaker, another utterance as a rule."""
        corpus, rng = self.corpus, self.rng
        other = int(rng.choice(corpus.of_speaker[corpus.speakers[index]]))
        start = int(rng.integers(0, max(1, corpus.frames(other) - REFERENCE)))
        samples = corpus.waveform(other, start, REFERENCE)
        return np.resize(samples, REFERENCE * self.config.hop)  # short ones repeat

    def draw(self, size: int) -> dict[str, Tensor]:
        config, rows = self.config, []
        for index in self.rng.choice(self.long, size):
            index = int(index)
            room = (self.corpus.frames(index) - CROP) // config.frames_per_code
            start = int(self.rng.integers(0, room + 1)) * config.frames_per_code
            log_f0, voiced, mean_log_f0 = continuous_pitch(self.corpus.f0(index))
            rows.append(
                (
                    torch.from_numpy(self.corpus.waveform(index, start, CROP)),
                    torch.from_numpy(log_f0[start : start + CROP]),
                    torch.from_numpy(voiced[start : start + CROP]),
                    self.mean(index),
                    torch.tensor(mean_log_f0),
                    torch.from_numpy(self.reference(index)),
                )
            )
        names = ("waveform", "log_f0", "voiced", "mean_mel", "mean_log_f0", "reference")
        batch = {
            name: torch.stack(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
        }
        batch["mel"], batch["reference"] = self.mel(batch["waveform"]), self.mel(batch["reference"])
        return batch


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """Log-magnitude L1 and spectral convergence at three resolutions; (B, N) each."""
    total = torch.zeros(())
    for size in (256, 512, 1024):
        window = torch.hann_window(size)
        both = torch.stft(torch.cat([made, real]), size, size // 4, window=window, return_complex=True)
        a, b = (both.real**2 + both.imag**2 + 1e-9).sqrt().chunk(2)
        distance = (torch.log(a + 1e-3) - torch.log(b + 1e-3)).abs().mean()
        convergence = ((a - b) ** 2).sum().sqrt() / ((b**2).sum().sqrt() + 1e-3)
        total = total + (distance + 0.5 * convergence) / 3
    return total


def losses(codec: Codec, mel: LogMel, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    vocoder, (size, frames) = codec.vocoder, batch["log_f0"].shape
    voiced, log_f0 = batch["voiced"], batch["log_f0"]
    speaker = codec.speaker(batch["reference"])
    latents, codes = codec.encode(batch["mel"], log_f0, voiced, batch["mean_mel"], batch["mean_log_f0"])
    hidden, mask = vocoder.trunk(latents, speaker, torch.ones(size, frames // codec.config.frames_per_code))
    made_log_f0, voicing = vocoder.pitch(hidden)

    f0 = torch.exp(log_f0).clamp(codec.config.f0_floor, codec.config.f0_ceil)
    phase = vocoder.source_filter.frame_phase(f0, mask)[:, :-1] + torch.rand(size, 1)
    pulses = vocoder.source_filter.pulses(f0, voiced, phase, mask)
    waveform = vocoder.source_filter(pulses, torch.randn_like(pulses), *vocoder.filters(hidden), mask)
    parts = {
        "mel": (codec.mel_head(hidden) * 3 - 5 - batch["mel"]).abs().mean(),
        "log_f0": ((made_log_f0 - log_f0).abs() * voiced).sum() / voiced.sum().clamp(min=1),
        "voicing": F.binary_cross_entropy_with_logits(voicing, voiced),
        "stft": spectral_loss(waveform, batch["waveform"]),
        "wave_mel": (mel(waveform) - batch["mel"]).abs().mean(),
    }
    weights = {"mel": 0.5, "log_f0": 4.0, "voicing": 0.5, "stft": 2.0, "wave_mel": 1.5}
    total = sum((weights[name] * value for name, value in parts.items()), torch.zeros(()))
    return total, {name: value.item() for name, value in parts.items()} | {"codes": codes.unique().numel()}


def train(rank: int, size: int, args: argparse.Namespace) -> None:
    config = SmallConfig()
    codec = Codec(config)
    optimiser = torch.optim.AdamW(codec.parameters(), args.rate, betas=(0.8, 0.98), weight_decay=0.01)
    first, spent = 0, 0.0
    if args.checkpoint.exists():
        state = torch.load(args.checkpoint)
        codec.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        first, spent = state["step"], state["minutes"]
    ranks.share_parameters(codec)
    if args.freeze:
        for part in (codec.encoder, codec.speaker):
            part.requires_grad_(False)
    batches = Batches(Corpus(args.data), config, seed=rank + 2 * first)
    budget, saved, recent = ranks.Budget(args.minutes, spent), time.time(), []
    hold = max(0.5, math.nextafter(spent / args.minutes, 1)) if args.freeze else 0.5
    step = first
    for step in itertools.count(first):
        progress = budget.progress()
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = args.rate * ranks.rate(progress, step, 50, hold)
        loss, parts = losses(codec, batches.mel, batches.draw(args.batch))
        optimiser.zero_grad()
        loss.backward()
        ranks.average_gradients(codec.parameters())
        ranks.clip(codec.parameters(), 5.0)
        optimiser.step()
        recent.append(parts)
        if rank == 0 and (step + 1) % 50 == 0:
            means = " ".join(f"{k} {np.mean([r[k] for r in recent]):.3f}" for k in parts)
            print(f"step {step + 1} min {budget.spent:.2f} {means}", flush=True)
            recent = []
        if rank == 0 and time.time() - saved > 120:
            store(args.checkpoint, codec, optimiser, step + 1, budget)
            saved = time.time()
    if rank == 0:
        store(args.checkpoint, codec, optimiser, step, budget)


def store(
    path: Path, codec: Codec, optimiser: torch.optim.Optimizer, step: int, budget: ranks.Budget
) -> None:
    ranks.save(
        path, net=codec.state_dict(), optimiser=optimiser.state_dict(), step=step, minutes=budget.spent
    )


def load_codec(path: Path) -> Codec:
    codec = Codec(SmallConfig())
    codec.load_state_dict(torch.load(path)["net"])
    return codec.eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--checkpoint", type=Path, default=Path("training/runs/codec.pt"))
    parser.add_argument(
        "--minutes", type=float, default=40.0, help="wall minutes in all, earlier runs included"
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8, help="crops per rank and step")
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--freeze", action="store_true")
    args = parser.parse_args()
    ranks.launch(train, args.ranks, args)


if __name__ == "__main__":
    main()
