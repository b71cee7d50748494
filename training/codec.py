"""Train the codec: python -m training.codec --minutes 40

Mel and F0 -> encoder -> FSQ -> vocoder -> waveform, with the speaker vector of another utterance. Losses: mel of an
auxiliary head, log F0, voicing, multi-resolution STFT and mel of the waveform (synthesised with the true F0), features
of the phone recogniser, and the critics. The training can be resumed: training/runs/codec.pt. `--freeze` trains only
the vocoder, so that existing codes stay valid. `--moved` adds random speakers, so that the vocoder does not overfit.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from deployments.families.small.speaker import PITCH_DIMS
from training import loop, ranks
from training.codec_net import Codec
from training.corpus import Corpus, continuous_pitch
from training.critics import Critics
from training.personas import WARPS, equaliser, moved
from training.phone_net import RECOGNISER, PhoneNet, load_phone_net
from training.utterances import F0_CEIL, HOP
from training.voices import VOICES
from training.warm import codec_state, warm, whole

CROP = 96  # frames
PATCH_FFT, PATCHES = 256, ((8, 3), (16, 8), (4, 16))  # bins of 62.5 Hz, and frames of 8 ms
REFERENCE = 200  # frames of another utterance of the speaker
DISTURBED, SHIFTED = 0.8, 3  # most noise on a log-mel, and most bands of shift


class Batches:
    """Random crops with their features."""

    def __init__(
        self, corpus: Corpus, config: SmallConfig, seed: int, voices: float = 0.0, moved: float = 0.0
    ) -> None:
        """voices: the share of crops reserved for the shipped voices; the others are drawn from all speakers. moved:
        the share of crops with random shifts of formants and timbre, which makes new speakers."""
        self.corpus, self.config, self.mel = corpus, config, LogMel(config)
        self.rng = np.random.default_rng(seed)
        shipped = {voice.persona.name for voice in VOICES.values()}
        self.long = np.array([i for i in corpus.train if corpus.frames(i) >= CROP])
        self.shipped = np.array([i for i in self.long if corpus.speakers[i] in shipped])
        self.voices, self.moved = voices if len(self.shipped) else 0.0, moved
        self.mean_mel: dict[int, Tensor] = {}

    def mean(self, index: int) -> Tensor:
        """The mean log-mel of an utterance, (M,), cached."""
        if index not in self.mean_mel:
            self.mean_mel[index] = self.mean_of(self.corpus.waveform(index))
        return self.mean_mel[index]

    def mean_of(self, waveform: np.ndarray) -> Tensor:
        return self.mel(torch.from_numpy(waveform).unsqueeze(0))[0].mean(0)

    def reference(self, index: int, warp: float = 1.0) -> np.ndarray:
        """Audio of the same speaker that has REFERENCE frames after the warp, usually from another utterance."""
        corpus, rng, frames = self.corpus, self.rng, math.ceil(REFERENCE * warp)
        other = int(rng.choice(corpus.of_speaker[corpus.speakers[index]]))
        start = int(rng.integers(0, max(1, corpus.frames(other) - frames)))
        return corpus.waveform(other, start, frames)

    def start(self, frames: int) -> int:
        per_code = self.config.frames_per_code
        return int(self.rng.integers(0, (frames - CROP) // per_code + 1)) * per_code

    def row(self, index: int) -> tuple[Tensor, ...]:
        log_f0, voiced, mean_log_f0 = continuous_pitch(self.corpus.f0(index))
        start = self.start(len(log_f0))
        waveform, mean = self.corpus.waveform(index, start, CROP), self.mean(index)
        crop = slice(start, start + CROP)
        return cropped(waveform, log_f0[crop], voiced[crop], mean, mean_log_f0, self.reference(index))

    def moved_row(self, index: int) -> tuple[Tensor, ...]:
        """Like `row`, with a random new speaker."""
        highest = math.log(F0_CEIL)
        log_f0, voiced, mean_log_f0 = continuous_pitch(self.corpus.f0(index))
        widest = min(WARPS[1], len(log_f0) / (CROP + 1), math.exp(highest - float(log_f0.max())))
        warp, taps = float(self.rng.uniform(min(WARPS[0], widest), widest)), equaliser(self.rng)
        whole = moved(self.corpus.waveform(index), warp, taps)
        start = self.start(len(whole) // HOP)
        at = (start + np.arange(CROP)) * warp  # in frames of the original
        log_f0 = np.interp(at, np.arange(len(log_f0)), log_f0) + math.log(warp)
        voiced = voiced[np.minimum(np.rint(at).astype(int), len(voiced) - 1)]
        waveform, reference = (
            whole[start * HOP : (start + CROP) * HOP],
            moved(self.reference(index, warp), warp, taps),
        )
        return cropped(waveform, log_f0, voiced, self.mean_of(whole), mean_log_f0 + math.log(warp), reference)

    def draw(self, size: int) -> dict[str, Tensor]:
        rows = []
        for _ in range(size):
            index = int(self.rng.choice(self.shipped if self.rng.random() < self.voices else self.long))
            rows.append((self.moved_row if self.rng.random() < self.moved else self.row)(index))
        names = ("waveform", "log_f0", "voiced", "mean_mel", "mean_log_f0", "reference")
        batch = {
            name: torch.stack(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
        }
        batch["mel"] = self.mel(batch["waveform"])
        return batch


def cropped(
    waveform: np.ndarray,
    log_f0: np.ndarray,
    voiced: np.ndarray,
    mean_mel: Tensor,
    mean_log_f0: float,
    said: np.ndarray,
) -> tuple[Tensor, ...]:
    """One row of a batch. said: the audio of the reference, repeated if it is short."""
    return (
        torch.from_numpy(waveform),
        torch.from_numpy(log_f0).float(),
        torch.from_numpy(voiced),
        mean_mel,
        torch.tensor(mean_log_f0),
        torch.from_numpy(np.resize(said, REFERENCE * HOP)),
    )


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """Log-magnitude L1 and spectral convergence at three resolutions; waveforms (B, N)."""
    total = torch.zeros(())
    for size in (256, 512, 1024):
        window = torch.hann_window(size)
        both = torch.stft(torch.cat([made, real]), size, size // 4, window=window, return_complex=True)
        a, b = (both.real**2 + both.imag**2 + 1e-9).sqrt().chunk(2)
        distance = (torch.log(a + 1e-3) - torch.log(b + 1e-3)).abs().mean()
        convergence = ((a - b) ** 2).sum().sqrt() / ((b**2).sum().sqrt() + 1e-3)
        total = total + (distance + 0.5 * convergence) / 3
    return total


def level_loss(made: Tensor, real: Tensor) -> Tensor:
    """The log L1 distance of the powers of waveforms (B, N), averaged over patches of time and frequency.

    The power of a patch is hardly random, unlike the magnitude of a bin in noise. Pulses and noise are measured the
    same way, so that the level of a whole phone is right.
    """
    window = torch.hann_window(PATCH_FFT)
    both = torch.stft(torch.cat([made, real]), PATCH_FFT, PATCH_FFT // 2, window=window, return_complex=True)
    power = (both.real**2 + both.imag**2)[:, 1:].unsqueeze(1)
    total = torch.zeros(())
    for patch in PATCHES:
        a, b = torch.log(F.avg_pool2d(power, patch, tuple(max(1, s // 2) for s in patch)) + 1e-6).chunk(2)
        total = total + (a - b).abs().mean() / (2 * len(PATCHES))  # of amplitudes
    return total


def recognised_loss(recogniser: PhoneNet, made: Tensor, real: Tensor) -> Tensor:
    """The distance of two log-mels (B, F, M) in the phone recogniser's features and predictions.

    Both are distorted in the same way, by noise and shifted formants, so that the codec does not exploit the network.
    """
    level = DISTURBED * torch.rand(len(real), 1, 1)
    noise, bands = level * torch.randn_like(real), int(torch.randint(-SHIFTED, SHIFTED + 1, ()))
    made, real = ((mel + noise).roll(bands, -1) for mel in (made, real))
    with torch.no_grad():
        wanted, features = recogniser(real)
    guesses, made_features = recogniser(made)
    apart = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(made_features, features, strict=True)]
    surprise = F.kl_div(
        guesses.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="none"
    ).sum(-1)
    return torch.stack(apart).mean() + 0.5 * surprise.mean()


def losses(
    codec: Codec, critics: Critics | None, mel: LogMel, recogniser: PhoneNet, batch: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    vocoder, (size, frames) = codec.vocoder, batch["log_f0"].shape
    voiced, log_f0 = batch["voiced"], batch["log_f0"]
    speaker = codec.speaker(batch["reference"])
    latents, codes = codec.encode(batch["mel"], log_f0, voiced, batch["mean_mel"], batch["mean_log_f0"])
    mask_of_codes = torch.ones(size, frames // codec.config.frames_per_code)
    x, mask = vocoder.convolved(latents, speaker, mask_of_codes)
    hidden = vocoder.norm(x)
    made_log_f0, voicing = vocoder.pitch(hidden)
    made_log_f0 = made_log_f0 + vocoder.base(speaker).unsqueeze(-1)

    # the pitch is measured; it must not follow from the timbre, or an unseen speaker would get another one's pitch
    other = torch.cat([speaker[:, :-PITCH_DIMS].roll(1, 0), speaker[:, -PITCH_DIMS:]], dim=-1)
    other_log_f0, _ = vocoder.pitch(vocoder.norm(vocoder.convolved(latents, other, mask_of_codes)[0]))
    other_log_f0 = other_log_f0 + vocoder.base(speaker).unsqueeze(-1)

    f0 = torch.exp(log_f0).clamp(codec.config.f0_floor, codec.config.f0_ceil)
    phase = vocoder.source_filter.frame_phase(f0, mask)[:, :-1] + torch.rand(size, 1)
    pulses = vocoder.source_filter.pulses(f0, voiced, phase, mask)
    waveform = vocoder.source_filter(pulses, torch.randn_like(pulses), *vocoder.filters(hidden), mask)
    wave_mel = mel(waveform)
    parts = {
        "mel": (codec.mel_head(hidden) * 3 - 5 - batch["mel"]).abs().mean(),
        "log_f0": ((made_log_f0 - log_f0).abs() * voiced).sum() / voiced.sum().clamp(min=1),
        "other_f0": ((other_log_f0 - log_f0).abs() * voiced).sum() / voiced.sum().clamp(min=1),
        "voicing": F.binary_cross_entropy_with_logits(voicing, voiced),
        "stft": spectral_loss(waveform, batch["waveform"]),
        "wave_mel": (wave_mel - batch["mel"]).abs().mean(),
        "level": level_loss(waveform, batch["waveform"]),
        "phones": recognised_loss(recogniser, wave_mel, batch["mel"]),
    }
    if critics is not None:
        verdicts = critics(waveform, batch["waveform"])
        parts |= dict(zip(("critics", "passing", "apart"), verdicts, strict=True))
    weights = {
        "mel": 0.3,
        "log_f0": 3.0,
        "other_f0": 2.0,
        "voicing": 0.5,
        "stft": 2.0,
        "wave_mel": 1.5,
        "phones": 1.0,
    }
    weights |= {"level": 3.0, "critics": 0.5, "passing": 0.1, "apart": 0.3}
    total = sum((weights[name] * value for name, value in parts.items()), torch.zeros(()))
    return total, {name: value.item() for name, value in parts.items()} | {"codes": codes.unique().numel()}


def train(rank: int, size: int, args: argparse.Namespace) -> None:
    config = SmallConfig()
    codec = Codec(config)
    codec.critics = Critics(config)  # part of the checkpoint, but not of the shipped weights
    codec.critics.requires_grad_(not args.plain)
    critics = None if args.plain else codec.critics
    if args.warm:
        warm(codec, codec_state(args.warm))
    if args.freeze:
        for part in (codec.encoder, codec.speaker):
            part.requires_grad_(False)
    batches = Batches(
        Corpus(args.data), config, rank + 2 * loop.begun(args.checkpoint), args.voices, args.moved
    )
    recogniser = load_phone_net(args.recogniser)
    schedule = loop.Schedule(
        args.minutes, args.rate, warmup=50, hold=args.hold, betas=(0.8, 0.98), clip=5.0, tell_every=50
    )
    loop.train(
        codec,
        lambda: losses(codec, critics, batches.mel, recogniser, batches.draw(args.batch)),
        args.checkpoint,
        schedule,
        rank,
    )


def load_codec(source: str) -> Codec:
    """Loads a checkpoint, or the `shipped` codec. Raises ValueError if it belongs to another network."""
    codec = Codec(SmallConfig())
    whole(codec, codec_state(source))
    return codec.eval()


def main() -> None:
    parser = loop.arguments(__doc__, "codec.pt", minutes=120, rate=1.2e-3)
    parser.add_argument("--data", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--recogniser", default=RECOGNISER)
    parser.add_argument("--warm", metavar="FILE", help="a codec's checkpoint to start from, or `shipped`")
    parser.add_argument("--batch", type=int, default=6, help="crops per rank and step")
    parser.add_argument("--hold", type=float, default=0.5, help="share of the time before the rate decays")
    parser.add_argument(
        "--plain", action="store_true", help="without critics: more steps per minute, for the start"
    )
    parser.add_argument("--voices", type=float, default=0.0, help="share of crops of the shipped voices (0)")
    parser.add_argument("--moved", type=float, default=0.0, help="share of crops of random new speakers (0)")
    parser.add_argument(
        "--freeze", action="store_true", help="train only the vocoder, so that codes stay valid"
    )
    args = parser.parse_args()
    ranks.launch(train, args.ranks, args)


if __name__ == "__main__":
    main()
