"""Training of the codec: mel and F0 -> encoder -> FSQ -> vocoder -> waveform, with the speaker vector of another
utterance.

Losses: mel of an auxiliary head, log F0, voicing, the phone at each code; of the waveform, synthesised with the true
F0: multi-resolution STFT, mel, level, and after a third of the time the critics.
"""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.small.speaker import PITCH_DIMS
from training import loop
from training.codec_net import Codec
from training.corpus import Corpus
from training.critics import Critics
from training.losses import level_loss, mean_where, spectral_loss, without_harmonics
from training.next_voice import NEXT

CROP = 48  # codes
REFERENCE = 125  # codes of another utterance of the speaker
WHOLE = 64  # utterances at a time when means are measured
VALID = 48  # held-out utterances that are measured
PLAIN = 0.3  # share of the time without critics, which cost half the steps
OTHERS = 4  # one crop in this many is also given another speaker's timbre
WEIGHTS = {
    "mel": 0.3,
    "log_f0": 3.0,
    "other_f0": 2.0,
    "voicing": 0.5,
    "phone": 0.6,
    "stft": 2.0,
    "wave_mel": 1.5,
    "level": 3.0,
    "noise": 3.0,
    "critics": 1.0,
    "passing": 0.3,
    "apart": 1.0,
}


def reduced(device: torch.device) -> AbstractContextManager:
    """bfloat16 for matrix products and convolutions on a GPU, and on a CPU with instructions for it."""
    fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


class Batches:
    """Random crops of random utterances, and the mean log-mel of every utterance."""

    def __init__(self, corpus: Corpus, codec: Codec, seed: int) -> None:
        self.corpus, self.rng = corpus, np.random.default_rng(seed)
        self.train = np.array(corpus.train)
        self.mean_mel = mean_mels(corpus, codec)

    def draw(self, size: int) -> dict[str, Tensor]:
        return self.of(self.rng.choice(self.train, size), self.rng)

    def valid(self) -> dict[str, Tensor]:
        """The same crops of the held-out utterances every time."""
        return self.of(np.array(self.corpus.valid[:VALID]), np.random.default_rng(0))

    def of(self, indices: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        corpus = self.corpus
        room = np.maximum(0, corpus.codes[indices] - CROP)
        batch = corpus.crop(indices, rng.integers(0, room + 1), CROP)
        others = corpus.others(indices, rng)
        starts = rng.integers(0, np.maximum(0, corpus.codes[others] - REFERENCE) + 1)
        batch["reference"] = corpus.crop(others, starts, REFERENCE)["waveform"]
        own = torch.from_numpy(indices).to(corpus.device)
        return batch | {"mean_mel": self.mean_mel[own], "mean_log_f0": corpus.mean_log_f0[own]}


@torch.no_grad()
def mean_mels(corpus: Corpus, codec: Codec) -> Tensor:
    """The mean log-mel of every utterance, (utterances, M)."""
    means = torch.zeros(len(corpus), NEXT.n_mels, device=corpus.device)
    for some in np.array_split(np.argsort(corpus.codes), -(-len(corpus) // WHOLE)):
        whole = corpus.crop(some, np.zeros(len(some), np.int64), int(corpus.codes[some].max()))
        mel = codec.log_mel(whole["waveform"])
        means[torch.from_numpy(some).to(corpus.device)] = mean_mel(mel, whole["real"])
    return means


def mean_mel(mel: Tensor, real: Tensor) -> Tensor:
    """Log-mels (B, F, M), real (B, T): 0 for padding -> (B, M)."""
    frames = real.repeat_interleave(NEXT.frames_per_code, dim=1).unsqueeze(-1)
    return (mel * frames).sum(1) / frames.sum(1)


def losses(
    codec: Codec, critics: Critics | None, batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and the parts."""
    vocoder, device, (size, frames) = codec.vocoder, batch["log_f0"].device, batch["log_f0"].shape
    voiced, log_f0, real = batch["voiced"], batch["log_f0"], batch["waveform"]
    mel = codec.log_mel(real)
    speaker = codec.speaker(batch["reference"])  # float32: it measures pitch
    with reduced(device):
        latents, _ = codec.encode(mel, log_f0, voiced, batch["mean_mel"], batch["mean_log_f0"])
        entered = vocoder.entered(latents, batch["phone"])
        mask_of_codes = torch.ones(size, frames // NEXT.frames_per_code, device=device)
        x, mask = vocoder.convolved(entered, speaker, mask_of_codes)
        hidden = vocoder.norm(x)
        # the pitch is measured; it must not follow from the timbre, or an unseen speaker would get another one's pitch
        other = torch.cat([speaker[:, :-PITCH_DIMS].roll(1, 0), speaker[:, -PITCH_DIMS:]], dim=-1)
        some = slice(0, -(-size // OTHERS))
        other_hidden = vocoder.norm(vocoder.convolved(entered[some], other[some], mask_of_codes[some])[0])
        said, made_mel = codec.phones(latents), codec.mel_head(hidden)
    made_log_f0, voicing = vocoder.pitch(hidden)
    other_log_f0, _ = vocoder.pitch(other_hidden)
    base = vocoder.base(speaker).unsqueeze(-1)

    waveform = synthesised(codec, hidden.float(), log_f0, voiced, mask)
    parts = {
        "mel": (made_mel * 3 - 5 - mel).abs().mean(),
        "log_f0": mean_where((made_log_f0 + base - log_f0).abs(), voiced).float(),
        "other_f0": mean_where((other_log_f0 + base[some] - log_f0[some]).abs(), voiced[some]).float(),
        "voicing": F.binary_cross_entropy_with_logits(voicing, voiced),
        "phone": F.cross_entropy(said.float().flatten(0, 1), batch["phone"].flatten()),
        "stft": spectral_loss(waveform, real),
        "wave_mel": (codec.log_mel(waveform) - mel).abs().mean(),
        "level": level_loss(waveform, real),
        # deterministic harmonics are nearer to noise, bin by bin, than other noise is: without this they replace it
        "noise": level_loss(
            *(without_harmonics(x, log_f0.exp(), NEXT.sample_rate) for x in (waveform, real))
        ),
    }
    if critics is not None:
        half = waveform.shape[1] // 2  # a random half of the crop: they cost more than all the rest
        start = random.randrange(waveform.shape[1] - half + 1)
        with reduced(device):
            verdicts = critics(waveform[:, start : start + half], real[:, start : start + half])
        parts |= dict(zip(("critics", "passing", "apart"), verdicts, strict=True))
    total = torch.stack([WEIGHTS[name] * value.float() for name, value in parts.items()]).sum()
    return total, {name: value.detach() for name, value in parts.items()}


def synthesised(codec: Codec, hidden: Tensor, log_f0: Tensor, voiced: Tensor, mask: Tensor) -> Tensor:
    """The waveform (B, N) of hidden frames (B, F, D) with the given pitch and a random phase."""
    source, config = codec.vocoder.source_filter, codec.config
    f0 = torch.exp(log_f0).clamp(config.f0_floor, config.f0_ceil)
    phase = source.frame_phase(f0, mask)[:, :-1] + torch.rand(len(f0), 1, device=f0.device)
    pulses = source.pulses(f0, voiced, phase, mask)
    return source(pulses, torch.randn_like(pulses), *codec.vocoder.filters(hidden), mask)


def train(
    rank: int,
    corpus: Corpus,
    checkpoint: Path,
    minutes: float,
    rate: float,
    batch: int,
    width: int,
    start: Path | None = None,
    steps: int | None = None,
    new_codes: bool = False,
) -> None:
    """width: of the critics. batch: crops per rank and step. start: a checkpoint to begin with, whose codes stay valid,
    because only the vocoder is trained, unless new_codes are allowed. steps: instead of minutes."""
    codec = load_codec(start) if start else Codec(NEXT)
    codec.train()
    if start and not new_codes:
        for part in (codec.encoder, codec.speaker):
            part.requires_grad_(False)
    critics = Critics(width)
    codec.critics = critics  # part of the checkpoint, but not of the exported weights
    codec.to(corpus.device)
    seed = rank + 2 * (torch.load(checkpoint, map_location="cpu")["step"] if checkpoint.exists() else 0)
    batches = Batches(corpus, codec, seed)

    def step(progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        return losses(codec, critics if progress > PLAIN else None, batches.draw(batch))

    def validate() -> dict[str, Tensor]:
        if not corpus.valid:
            return {}
        _, parts = losses(codec, None, batches.valid())
        return {
            f"valid_{name}": parts[name] for name in ("log_f0", "phone", "stft", "wave_mel", "level", "noise")
        }

    tell_s = 10.0 if corpus.device.type == "cuda" else 60.0
    schedule = loop.Schedule(
        minutes, rate, steps, warmup=50, hold=0.5, betas=(0.8, 0.98), clip=5.0, tell_s=tell_s
    )
    phones = codec.vocoder.phones
    rare = [] if phones is None else [phones.weight]
    loop.train("codec", codec, step, checkpoint, schedule, rank, validate, rare)


def load_codec(checkpoint: Path) -> Codec:
    """Raises RuntimeError if the checkpoint belongs to another network."""
    codec = Codec(NEXT)
    state = torch.load(checkpoint, map_location="cpu")[
        "net"
    ]  # the last: critics improve what no figure shows
    codec.load_state_dict({name: value for name, value in state.items() if not name.startswith("critics.")})
    return codec.eval()
