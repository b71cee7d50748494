"""The decoder of GPT-SoVITS v3 and v4 in the order of work of the released code: the baseline of `gpt_sovits_cfm`.

Kernel by kernel, without graphs. In every step of the solver, the network embeds time, computes the modulation of every
layer and projects all of its input; only the embedded features and step size are kept from the first step on. Chunks
are solved one after another (`serial`), or together with zeros up to the longest length (`parallel`), and the sound is
vocoded in one piece. The golden set tests all of it. It was written from a description of the behaviour. It is
deliberately simple, but does no work that the released code does not do.

The features and the vocoders are Chorale's own: they do the same work there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.checkpoint import part_of
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import OVERLAP
from deployments.families.gpt_sovits.cfm.mel import restored
from deployments.families.gpt_sovits.cfm.sound import MelVocoder

SEARCH = 320  # samples, that a join may drop
HEAD = 64
Noise = Callable[[int, int, int], Tensor]  # call, row and frames -> (frames, mels)


class PublishedDit:
    """tensors: of the s2 file; dtype: of all that is computed, as released. (B, T, C) throughout."""

    def __init__(self, tensors: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
        self.weights = {name: tensor.to(dtype) for name, tensor in part_of(tensors, "cfm.estimator.").items()}
        self.layers = len(
            {name.split(".")[1] for name in self.weights if name.startswith("transformer_blocks.")}
        )
        self.mels = self.weights["proj_out.weight"].shape[0]
        self.like = self.weights["proj_out.weight"]

    def embedded(self, name: str, value: float) -> Tensor:
        """(1, D), of "time" or "d"."""
        rates = torch.exp(torch.arange(128, device=self.like.device) * (-math.log(10000) / 127))
        angle = 1000 * value * rates[None]
        waves = torch.cat([angle.sin(), angle.cos()], 1).to(self.like.dtype)
        hidden = F.silu(self._linear(waves, f"{name}_embed.time_mlp.0"))
        return self._linear(hidden, f"{name}_embed.time_mlp.2")

    def text(self, features: Tensor) -> Tensor:
        frames, channels = features.shape[1:]
        places, pairs = (
            torch.arange(0, end, step, device=self.like.device) for end, step in ((frames, 1), (channels, 2))
        )
        angle = places[:, None] * 10000.0 ** (-pairs / channels)
        x = features + torch.cat([angle.cos(), angle.sin()], 1).to(self.like.dtype)
        blocks = {name.split(".")[2] for name in self.weights if name.startswith("text_embed.text_blocks.")}
        for block in range(len(blocks)):
            name = f"text_embed.text_blocks.{block}"
            weight, bias = self._pair(f"{name}.dwconv")
            y = F.conv1d(x.transpose(1, 2), weight, bias, padding=3, groups=channels).transpose(1, 2)
            y = F.layer_norm(y, (channels,), *self._pair(f"{name}.norm"), eps=1e-6)
            y = F.gelu(self._linear(y, f"{name}.pwconv1"))
            length = y.norm(dim=1, keepdim=True)
            share = length / (length.mean(-1, keepdim=True) + 1e-6)
            gamma, beta = (self.weights[f"{name}.grn.{part}"] for part in ("gamma", "beta"))
            x = x + self._linear(gamma * (y * share) + beta + y, f"{name}.pwconv2")
        return x

    def velocity(self, mel: Tensor, prompt: Tensor, text: Tensor, time: float, step: Tensor) -> Tensor:
        c = F.silu(self.embedded("time", time) + step)
        x = self._linear(torch.cat([mel, prompt, text], -1), "input_embed.proj")
        y = x.transpose(1, 2)
        for conv in (0, 2):
            weight, bias = self._pair(f"input_embed.conv_pos_embed.conv1d.{conv}")
            y = F.mish(F.conv1d(y, weight, bias, padding=15, groups=16))
        x = x + y.transpose(1, 2)
        places = torch.arange(x.shape[1], device=self.like.device)
        angle = places[:, None] * self.weights["rotary_embed.inv_freq"]
        turn = angle.repeat_interleave(2, 1)
        for layer in range(self.layers):
            x = self._block(x, c, turn.cos(), turn.sin(), f"transformer_blocks.{layer}")
        scale, shift = self._linear(c, "norm_out.linear")[:, None].chunk(2, -1)
        return self._linear(_plain_norm(x) * (1 + scale) + shift, "proj_out")

    def solve(self, features: Tensor, prompt: Tensor, noise: Tensor, steps: int) -> Tensor:
        """features (B, T, C), prompt (P, M), noise (B, T, M) -> (B, T, M), 0 in the prompt."""
        begin = len(prompt)
        features, noise = features.to(self.like.dtype), noise.to(self.like.dtype)
        still = torch.zeros_like(noise)
        still[:, :begin] = prompt
        text, step = self.text(features), self.embedded("d", 1 / steps)
        x, time = noise.clone(), 0.0
        x[:, :begin] = 0
        for _ in range(steps):
            x = x + self.velocity(x, still, text, time, step) / steps
            x[:, :begin] = 0
            time += 1 / steps
        return x.float()

    def _block(self, x: Tensor, c: Tensor, cos: Tensor, sin: Tensor, name: str) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self._linear(c, f"{name}.attn_norm.linear")[
            :, None
        ].chunk(6, -1)
        y = _plain_norm(x) * (1 + scale1) + shift1
        q, k, v = (self._linear(y, f"{name}.attn.{part}") for part in ("to_q", "to_k", "to_v"))
        q, k = (torch.cat([_turned(part[..., :HEAD], cos, sin), part[..., HEAD:]], -1) for part in (q, k))
        q, k, v = (part.unflatten(-1, (-1, HEAD)).transpose(1, 2) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + gate1 * self._linear(mixed, f"{name}.attn.to_out.0")
        y = F.gelu(
            self._linear(_plain_norm(x) * (1 + scale2) + shift2, f"{name}.ff.ff.0.0"), approximate="tanh"
        )
        return x + gate2 * self._linear(y, f"{name}.ff.ff.2")

    def _pair(self, name: str) -> tuple[Tensor, Tensor]:
        return self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, *self._pair(name))


def _plain_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return x * cos + torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2) * sin


class Item(NamedTuple):
    """A text's codes (N,) and phones (P,)."""

    codes: Tensor
    phones: Tensor


@dataclass(frozen=True)
class PublishedVoice:
    """features (T, C) and normalised mel (T, M) of the prompt, of the same length; ge: (G,)."""

    features: Tensor
    mel: Tensor
    ge: Tensor

    @classmethod
    def of(cls, net: Features, prompt: Item, mel: Tensor, ge: Tensor) -> PublishedVoice:
        """mel: of the whole recording."""
        features = net(prompt.codes[None], prompt.phones[None], ge[None])[0]
        shared = min(len(features), len(mel))
        last = slice(max(0, shared - net.layout.most_prompt), shared)
        return cls(features[last], mel[last], ge)


class PublishedCfm:
    """noise: of the solver's `call`-th solution of a request, counted by this object; None: torch's own."""

    def __init__(
        self, net: Features, dit: PublishedDit, vocoder: MelVocoder, noise: Noise | None = None
    ) -> None:
        self.net, self.dit, self.vocoder, self.noise, self.calls = net, dit, vocoder, noise, 0
        self.layout = net.layout

    def features(self, item: Item, voice: PublishedVoice, speed: float = 1.0) -> Tensor:
        return self.net(item.codes[None], item.phones[None], voice.ge[None], speed)[0]

    def solve(self, features: Tensor, prompt: Tensor, steps: int) -> Tensor:
        """(B, T, C) and (P, M) -> (B, T - P, M)"""
        rows, frames = features.shape[:2]
        if self.noise is None:
            noise = torch.randn(rows, self.dit.mels, frames, device=features.device).transpose(1, 2)
        else:
            noise = torch.stack([self.noise(self.calls, row, frames) for row in range(rows)])
        self.calls += 1
        return self.dit.solve(features, prompt, noise, steps)[:, len(prompt) :]

    def serial_mel(self, features: Tensor, voice: PublishedVoice, steps: int) -> Tensor:
        """Each chunk continues the one before. (F, C) -> natural logarithms (F, M)"""
        before, mel, made = voice.features, voice.mel, []
        most, keep = self.layout.most - len(mel), len(mel)
        for start in range(0, len(features), most):
            chunk = features[start : start + most]
            solved = self.solve(torch.cat([before, chunk])[None], mel, steps)[0]
            mel, before = solved[-keep:], chunk[-keep:]
            made.append(solved)
        return restored(torch.cat(made))

    def serial(self, item: Item, voice: PublishedVoice, steps: int, speed: float = 1.0) -> Tensor:
        """One item's samples."""
        mel = self.serial_mel(self.features(item, voice, speed), voice, steps)
        return self.vocoder(mel[None])[0]

    def parallel_mel(
        self, features: Sequence[Tensor], voice: PublishedVoice, steps: int
    ) -> tuple[Tensor, int, int]:
        """The mel of all chunks end to end, overlaps included, (F, M); frames of a chunk; padding in the last."""
        whole = F.pad(torch.cat(list(features)), (0, 0, OVERLAP, 0))
        size = self.layout.most - len(voice.mel)
        starts = range(0, len(whole), size - OVERLAP)
        padding = starts[-1] + size - len(whole)
        whole = F.pad(whole, (0, 0, 0, padding))
        chunks = torch.stack([torch.cat([voice.features, whole[start : start + size]]) for start in starts])
        return restored(self.solve(chunks, voice.mel, steps).flatten(0, 1)), size, padding

    def parallel(
        self, items: Sequence[Item], voice: PublishedVoice, steps: int, speed: float = 1.0
    ) -> list[Tensor]:
        """The items' samples: all share one solution and its chunks."""
        features = [self.features(item, voice, speed) for item in items]
        mel, size, padding = self.parallel_mel(features, voice, steps)
        return self.dealt(self.vocoder(mel[None])[0], [len(own) for own in features], size, padding)

    def dealt(self, sound: Tensor, frames: Sequence[int], size: int, padding: int) -> list[Tensor]:
        """The sound of chunks of `size` frames, joined, and cut into items of `frames` frames each."""
        rate = self.layout.frame_samples
        whole, _ = joined(sound.split(size * rate), OVERLAP * rate)
        whole = whole[OVERLAP * rate : len(whole) - padding * rate]
        ends = [rate * sum(frames[: index + 1]) for index in range(len(frames))]
        return [whole[end - rate * own : end] for end, own in zip(ends, frames, strict=True)]


def joined(pieces: Sequence[Tensor], overlap: int) -> tuple[Tensor, list[int]]:
    """Pieces that overlap, each moved up to SEARCH samples to where it is most alike, and those offsets."""
    fade = torch.hann_window(2 * overlap, device=pieces[0].device)
    rise, fall = fade[:overlap], fade[overlap:]
    made, offsets, left = [], [], pieces[0]
    for right in pieces[1:]:
        tail, head = left[-overlap:], right[: overlap + SEARCH]
        likeness = F.conv1d(head[None, None], tail[None, None])[0, 0]
        energy = F.conv1d(head.square()[None, None], tail.new_ones(1, 1, overlap))[0, 0]
        offset = int((likeness / (energy + 1e-8).sqrt()).argmax())
        right = right[offset:].clone()
        right[:overlap] = rise * right[:overlap] + fall * tail
        made.append(left[:-overlap])
        offsets.append(offset)
        left = right
    return torch.cat([*made, left]), offsets


def pcm16(parts: Sequence[Tensor], interval: float = 0.3) -> Tensor:
    """As the released service writes them: int16 (N,). The silence is counted at 32 kHz, whatever the rate is."""
    silence = torch.zeros(int(32000 * interval))
    whole = torch.cat(
        [part for sound in parts for part in (sound / max(1.0, float(sound.abs().max())), silence)]
    )
    return (whole * 32768).to(torch.int16)
