"""All networks between text ids and patches: the two language models, FSQ, the encoder and the decoder of a patch."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.engine.invariant import LANES, Linear
from deployments.families.checkpoint import check_shapes
from deployments.families.voxcpm.config import Shape, VoxConfig
from deployments.families.voxcpm.flow import schedule, sinusoid, solve
from deployments.families.voxcpm.transformer import Rotary, Stack, Weights, rotary_table

AUDIO_START, REFERENCE_START, REFERENCE_END = 101, 103, 104  # token ids, the same in every release


def expected_shapes(config: VoxConfig) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor of the language model's file."""
    lm, width, latents = config.base, config.base.width, config.feat_dim
    encoder, dit, codes = config.encoder, config.dit, config.scalar_quantization_latent_dim
    shapes: dict[str, tuple[int, ...]] = {
        "base_lm.embed_tokens.weight": (config.lm_config.vocab_size, width),
        "feat_encoder.special_token": (1, 1, 1, encoder.width),
        "stop_head.weight": (2, width),
    }
    linear = {
        "feat_encoder.in_proj": (latents, encoder.width),
        "feat_decoder.estimator.in_proj": (latents, dit.width),
        "feat_decoder.estimator.cond_proj": (latents, dit.width),
        "feat_decoder.estimator.out_proj": (dit.width, latents),
        "fsq_layer.in_proj": (width, codes),
        "fsq_layer.out_proj": (codes, width),
        "enc_to_lm_proj": (encoder.width, width),
        "lm_to_dit_proj": (width, dit.width),
        "res_to_dit_proj": (width, dit.width),
        "stop_proj": (width, width),
    }
    for mlp in ("time_mlp", "delta_time_mlp"):
        for layer in ("linear_1", "linear_2"):
            linear[f"feat_decoder.estimator.{mlp}.{layer}"] = (dit.width, dit.width)
    if config.version == 2:
        linear["fusion_concat_proj"] = (2 * width, width)
    for name, (inputs, outputs) in linear.items():
        shapes |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    stacks = {
        "base_lm": lm,
        "residual_lm": config.residual,
        "feat_encoder.encoder": encoder,
        "feat_decoder.estimator.decoder": dit,
    }
    for name, shape in stacks.items():
        shapes |= _stack_shapes(name, shape)
    return shapes


def _stack_shapes(name: str, shape: Shape) -> dict[str, tuple[int, ...]]:
    width, ffn = shape.width, shape.ffn
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    shapes: dict[str, tuple[int, ...]] = {f"{name}.norm.weight": (width,)}
    for layer in range(shape.layers):
        block = f"{name}.layers.{layer}"
        shapes |= {
            f"{block}.input_layernorm.weight": (width,),
            f"{block}.post_attention_layernorm.weight": (width,),
            f"{block}.self_attn.q_proj.weight": (queries, width),
            f"{block}.self_attn.k_proj.weight": (keys, width),
            f"{block}.self_attn.v_proj.weight": (keys, width),
            f"{block}.self_attn.o_proj.weight": (width, queries),
            f"{block}.mlp.gate_proj.weight": (ffn, width),
            f"{block}.mlp.up_proj.weight": (ffn, width),
            f"{block}.mlp.down_proj.weight": (width, ffn),
        }
    return shapes


class PatchEncoder:
    """LocEnc: patches (N, P, D) to one vector each, (N, He)."""

    def __init__(self, weights: Weights, shape: Shape, eps: float, rotary: Rotary) -> None:
        self.special = weights["special_token"].reshape(1, 1, -1)
        self.project = weights.linear("in_proj")
        self.stack = Stack(weights.part("encoder"), shape, eps, rotary)

    def __call__(self, patches: Tensor) -> Tensor:
        x = self.project(patches)
        x = torch.cat((self.special.expand(len(x), -1, -1), x), 1)
        return self.stack.whole(x, slice(0, 1))[:, 0]


class PatchDecoder:
    """LocDiT with its solver: condition, previous patch and noise to the next patch.

    The embedded times of all steps are computed once. In the first release the condition and the time share a token; in
    the second the condition is two tokens, and the time a third.
    """

    def __init__(self, weights: Weights, config: VoxConfig, rotary: Rotary, steps: int) -> None:
        self.version, self.width, self.patch = config.version, config.dit.width, config.patch_size
        estimator = weights.part("estimator")
        self.steps = schedule(steps, weights.dtype)
        self.in_proj, self.cond_proj = estimator.linear("in_proj"), estimator.linear("cond_proj")
        self.out_proj = estimator.linear("out_proj")
        self.stack = Stack(estimator.part("decoder"), config.dit, config.lm_config.rms_norm_eps, rotary)
        moments = torch.tensor([step.time for step in self.steps if not step.still], dtype=weights.dtype)
        times = self._embedded(estimator.part("time_mlp"), moments)
        # the length of a step is 0 in released models; its embedding is not
        self.times = times + self._embedded(estimator.part("delta_time_mlp"), torch.zeros_like(moments[:1]))

    def _embedded(self, mlp: Weights, times: Tensor) -> Tensor:
        x = sinusoid(times, self.width).to(mlp.device)
        return mlp.linear("linear_2")(F.silu(mlp.linear("linear_1")(x)))

    def __call__(self, mu: Tensor, previous: Tensor, noise: Tensor, guidance: Tensor) -> Tensor:
        """mu: (B, Hd), or (B, 2 Hd) in the second release; previous, noise: (B, P, D); guidance: (B, 1, 1).

        Returns float32 (B, P, D).
        """
        mu = mu.unflatten(-1, (-1, self.width))
        both = torch.cat((mu, torch.zeros_like(mu)))  # with the condition, and without it
        before = self.cond_proj(previous.to(mu.dtype)).repeat(2, 1, 1)
        return solve(noise, self.steps, lambda k, x: self.velocity(k, x, both, before), guidance)

    def velocity(self, k: int, x: Tensor, both: Tensor, before: Tensor) -> Tensor:
        """Of the k-th evaluation: x (B, P, D), both (2B, 1 or 2, Hd), before (2B, P, Hd) -> (2B, P, D)"""
        time, rows = self.times[k], self.in_proj(x.to(both.dtype)).repeat(2, 1, 1)
        if self.version == 1:
            tokens = [both + time, before, rows]
        else:
            tokens = [both, time.expand(len(both), 1, -1), before, rows]
        return self.out_proj(self.stack.whole(torch.cat(tokens, 1), slice(-self.patch, None)))


class Fsq:
    """Finite scalar quantisation: x -> out(round(S tanh(in(x))) / S). Padded to whole vector loops."""

    def __init__(self, weights: Weights, scale: int) -> None:
        weight, bias, out = weights["in_proj.weight"], weights["in_proj.bias"], weights["out_proj.weight"]
        pad = -len(weight) % LANES
        self.scale = scale
        self.inner = Linear(F.pad(weight, (0, 0, 0, pad)), F.pad(bias, (0, pad)))
        self.outer = Linear(F.pad(out, (0, pad)), weights["out_proj.bias"])

    def __call__(self, x: Tensor) -> Tensor:
        return self.outer(torch.round(self.inner(x).tanh() * self.scale) / self.scale)


class VoxNet:
    """positions: the longest sequence; steps: of the diffusion. Raises CheckpointError if a tensor does not match."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        config: VoxConfig,
        device: torch.device,
        dtype: torch.dtype,
        positions: int,
        steps: int,
        file: str = "model.safetensors",
    ) -> None:
        check_shapes(expected_shapes(config), tensors, file)
        weights, eps = Weights(tensors, device, dtype), config.lm_config.rms_norm_eps
        rotary = rotary_table(config.lm_config, config.head_dim, positions, dtype, device)
        self.config, self.dtype = config, dtype
        self.embedding = weights["base_lm.embed_tokens.weight"]
        self.base = Stack(weights.part("base_lm"), config.base, eps, rotary)
        places = None if config.residual_lm_no_rope else rotary
        self.residual = Stack(weights.part("residual_lm"), config.residual, eps, places)
        self.encoder = PatchEncoder(weights.part("feat_encoder"), config.encoder, eps, rotary)
        self.decoder = PatchDecoder(weights.part("feat_decoder"), config, rotary, steps)
        self.fsq = Fsq(weights.part("fsq_layer"), config.scalar_quantization_scale)
        self.encoded_to_lm = weights.linear("enc_to_lm_proj")
        self.lm_to_dit, self.residual_to_dit = (
            weights.linear("lm_to_dit_proj"),
            weights.linear("res_to_dit_proj"),
        )
        self.stop_proj = weights.linear("stop_proj")
        self.stop_head = Linear(F.pad(weights["stop_head.weight"], (0, 0, 0, LANES - 2)))
        self.fusion = weights.linear("fusion_concat_proj") if config.version == 2 else None

    def embed_patches(self, patches: Tensor) -> Tensor:
        """(N, P, D) -> (N, H)"""
        return self.encoded_to_lm(self.encoder(patches.to(self.dtype)))

    def residual_input(self, hidden: Tensor, encoded: Tensor) -> Tensor:
        """hidden: of the base model, quantised where there is audio; encoded: 0 where there is not. (..., H) each."""
        if self.fusion is None:
            return hidden + encoded
        return self.fusion(torch.cat((hidden, encoded), -1))

    def condition(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """The decoder's condition: (B, H) each -> (B, Hd) or (B, 2 Hd)"""
        parts = self.lm_to_dit(hidden), self.residual_to_dit(residual)
        return parts[0] + parts[1] if self.config.version == 1 else torch.cat(parts, -1)

    def stop_logits(self, hidden: Tensor) -> Tensor:
        """(B, H) -> (B, 2): go on, stop"""
        return self.stop_head(F.silu(self.stop_proj(hidden)))[:, :2]
