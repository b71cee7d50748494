"""GPT-SoVITS v2Pro in the order of work of its released code: the baseline of `family_gpt_sovits`.

It speaks one text at a time. The GPT's cache grows by concatenation, and the host reads every code. The speaker network
runs for each text, and the style encoder for each decode. The decoder's weight norm is computed in each call. fp32. It
was written from a description of the behaviour. It is deliberately simple, but does no work that the released code does
not do.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from deployments.contract.speech import Sampling
from deployments.families.gpt_sovits.checkpoints import GptFile, SovitsFile
from deployments.families.gpt_sovits.eres2net import Eres2Net
from deployments.families.gpt_sovits.gpt_net import layers_of, sinusoids
from deployments.families.gpt_sovits.spectrum import filter_banks, spectrogram, timbre_samples
from deployments.families.gpt_sovits.vits.synthesizer import Synthesizer
from deployments.families.gpt_sovits.voice import Timbre
from deployments.families.gpt_sovits.weights import without_weight_norm

FEWEST, MOST = 11, 1500  # codes of a segment
POSITIONS = 4000
CPU = torch.device("cpu")
Cache = tuple[Tensor, Tensor]  # keys and values (1, T, D)


class PublishedGpt:
    """A transformer with growing caches. tensors: the checkpoint's. All that it is given is on `device`."""

    def __init__(
        self,
        gpt: GptFile,
        tensors: Mapping[str, Tensor],
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.weights = {name: tensor.to(device, dtype) for name, tensor in tensors.items()}
        self.layers, self.heads, self.eos = layers_of(gpt), gpt.config.head, gpt.config.EOS
        table = sinusoids(POSITIONS, tensors["bert_proj.bias"].shape[0]).to(device, dtype)
        self.phone_places, self.code_places = (
            self.weights[f"ar_{kind}_position.alpha"] * table for kind in ("text", "audio")
        )

    def codes(
        self, phones: Tensor, bert: Tensor, prompt: Tensor, sampling: Sampling, generator: torch.Generator
    ) -> Tensor:
        """phones (P,) and bert (P, F) of prompt and text; prompt: the codes (N,) that are continued -> (n,) more"""
        w, asked = self.weights, sampling.controls
        x = w["ar_text_embedding.word_embeddings.weight"][phones]
        x = x + F.linear(bert, w["bert_proj.weight"], w["bert_proj.bias"]) + self.phone_places[: len(phones)]
        y = w["ar_audio_embedding.word_embeddings.weight"][prompt] + self.code_places[: len(prompt)]
        length = len(x) + len(y)
        mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask[: len(x), : len(x)] = True
        hidden, caches = self._forward(torch.cat([x, y])[None], [None] * self.layers, mask)
        history = prompt[None]
        for step in range(min(MOST, sampling.max_tokens)):
            logits = F.linear(hidden[:, -1], w["ar_predict_layer.weight"])
            if step < FEWEST:
                logits = logits[:, : self.eos]
            logits = _penalised(logits, history, float(asked["repetition_penalty"]))
            code = logits.argmax(-1, keepdim=True) if sampling.greedy else _drawn(logits, asked, generator)
            history = torch.cat([history, code], dim=1)
            if int(code) == self.eos or int(logits.argmax(-1)) == self.eos:
                return history[0, len(prompt) : -1]
            place = self.code_places[len(prompt) + step]
            fed = w["ar_audio_embedding.word_embeddings.weight"][code[0]] + place
            hidden, caches = self._forward(fed[None], caches, None)
        return history[0, len(prompt) :]

    def _forward(self, x: Tensor, caches: list, mask: Tensor | None) -> tuple[Tensor, list[Cache]]:
        """x (1, T, D) -> (1, T, D) and the longer caches."""
        found = []
        for layer, cache in enumerate(caches):
            name = f"h.layers.{layer}"
            joint = F.linear(x, *self._both(f"{name}.self_attn.in_proj_"))
            q, k, v = joint.chunk(3, dim=-1)
            if cache is not None:
                k, v = torch.cat([cache[0], k], dim=1), torch.cat([cache[1], v], dim=1)
            found.append((k, v))
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
            x = self._norm(x + F.linear(mixed, *self._both(f"{name}.self_attn.out_proj.")), f"{name}.norm1.")
            inner = torch.relu(F.linear(x, *self._both(f"{name}.linear1.")))
            x = self._norm(x + F.linear(inner, *self._both(f"{name}.linear2.")), f"{name}.norm2.")
        return x, found

    def _both(self, name: str) -> tuple[Tensor, Tensor]:
        return self.weights[f"{name}weight"], self.weights[f"{name}bias"]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], *self._both(name))


def _penalised(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    seen = logits.gather(1, history)
    return logits.scatter(1, history, torch.where(seen < 0, seen * penalty, seen / penalty))


def _drawn(logits: Tensor, asked: Mapping[str, float], generator: torch.Generator) -> Tensor:
    """Top-p, temperature, top-k, and a race of exponential variables. (1, V) -> (1, 1)"""
    if asked["top_p"] < 1:
        ordered, order = torch.sort(logits, descending=True)
        removed = ordered.softmax(-1).cumsum(-1) > asked["top_p"]
        removed[:, 0] = False
        logits = logits.masked_fill(removed.scatter(1, order, removed), -torch.inf)
    logits = logits / max(asked["temperature"], 1e-5)
    last = logits.topk(min(int(asked["top_k"]), logits.shape[1])).values[:, -1:]
    shares = torch.where(logits < last, -torch.inf, logits).softmax(-1)
    return (shares / torch.empty_like(shares).exponential_(1, generator=generator)).argmax(-1, keepdim=True)


class PublishedVits:
    """v2Pro's decoder, and what it needs of a reference. raw: the tensors of the file, weight norm included. fp32."""

    def __init__(
        self,
        sovits: SovitsFile,
        raw: dict[str, Tensor],
        speaker: Eres2Net,
        device: torch.device = CPU,
    ) -> None:
        self.device, self.raw = device, {name: tensor.to(device) for name, tensor in raw.items()}
        self.speaker = speaker.eval().to(device)
        self.net = Synthesizer.load(sovits, raw).eval().to(device)
        self.timbre = Timbre(sovits, raw).eval().to(device)
        self.names = [name for name, _ in self.net.named_parameters()]

    def decode(
        self, codes: Tensor, phones: Tensor, waveform: np.ndarray, rate: int, noise_scale: float = 0.5
    ) -> Tensor:
        """codes (N,), phones (P,), a reference (M,) at `rate` -> samples (1280 N,)"""
        samples = timbre_samples(waveform, rate)
        spectrum, banks = (made(samples)[None].to(self.device) for made in (spectrogram, filter_banks))
        style = self.timbre(spectrum, self.speaker(banks))
        plain = without_weight_norm(self.raw)
        weights = {name: plain[name] for name in self.names}
        noise = noise_scale * torch.randn(1, self.net.channels, 2 * len(codes), device=self.device)
        inputs = (codes, phones, style, noise)
        return functional_call(_Decoder(self.net), {f"net.{name}": w for name, w in weights.items()}, inputs)[
            0
        ]


class _Decoder(torch.nn.Module):
    def __init__(self, net: Synthesizer) -> None:
        super().__init__()
        self.net = net

    def forward(self, codes: Tensor, phones: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        latents, _ = self.net.latents(codes[None], phones[None], style)
        return self.net.sound(latents, style, noise)
