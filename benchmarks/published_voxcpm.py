"""VoxCPM 0.5B and 1.5 in the order of work of the published package: the baseline of `family_voxcpm`.

One request at a time. The recording is encoded for each; keys and values are allocated for the checkpoint's whole
`max_length`, and every step attends over all of them with a mask; the encoder of patches also reads the empty patches
of text positions; times are embedded at each evaluation; queries, keys and values are separate products. All in one
dtype, but for the AudioVAE in fp32, which decodes the whole sound at the end, or, streaming, the last three patches at
each step. Written from a description of the behaviour, and tested by the golden set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.checkpoint import fold_weight_norm, read_tensors
from deployments.families.voxcpm.checkpoint import LM_FILES, VAE_FILES, present
from deployments.families.voxcpm.config import RATIO, SLACK, Shape, VoxConfig, read_config
from deployments.families.voxcpm.flow import ZERO_SHARE, sinusoid, spans
from deployments.families.voxcpm.net import AUDIO_START
from deployments.families.voxcpm.text.tokenizer import Tokenizer
from deployments.families.voxcpm.transformer import Rotary, rotary_table

WINDOW = 3  # patches that a streamed chunk is decoded from


class PublishedStack:
    """A transformer with one product for each matrix."""

    def __init__(
        self, weights: dict[str, Tensor], name: str, shape: Shape, eps: float, rotary: Rotary
    ) -> None:
        self.weights, self.name, self.shape, self.eps, self.rotary = weights, name, shape, eps, rotary
        self.keys_values: Tensor | None = None

    def allocate(self, length: int, dtype: torch.dtype) -> None:
        shape = self.shape
        self.keys_values = torch.zeros(
            2, shape.layers, 1, shape.kv_heads, length, shape.head_dim, dtype=dtype
        )

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        """x (N, T, M) -> (N, T, M). Fills the cache, if there is one."""
        count = x.shape[1]
        for layer in range(self.shape.layers):
            q, k, v = self._heads(x, layer, torch.arange(count))
            if self.keys_values is not None:
                self.keys_values[0, layer, :, :, :count] = k
                self.keys_values[1, layer, :, :, :count] = v
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
            x = self._finish(x, mixed, layer)
        return self._norm(x, "norm")

    def step(self, x: Tensor, position: int) -> Tensor:
        """x (1, M) at `position` -> (1, M), attending over the whole allocation."""
        assert self.keys_values is not None
        keys, values = self.keys_values
        if position >= keys.shape[3]:
            raise ValueError("KV cache is full")
        x = x[:, None]
        seen = (torch.arange(keys.shape[3]) <= position)[None]
        for layer in range(self.shape.layers):
            q, k, v = self._heads(x, layer, torch.tensor([position]))
            keys[layer, :, :, position] = k[:, :, 0]
            values[layer, :, :, position] = v[:, :, 0]
            mixed = F.scaled_dot_product_attention(
                q, keys[layer], values[layer], attn_mask=seen, enable_gqa=True
            )
            x = self._finish(x, mixed, layer)
        return self._norm(x, "norm")[:, 0]

    def _heads(self, x: Tensor, layer: int, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        name = f"layers.{layer}"
        x = self._norm(x, f"{name}.input_layernorm")
        q, k, v = (
            self._linear(x, f"{name}.self_attn.{part}_proj").unflatten(-1, (-1, self.shape.head_dim))
            for part in "qkv"
        )
        cosine, sine = (table[positions].squeeze(1) for table in self.rotary)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (N, H, T, d)
        return _turned(q, cosine, sine), _turned(k, cosine, sine), v

    def _finish(self, x: Tensor, mixed: Tensor, layer: int) -> Tensor:
        name = f"layers.{layer}"
        x = x + self._linear(mixed.transpose(1, 2).flatten(2), f"{name}.self_attn.o_proj")
        y = self._norm(x, f"{name}.post_attention_layernorm")
        y = F.silu(self._linear(y, f"{name}.mlp.gate_proj")) * self._linear(y, f"{name}.mlp.up_proj")
        return x + self._linear(y, f"{name}.mlp.down_proj")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{self.name}.{name}.weight"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weights[f"{self.name}.{name}.weight"] * wide.to(x.dtype)


def _turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    wide = x.float()
    first, second = wide.chunk(2, -1)
    return (wide * cosine + torch.cat((-second, first), -1) * sine).to(x.dtype)


class PublishedVae:
    """AudioVAE without streaming. tensors: with folded weights."""

    def __init__(self, tensors: dict[str, Tensor], config: VoxConfig) -> None:
        self.config, self.weights = config.audio_vae_config, fold_weight_norm(tensors)

    def encode(self, waveform: Tensor) -> Tensor:
        """(1, 1, N) -> (1, D, N / hop)"""
        x = self._conv(waveform, "encoder.block.0", 6)
        for stage, rate in enumerate(self.config.encoder_rates, 1):
            name = f"encoder.block.{stage}.block"
            for index, dilation in enumerate((1, 3, 9)):
                x = self._unit(x, f"{name}.{index}", dilation)
            x = self._snake(x, f"{name}.3")
            x = self._conv(x, f"{name}.4", 2 * math.ceil(rate / 2), stride=rate)
        return self._conv(x, "encoder.fc_mu", 2)

    def decode(self, latents: Tensor) -> Tensor:
        """(1, D, T) -> (T * hop,)"""
        x = self._conv(latents, "decoder.model.0", 6, groups=latents.shape[1])
        x = self._conv(x, "decoder.model.1", 0)
        for stage, rate in enumerate(self.config.decoder_rates, 2):
            name = f"decoder.model.{stage}.block"
            x = self._snake(x, f"{name}.0")
            weight, bias = self.weights[f"{name}.1.weight"], self.weights[f"{name}.1.bias"]
            x = F.conv_transpose1d(x, weight, bias, stride=rate)[..., :-rate]
            for index, dilation in enumerate((1, 3, 9), 2):
                x = self._unit(x, f"{name}.{index}", dilation)
        last = len(self.config.decoder_rates) + 2
        x = self._snake(x, f"decoder.model.{last}")
        return self._conv(x, f"decoder.model.{last + 1}", 6).tanh().flatten()

    def _unit(self, x: Tensor, name: str, dilation: int) -> Tensor:
        y = self._snake(x, f"{name}.block.0")
        y = self._conv(y, f"{name}.block.1", 6 * dilation, dilation=dilation, groups=x.shape[1])
        y = self._snake(y, f"{name}.block.2")
        return x + self._conv(y, f"{name}.block.3", 0)

    def _snake(self, x: Tensor, name: str) -> Tensor:
        alpha = self.weights[f"{name}.alpha"]
        return x + torch.sin(alpha * x).pow(2) / (alpha + 1e-9)

    def _conv(self, x: Tensor, name: str, left: int, **options: Any) -> Tensor:
        return F.conv1d(
            F.pad(x, (left, 0)), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], **options
        )


class PublishedVoxCpm:
    """The whole path from a checkpoint folder of 0.5B or 1.5. steps: of the diffusion."""

    def __init__(self, folder: Path, dtype: torch.dtype, steps: int = 10) -> None:
        config = self.config = read_config(folder)
        if config.version != 1:
            raise ValueError("the baseline is of 0.5B and 1.5")
        self.dtype, self.steps = dtype, steps
        lm = read_tensors(present(folder, LM_FILES))
        self.weights = {name: tensor.to(dtype) for name, tensor in lm.items()}
        self.vae = PublishedVae(read_tensors(present(folder, VAE_FILES)), config)
        self.tokenizer = Tokenizer.load(folder / "tokenizer.json", config.lm_config.vocab_size)
        eps = config.lm_config.rms_norm_eps
        rotary = rotary_table(
            config.lm_config, config.head_dim, config.max_length, dtype, torch.device("cpu")
        )

        def stack(name: str, shape: Shape) -> PublishedStack:
            return PublishedStack(self.weights, name, shape, eps, rotary)

        self.base, self.residual = stack("base_lm", config.base), stack("residual_lm", config.residual)
        self.encoder = stack("feat_encoder.encoder", config.encoder)
        self.decoder = stack("feat_decoder.estimator.decoder", config.dit)
        for model in (self.base, self.residual):
            model.allocate(config.max_length, dtype)

    @torch.inference_mode()
    def generate(
        self,
        text: str,
        prompt: Tensor | None = None,
        transcript: str = "",
        *,
        cfg: float = 2.0,
        min_len: int = 2,
        max_len: int = 2000,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The waveform (n * samples per patch,). prompt: (N,) at the model's rate; noise: (n, D, P), else drawn."""
        context = self._context(prompt)
        patches = list(self._patches(text, context, transcript, cfg, min_len, max_len, noise))
        made = torch.cat((context[1 - WINDOW :], torch.stack(patches)))
        sound = self._sound(made)
        return sound[self.config.samples_per_patch * (WINDOW - 1) :] if len(context) else sound

    @torch.inference_mode()
    def stream(
        self,
        text: str,
        prompt: Tensor | None = None,
        transcript: str = "",
        *,
        cfg: float = 2.0,
        min_len: int = 2,
        max_len: int = 2000,
        noise: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """The sound of each patch, decoded from the last three without a state."""
        context = self._context(prompt)
        recent = list(context[1 - WINDOW :])
        for patch in self._patches(text, context, transcript, cfg, min_len, max_len, noise):
            recent = [*recent, patch][-WINDOW:]
            yield self._sound(torch.stack(recent))[-self.config.samples_per_patch :]

    def _context(self, prompt: Tensor | None) -> Tensor:
        """The recording's patches, (T, P, D)."""
        shape = (self.config.patch_size, self.config.feat_dim)
        if prompt is None:
            return torch.zeros(0, *shape)
        missing = -len(prompt) % (shape[0] * self.config.audio_vae_config.hop)
        latents = self.vae.encode(F.pad(prompt, (missing, 0))[None, None])
        return latents[0].T.unflatten(0, (-1, shape[0]))

    def _sound(self, patches: Tensor) -> Tensor:
        return self.vae.decode(patches.float().flatten(0, 1).T.unsqueeze(0))

    def _patches(
        self,
        text: str,
        context: Tensor,
        transcript: str,
        cfg: float,
        min_len: int,
        max_len: int,
        noise: Tensor | None,
    ) -> Iterator[Tensor]:
        ids = torch.tensor([*self.tokenizer.encode(transcript + text), AUDIO_START])
        most = min(len(self.tokenizer.encode(text)) * RATIO + SLACK, max_len)
        count = len(ids) + len(context)
        tokens = F.pad(ids, (0, len(context)))
        patches = torch.cat((torch.zeros(len(ids), *context.shape[1:]), context)).to(self.dtype)
        heard = (torch.arange(count) >= len(ids)).to(self.dtype)[:, None]
        encoded = self._encoded(patches)
        x = (1 - heard) * self.weights["base_lm.embed_tokens.weight"][tokens] + heard * encoded
        hidden = self.base.forward(x[None], causal=True)[0]
        hidden = heard * self._quantised(hidden) + (1 - heard) * hidden
        residual = self.residual.forward((hidden + heard * encoded)[None], causal=True)[0, -1:]
        hidden, before = hidden[-1:], patches[-1]
        for step in range(most):
            start = torch.randn(before.T.shape) if noise is None else noise[step]
            mu = self._linear(hidden, "lm_to_dit_proj") + self._linear(residual, "res_to_dit_proj")
            before = self._solved(mu, before, start.to(self.dtype), cfg)
            yield before
            logits = F.linear(F.silu(self._linear(hidden, "stop_proj")), self.weights["stop_head.weight"])
            if step > min_len and int(logits[0].argmax()) == 1:
                return
            encoded = self._encoded(before[None])
            hidden = self._quantised(self.base.step(encoded, count + step))
            residual = self.residual.step(hidden + encoded, count + step)

    def _encoded(self, patches: Tensor) -> Tensor:
        x = self._linear(patches, "feat_encoder.in_proj")
        special = self.weights["feat_encoder.special_token"][0].expand(len(x), -1, -1)
        first = self.encoder.forward(torch.cat((special, x), 1), causal=False)[:, 0]
        return self._linear(first, "enc_to_lm_proj")

    def _quantised(self, x: Tensor) -> Tensor:
        scale = self.config.scalar_quantization_scale
        codes = torch.round(torch.tanh(self._linear(x, "fsq_layer.in_proj")) * scale) / scale
        return self._linear(codes, "fsq_layer.out_proj")

    def _solved(self, mu: Tensor, before: Tensor, x: Tensor, cfg: float) -> Tensor:
        """mu (1, Hd), before (P, D), x (D, P) -> (P, D)"""
        ends = spans(self.steps, self.dtype)
        still = max(1, int((self.steps + 1) * ZERO_SHARE))
        time, size = ends[0], ends[0] - ends[1]
        for step in range(1, self.steps + 1):
            if step <= still:
                velocity = torch.zeros_like(x)
            else:
                both = self._velocity(x, mu, before, time)
                with_voice, without = both[0], both[1]
                scale = (with_voice * without).sum() / (without.square().sum() + 1e-8)
                velocity = scale * without + cfg * (with_voice - scale * without)
            x = x - size * velocity
            time = time - size
            if step < self.steps:
                size = time - ends[step + 1]
        return x.T

    def _velocity(self, x: Tensor, mu: Tensor, before: Tensor, time: Tensor) -> Tensor:
        """With the condition and without it, (2, D, P)."""
        name = "feat_decoder.estimator"
        mus = torch.cat((mu, torch.zeros_like(mu)))
        embedded = self._time(time.repeat(2), "time_mlp") + self._time(
            torch.zeros_like(time).repeat(2), "delta_time_mlp"
        )
        rows = self._linear(x.T.expand(2, -1, -1), f"{name}.in_proj")
        known = self._linear(before.expand(2, -1, -1), f"{name}.cond_proj")
        tokens = torch.cat(((mus + embedded)[:, None], known, rows), 1)
        hidden = self.decoder.forward(tokens, causal=False)[:, -x.shape[1] :]
        return self._linear(hidden, f"{name}.out_proj").transpose(1, 2)

    def _time(self, times: Tensor, mlp: str) -> Tensor:
        name = f"feat_decoder.estimator.{mlp}"
        return self._linear(
            F.silu(self._linear(sinusoid(times, self.config.dit.width), f"{name}.linear_1")),
            f"{name}.linear_2",
        )

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])
