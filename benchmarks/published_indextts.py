"""IndexTTS 1.x in the order of work of its released code: the baseline of `family_indextts`, tested by the golden set.

It processes one sentence (or one bucket of sentences) at a time. The voice is encoded again for each, the KV cache
grows by concatenation, the whole GPT runs a second time over the finished codes, and BigVGAN vocodes the whole
sentence, kernel by kernel. fp32, one beam. It was written from a description of the behaviour. It is deliberately
simple, but does no work that the released code does not do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.contract.speech import Sampling
from deployments.families.bigvgan.antialias import low_pass
from deployments.families.checkpoint import fold_weight_norm, read_tensors
from deployments.families.indextts.config import SILENT_CODE, IndexConfig, read_config
from deployments.families.indextts.silence import ALLOWED, RUN
from deployments.families.indextts.voice import IndexVoiceEncoder

Past = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (B, H, T, d)


class PublishedGpt:
    """GPT-2 with growing caches. tensors: the checkpoint's, converted to fp32."""

    def __init__(self, tensors: dict[str, Tensor], config: IndexConfig) -> None:
        self.config = config.gpt
        self.weights = {name: tensor.float() for name, tensor in tensors.items()}

    def prompt(self, latents: Tensor, ids: Tensor) -> Tensor:
        """latents (32, M), ids (T,) -> (32 + T + 2, M)"""
        start, stop = (
            ids.new_tensor([self.config.start_text_token]),
            ids.new_tensor([self.config.stop_text_token]),
        )
        ids = torch.cat([start, ids, stop])
        text = self.weights["text_embedding.weight"][ids]
        return torch.cat([latents, text + self.weights["text_pos_embedding.emb.weight"][: len(ids)]])

    def mel(self, codes: Tensor, places: Tensor | int) -> Tensor:
        table = self.weights["mel_pos_embedding.emb.weight"]
        return self.weights["mel_embedding.weight"][codes] + table[places]

    def forward(self, x: Tensor, past: Past | None, mask: Tensor) -> tuple[Tensor, Past]:
        """x: (B, T, M), mask: bool (B, P + T), False for padding -> hidden states (B, T, M), caches"""
        heads, present = self.config.heads, []
        total, new = mask.shape[1], x.shape[1]
        seen = (
            torch.ones(new, total, dtype=torch.bool).tril(total - new) & mask[:, None, None]
        )  # (B, 1, T, P + T)
        bias = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        for layer in range(self.config.layers):
            name = f"gpt.h.{layer}"
            q, k, v = (
                part.unflatten(-1, (heads, -1)).transpose(1, 2)
                for part in self._linear(self._norm(x, f"{name}.ln_1"), f"{name}.attn.c_attn").chunk(3, -1)
            )
            if past is not None:
                k, v = torch.cat([past[layer][0], k], 2), torch.cat([past[layer][1], v], 2)
            present.append((k, v))
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
            x = x + self._linear(mixed, f"{name}.attn.c_proj")
            hidden = F.gelu(
                self._linear(self._norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc"), approximate="tanh"
            )
            x = x + self._linear(hidden, f"{name}.mlp.c_proj")
        return self._norm(self._norm(x, "gpt.ln_f"), "final_norm"), present

    def decode(
        self, prompts: Sequence[Tensor], sampling: Sampling, generator: torch.Generator
    ) -> list[Tensor]:
        """The codes of each prompt (P, M), decoded until the last has stopped, with the stop code if it was sampled."""
        longest, width = max(len(prompt) for prompt in prompts), prompts[0].shape[1]
        x = torch.zeros(len(prompts), longest + 1, width)
        mask = torch.zeros(len(prompts), longest + 1, dtype=torch.bool)
        start, stop = self.config.start_mel_token, self.config.stop_mel_token
        for row, prompt in enumerate(prompts):  # padded on the left
            x[row, longest - len(prompt) :] = torch.cat([prompt, self.mel(torch.tensor([start]), 0)])
            mask[row, longest - len(prompt) :] = True
        history = torch.ones(len(prompts), longest, dtype=torch.int64)
        history = torch.cat([history, torch.full((len(prompts), 1), start)], 1)
        hidden, past = self.forward(x, None, mask)
        stopped = torch.zeros(len(prompts), dtype=torch.bool)
        for step in range(sampling.max_tokens):
            codes = self._draw(self.logits(hidden[:, -1]), history, sampling, generator)
            codes = torch.where(stopped, stop, codes)
            history = torch.cat([history, codes[:, None]], 1)
            stopped |= codes == stop
            if bool(stopped.all()) or step + 1 == sampling.max_tokens:
                break
            mask = torch.cat([mask, torch.ones(len(prompts), 1, dtype=torch.bool)], 1)
            hidden, past = self.forward(self.mel(codes, step + 2)[:, None], past, mask)
        found = []
        for row in history[:, longest + 1 :]:
            ends = (row == stop).nonzero()
            found.append(row[: ends[0, 0] + 1] if len(ends) else row)
        return found

    def latents(self, prompt: Tensor, codes: Tensor) -> Tensor:
        """The second pass over finished codes (n,) without the stop code -> (n, M)"""
        start, stop = (
            codes.new_tensor([self.config.start_mel_token]),
            codes.new_tensor([self.config.stop_mel_token]),
        )
        fed = torch.cat([start, codes, stop])
        x = torch.cat([prompt, self.mel(fed, torch.arange(len(fed)))])[None]
        hidden, _ = self.forward(x, None, torch.ones(1, x.shape[1], dtype=torch.bool))
        return hidden[0, len(prompt) : -2]

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.weights["mel_head.weight"], self.weights["mel_head.bias"])

    def _draw(
        self, logits: Tensor, history: Tensor, sampling: Sampling, generator: torch.Generator
    ) -> Tensor:
        """Repetition penalty, then temperature, top-k and top-p. (B, V), (B, n) -> (B,)"""
        seen = logits.gather(1, history)
        asked, penalty = sampling.controls, sampling.controls["repetition_penalty"]
        seen = torch.where(seen < 0, seen * penalty, seen / penalty)
        logits = logits.scatter(1, history, seen)
        if sampling.greedy:
            return logits.argmax(-1)
        logits = logits / asked["temperature"]
        lowest = logits.topk(min(int(asked["top_k"]), logits.shape[1])).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -math.inf)
        ordered, order = logits.sort()
        drop = ordered.softmax(-1).cumsum(-1) <= 1 - asked["top_p"]
        drop[:, -1] = False
        logits = logits.masked_fill(drop.scatter(1, order, drop), -math.inf)
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _linear(self, x: Tensor, name: str) -> Tensor:
        flat = torch.addmm(self.weights[f"{name}.bias"], x.flatten(0, -2), self.weights[f"{name}.weight"])
        return flat.unflatten(0, x.shape[:-1])


class PublishedVocoder:
    """BigVGAN with one kernel for each operation of its description. tensors: the generator's, with folded weights."""

    def __init__(self, tensors: dict[str, Tensor], config: IndexConfig) -> None:
        self.config, self.weights = config.bigvgan, fold_weight_norm(tensors)
        self.filter = low_pass().float().reshape(1, 1, -1)

    def forward(self, latents: Tensor, speaker: Tensor) -> Tensor:
        """latents (1, n, M), speaker (1, S, 1) -> waveform (n * 1024,)"""
        config, blocks = self.config, len(self.config.resblock_kernel_sizes)
        x = self._conv(latents.transpose(1, 2), "conv_pre", padding=3) + self._conv(speaker, "cond_layer")
        for stage, (rate, kernel) in enumerate(
            zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
        ):
            weight, bias = self.weights[f"ups.{stage}.0.weight"], self.weights[f"ups.{stage}.0.bias"]
            x = F.conv_transpose1d(x, weight, bias, stride=rate, padding=(kernel - rate) // 2)
            x = x + self._conv(speaker, f"conds.{stage}")
            parts = [self._block(x, stage * blocks + index, index) for index in range(blocks)]
            x = torch.stack(parts).sum(0) / blocks
        x = self._activate(x, "activation_post")
        return torch.tanh(self._conv(x, "conv_post", padding=3)).flatten()

    def _block(self, x: Tensor, number: int, kind: int) -> Tensor:
        kernel = self.config.resblock_kernel_sizes[kind]
        name = f"resblocks.{number}"
        for index, dilation in enumerate(self.config.resblock_dilation_sizes[kind]):
            y = self._activate(x, f"{name}.activations.{2 * index}")
            y = self._conv(y, f"{name}.convs1.{index}", dilation * (kernel - 1) // 2, dilation)
            y = self._activate(y, f"{name}.activations.{2 * index + 1}")
            x = x + self._conv(y, f"{name}.convs2.{index}", (kernel - 1) // 2)
        return x

    def _activate(self, x: Tensor, name: str) -> Tensor:
        channels = x.shape[1]
        taps = self.filter.expand(channels, 1, -1)
        alpha, beta = (self.weights[f"{name}.act.{part}"].exp()[None, :, None] for part in ("alpha", "beta"))
        x = F.pad(x, (5, 5), mode="replicate")
        x = 2 * F.conv_transpose1d(x, taps, stride=2, groups=channels)[..., 15:-15]
        x = x + torch.sin(x * alpha) ** 2 / (beta + 1e-9)
        return F.conv1d(F.pad(x, (5, 6), mode="replicate"), taps, stride=2, groups=channels)

    def _conv(self, x: Tensor, name: str, padding: int = 0, dilation: int = 1) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.conv1d(x, weight, bias, padding=padding, dilation=dilation)


class PublishedIndexTts:
    """The whole path from a checkpoint folder."""

    def __init__(self, folder: Path) -> None:
        self.config = read_config(folder)
        gpt = read_tensors(folder / self.config.gpt_checkpoint)
        generator = read_tensors(folder / self.config.bigvgan_checkpoint)
        vocoder = {
            name: tensor for name, tensor in generator.items() if not name.startswith("speaker_encoder.")
        }
        self.gpt = PublishedGpt(gpt, self.config)
        self.vocoder = PublishedVocoder(vocoder, self.config)
        voice = IndexVoiceEncoder(self.config, gpt, generator, torch.device("cpu"))
        self.conditioner, self.speaker = voice.conditioner, voice.speaker

    @torch.inference_mode()
    def infer(
        self, sentences: Sequence[Tensor], mel: Tensor, sampling: Sampling, seed: int = 0
    ) -> list[Tensor]:
        """The waveform (n * 1024,) of each sentence, one after another. sentences: ids (T,); mel: (1, 100, F)"""
        generator = torch.Generator().manual_seed(seed)
        sounds = []
        for ids in sentences:
            decoding = self.gpt.prompt(self.conditioner(mel)[0], _spoken_ids(ids))
            (codes,) = self.gpt.decode([decoding], sampling, generator)
            latents = self._second_pass(ids, mel, codes)
            sounds.append(self.vocoder.forward(latents[None], self._speaker(mel)))
        return sounds

    @torch.inference_mode()
    def infer_fast(
        self, sentences: Sequence[Tensor], mel: Tensor, sampling: Sampling, bucket: int = 4, seed: int = 0
    ) -> list[Tensor]:
        """Sentences of similar length share a batch; neighbours are vocoded in pairs. Returns the pairs' waveforms."""
        generator = torch.Generator().manual_seed(seed)
        latents: list[Tensor] = [torch.empty(0)] * len(sentences)
        for indices in buckets([len(ids) for ids in sentences], bucket):
            prefix = self.conditioner(mel)[0]
            prompts = [self.gpt.prompt(prefix, _spoken_ids(sentences[index])) for index in indices]
            for index, codes in zip(indices, self.gpt.decode(prompts, sampling, generator), strict=True):
                latents[index] = self._second_pass(sentences[index], mel, codes)
        pairs = [torch.cat(latents[index : index + 2]) for index in range(0, len(latents), 2)]
        return [self.vocoder.forward(pair[None], self._speaker(mel)) for pair in pairs]

    def _second_pass(self, ids: Tensor, mel: Tensor, codes: Tensor) -> Tensor:
        stop = self.config.gpt.stop_mel_token
        kept = torch.from_numpy(shrink_silence(codes[codes != stop].numpy()))
        return self.gpt.latents(self.gpt.prompt(self.conditioner(mel)[0], ids), kept)

    def _speaker(self, mel: Tensor) -> Tensor:
        return self.speaker(mel).reshape(1, -1, 1)


def shrink_silence(codes: np.ndarray) -> np.ndarray:
    """The published rule for the codes of a finished segment, int64 (n,) -> (m,), m <= n."""
    if int((codes == SILENT_CODE).sum()) <= ALLOWED:
        return codes
    kept, run = [], 0
    for code in codes.tolist():
        run = run + 1 if code == SILENT_CODE else 0
        if run <= RUN:
            kept.append(code)
    return np.array(kept, dtype=codes.dtype)


def _spoken_ids(ids: Tensor) -> Tensor:
    return ids[ids > 1]


def pcm16(sounds: Sequence[Tensor]) -> np.ndarray:
    """The concatenated waveforms, as the released code writes them: int16 (N,)"""
    return torch.cat([(32767 * sound).clamp(-32767, 32767) for sound in sounds]).to(torch.int16).numpy()


def pad_texts(texts: Sequence[list[int]], version: float | None) -> list[list[int]]:
    """A bucket's ids padded on the right: with 1 since version 1.5, before that with up to eight 1, then 0."""
    longest = max(len(ids) for ids in texts)
    padded = []
    for ids in texts:
        gap = longest - len(ids)
        ones = gap if version is not None and version >= 1.5 else min(8, gap)
        padded.append([*ids, *[1] * ones, *[0] * (gap - ones)])
    return padded


def buckets(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Groups sentences of similar length, at most `size` each, by the released rule. Empty groups are omitted."""
    indices = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: lengths[i])
    if len(indices) <= size:
        return [sorted(indices)]
    found: list[list[int]] = []
    for index in indices:
        if found:
            last = found[-1]
            median = lengths[last[len(last) // 2]]
            if len(last) < size and lengths[index] < int(1.5 * median):
                last.append(index)
                continue
        found.append([index])
    groups, lonely = [b for b in found if len(b) > 1], [b[0] for b in found if len(b) == 1]
    for group in groups:  # one for each group with room, in order
        if lonely and len(group) < size:
            group.append(lonely.pop(0))
    return groups + [lonely[i : i + size] for i in range(0, len(lonely), size)]
